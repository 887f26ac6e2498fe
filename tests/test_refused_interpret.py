"What interpretation refuses."
from refusals import *

REFUSED = {
    'SoftInterpretation': [
        case('no learner', lambda: SoftInterpretation.from_learner(None), 'is None', 'expected a `Learner`'),
        case('no labels', lambda: (l := learner(), SoftInterpretation(l, unlabelled(l), torch.zeros(10))), 'no labels', 'with_labels=True'),
        case('loss without activation', lambda: interpretation(loss_func=nn.CrossEntropyLoss()), 'CrossEntropyLoss() has no `activation`', '`act=`'),
        case('NaN from the model', lambda: SoftInterpretation.from_learner(diverged()), 'NaN for 4 of 4 items', 'Did the training diverge?'),
        case('masks without a block', lambda: SoftInterpretation.from_learner(Learner(pairs_of_masks(), nn.Conv2d(3, 1, 1), loss_func=SoftDiceLoss())), '(4, 1, 8, 8)', '(N,K)', '`SoftMaskInterpretation`'),
    ],
    'SoftInterpretation.confusion_matrix': [
        case('independent classes', lambda: multi().confusion_matrix(), 'one class for each item'),
    ],
    'SoftInterpretation.plot_ambiguity': [
        case('independent classes', lambda: multi().plot_ambiguity(), 'one distribution over classes'),
    ],
    'SoftInterpretation.suspicious_labels': [
        case('negative setting', lambda: interpretation().suspicious_labels(-1), 'k is -1', '1 or more', error=ValueError),
        case('a text for a setting', lambda: interpretation().suspicious_labels('3'), "k is '3'", 'a whole number', error=ValueError),
    ],
    'SoftInterpretation.show_disagreements': [
        case('none of them', lambda: interpretation().show_disagreements(0), 'k is 0', '1 or more', error=ValueError),
    ],
    'SoftInterpretation.plot_reliability': [
        case('no bins', lambda: interpretation().plot_reliability(n_bins=0), 'n_bins is 0', '1 or more', error=ValueError),
    ],
    'SoftInterpretation.most_confused': [
        case('a text for a mass', lambda: interpretation().most_confused('many'), "min_val is 'many'", error=ValueError),
    ],
    'SoftInterpretation.scores': [
        case('metric of fastai', lambda: interpretation().scores([accuracy]), 'is no metric for soft labels'),
        case('a text for a metric', lambda: interpretation().scores(['brier_score']), "'brier_score' is no metric for soft labels"),
        case('a class for a metric', lambda: interpretation().scores(SoftECE), 'is no metric for soft labels', '`SoftECE()`'),
        case('no metric', lambda: interpretation().scores([]), 'no metrics', '`kl_divergence`'),
        case('metric of masks', lambda: interpretation().scores(SoftDice()), '(N,K,H,W)', '(4, 2)'),
        case('negative setting', lambda: interpretation().scores(n=-1), 'n is -1', '0 or more', error=ValueError),
        case('level in percent', lambda: interpretation().scores(n=0, level=95), 'level is 95', 'between 0 and 1', error=ValueError),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
