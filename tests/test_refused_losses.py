"What the losses refuse."
from refusals import *

REFUSED = {
    'SoftCrossEntropyLossFlat': [
        case('negative weight', lambda: CE(weight=[-1., 2.]), '`weight` is [-1.0, 2.0]', '0 or more', error=ValueError),
        case('weights all 0', lambda: CE(weight=[0., 0.]), '`weight` is [0.0, 0.0]', 'not all 0', error=ValueError),
        case('a text for weights', lambda: CE(weight='balanced'), "`weight` is 'balanced'", '`class_weights', error=ValueError),
        case('a dict', lambda: CE(weight={'cat': 1., 'dog': 2.}), "`weight` is {'cat': 1.0", 'in vocab order', error=ValueError),
        case('weights of another length', lambda: CE(weight=[1., 2, 3])(z, y), '`weight` has shape (3,), but the logits have 2 classes', 'give one weight each'),
        case('unknown option', lambda: CE(reduction='avg'), "reduction is 'avg'", "'mean', 'sum' or 'none'", error=ValueError),
        case('out of range', lambda: CE(label_smoothing=1.5), 'label_smoothing is 1.5', 'in [0,1]', error=ValueError),
        case('a text for a setting', lambda: CE(label_smoothing='.1'), "label_smoothing is '.1'", error=ValueError),
        case('axis of the items', lambda: CE(axis=0)(z, y), 'axis is 0', 'the items', error=ValueError),
        case('axis that is none', lambda: CE(axis=3)(z, y), 'axis=3', '(4, 2)', 'axis=1'),
        case('axis a fraction', lambda: CE(axis=1.), 'axis is 1.0', 'a whole number', error=ValueError),
        case('one dimension', lambda: CE()(z[0], y[0]), 'Expected logits (N,C)', '(2,)'),
        case('one class', lambda: CE()(z[:, :1], torch.zeros(4, dtype=torch.int64)), 'With one class there is nothing to index', '(4, 1)'),
        case('would broadcast', lambda: CE()(z, y[:, :1]), '(4, 2)', '(4, 1)', 'Nothing is broadcast'),
        case('columns of an image as classes', lambda: CE()(maps, masks), '`axis=-1` the columns', 'Say `axis=1` for'),
        case('index of no class', lambda: CE()(z, torch.tensor([0, 1, 2, 0])), 'class index 2', '0 to 1', '−100'),
        case('negative index', lambda: CE()(z, torch.tensor([0, 1, -1, 0])), 'class index -1', '−100: unlabelled'),
        case('no tensor', lambda: CE()(z, y.tolist()), 'The targets are a list', 'expected a tensor'),
        case('a tuple of predictions', lambda: CE()((z,), y), 'logits are a tuple', 'one tensor'),
        case('integer logits', lambda: CE()(z.long(), y), 'torch.int64', 'floats'),
        case('complex numbers', lambda: CE()(z, y*1j), 'torch.complex64', 'expected a tensor of probabilities'),
    ],
    'SoftBCEWithLogitsLossFlat': [
        case('NaN among weights', lambda: BCE(pos_weight=[np.nan, 2.]), '`pos_weight` is [nan, 2.0]', 'finite', error=ValueError),
        case('out of range', lambda: setattr(BCE(), 'thresh', 5), 'thresh is 5', 'in [0,1]', error=ValueError),
        case('None for a setting', lambda: BCE(thresh=None), 'thresh is None', 'in [0,1]', error=ValueError),
        case('unknown option', lambda: BCE(reduction='avg'), "reduction is 'avg'", "'mean', 'sum' or 'none'", error=ValueError),
        case('weights of another length', lambda: BCE(weight=[1., 2, 3])(z, y), '`weight` has shape (3,), but the logits have 2 classes'),
        case('one dimension', lambda: BCE()(z[0], y[0]), 'Expected logits (N,C)'),
        case('would broadcast', lambda: BCE()(z, y[:1]), '(4, 2)', '(1, 2)', 'Nothing is broadcast'),
        case('index of no class', lambda: BCE()(z, torch.tensor([0, 1, 2, 0])), 'class index 2', '0 to 1'),
    ],
    'SumOfLosses': [
        case('other number of columns', lambda: SumOfLosses([CE(), CE()], [2, 2])(torch.rand(4, 5), y, y), 'gives 5 columns, but the targets need 2 + 2 = 4', 'return a tuple'),
        case('other number of predictions', lambda: SumOfLosses([CE(), CE()], [2, 2])((z,), y, y), '1 predictions', '2 losses'),
        case('other number of targets', lambda: SumOfLosses([CE(), CE()], [2, 2])((z, z), y), '1 targets', '2 losses'),
        case('other number of sizes', lambda: SumOfLosses([CE()], [2, 3]), '1 losses', '2 sizes'),
        case('a text for a loss', lambda: SumOfLosses(['ce'], [2]), "'ce'", 'expected a loss'),
    ],
    'reads_of': [
        case('loss of neither kind', lambda: reads_of(MSELossFlat()), 'neither a softmax nor a sigmoid', '`SoftCategoryBlock`'),
    ],
    'Abstaining': [
        case('NaN', lambda: Abstaining(CE(), float('nan')), 'thresh is nan', 'a confidence in [0,1]', error=ValueError),
        case('out of range', lambda: Abstaining(CE(), 1.1), 'thresh is 1.1', 'a confidence in [0,1]', error=ValueError),
        case('loss without activation', lambda: Abstaining(nn.CrossEntropyLoss(), .5), 'has no `activation`'),
    ],
    'TemperatureScaled': [
        case('temperature of 0', lambda: TemperatureScaled(CE(), 0), 'temperature is 0; expected a finite number above 0', error=ValueError),
        case('infinite number', lambda: TemperatureScaled(CE(), float('inf')), 'temperature is inf; expected a finite number above 0', error=ValueError),
        case('NaN', lambda: TemperatureScaled(CE(), float('nan')), 'temperature is nan', error=ValueError),
        case('negative setting', lambda: TemperatureScaled(CE(), -1), 'temperature is -1', error=ValueError),
        case('None for a setting', lambda: TemperatureScaled(CE(), None), 'temperature is None', 'above 0', error=ValueError),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
