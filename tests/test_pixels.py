"Metrics of pixels against NumPy loops over all pixels: one class, exclusive classes labelled in part, independent ones with gaps, raters apart."
import math
from itertools import product
from types import SimpleNamespace

import numpy as np, pytest, torch
from torch import Tensor

from fastai_softlabels.all import *
from fastai_softlabels.losses import foreground_entropy, mask_confidence, most_entropy, pixel_confidence
from fastai_softlabels.metrics import calibration_bins
from fastai_softlabels.scores import ConfidenceMeter, mask_score
from conftest import refused

GEN = torch.Generator().manual_seed(0)
ITEM_METRICS = (soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, soft_accuracy, top1_agreement)


def rand(*shape): return torch.rand(*shape, generator=GEN)

def partly_labelled():
    "distributions over three classes, of which a pixel has all, a part, or nothing"
    y = (3*rand(4, 3, 5, 6)).softmax(1)*rand(4, 1, 5, 6).round(decimals=1)
    y[1] = 0 # an image without labels
    return y

def with_gaps():
    y = rand(4, 2, 5, 6).round(decimals=1)
    y[rand(4, 2, 5, 6) < .2] = torch.nan
    return y

def raters():
    y = rand(4, 3, 1, 5, 6).round()
    y[0, 2] = torch.nan # a rater who is missing
    return y

CASES = {'one class': (rand(4, 1, 5, 6), rand(4, 1, 5, 6).round(decimals=1), False), 'exclusive': ((2*torch.randn(4, 3, 5, 6, generator=GEN)).softmax(1), partly_labelled(), False),
         'independent': (rand(4, 2, 5, 6), with_gaps(), True), 'raters': (rand(4, 1, 5, 6), raters(), False),
         'indices': ((2*torch.randn(4, 3, 5, 6, generator=GEN)).softmax(1), torch.randint(-1, 3, (4, 5, 6), generator=GEN).where(torch.rand(4, 5, 6, generator=GEN) > .2, -100).clamp(-100), False)}
CASES['indices'][1][CASES['indices'][1] == -1] = -100


def mean_mask(p, y):
    "what labels are as probabilities of each class, NaN where unlabelled"
    if y.ndim == 5: return np.nanmean(y.numpy(), 1)
    if y.ndim == 4: return y.numpy()
    res = np.full(p.shape, np.nan)
    for n, i, j in product(*map(range, y.shape)):
        if y[n, i, j] != -100: res[n, :, i, j] = np.eye(p.shape[1])[y[n, i, j]]
    return res

def pairs(p, y, multi, across=False):
    "for each labelled pixel (of independent classes each labelled class): image, prediction, label, weight"
    p, y = p.double().numpy(), mean_mask(p, y).astype(float)
    multi = multi or p.shape[1] == 1
    for n, i, j in product(range(len(p)), *map(range, p.shape[2:])):
        a, b = p[n, :, i, j], y[n, :, i, j]
        if multi and across and len(a) > 1:
            if not np.isnan(b).any() and b.sum() > 0: yield n, a, b, 1.
        elif multi:
            for s, t in zip(a, b):
                if not np.isnan(t): yield n, np.array([1 - s, s]), np.array([1 - t, t]), 1.
        elif np.nansum(b) > 0 and not np.isnan(b).any(): yield n, a, b/b.sum(), b.sum()

def kl(y, p): return sum(s*math.log(s/t) for s, t in zip(y, p) if s > 0)

OF_ONE = dict(soft_cross_entropy=lambda p, y: -sum(s*math.log(t) for s, t in zip(y, p) if s > 0), kl_divergence=lambda p, y: kl(y, p),
              js_divergence=lambda p, y: (kl(y, (p + y)/2) + kl(p, (p + y)/2))/2, total_variation=lambda p, y: abs(p - y).sum()/2, brier_score=lambda p, y: ((p - y)**2).sum(),
              soft_accuracy=lambda p, y: y[p.argmax()], top1_agreement=lambda p, y: float(y[p.argmax()] >= y.max() - 1e-7))

def looped(metric, p, y, multi) -> float:
    total = weight = 0.
    for _, a, b, w in pairs(p, y, multi, across=metric is top1_agreement):
        total += w*OF_ONE[metric.name](a, b)
        weight += w
    return total/weight

def looped_ece(p, y, multi, n_bins, classwise) -> float:
    independent = multi or p.shape[1] == 1
    gaps, weights = {}, {}
    for n, a, b, w in pairs(p, y, multi):
        chosen = [(1, a[1], b[1])] if independent else list(enumerate(a)) if classwise else [(int(a.argmax()), a.max())]
        for k, conf, *_ in chosen:
            k, vote = (0, b[1]) if independent else (k if classwise else 0, b[k])
            bin_ = min(max(math.ceil(np.float32(conf)*np.float32(n_bins)), 1), n_bins)
            gaps[k, bin_] = gaps.get((k, bin_), 0) + w*(conf - vote)
            weights[k] = weights.get(k, 0) + w
    return np.mean([sum(abs(g) for (c, _), g in gaps.items() if c == k)/weights[k] for k in weights])


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('metric', ITEM_METRICS, ids=lambda m: m.name)
def test_loops(metric, case):
    p, y, multi = CASES[case]
    assert metric(p, y, multi, axis=1).item() == pytest.approx(looped(metric, p, y, multi), rel=1e-5)


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('n_bins', [1, 10, 15])
def test_calibration(case, n_bins):
    p, y, multi = CASES[case]
    assert SoftECE(n_bins)(p, y, multi, axis=1).item() == pytest.approx(looped_ece(p, y, multi, n_bins, False), abs=1e-6)


def test_calibration_by_class():
    p, y, _ = CASES['exclusive']
    assert SoftECE(10, classwise=True)(p, y, axis=1).item() == pytest.approx(looped_ece(p, y, False, 10, True), abs=1e-6)
    p, y, _ = CASES['independent']
    each = [SoftECE(10)(p[:, [k]], y[:, [k]], axis=1).item() for k in range(2)]
    assert SoftECE(10, classwise=True)(p, y, True, axis=1).item() == pytest.approx(np.mean(each), abs=1e-6)


def test_bins_of_equal_mass_are_those_of_the_labelled_pixels():
    p, y, _ = CASES['independent']
    labelled = ~y.isnan()
    for k in range(2):
        conf, votes = p[:, k][labelled[:, k]], y[:, k][labelled[:, k]]
        expected = calibration_error(conf, votes, equal_mass=True).item()
        assert SoftECE(equal_mass=True)(p[:, [k]], y[:, [k]], axis=1).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('case', ['one class', 'exclusive', 'independent', 'raters'])
@pytest.mark.parametrize('metric', [*ITEM_METRICS, SoftECE(), SoftECE(10, classwise=True)], ids=lambda m: m.name)
def test_in_batches(metric, case):
    "uneven ones, of which the second has no label at all where the case has such an image"
    p, y, multi = CASES[case]
    exclusive = case == 'exclusive'
    loss = SoftCrossEntropyLossFlat(axis=1) if exclusive else SoftBCEWithLogitsLossFlat(axis=1)
    logits = p.log() if exclusive else p.logit()
    metric.reset()
    for a, b in ((0, 1), (1, 2), (2, 4)): metric.accumulate(SimpleNamespace(pred=logits[a:b], yb=(y[a:b],), loss_func=loss, to_detach=lambda t: t))
    assert metric.value.item() == pytest.approx(metric(p, y, multi, axis=1).item(), abs=2e-6)


def test_the_metric_is_the_loss_of_pixels():
    p, y, _ = CASES['exclusive']
    assert soft_cross_entropy(p, y, axis=1).item() == pytest.approx(SoftCrossEntropyLossFlat(axis=1)(p.log(), y).item(), rel=1e-5)
    p, y, _ = CASES['independent']
    assert soft_cross_entropy(p, y, True, axis=1).item() == pytest.approx(SoftBCEWithLogitsLossFlat(axis=1)(p.logit(), y).item(), rel=1e-5)


def test_volumes():
    p, y = rand(2, 1, 3, 4, 5), rand(2, 1, 3, 4, 5)
    assert brier_score.items(p, y, axis=1)[0].sum().item() == pytest.approx(2*(p - y).square().sum().item(), rel=1e-5)


def test_nothing_labelled_is_nan():
    p, y = CASES['exclusive'][0][:1], torch.zeros(1, 3, 5, 6)
    assert kl_divergence(p, y, axis=1).isnan() and SoftECE()(p, y, axis=1).isnan()


def test_a_model_that_gives_nan_has_no_score():
    p = CASES['one class'][0].clone()
    p[2, 0, 1, 1] = torch.nan
    values, _ = kl_divergence.items(p, CASES['one class'][1], axis=1)
    assert values.isnan().tolist() == [False, False, True, False]


@pytest.mark.parametrize('metric', [kl_divergence, SoftECE()], ids=lambda m: m.name)
def test_intervals_draw_images(metric):
    p, y, _ = CASES['one class']
    draws = torch.Generator().manual_seed(3)
    values = []
    for _ in range(50):
        i = torch.randint(4, (4,), generator=draws)
        values.append(metric(p[i], y[i], axis=1).item())
    expected = torch.tensor(values).quantile(torch.tensor([.05, .95])).tolist()
    assert bootstrap_interval(metric, p, y, level=.9, n=50, seed=3, axis=1) == pytest.approx(expected, abs=1e-6)


def test_masks_have_an_axis():
    p, y, _ = CASES['one class']
    for metric in (kl_divergence, SoftECE()):
        refused(lambda: metric(p, y), '(4, 1, 5, 6)', 'say where their classes are, `axis=1`')
        refused(lambda: metric(p, y, axis=-1), 'say where their classes are, `axis=1`')
        refused(lambda: metric(p.flatten(1), y.flatten(1), axis=2), 'no other `axis` than 1')
        refused(lambda: metric(p, y[:, 0], axis=1), 'With one class there is nothing to index' if y[:, 0].dtype == torch.long else 'Nothing is broadcast')
        refused(lambda: metric(9*p, y, axis=1), 'which is no probability')
    refused(lambda: entropy_correlation(p, y), 'keeps numbers of each item', '`brier_score`')
    refused(lambda: bootstrap_interval(entropy_correlation, p, y, axis=1), 'keeps numbers of each item')
    refused(lambda: SoftECE(equal_mass=True).accumulate(SimpleNamespace(pred=p.logit(), yb=(y,), loss_func=SoftBCEWithLogitsLossFlat(axis=1), to_detach=lambda t: t)), 'needs all pixels at once', 'with `axis=1`')
    rows = CASES['exclusive'][0][:, :, 0, 0]
    assert kl_divergence(rows, rows.flip(0), axis=1) == kl_divergence(rows, rows.flip(0)) # rows of items have their classes there, too


# --- how sure of a mask?

@pytest.mark.parametrize('case', ['one class', 'exclusive', 'independent'])
def test_foreground_entropy(case):
    p, _, multi = CASES[case]
    p = p.clone()
    p[0] = torch.eye(3)[0].view(3, 1, 1) if case == 'exclusive' else 0. # surely nothing
    q, independent = p.double().numpy(), multi or p.shape[1] == 1
    for n in range(4):
        total = weight = 0.
        for i, j in product(range(5), range(6)):
            a = q[n, :, i, j]
            if independent: terms = [(s, sum(-t*math.log(t) for t in (s, 1 - s) if t > 0)) for s in a]
            else: terms = [(a[1:].sum(), -sum(s*math.log(s) for s in a if s > 0))]
            total += sum(w*h for w, h in terms)
            weight += sum(w for w, _ in terms)
        expected = total/weight if weight else 0.
        assert foreground_entropy(p, multi)[n].item() == pytest.approx(expected, abs=1e-6)
        assert mask_confidence(p, multi)[n].item() == pytest.approx(1 - expected/math.log(2 if independent else 3), abs=1e-6)
    assert foreground_entropy(p, multi)[0] == 0 and mask_score(p, multi).argmax() == 0 and mask_score(p, multi).isfinite().all()
    torch.testing.assert_close(mask_score(p, multi).sigmoid(), mask_confidence(p, multi))


def test_confidence_of_pixels():
    p, _, _ = CASES['exclusive']
    torch.testing.assert_close(pixel_confidence(p), p.amax(1))
    p, _, _ = CASES['independent']
    expected = np.minimum(*[np.maximum(a, 1 - a) for a in p.numpy().swapaxes(0, 1)])
    np.testing.assert_allclose(pixel_confidence(p, True), expected)


def test_half_precision_is_scored_in_float32():
    p = torch.tensor([.999, .9995]).view(2, 1, 1, 1)
    assert mask_score(p.half()).dtype == torch.float32 and mask_score(p)[0] < mask_score(p)[1]
    assert (mask_confidence(torch.full((1, 1, 64, 64), .5)) >= 0).all() # whatever rounding does
    assert most_entropy(4, False) == math.log(4) and most_entropy(4, True) == math.log(2)


def test_a_meter_of_masks():
    scores = mask_score(rand(50, 1, 4, 4))
    meter = ConfidenceMeter(scores=['foreground_entropy'], k=2)
    for part in scores.split(20): meter.add(part.unsqueeze(1), foreground_entropy=part)
    reading = meter.read()['foreground_entropy']
    assert reading.n == 50 and reading.mean == pytest.approx(scores.sigmoid().mean().item(), rel=1e-5)
    assert [i for i, _ in reading.surest] == scores.topk(2).indices.tolist()
