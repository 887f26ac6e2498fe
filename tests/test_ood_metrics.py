"Scores and OOD metrics against float64, scikit-learn and pytorch-ood; the streaming form within its bound."
import numpy as np, pandas as pd, pytest, torch
from pytorch_ood.metrics import OODMetrics
from scipy.special import expit
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from fastai_softlabels.all import (ConfidenceMeter, ScoreHistogram, energy_score, entropy_score, ood_metrics, sigmoid_confidence, sigmoid_score, softmax_confidence,
                                   softmax_score, streamed_ood_metrics)
from fastai_softlabels.scores import score_bins
from fastai_softlabels.scores import _bin_centres, _bin_confidences


def reference(z):
    "each confidence and score, in NumPy and float64, item by item"
    rows = []
    for row in z.double().numpy():
        shifted = row - row.max()
        p = np.exp(shifted)/np.exp(shifted).sum()
        others = np.delete(row, row.argmax())
        rows.append((p.max(), 1/(1 + np.exp(-row.max())), row.max() - np.log(np.exp(others - others.max()).sum()) - others.max(), row.max(),
                     np.log(np.exp(shifted).sum()) + row.max(), -np.log(-(p*np.log(p)).sum())))
    return np.array(rows).T


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_scores(dtype):
    z = (6*torch.randn(200, 5)).to(dtype)
    ours = [f(z) for f in (softmax_confidence, sigmoid_confidence, softmax_score, sigmoid_score, energy_score, entropy_score)]
    assert all(o.dtype == torch.float32 for o in ours)
    np.testing.assert_allclose(torch.stack(ours), reference(z), rtol=2e-4, atol=1e-5)


def test_nothing_ties_in_logit_space():
    z = torch.stack([torch.linspace(5, 300, 1000), torch.zeros(1000), torch.full((1000,), -3.)], 1)
    assert softmax_confidence(z).unique().numel() < 600
    for score in (softmax_score, sigmoid_score, energy_score, entropy_score): assert (score(z).diff() > 0).all(), score


def test_entropy_beyond_float32():
    "of two classes s apart it is e^−s·(s + 1), but for terms of e^−2s"
    s = torch.tensor([50., 90., 100., 200., 1000.])
    torch.testing.assert_close(entropy_score(torch.stack([s, torch.zeros(5)], 1)), s - (s + 1).log(), rtol=1e-6, atol=0)


def test_half_precision_ranks_as_single():
    "where probabilities in half precision would tie"
    z = (12 + 3*torch.randn(500, 1)) * torch.tensor([[1., 0, 0]])
    inn, out = z.half(), (z - 1).half()
    assert ood_metrics(softmax_score(inn), softmax_score(out))['auroc'] == pytest.approx(ood_metrics(softmax_score(inn.double()), softmax_score(out.double()))['auroc'], abs=1e-3)
    assert ood_metrics(inn.softmax(-1).amax(-1), out.softmax(-1).amax(-1))['auroc'] < .53


def test_scores_are_logits_of_confidences():
    z = 3*torch.randn(100, 4)
    torch.testing.assert_close(softmax_score(z).sigmoid(), softmax_confidence(z))
    torch.testing.assert_close(sigmoid_score(z).sigmoid(), sigmoid_confidence(z))


def test_masked_classes_and_one_class():
    z = torch.tensor([[2., 1., -torch.inf]])
    torch.testing.assert_close(softmax_score(z), torch.tensor([1.]))
    torch.testing.assert_close(entropy_score(z), entropy_score(z[:, :2]))
    one = torch.tensor([[-3.], [2.]])
    assert sigmoid_score(one).tolist() == [3, 2]
    torch.testing.assert_close(sigmoid_confidence(one), torch.tensor([3., 2.]).sigmoid())


def draws(kind, n, shift, rng):
    return {'normal': lambda: rng.normal(shift, 1, n), 'far from zero': lambda: 20 + rng.normal(shift, 3, n), 'heavy tails': lambda: rng.standard_t(2, n) + shift, 'uniform': lambda: rng.uniform(shift, shift + 2, n),
            'log-odds of a trained model': lambda: rng.gamma(2 + shift, 4, n) - 1, 'small': lambda: rng.normal(shift/100, .01, n), 'two humps': lambda: np.where(rng.uniform(size=n) < .5, rng.normal(0, 1, n), rng.normal(8 + shift, 2, n)),
            'ties': lambda: rng.normal(shift, 1, n).round(1), 'integers': lambda: rng.integers(0, 5, n) + round(shift)}[kind]().astype(np.float32)


KINDS = ['normal', 'far from zero', 'heavy tails', 'uniform', 'log-odds of a trained model', 'small', 'two humps']

@pytest.mark.parametrize('kind', [*KINDS, 'ties', 'integers'])
def test_equal_to_scikit_learn_and_pytorch_ood(kind):
    rng = np.random.default_rng(0)
    inn, out = draws(kind, 700, 1, rng), draws(kind, 400, 0, rng)
    ours, scores, is_ood = ood_metrics(inn, out), np.concatenate([inn, out]).astype(float), np.repeat([0, 1], [700, 400])
    fpr, tpr, _ = roc_curve(is_ood, -scores, drop_intermediate=False)
    (p_out, r_out, _), (p_in, r_in, _) = precision_recall_curve(is_ood, -scores), precision_recall_curve(1 - is_ood, scores)
    assert ours == pytest.approx(dict(auroc=roc_auc_score(is_ood, -scores), aupr_in=auc(r_in, p_in), aupr_out=auc(r_out, p_out), fpr95=fpr[np.argmax(tpr >= .95)]), abs=1e-9)
    theirs = OODMetrics()
    theirs.update(torch.as_tensor(-scores), torch.as_tensor(-is_ood))
    theirs = theirs.compute()
    assert ours == pytest.approx(dict(auroc=theirs['AUROC'], aupr_in=theirs['AUPR-IN'], aupr_out=theirs['AUPR-OUT'], fpr95=theirs['FPR95TPR']), abs=1e-6)


def test_95_percent_is_enough():
    "19 of 20 are 95 %"
    assert ood_metrics([.5], [*range(-19, 0), 1])['fpr95'] == 0
    assert ood_metrics([.5], [*range(-18, 0), 1, 2])['fpr95'] == 1


def streamed(inn, out, batch=1000):
    a, b = ScoreHistogram(), ScoreHistogram()
    for h, scores in ((a, inn), (b, out)):
        for part in torch.as_tensor(scores).split(batch): h.add(part)
    return streamed_ood_metrics(a, b)


@pytest.mark.parametrize('kind', KINDS)
def test_streaming_is_within_its_bound(kind):
    rng = np.random.default_rng(1)
    for shift in (0, .5, 2):
        inn, out = draws(kind, 30_000, shift, rng), draws(kind, 20_000, 0, rng)
        s, exact = streamed(inn, out), ood_metrics(inn, out)
        assert abs(s['auroc'] - exact['auroc']) <= s['bound'] + 1e-12
        assert s['bound'] <= 1e-3
        assert s['fpr95'] == pytest.approx(exact['fpr95'], abs=2e-3)
        bins = score_bins(torch.as_tensor(np.concatenate([inn, out]))).numpy()
        counts = [np.bincount(bins[part], minlength=bins.max() + 1) for part in (slice(30_000), slice(30_000, None))]
        assert s['bound'] == pytest.approx((counts[0]/30_000*counts[1]/20_000).sum()/2)


def test_the_bound_is_honest_where_bins_are_too_wide():
    rng = np.random.default_rng(2)
    inn, out = rng.normal(5e4, 1, 2000), rng.normal(5e4 - 1, 1, 2000)
    s, exact = streamed(inn.astype(np.float32), out.astype(np.float32)), ood_metrics(inn.astype(np.float32), out.astype(np.float32))
    assert .01 < s['bound'] < .5 and abs(s['auroc'] - exact['auroc']) <= s['bound']


def test_bins_keep_the_order():
    scores = torch.cat([torch.linspace(-300, 300, 100_001), torch.randn(1000)*1e-3, torch.tensor([-torch.inf, torch.inf, 0., -0., 1e-30, -1e-30, 3e38, -3e38])]).sort().values
    assert (score_bins(scores).diff() >= 0).all()
    assert score_bins(torch.tensor([0., -0.])).unique().numel() == 1 and score_bins(scores).min() == 0 and score_bins(scores).max() == 253_951
    assert torch.equal(score_bins(scores.double()), score_bins(scores))


def test_memory_does_not_grow():
    h = ScoreHistogram()
    before = h.counts.numel()*h.counts.element_size()
    for _ in range(20): h.add(torch.randn(10_000))
    assert h.counts.numel()*h.counts.element_size() == before < 2.1e6 and h.counts.sum() == 200_000


@pytest.mark.parametrize('n', [1, 2, 99, 100])
def test_meter(n):
    z = 2*torch.randn(n, 3)
    meter = ConfidenceMeter(k=4, temperature=2.)
    for batch in z.split(7): meter.add(batch)
    for head, p, score in (('softmax', (z/2).softmax(-1).amax(-1), softmax_score(z/2)), ('sigmoid', (z/2).sigmoid().amax(-1), z.amax(-1)/2)):
        r = meter.read()[head]
        assert [r.n, r.mean, r.min, r.max] == pytest.approx([n, p.double().mean().item(), p.min().item(), p.max().item()], rel=1e-6)
        assert r.above == pytest.approx([(p > t).float().mean().item() for t in (.5, .9, .99)]) and r.median == pytest.approx(np.median(p), abs=1e-4)
        assert [i for i, _ in r.surest] == score.argsort(descending=True)[:4].tolist() and [c for _, c in r.surest] == pytest.approx(p.sort(descending=True).values[:4].tolist(), rel=1e-5)
        assert r.histogram(np.linspace(0, 1, 11)) == pytest.approx(np.histogram(p, np.linspace(0, 1, 11))[0]/n, abs=1e-9)


def test_histogram_is_numpys():
    "of the confidences in the bins' middles, also where an edge is one of them, and with certainty in the last bin"
    rng = np.random.default_rng(3)
    z = torch.tensor(rng.normal(0, 4, (500, 2)).astype(np.float32))
    r = ConfidenceMeter().add(torch.cat([z, torch.tensor([[200., 0], [0, 1e30], [3., 3.]])])).read()['softmax']
    at = np.flatnonzero(r.counts)
    confidences = expit(_bin_centres()) # another formula than ours for the same numbers
    edge = _bin_confidences()[at[100]]
    for edges in (np.linspace(0, 1, 51), [0, .5, 1], [0, 1], [.5, edge, .9]):
        expected = np.histogram(_bin_confidences(), edges, weights=r.counts)[0]/503
        np.testing.assert_allclose(r.histogram(np.asarray(edges)), expected, atol=1e-12)
    np.testing.assert_allclose(_bin_confidences(), confidences, rtol=1e-12, atol=1e-300)
    assert r.histogram(np.linspace(0, 1, 3)).sum() == pytest.approx(1) and r.histogram(np.linspace(.5, 1, 9))[-1] >= 2/503


def test_above_is_strictly_above():
    assert ConfidenceMeter(scores=['softmax']).add(torch.zeros(4, 2)).read()['softmax'].above[0] == 0


def test_meter_says_that_it_heard_nan():
    r = ConfidenceMeter(k=1).add(torch.tensor([[1., 2.], [np.nan, 1.]])).read()['softmax']
    assert r.n_nan == 1 and np.isnan([r.mean, r.median, r.min, r.max]).all() and [i for i, _ in r.surest] == [0]


def test_takes_what_people_have():
    z = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert torch.equal(softmax_score(z), softmax_score(torch.tensor(z)))
    table = pd.DataFrame(dict(kind=['in', 'ood']*10, score=z[:, 0]))
    assert ood_metrics(table.score[table.kind == 'in'], table.score[table.kind == 'ood']) == ood_metrics(z[::2, 0], z[1::2, 0]), 'also rows of a table, whose index has gaps'


def test_infinite_logits():
    r = ConfidenceMeter(k=2).add(torch.tensor([[0., -torch.inf], [1., 0.]])).read()['softmax']
    assert r.surest == [(0, 1.), (1, pytest.approx(1/(1 + np.exp(-1))))] and r.max == 1
    assert ConfidenceMeter().add(torch.tensor([[torch.inf, 0.]])).read()['softmax'].n_nan == 1, 'its softmax is NaN'


def test_a_meter_that_heard_nothing():
    r = ConfidenceMeter().read()['softmax']
    assert r.n == 0 and np.isnan([r.mean, r.median, r.min, r.max]).all() and r.surest == []


def test_nobody_is_between_edges():
    meter = ConfidenceMeter('cpu')
    assert meter.read()['softmax'].histogram(np.linspace(0, 1, 5)).tolist() == [0]*4
