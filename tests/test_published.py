"Scores by the names of papers, against NumPy loops."
import math
from types import SimpleNamespace

import numpy as np, pandas as pd, pytest, torch

from fastai_softlabels.all import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, bootstrap_interval, js_divergence, soft_accuracy, total_variation
from fastai_softlabels.metrics import (absolute_entropy_error, entropy_error, entropy_similarity, manhattan_distance, overlap, perspectivist_error, po_jsd, rank_agreement, soft_macro_f1,
                                       soft_micro_f1)
from conftest import refused

GEN = torch.Generator().manual_seed(0)
P, Y = ((2*torch.randn(20, 4, generator=GEN)).softmax(-1) for _ in range(2))
Y[:3] = 0 # nobody labelled them
Y[3] = torch.tensor([.4, .4, .2, 0.])
FREE_P, FREE_Y = torch.rand(20, 3, generator=GEN), torch.rand(20, 3, generator=GEN).round(decimals=1)
FREE_Y[::4, 1] = torch.nan


def h(p): return -sum(v*math.log(v) for v in p if v > 0)

def ranked_alike(p, y): return float(all(p[i] > p[j] for i in range(len(y)) for j in range(len(y)) if y[i] > y[j]))

BY_ITEM = {manhattan_distance: lambda p, y: abs(p - y).sum(), entropy_error: lambda p, y: h(p) - h(y), absolute_entropy_error: lambda p, y: abs(h(p) - h(y)), rank_agreement: ranked_alike,
           po_jsd: lambda p, y: 1 - (h((p + y)/2) - (h(p) + h(y))/2)/math.log(2), overlap: lambda p, y: np.minimum(p, y).sum()}


def pairs(multi: bool) -> list:
    "labelled pairs of distributions"
    if not multi: return [(p, y) for p, y in zip(P.double().numpy(), Y.double().numpy()) if y.sum() > 0]
    return [(np.array([1 - a, a]), np.array([1 - b, b])) for a, b in zip(FREE_P.double().numpy().ravel(), FREE_Y.double().numpy().ravel()) if not np.isnan(b)]

def data(multi: bool): return (FREE_P, FREE_Y, True) if multi else (P, Y, False)

def in_batches(metric, multi):
    p, y, _ = data(multi)
    loss = SoftBCEWithLogitsLossFlat() if multi else SoftCrossEntropyLossFlat()
    metric.reset()
    for a, b in ((0, 2), (2, 9), (9, 20)): metric.accumulate(SimpleNamespace(pred=(p.logit() if multi else p.log())[a:b], yb=(y[a:b],), loss_func=loss, to_detach=lambda t: t))
    return metric.value


@pytest.mark.parametrize('multi', [False, True])
@pytest.mark.parametrize('metric', BY_ITEM, ids=lambda m: m.name)
def test_means(metric, multi):
    expected = np.mean([BY_ITEM[metric](p, y) for p, y in pairs(multi)])
    assert metric(*data(multi)).item() == pytest.approx(expected, abs=1e-6)
    assert in_batches(metric, multi).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('multi', [False, True])
def test_entropy_similarity(multi):
    a, b = (np.array([h(o[k]) for o in pairs(multi)]) for k in (0, 1))
    expected = a @ b/np.sqrt((a @ a)*(b @ b))
    assert entropy_similarity(*data(multi)).item() == pytest.approx(expected, abs=1e-6) and in_batches(entropy_similarity, multi).item() == pytest.approx(expected, abs=1e-6)
    assert entropy_similarity(torch.eye(2), torch.eye(2)).isnan()


@pytest.mark.parametrize('multi', [False, True])
def test_f1(multi):
    p, y, _ = (o.double().numpy() if isinstance(o, torch.Tensor) else o for o in data(multi))
    there = ~np.isnan(y) if multi else np.repeat(y.sum(1, keepdims=True) > 0, 4, 1)
    shared, total = (np.where(there, o, 0) for o in (2*np.minimum(p, y), p + y))
    micro, macro = shared.sum()/total.sum(), (shared.sum(0)/total.sum(0)).mean()
    for metric, expected in ((soft_micro_f1, micro), (soft_macro_f1, macro)):
        assert metric(*data(multi)).item() == pytest.approx(expected, abs=1e-6) and in_batches(metric, multi).item() == pytest.approx(expected, abs=1e-6)
    low, high = bootstrap_interval(soft_macro_f1, *data(multi), n=50)
    assert low < macro < high
    if not multi: assert soft_micro_f1(P, Y).item() == pytest.approx(overlap(P, Y).item(), abs=1e-6)


def test_a_class_that_nobody_knows_has_no_f1():
    assert soft_macro_f1(torch.tensor([[.5, .5, 0.]]), torch.tensor([[1., 0., 0.]])).item() == pytest.approx((2*.5/1.5 + 0)/2)


def test_published_vector():
    p, y = torch.tensor([[.6, .1, .3]]), torch.tensor([[.5, .3, .2]])
    assert [m(p, y).item() for m in (total_variation, entropy_error, po_jsd, overlap)] == pytest.approx([.2, -.131707, .951710, .8], abs=1e-6)
    assert manhattan_distance(p, y) == 2*total_variation(p, y) and overlap(p, y).item() == pytest.approx(1 - total_variation(p, y).item())
    assert soft_accuracy(p, y).item() == .5 != overlap(p, y).item()
    assert po_jsd(P, Y).item() == pytest.approx(1 - js_divergence(P, Y).item()/math.log(2), abs=1e-6)


def test_ties_among_annotators_leave_the_order_open():
    y = torch.tensor([[.4, .4, .2]])
    assert [rank_agreement(torch.tensor([p]), y).item() for p in ([.5, .3, .2], [.3, .5, .2], [.4, .4, .2], [.3, .3, .4], [.5, .25, .25])] == [1, 1, 1, 0, 0]


def test_perspectivist():
    said = pd.DataFrame({'ann': ['a', 'b', None, None], 'ben': ['a', None, 'c', None], 'cai': ['b', 'b', 'c', None]})
    predicted = pd.DataFrame({'ann': ['a', 'c', 'a', 'a'], 'ben': ['b', 'b', 'c', 'a'], 'cai': ['a', 'b', 'c', 'a']})
    assert perspectivist_error(predicted, said) == pytest.approx((2/3 + 1/2 + 0)/3)
    assert perspectivist_error(predicted.to_numpy(), said.to_numpy()) == perspectivist_error(predicted, said)
    assert perspectivist_error(np.array([[1, 2]]), np.array([[1., np.nan]])) == 0 and math.isnan(perspectivist_error([['a']], [[None]]))
    refused(lambda: perspectivist_error(predicted.iloc[:2], said), '(2, 3)', '(4, 3)', 'a column for each annotator')


def test_they_refuse_what_others_refuse():
    for metric in (manhattan_distance, soft_micro_f1, entropy_similarity): refused(lambda: metric(9*P, Y), 'Give what `learn.get_preds()` returns')
    refused(lambda: soft_micro_f1(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)), '(2, 3, 4, 4)')
