"What the demo refuses."
from refusals import *

REFUSED = {
    'demo.main': [
        case('unwritable path', lambda t: demo('--out', touched(t/'file')/'out'), 'Cannot write to', 'file/out', 'Choose another folder with --out', error=SystemExit),
        case('a file for a folder', lambda t: demo('--out', touched(t/'file')), 'Cannot write to', 'Choose another folder with --out', error=SystemExit),
        case('no epoch', lambda t: demo('--out', t, '--epochs', 0), '--epochs is 0', '1 or more', error=SystemExit),
        case('negative setting', lambda t: demo('--out', t, '--epochs', -3), '--epochs is -3', '1 or more', error=SystemExit),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
