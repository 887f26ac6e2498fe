"What files and folders refuse."
from refusals import *

REFUSED = {
    'build_folder': [
        case('unwritable path', lambda t: building(touched(t/'file')/'set'), 'Cannot write the data set to', 'Set another data folder', error=OSError),
    ],
    'safe_unzip': [
        case('a member that leaves its folder', lambda t: safe_unzip(zipped(t, '../evil'), t), "'../evil'", 'outside', 'do not trust this file', error=ValueError),
        case('an absolute member', lambda t: safe_unzip(zipped(t, '/tmp/evil'), t/'dest'), "'/tmp/evil'", 'do not trust this file', error=ValueError),
        case('no such file', lambda t: safe_unzip(t/'none.zip', t), 'none.zip', 'does not exist', error=FileNotFoundError),
        case('a folder', lambda t: safe_unzip(t, t), 'cannot be read', str(tempfile.gettempdir()), error=OSError),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
