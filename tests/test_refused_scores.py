"What scores refuse."
from refusals import *
from fastai_softlabels import scores

REFUSED = {
    'knn_score': [
        case('features of one item', lambda: scores.knn_score(torch.ones(3), torch.ones(9, 3), 2), 'features is (3,)', 'expected a tensor (N,F)'),
        case('features of pixels', lambda: scores.knn_score(torch.ones(2, 3), torch.ones(9, 3, 4), 2), 'bank is (9, 3, 4)', 'expected a tensor (N,F)')],
    'softmax_score': [
        case('one class', lambda: softmax_score(torch.ones(3, 1)), 'With one class softmax is always 1; use the sigmoid reading'),
        case('a text for an array', lambda: softmax_score('a'), 'is a str', 'expected logits (N,C)'),
        case('complex numbers', lambda: softmax_score(torch.ones(2, 2)*1j), 'complex64', 'logits (N,C)'),
    ],
    'softmax_confidence': [
        case('one class', lambda: softmax_confidence(torch.ones(3, 1)), 'at least 2 classes', '(3, 1)'),
    ],
    'entropy_score': [
        case('one class', lambda: entropy_score(torch.ones(3, 1)), 'at least 2 classes', '(3, 1)'),
    ],
    'sigmoid_score': [
        case('one dimension', lambda: sigmoid_score(torch.ones(3)), 'Expected logits (N,C)', '(3,)'),
    ],
    'energy_score': [
        case('one dimension', lambda: energy_score(torch.ones(3)), 'Expected logits (N,C)', '(3,)'),
    ],
    'ood_metrics': [
        case('no in-domain scores', lambda: ood_metrics([], [1.]), 'no in-domain scores', 'items of both kinds'),
        case('no OOD scores', lambda: ood_metrics([1.], []), 'no OOD scores'),
        case('NaN among scores', lambda: ood_metrics([1.], nan), 'The OOD score of item 1 is NaN (1 of 3)'),
        case('two dimensions', lambda: ood_metrics(torch.rand(3, 2), [1.]), 'in-domain scores have shape (3, 2)', 'one score for each item'),
        case('None', lambda: ood_metrics(None, [1.]), 'in-domain scores'),
        case('a text for an array', lambda: ood_metrics('scores', [1.]), 'in-domain scores are a str'),
        case('a histogram', lambda: ood_metrics([1.], ScoreHistogram()), 'OOD scores are a ScoreHistogram'),
        case('complex numbers', lambda: ood_metrics(torch.ones(2)*1j, [1.]), 'in-domain scores', 'complex64'),
    ],
    'streamed_ood_metrics': [
        case('no in-domain scores', lambda: streamed_ood_metrics(ScoreHistogram(), ScoreHistogram().add(torch.ones(2))), 'no in-domain scores'),
        case('no OOD scores', lambda: streamed_ood_metrics(ScoreHistogram().add(torch.ones(2)), ScoreHistogram()), 'no OOD scores'),
        case('NaN among scores', lambda: streamed_ood_metrics(ScoreHistogram().add(nan), ScoreHistogram().add(nan)), '1 of the in-domain scores are NaN'),
    ],
    'ScoreHistogram.add': [
        case('two dimensions', lambda: ScoreHistogram().add(torch.rand(2, 2)), '(2, 2)', 'one score for each item'),
    ],
    'ConfidenceMeter': [
        case('unknown option', lambda: ConfidenceMeter(scores=['tanh']), "scores has 'tanh'", "'softmax'", "'sigmoid'"),
        case('a text is one name', lambda: ConfidenceMeter(scores='softmax'), "scores is 'softmax'", 'a list'),
        case('a name twice', lambda: ConfidenceMeter(scores=['energy', 'energy']), 'a name twice'),
        case('no name', lambda: ConfidenceMeter(scores=[]), 'expected a list'),
        case('a number', lambda: ConfidenceMeter(scores=3), 'scores is 3'),
        case('temperature of 0', lambda: ConfidenceMeter(temperature=0), 'temperature is 0', 'above 0', error=ValueError),
        case('negative setting', lambda: ConfidenceMeter(k=-1), 'k is -1', '0 or more', error=ValueError),
    ],
    'ConfidenceMeter.add': [
        case('a tuple of predictions', lambda: ConfidenceMeter().add((torch.rand(2, 2),)), 'is a tuple', 'logits (N,C)'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
