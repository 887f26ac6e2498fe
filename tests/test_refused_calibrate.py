"What calibration refuses."
from refusals import *

REFUSED = {
    'abstain': [
        case('no learner', lambda: abstain(None), 'is None', 'expected a `Learner`'),
        case('keep none', lambda: abstain(learner(), 0), 'keep is 0; expected a share above 0, at most 1', error=ValueError),
        case('keep in percent', lambda: abstain(learner(), 95), 'keep is 95; expected a share above 0, at most 1', error=ValueError),
        case('a text for a setting', lambda: abstain(learner(), '.9'), "keep is '.9'", 'a share above 0', error=ValueError),
        case('a table for a loader', lambda: abstain(learner(), dl=ten), 'is a DataFrame; expected a DataLoader', 'with_labels=True'),
        case('no items', lambda: abstain(learner(), dl=DataLoader([], bs=2)), 'no items to go by in `dl`'),
        case('a loaded learner', lambda t: abstain(loaded(t)), 'was it loaded', 'Give a `dl=`'),
        case('hard labels', lambda: abstain(hard()), "fastai's own and a data set of your own cannot show it", '`SoftCategoryBlock`'),
        case('NaN from the model', lambda: abstain(diverged()), 'NaN for 4 of 4 images'),
        case('pixels of items', lambda: abstain(learner(), pixels=True), '`pixels=True` is for masks'),
        case('a text for pixels', lambda: abstain(of_masks(), pixels='yes'), "pixels is 'yes'", error=ValueError),
        case('a risk of pixels', lambda: abstain(of_masks(), risk=.1, pixels=True), 'promised for images'),
    ],
    'best_temperature': [
        case('right about all', lambda: best_temperature(torch.tensor([[3., 0], [0, 3]]), torch.tensor([0, 1])), '2 labels: the model is right about all of them', 'Give more labels'),
        case('right about all, independent classes', lambda: best_temperature(torch.tensor([[3., 0], [0, 3]]), torch.eye(2), multi=True), 'right about all'),
        case('wrong about all', lambda: best_temperature(torch.tensor([[3., 0], [0, 3]]), torch.tensor([1, 0])), 'its logits say nothing about them'),
        case('constant logits', lambda: best_temperature(torch.zeros(4, 2), half.expand(4, 2)), '4 labels: its logits say nothing about them'),
        case('no items', lambda: best_temperature(torch.zeros(0, 2), torch.zeros(0, 2)), 'no labels to fit'),
        case('NaN from the model', lambda: best_temperature(torch.tensor([[0., 1.]]*3 + [[torch.nan, 1.]]), half.expand(4, 2)), 'A logit is nan, of item 3', 'Did the training diverge?'),
        case('a text for an array', lambda: best_temperature('a', half), 'logits are a str', 'tensor or an array'),
        case('counts', lambda: best_temperature(z, torch.tensor([[3., 1.]]*4)), 'Row 0 of the targets', '[3.0, 1.0]'),
        case('no labels', lambda: best_temperature(z, torch.zeros(4, 2)), 'no labels to fit'),
        case('would broadcast', lambda: best_temperature(z, half), '(4, 2)', '(1, 2)', 'Nothing is broadcast'),
    ],
    'temperature_scale': [
        case('no learner', lambda: temperature_scale(None), 'is None', 'expected a `Learner`'),
        case('NaN from the model', lambda: temperature_scale(diverged()), 'gives nan for some item', 'Did the training diverge?'),
        case('no labels', lambda: (l := learner(), temperature_scale(l, dl=unlabelled(l))), 'no labels', 'with_labels=True'),
        case('few labels', lambda: temperature_scale(learner(splitter=EndSplitter(.3))), '3 labelled items are too few'),
        case('loss of neither kind', lambda: temperature_scale(learner(loss_func=MSELossFlat())), 'neither a softmax nor a sigmoid'),
        case('loss without activation', lambda: temperature_scale(learner(loss_func=nn.CrossEntropyLoss())), 'CrossEntropyLoss() has no `activation`'),
        case('a table for a loader', lambda: temperature_scale(learner(), dl=ten), 'is a DataFrame; expected a DataLoader'),
        case('no items', lambda: temperature_scale(learner(), dl=DataLoader([], bs=2)), 'no items to go by in `dl`'),
        case('seed a text', lambda: temperature_scale(learner(), seed='a'), "seed is 'a'", 'a whole number', error=ValueError),
        case('masks without a block', lambda: temperature_scale(Learner(pairs_of_masks(), nn.Conv2d(3, 1, 1), loss_func=SoftDiceLoss())), 'one row for each item, or to the masks of a `SoftMaskBlock`'),
        case('a tuple of predictions', lambda: temperature_scale(tuples()), 'logits are a tuple', 'one tensor'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
