"What data sets refuse."
from refusals import *

REFUSED = {
    'cifar10h': [
        case('no such folder', lambda t: from_folder(t/'none'), 'FASTAI_SOFTLABELS_DATA names', 'none', 'Correct it, or unset it', error=FileNotFoundError),
        case('nothing in the folder', lambda t: from_folder(t), 'neither cifar10h.zip nor cifar10h/ but', 'unset the variable to download', error=FileNotFoundError),
        case('a file for a folder', lambda t: from_folder(touched(t/'file')), 'FASTAI_SOFTLABELS_DATA names', 'cannot be read as a folder', error=NotADirectoryError),
        case('half a download', lambda t: from_folder(zipped(t, content=b'half a downl').parent), 'cifar10h.zip is not a readable zip file', 'download it again', error=ValueError),
        case('other files than expected', lambda t: from_folder(zipped(t, 'cifar10h/votes.csv').parent), 'cifar10h.zip lacks votes.csv and images at its top level', error=FileNotFoundError),
        case('a folder without its table', lambda t: from_folder(touched(t/'cifar10h/images/0.jpg').parents[2]), 'lacks votes.csv at its top level', error=FileNotFoundError),
    ],
    'write_cifar10h': [
        case('half a file', lambda t: write_cifar10h(b'x'*3000, np.ones((1, 10)), t), '3000 bytes', '3,073 bytes', 'Download both again', error=ValueError),
        case('other number of classes', lambda t: write_cifar10h(b'x'*3073, np.ones((1, 9)), t), 'the shape (1, 9)', '10 counts an image', error=ValueError),
    ],
    'committee_votes': [
        case('images of another size', lambda: committee_votes(np.zeros((20, 5, 5)), np.arange(20) % 2), '(20, 5, 5)', '(N,8,8)', error=ValueError),
        case('labels of another length', lambda: committee_votes(np.zeros((20, 8, 8)), np.arange(19) % 2), '20 images', '19 labels', error=ValueError),
        case('too few of a class', lambda: committee_votes(np.zeros((20, 8, 8)), np.array([0]*17 + [1]*3)), 'class 1', '3 images', '5', error=ValueError),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
