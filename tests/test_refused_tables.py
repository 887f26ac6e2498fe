"What tables of labels refuse."
from refusals import *

REFUSED = {
    'check_distributions': [
        case('one dimension', lambda: check_distributions(np.array([.5, .5])), 'shape (2,)', '(N,K)'),
        case('a text for an array', lambda: check_distributions(np.array([['a', 'b']])), '<U1', 'numbers (N,K)'),
        case('complex numbers', lambda: check_distributions(np.ones((2, 2))*1j), 'complex128', 'numbers (N,K)'),
    ],
    'check_probabilities': [
        case('one dimension', lambda: check_probabilities(np.array([.5, .5])), 'shape (2,)', '(N,K)'),
        case('n_votes for other rows', lambda: check_probabilities(np.ones((2, 2)), n_votes=np.ones(3)), '3 values in `n_votes`', '2 rows'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
