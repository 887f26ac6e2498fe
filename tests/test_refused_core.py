"What the types and displays refuse."
from refusals import *

REFUSED = {
    'SoftCategory': [
        case('logits', lambda: SoftCategory([-2., 3.], PETS), '[-2.0, 3.0] are not probabilities', 'activation', '`SoftCrossEntropyLossFlat`'),
        case('weights of another length', lambda: SoftCategory([.5, .5], ['cat']), '(2,) probabilities for 1 classes'),
        case('a text for an array', lambda: SoftCategory(['a', 'b'], PETS), "['a', 'b'] are no numbers"),
    ],
    'entropy': [
        case('a text for an array', lambda: entropy('a'), "'a'", 'no numbers'),
        case('one class, whatever it says', lambda: entropy(torch.ones(3, 1)), 'of one class', 'Say `multi=True`'),
    ],
    'draw_bars': [
        case('nothing to draw', lambda: draw_bars(None, {}), 'no labels to draw'),
        case('other classes', lambda: draw_bars(None, {'a': SoftCategory([.5, .5], PETS), 'b': SoftCategory([1., 0.], ['dog', 'cat'])}), "'a' has the classes ['cat', 'dog']", "'b' has ['dog', 'cat']"),
    ],
    'TensorSoftMask': [
        case('a batch for one mask', lambda: TensorSoftMask(torch.rand(2, 1, 4, 4)).show(), 'shape (2, 1, 4, 4)', 'pick one item'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
