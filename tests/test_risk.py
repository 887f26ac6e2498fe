"Risk and coverage against published values, brute force over all orders, and NumPy loops."
import math, re
from itertools import permutations

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import DataBlock, FuncSplitter, Learner, TransformBlock
from torch import nn

from fastai_softlabels.all import (SoftCategoryBlock, SoftInterpretation, SoftLabelError, SoftMultiCategoryBlock, abstain, augrc, aurc, coverage_at_risk, risk_at_coverage, risk_coverage)
from fastai_softlabels.calibrate import _chance_of, _n_promised

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


@pytest.mark.parametrize('risk', [.02, .1, .5])
def test_the_bound_is_hoeffdings_and_bentkuss(risk):
    "the formulas of Bates et al., number by number"
    for n in (20, 300):
        for mean in (0., .5*risk, .9*risk, risk, 1.):
            def log_ratio(a, b): return a*np.log(a/b) if a else 0.
            hoeffding = np.exp(-n*(log_ratio(mean, risk) + log_ratio(1 - mean, 1 - risk))) if mean < risk else 1.
            bentkus = np.e*sum(math.comb(n, k)*risk**k*(1 - risk)**(n - k) for k in range(math.ceil(n*mean - 1e-9) + 1))
            assert _chance_of(np.array([mean]), np.array([n]), risk)[0] == pytest.approx(min(1., hoeffding, bentkus) if mean < risk else 1., rel=1e-6)


def answers(rng, n, kind):
    "confidences, errors of what was seen, and the chance of an error; of 'flat' answers the confidence says nothing"
    right = np.full(n, 1 - .1004) if kind == 'flat' else rng.beta(6, 1, n)
    confidence = rng.random(n) if kind == 'flat' else right + .05*rng.standard_normal(n)
    return confidence, 1 - rng.binomial(10 if kind == 'soft' else 1, right)/(10 if kind == 'soft' else 1), 1 - right


@pytest.mark.parametrize('kind', ['soft', 'hard', 'flat'])
@pytest.mark.parametrize('n', [400, 2000])
def test_a_promise_is_broken_in_one_of_twenty_splits_at_most(kind, n):
    rng, risk, n_splits = np.random.default_rng(n), .1, 200
    confidence, _, error = answers(rng, 200_000, kind)
    broken = [0, 0] # of what is promised, and of what fits the items at hand
    kept = []
    for _ in range(n_splits):
        curve = risk_coverage(*answers(rng, n, kind)[:2])
        fits = curve.risk.to_numpy() <= risk
        for i, n_kept in enumerate((_n_promised(curve, risk), n - int(fits[::-1].argmax()) if fits.any() else 0)):
            if n_kept: broken[i] += error[confidence >= curve.thresh[n_kept - 1]].mean() > risk
            if not i: kept.append(n_kept/n)
    assert broken[0]/n_splits <= .05 + 2*(.05*.95/n_splits)**.5
    assert broken[1] > .2*n_splits, 'the plain threshold breaks it often'
    if n == 2000 and kind != 'flat': assert np.mean(kept) > .3, 'and yet many get an answer'


def judged(logits, y, multi=False):
    "A learner whose predictions are these logits"
    block = (SoftMultiCategoryBlock if multi else SoftCategoryBlock)(vocab=list('abcd')[:logits.shape[1]], ignore=True)
    dls = DataBlock((TransformBlock, block), get_x=lambda i: logits[i], get_y=lambda i: y[i].numpy(), splitter=FuncSplitter(lambda i: i > 0)).dataloaders(range(len(y)), bs=64, num_workers=0)
    model = nn.Linear(logits.shape[1], logits.shape[1], bias=False)
    with torch.no_grad(): model.weight.copy_(torch.eye(logits.shape[1]))
    return Learner(dls, model)

def logits_and_labels(n=1001, k=3, seed=0):
    z = 4*torch.randn(n, k, generator=torch.Generator().manual_seed(seed))
    return z, z.softmax(-1)


def test_a_learner_says_what_it_promises():
    z, y = logits_and_labels()
    learn = judged(z, y)
    found = abstain(learn, risk=.1)
    with learn.no_bar(): probs, targets, decided = learn.get_preds(with_decoded=True)
    answered = decided < 3
    error = 1 - targets[answered].gather(1, decided[answered].unsqueeze(1))
    assert found.n == 1000 and found.kept == pytest.approx(answered.double().mean().item()) and 0 < found.kept < 1
    assert found.error == pytest.approx(error.mean().item(), abs=1e-5) and found.error < found.risk == .1
    assert 'risk=0.1' in repr(learn.loss_func) and 'risk' not in repr(abstaining(learn))


def abstaining(learn):
    abstain(learn, .5)
    return learn.loss_func


@pytest.mark.parametrize('k', [1, 3])
def test_independent_classes(k):
    "the mean over classes of what an annotator would say otherwise, of images for which something is present"
    z = 3*torch.randn(1501, k, generator=torch.Generator().manual_seed(1)) + 1
    learn = judged(z, z.sigmoid(), multi=True)
    found = abstain(learn, risk=.2)
    with learn.no_bar(): probs, y = learn.get_preds()
    sure = torch.maximum(probs, 1 - probs)[:, 0] if k == 1 else probs.amax(1)
    decided = probs > .5
    kept = (sure >= found.thresh) & (decided.any(1) if k > 1 else True)
    assert found.kept == pytest.approx(kept.double().mean().item())
    assert found.error == pytest.approx(torch.where(decided, 1 - y, y).mean(1)[kept].mean().item(), abs=1e-5)


def test_unlabelled_images_do_not_judge():
    z, y = logits_and_labels(2001)
    y[1::2] = 0
    found, alone = abstain(judged(z, y), risk=.15), abstain(judged(z[::2], y[::2]), risk=.15)
    assert found.error == pytest.approx(alone.error, abs=1e-6) and found.n == 2*alone.n and found.thresh == pytest.approx(alone.thresh, abs=1e-6)


@pytest.mark.parametrize('n, risk, words', [(101, .1, r'100 labelled items are too few to promise a risk of 0.1: .* it takes about \d+'), (1001, .001, 'have a mean error of .* cannot be promised'),
                                            (11, 1e-9, 'No answer has an error of 1e-09 or less')])
def test_promises_that_cannot_be_given(n, risk, words):
    z, y = logits_and_labels(n)
    learn = judged(z, y)
    before = learn.loss_func
    with pytest.raises(SoftLabelError, match=words): abstain(learn, risk=risk)
    assert learn.loss_func is before


def test_the_number_that_a_promise_takes():
    "is a number with which it can be given, if the errors are like these"
    z, y = logits_and_labels(101)
    with pytest.raises(SoftLabelError) as e: abstain(judged(z, y), risk=.1)
    n = float(re.search(r'it takes about (\d[\d.]*(?:e[+]\d+)?)', str(e.value))[1])
    times = int(np.ceil(1.1*n/100))
    assert 100 < n < 2000 and abstain(judged(z.repeat(times, 1), y.repeat(times, 1)), risk=.1).error <= .1


def test_risk_or_share():
    learn = judged(*logits_and_labels())
    for kwargs in (dict(keep=.9, risk=.1), dict(risk=0), dict(risk=1), dict(risk=5), dict(risk='.1')):
        with pytest.raises(SoftLabelError, match='risk'): abstain(learn, **kwargs)
    with pytest.raises(SoftLabelError, match='with_labels=True'): abstain(learn, risk=.1, dl=learn.dls.test_dl([1, 2, 3]))


@pytest.mark.parametrize('multi', [False, True])
def test_drawn_for_learners(multi):
    z, y = logits_and_labels(201)
    y = z.sigmoid() if multi else y
    y[5] = torch.nan if multi else 0
    noisy = judged(z + 3*torch.randn(z.shape, generator=torch.Generator().manual_seed(1)), y, multi)
    ours, other = SoftInterpretation.from_learner(judged(z, y, multi)), SoftInterpretation.from_learner(noisy)
    _, ax = plt.subplots()
    table = ours.plot_risk_coverage({'noisy': other}, ax)
    labelled = torch.arange(1, 201) != 5
    errors = torch.where(ours.probs > .5, 1 - y[1:], y[1:]).mean(1) if multi else 1 - y[1:].gather(1, ours.probs.argmax(1, keepdim=True))[:, 0]
    assert table.loc['this learner', 'aurc'] == pytest.approx(aurc(ours.probs.amax(1)[labelled], errors[labelled]), abs=1e-6)
    assert table.loc['this learner', 'floor'] == pytest.approx(aurc(-errors[labelled], errors[labelled]), abs=1e-6)
    assert table.index.tolist() == ['this learner', 'noisy'] and (table.aurc >= table.floor).all() and table.aurc['noisy'] > table.aurc['this learner']
    curves = [l.get_ydata() for l in ax.get_lines()]
    assert len(curves) == 4 and all(len(c) == 199 for c in curves) and [t.get_text() for t in ax.get_legend().get_texts()] == ['this learner', 'noisy']
    with pytest.raises(SoftLabelError, match=r"'noisy' is a Learner; expected `SoftInterpretation.from_learner"): ours.plot_risk_coverage({'noisy': noisy})
    plt.close('all')


@pytest.mark.parametrize('n', [400, 401, 403])
def test_how_many_answers_are_promised(n):
    "No error at all but in the last hundred: a bound of Hoeffding's kind holds for some more than those before"
    error = (np.arange(n) >= n - 100).astype(float)
    curve = risk_coverage(torch.arange(n, 0, -1).float(), torch.tensor(error))
    n_kept = _n_promised(curve, .1)
    assert n - 100 <= n_kept < n - 60 and curve.risk[n_kept - 1] < .1
