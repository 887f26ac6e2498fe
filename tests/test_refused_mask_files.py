"What mask files refuse."
from refusals import *

REFUSED = {
    'PILSoftMask': [
        case('a part resized', lambda: OpenSoftMask()(GREY).resize((2, 2), box=(0, 0, 2, 2)), 'as a whole', '`mask.crop(box).resize(size)`'),
        case('turned by 10°', lambda: OpenSoftMask()(GREY).rotate(10), 'several planes', 'mask.like'),
        case('other number of planes', lambda: OpenSoftMask(LAND[:2])(INDEX % 2).like(np.zeros((4, 4, 3))), '3 planes', "2 classes ['meadow', 'forest']"),
        case('two dimensions', lambda: OpenSoftMask()(GREY).like(np.zeros((2, 4))), '(2, 4)', '(H,W,K)'),
    ],
    'mask_planes': [
        case('no such file', lambda t: mask_planes(t/'none.png', ['a'], False), 'none.png does not exist', error=FileNotFoundError),
    ],
    'probabilities_of': [
        case('integers of no scale', lambda: probabilities_of(GREY.astype(int), 'here'), 'here holds integers of type int64 up to 255', 'no known scale'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
