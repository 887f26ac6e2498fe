"What metrics refuse."
from refusals import *

REFUSED = {
    'top1_agreement': [
        case('would broadcast', lambda: top1_agreement(torch.rand(4, 2), torch.rand(4, 1)), '(4, 2)', '(4, 1)', 'Nothing is broadcast'),
        case('one dimension', lambda: top1_agreement(torch.rand(4), torch.rand(4)), 'Expected predictions (N,K)', '(4,)'),
        case('one class', lambda: top1_agreement(torch.rand(4, 1), torch.rand(4, 1)), 'Row 0 of the predictions is not a distribution', 'multi=True'),
        case('two targets', lambda: top1_agreement.accumulate(SimpleNamespace(pred=torch.rand(4, 2), yb=(torch.rand(4, 2),)*2, to_detach=None)), '`top1_agreement`', '2 targets'),
        case('index of no class', lambda: top1_agreement(half, torch.tensor([2])), 'class index 2', '0 to 1'),
        case('masks', lambda: top1_agreement(masks, masks), '(2, 3, 4, 4)', '`axis=1` for masks'),
        case('masks of all pixels', lambda: entropy_correlation(masks, masks), 'keeps numbers of each item', '(2, 3, 4, 4)'),
    ],
    'kl_divergence': [
        case('logits', lambda: kl_divergence(torch.tensor([[.5, .5], [2., -1.]]), torch.tensor([[.5, .5]]*2)), 'Row 1', '[2.0, -1.0]', 'learn.get_preds()'),
        case('counts', lambda: kl_divergence(half, torch.tensor([[3., 1.]])), 'Row 0 of the targets is not a distribution', '[3.0, 1.0]', 'votes'),
        case('no tensor', lambda: kl_divergence(learner(), half), 'predictions are a Learner', 'tensor or an array'),
        case('None', lambda: kl_divergence(half, None), 'targets are None', 'with_labels=True'),
    ],
    'soft_cross_entropy': [
        case('negative number', lambda: soft_cross_entropy(half, torch.tensor([[-1., 2.]])), 'Row 0 of the targets', '[-1.0, 2.0]'),
        case('sum is not 1', lambda: soft_cross_entropy(half, torch.tensor([[.5, .2]])), 'Row 0 of the targets', '[0.5, 0.2]'),
    ],
    'total_variation': [
        case('number above 1', lambda: total_variation(half, torch.tensor([[1.5, .5]]), multi=True), 'Row 0 of the targets is not probabilities', '[1.5, 0.5]'),
    ],
    'brier_score': [
        case('NaN from the model', lambda: brier_score(torch.tensor([[np.nan, 1.]]), half), 'Row 0', 'nan'),
        case('loss without activation', lambda: brier_score.accumulate(SimpleNamespace(pred=torch.rand(4, 2), yb=(torch.rand(4, 2),), loss_func=nn.CrossEntropyLoss(), to_detach=None)), 'CrossEntropyLoss() has no `activation`', '`brier_score`'),
    ],
    'SoftECE': [
        case('no bins', lambda: SoftECE(n_bins=0), 'n_bins is 0', '1 or more', error=ValueError),
        case('bins and a half', lambda: SoftECE(n_bins=1.5), 'n_bins is 1.5', 'a whole number', error=ValueError),
        case('None for a setting', lambda: SoftECE(n_bins=None), 'n_bins is None', '1 or more', error=ValueError),
    ],
    'calibration_error': [
        case('weights of another length', lambda: calibration_error(torch.rand(3), torch.rand(4)), '(3,)', '(4,)', 'one number for each item'),
        case('no bins', lambda: calibration_error(torch.rand(3), torch.rand(3), n_bins=0), 'n_bins is 0', '1 or more', error=ValueError),
        case('out of range', lambda: calibration_error(torch.tensor([2.]), torch.tensor([1.])), 'confidence of item 0 is 2.0', 'in [0,1]'),
    ],
    'bootstrap_interval': [
        case('level in percent', lambda: bootstrap_interval(brier_score, half, half, level=95), 'level is 95', 'between 0 and 1', error=ValueError),
        case('no resample', lambda: bootstrap_interval(brier_score, half, half, n=0), 'n is 0', '1 or more', error=ValueError),
        case('half a resample', lambda: bootstrap_interval(brier_score, half, half, n=1.5), 'n is 1.5', 'a whole number', error=ValueError),
        case('seed a text', lambda: bootstrap_interval(brier_score, half, half, seed='a'), "seed is 'a'", 'a whole number', error=ValueError),
        case('metric of fastai', lambda: bootstrap_interval(accuracy, half, half), 'is no metric of this module', '`kl_divergence`'),
        case('no items', lambda: bootstrap_interval(brier_score, half[:0], half[:0]), 'no items to resample'),
        case('counts', lambda: bootstrap_interval(brier_score, half, torch.tensor([[3., 1.]])), 'Row 0 of the targets', '[3.0, 1.0]'),
    ],
    'SoftDice': [
        case('two dimensions', lambda: SoftDice()(torch.rand(3, 2), torch.rand(3, 2)), 'Expected probabilities of masks (N,K,H,W), got shape (3, 2)'),
        case('would broadcast', lambda: SoftDice()(masks, masks[:, :1]), 'Nothing is broadcast'),
        case('logits', lambda: SoftDice()(9*maps, masks), 'The predictions hold', 'no probability', 'learn.get_preds()'),
        case('NaN from the model', lambda: SoftDice()(masks*np.nan, masks), 'The predictions hold nan'),
        case('negative setting', lambda: SoftDice(smooth=-1), 'smooth is -1', 'a finite number of pixels', error=ValueError),
    ],
    'DiceAt': [
        case('out of range', lambda: DiceAt(50), 'thresh is 50', 'a probability in [0,1)', error=ValueError),
        case('None for a setting', lambda: DiceAt(None), 'thresh is None', 'in [0,1)', error=ValueError),
        case('threshold of 1', lambda: DiceAt(1), 'thresh is 1', 'in [0,1)', error=ValueError),
        case('logits', lambda: DiceAt()(9*maps, masks), 'The predictions hold', 'no probability'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
