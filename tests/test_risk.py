"Risk and coverage against published values, brute force over all orders, and NumPy loops."
from itertools import permutations

import numpy as np, pandas as pd, pytest, torch

from fastai_softlabels.all import SoftLabelError, augrc, aurc, coverage_at_risk, risk_at_coverage, risk_coverage

SURE = [.9, .8, .7, .6]


@pytest.mark.parametrize('confidence, error, area, generalised, mean', [
    ([.7, .6, .8], [0, 1, 0], .083333, None, .111111), (SURE, [0, 1, 0, 1], .361111, .25, .333333), (SURE, [.1, .5, .2, .6], .263889, .179167, .254167)], ids=str)
def test_published_values(confidence, error, area, generalised, mean):
    "TorchUncertainty's documented value, its convention on other answers, and the mean over coverages"
    assert aurc(confidence, error) == pytest.approx(area, abs=1e-6)
    if generalised: assert augrc(confidence, error) == pytest.approx(generalised, abs=1e-6)
    assert risk_coverage(confidence, error).risk.mean() == pytest.approx(mean, abs=1e-6)


def loop(order, error):
    "coverage and risk in one order, answer by answer"
    return [(i/len(order), sum(error[j] for j in order[:i])/i) for i in range(1, len(order) + 1)]

def area(points, times_coverage=False):
    "the trapezoid rule, by hand"
    values = [(c, r*c if times_coverage else r) for c, r in points]
    return sum((c1 - c0)*(v0 + v1)/2 for (c0, v0), (c1, v1) in zip(values, values[1:]))/(values[-1][0] - values[0][0])


@pytest.mark.parametrize('seed', range(5))
def test_ties_are_the_mean_of_all_their_orders(seed):
    rng = np.random.default_rng(seed)
    confidence, error = rng.integers(0, 3, 6)/2, rng.random(6)
    orders = [o for o in permutations(range(6)) if all(confidence[a] >= confidence[b] for a, b in zip(o, o[1:]))]
    curves = np.array([loop(o, error) for o in orders]) # (orders, N, 2)
    found = risk_coverage(torch.tensor(confidence), torch.tensor(error))
    np.testing.assert_allclose(found[['coverage', 'risk']], curves.mean(0), atol=1e-12)
    assert found.thresh.tolist() == sorted(confidence, reverse=True)
    assert aurc(confidence, error) == pytest.approx(np.mean([area(c) for c in curves]))
    assert augrc(confidence, error) == pytest.approx(np.mean([area(c, True) for c in curves]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_type_and_scale(dtype):
    rng = np.random.default_rng(0)
    confidence, error = torch.tensor(rng.permutation(50)).to(dtype), torch.tensor(rng.random(50)).to(dtype)
    plain = loop(confidence.double().argsort(descending=True).tolist(), error.double().tolist())
    for c in (confidence, confidence*100 - 7, pd.Series(confidence.float().numpy(), index=range(50, 0, -1)), confidence.tolist()):
        np.testing.assert_allclose(risk_coverage(c, error)[['coverage', 'risk']], plain, atol=1e-9)
    best = min(aurc(torch.tensor(rng.permutation(50)), error) for _ in range(50))
    assert aurc(-error, error) < best, "no order is better than the errors' own"


def test_read_off_the_curve():
    error = torch.tensor([.1, .5, .2, .6]) # risks .1, .3, .267, .35
    assert [coverage_at_risk(SURE, error, r) for r in (.1, .2, .28, .3, .34, .35, .9)] == [.25, .25, .75, .75, .75, 1., 1.]
    assert [round(risk_at_coverage(SURE, error, c), 6) for c in (.01, .25, .26, .5, .75, 1.)] == [.1, .1, .3, .3, .266667, .35]
    assert coverage_at_risk([.5, .9], [0., 1.], .2) == 0, 'the surest answer is wrong'
    assert aurc([.3], [.4]) == augrc([.3], [.4]) == pytest.approx(.4)
    assert coverage_at_risk([.5]*4, [0, 0, 0, 1], .25) == 1 and coverage_at_risk([.5]*4, [0, 0, 0, 1], .2) == 0, 'equally sure, equally wrong'


@pytest.mark.parametrize('f, words', [
    (lambda: aurc([.5, .6], [0.]), '2 confidences, but 1 errors'), (lambda: aurc([.5], [1.2]), 'error of item 0 is 1.2'), (lambda: aurc([.5, .6], [0., -.1]), 'error of item 1 is -0.1'),
    (lambda: aurc([.5, np.nan], [0., 0.]), 'confidence of item 1 is NaN'), (lambda: augrc([.5, .6], [0., np.nan]), 'Leave out items without a label'),
    (lambda: aurc(torch.ones(3, 2), torch.ones(3)), r'confidence has shape \(3, 2\)'), (lambda: aurc([], []), r'shape \(0,\)'), (lambda: aurc('a', [1.]), "confidence is 'a'"),
    (lambda: coverage_at_risk(SURE, [.1, .5, .2, .6], .05), 'the least is 0.1'), (lambda: coverage_at_risk(SURE, [0.]*4, 0), 'risk'), (lambda: coverage_at_risk(SURE, [0.]*4, 1.), 'risk'),
    (lambda: risk_at_coverage(SURE, [0.]*4, 0), 'coverage'), (lambda: risk_at_coverage(SURE, [0.]*4, 1.1), 'coverage')], ids=lambda o: o if isinstance(o, str) else '')
def test_refused(f, words):
    with pytest.raises(SoftLabelError, match=words): f()
