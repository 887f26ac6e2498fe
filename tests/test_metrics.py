"Metrics against NumPy loops: soft and hard targets, both blocks, uneven batches, ties, unlabelled items."
import copy, pickle, warnings
from itertools import permutations
from types import SimpleNamespace

import numpy as np, pytest, torch
from fastai.losses import BCEWithLogitsLossFlat
from fastai.metrics import accuracy
from fastai.vision.all import DataBlock, EndSplitter, ImageBlock, Learner, Resize, ColReader
from scipy.stats import rankdata
from torch import nn

from fastai_softlabels.all import (SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftDice, SoftECE, SoftLabelReader, SoftMultiCategoryBlock,
                                   bootstrap_interval, brier_score, calibration_error, entropy_correlation, js_divergence, kl_divergence, soft_accuracy,
                                   soft_cross_entropy, top1_agreement, total_variation)
from fastai_softlabels.metrics import calibration_bins
from conftest import DIGITS, refused


def plog(a, b): return sum(x*np.log(y) for x, y in zip(a, b) if x > 0)

LOOPS = { # for one item: predicted and labelled distribution
    top1_agreement: lambda p, y: float(y[np.argmax(p)] == max(y)),
    soft_accuracy: lambda p, y: y[np.argmax(p)],
    soft_cross_entropy: lambda p, y: -plog(y, p),
    kl_divergence: lambda p, y: plog(y, y) - plog(y, p),
    js_divergence: lambda p, y: .5*(plog(y, y) - plog(y, (p+y)/2)) + .5*(plog(p, p) - plog(p, (p+y)/2)),
    total_variation: lambda p, y: .5*sum(abs(a-b) for a, b in zip(p, y)),
    brier_score: lambda p, y: sum((a-b)**2 for a, b in zip(p, y))}
by_name = pytest.mark.parametrize('metric', LOOPS, ids=lambda m: m.name)


def mean_loop(metric, probs, targets): return np.mean([LOOPS[metric](p, y) for p, y in zip(probs.double().numpy(), targets.double().numpy()) if not np.isnan(y).any() and y.sum() > 0])

def multi_loop(metric, probs, targets):
    return np.mean([LOOPS[metric](np.array([p, 1-p]), np.array([y, 1-y])) for p, y in zip(probs.double().numpy().ravel(), targets.double().numpy().ravel()) if not np.isnan(y)])


@pytest.fixture
def logits(): return torch.randn(50, 4, generator=torch.Generator().manual_seed(0))

@pytest.fixture
def soft():
    "shares of six votes, many ties, every seventh unlabelled"
    votes = torch.distributions.Multinomial(6, torch.ones(4)).sample((50,))
    votes[::7] = 0
    return votes/6

@pytest.fixture
def multi(soft):
    "independent shares, with NaN for unlabelled classes"
    soft[::5, 2] = torch.nan
    return soft


def in_batches(metric, logits, targets, loss, cuts):
    metric.reset()
    for i, j in zip(cuts, cuts[1:]): metric.accumulate(SimpleNamespace(pred=logits[i:j], yb=(targets[i:j],), loss_func=loss, to_detach=lambda t: t))
    return metric.value.item()


CUTS = pytest.mark.parametrize('cuts', [[0, 50], [0, 1, 50], [0, 13, 26, 49, 50]])


@by_name
@CUTS
def test_one_distribution(metric, cuts, logits, soft):
    expected = mean_loop(metric, logits.softmax(-1), soft)
    assert metric(logits.softmax(-1), soft).item() == pytest.approx(expected, rel=1e-5)
    assert in_batches(metric, logits, soft, SoftCrossEntropyLossFlat(), cuts) == pytest.approx(expected, rel=1e-5)


@by_name
@CUTS
def test_independent_classes(metric, cuts, logits, multi):
    expected = (mean_loop if metric is top1_agreement else multi_loop)(metric, logits.sigmoid(), multi)
    assert metric(logits.sigmoid(), multi, multi=True).item() == pytest.approx(expected, rel=1e-5)
    assert in_batches(metric, logits, multi, SoftBCEWithLogitsLossFlat(), cuts) == pytest.approx(expected, rel=1e-5)


@by_name
def test_hard_targets_are_one_hot(metric, logits):
    index = torch.arange(50) % 4
    one_hot = torch.nn.functional.one_hot(index, 4)
    assert metric(logits.softmax(-1), index).item() == pytest.approx(mean_loop(metric, logits.softmax(-1), one_hot), rel=1e-5) == metric(logits.softmax(-1), one_hot).item()


def test_hard_accuracy(logits):
    index = torch.arange(50) % 4
    for metric in (top1_agreement, soft_accuracy): assert metric(logits.softmax(-1), index).item() == pytest.approx(accuracy(logits, index).item())
    index[::3] = -100
    assert top1_agreement(logits.softmax(-1), index).item() == pytest.approx(accuracy(logits[index >= 0], index[index >= 0]).item())


@by_name
def test_perfect_prediction(metric, soft):
    labelled = soft[soft.sum(-1) > 0]
    best = {top1_agreement: 1, soft_accuracy: labelled.amax(-1).mean().item(), soft_cross_entropy: torch.special.entr(labelled).sum(-1).mean().item()}
    assert metric(labelled, labelled).item() == pytest.approx(best.get(metric, 0), abs=1e-6)


def test_zero_probability_is_finite(): assert soft_cross_entropy(torch.tensor([[0., 1.]]), torch.tensor([[1., 0.]])).item() == pytest.approx(87.3365, abs=1e-3)


@pytest.mark.parametrize('metric', [top1_agreement, entropy_correlation, SoftECE()], ids=lambda m: m.name)
def test_nothing_labelled(metric, logits):
    metric.reset()
    assert metric.value is None


@pytest.mark.parametrize('classwise', [False, True])
def test_no_class_of_several_labelled(classwise):
    assert SoftECE(classwise=classwise)(torch.rand(4, 3), torch.full((4, 3), torch.nan), multi=True).isnan()


@CUTS
def test_entropy_correlation(cuts, logits, soft):
    keep = soft.sum(-1) > 0
    h = lambda d: [-plog(r, r) for r in d.double().numpy()]
    expected = np.corrcoef(h(logits.softmax(-1)[keep]), h(soft[keep]))[0, 1]
    assert entropy_correlation(logits.softmax(-1), soft).item() == pytest.approx(expected, rel=1e-4)
    assert in_batches(entropy_correlation, logits, soft, SoftCrossEntropyLossFlat(), cuts) == pytest.approx(expected, rel=1e-4)


def test_entropies_that_differ_by_rounding_do_not_vary():
    "as those of one label in several orders do"
    label, preds = torch.tensor([.7, .2, .1, 0.]), torch.rand(24, 4).softmax(-1)
    labels = torch.stack([label[list(o)] for o in permutations(range(4))])
    for p, y in ((preds, labels), (labels, preds), (preds, torch.full((24, 4), .25)), (preds[:1], preds[:1])):
        with warnings.catch_warnings(action='error'): assert entropy_correlation(p, y).isnan()
    certain = torch.tensor([[1 - e, e] for e in np.logspace(-7, -5, 24)]) # tiny, but they vary
    assert entropy_correlation(certain, certain).item() == pytest.approx(1)


def ece_loop(conf, correct, n_bins, equal_mass):
    "item by item, bin by bin"
    conf, correct = np.asarray(conf, dtype=float), np.asarray(correct, dtype=float)
    if equal_mass:
        order = np.argsort(conf, kind='stable')
        bins = np.empty(len(conf), dtype=int)
        for rank, i in enumerate(order): bins[i] = rank*n_bins//len(conf)
    else: bins = [max(0, min(n_bins-1, next(b for b in range(n_bins+1) if c <= np.float32(b+1)/np.float32(n_bins) + 1e-9))) for c in conf]
    total = 0
    for b in range(n_bins):
        inside = [i for i in range(len(conf)) if bins[i] == b]
        if inside: total += len(inside)/len(conf)*abs(np.mean(conf[inside]) - np.mean(correct[inside]))
    return total


@pytest.mark.parametrize('equal_mass', [False, True])
@pytest.mark.parametrize('classwise', [False, True])
@pytest.mark.parametrize('n_bins', [1, 4, 15])
def test_soft_ece(logits, soft, equal_mass, classwise, n_bins):
    metric, p = SoftECE(n_bins, equal_mass, classwise), logits.softmax(-1)
    keep = soft.sum(-1) > 0
    q, y = p[keep].numpy(), soft[keep].numpy()
    if classwise: expected = np.mean([ece_loop(q[:, c], y[:, c], n_bins, equal_mass) for c in range(4)])
    else: expected = ece_loop(q.max(1), y[np.arange(len(y)), q.argmax(1)], n_bins, equal_mass)
    assert metric(p, soft).item() == pytest.approx(expected, abs=1e-6)
    assert in_batches(metric, logits, soft, SoftCrossEntropyLossFlat(), [0, 9, 50]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('equal_mass', [False, True])
@pytest.mark.parametrize('n_bins', [1, 4, 15])
def test_soft_ece_of_independent_classes(logits, multi, equal_mass, n_bins):
    "each labelled class of an item counts by itself, with the probability that it is present"
    metric, p, keep = SoftECE(n_bins, equal_mass), logits.sigmoid(), ~multi.isnan()
    expected = ece_loop(p[keep].numpy(), multi[keep].numpy(), n_bins, equal_mass)
    assert metric(p, multi, multi=True).item() == pytest.approx(expected, abs=1e-6)
    assert in_batches(metric, logits, multi, SoftBCEWithLogitsLossFlat(), [0, 9, 50]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('n_bins', [1, 2, 4, 15])
def test_ties_share_a_bin_of_equal_mass(n_bins):
    "so that the order of items does not matter; the bin is that of their middle rank"
    conf = torch.tensor([.9]*5 + [.2] + [1.]*10 + [.5]*3)
    bins = calibration_bins(conf, n_bins, equal_mass=True)
    ranks = rankdata(conf, method='average') - 1
    assert bins.tolist() == [int(r*n_bins/len(conf) + 1e-9) for r in ranks]
    correct = torch.rand(len(conf))
    values = {round(calibration_error(conf[i], correct[i], n_bins, True).item(), 6) for i in (torch.randperm(len(conf)) for _ in range(20))}
    assert len(values) == 1


def test_bins_hold_their_upper_edge():
    "as torchmetrics and Guo et al. have it: (0, .5], (.5, 1]"
    p, y = torch.tensor([[.5, .4, .1], [.4, .3, .3], [.9, .1, 0.]]), torch.tensor([[0., 1., 0.], [1., 0., 0.], [1., 0., 0.]])
    assert SoftECE(n_bins=2)(p, y).item() == pytest.approx((abs(.9 - 1) + .1)/3)


def test_bootstrap(logits, soft):
    p = logits.softmax(-1)
    rng = torch.Generator().manual_seed(3)
    draws = [brier_score(p[i], soft[i]).item() for i in (torch.randint(50, (50,), generator=rng) for _ in range(200))]
    assert bootstrap_interval(brier_score, p, soft, n=200, seed=3) == pytest.approx(np.quantile(draws, [.025, .975]).tolist(), abs=1e-5)
    low, high = bootstrap_interval(SoftECE(), p, soft, n=50, level=.5)
    assert low < high


def test_fastais_bce_is_read_as_independent_classes(logits, multi):
    keep = ~multi.isnan().any(-1)
    assert in_batches(soft_cross_entropy, logits[keep], multi[keep], BCEWithLogitsLossFlat(), [0, 5, int(keep.sum())]) == pytest.approx(multi_loop(soft_cross_entropy, logits[keep].sigmoid(), multi[keep]), rel=1e-5)


def test_metrics_pickle_and_copy():
    assert pickle.loads(pickle.dumps(top1_agreement)) is top1_agreement
    assert pickle.loads(pickle.dumps(SoftECE(7))).n_bins == 7 == copy.deepcopy(SoftECE(7)).n_bins


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
def test_all_in_a_learner(block, digits, votes):
    "an uneven last batch; the table equals the metrics of all predictions at once"
    dls = DataBlock(blocks=(ImageBlock, block), get_x=ColReader('fname', pref=digits), get_y=SoftLabelReader(votes, 'fname', DIGITS, multi=block is SoftMultiCategoryBlock, n_votes=30 if block is SoftMultiCategoryBlock else None),
                    splitter=EndSplitter(.25), item_tfms=Resize(8)).dataloaders(votes, bs=16, val_bs=13, num_workers=0)
    metrics = [*LOOPS, entropy_correlation, SoftECE()] if block is SoftCategoryBlock else [*LOOPS, SoftECE()]
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), metrics=metrics)
    with learn.no_bar():
        learn.fit(1)
        values = learn.recorder.values[-1][2:]
        probs, targets = learn.get_preds()
    for m, v in zip(metrics, values): assert m(probs, targets, multi=block is SoftMultiCategoryBlock).item() == pytest.approx(v, rel=1e-4), m.name


@pytest.mark.parametrize('multi', [False, True])
@pytest.mark.parametrize('metric', [SoftECE(), SoftECE(classwise=True), SoftECE(5, equal_mass=True), entropy_correlation], ids=lambda m: m.name)
def test_the_bootstrap_of_what_is_collected(metric, multi):
    "the metric of each resample, computed anew from predictions and labels"
    p, y = torch.rand(40, 3), torch.rand(40, 3)
    if not multi: p, y = p/p.sum(1, keepdim=True), y/y.sum(1, keepdim=True)
    y[5], y[7] = (torch.nan, torch.tensor([torch.nan, .2, .9])) if multi else (0., y[7])
    generator = torch.Generator().manual_seed(3)
    draws = [torch.randint(40, (40,), generator=generator) for _ in range(30)]
    by_hand = [metric(p[i], y[i], multi=multi).item() for i in draws]
    assert bootstrap_interval(metric, p, y, multi, level=.9, n=30, seed=3) == pytest.approx(np.nanquantile(by_hand, [.05, .95]).tolist(), abs=1e-5)


def test_where_a_mask_is_at_fault():
    p = torch.full((2, 2, 3, 4), .5)
    y = p.clone()
    y[1, :, 2, 3] = .9
    refused(lambda: SoftDice()(p, y), 'Item 1, at row 2, column 3, of the targets is not a distribution')
