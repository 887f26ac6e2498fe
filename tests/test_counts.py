"Votes that stay counts: the likelihood, how labels are read, intervals, calibration, and what is refused."
from functools import partial

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch, torch.nn.functional as F
from fastai.vision.all import Callback, ColReader, DataBlock, EndSplitter, ImageBlock, Learner, MixUp, RandomSplitter, RegressionBlock, Resize, nn, noop, resnet18, set_seed, vision_learner
from scipy.special import digamma, gammaln
from scipy.stats import beta, betabinom, dirichlet_multinomial

from fastai_softlabels.all import (DirichletMultinomialLossFlat, SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCountBlock, SoftCrossEntropyLossFlat, SoftInterpretation, SoftLabelReader, SoftOrdinalBlock, SumOfLosses,
                                   abstain, about_soft_learner, class_weights, compare_confidence, kl_divergence, load_soft_learner, save_soft_learner, soft_accuracy,
                                   temperature_scale, train_two_heads, undo_temperature, vote_intervals, votes_to_soft)
from fastai_softlabels.counts import ConcentrationScaled, SoftCountize, SoftVotes, concentrations_of, count_intervals, covered, logits_of, plain_dirichlet_multinomial
from fastai_softlabels.errors import SoftLabelError, UnknownNameError
from conftest import DIGITS, refused


def zoobot(k, alpha):
    "The likelihood as Zoobot has it, written anew from its formula, by log-gamma functions in float64"
    n, total = k.sum(-1), alpha.sum(-1)
    return -(gammaln(total) + gammaln(n + 1) - gammaln(n + total) + (gammaln(k + alpha) - gammaln(k + 1) - gammaln(alpha)).sum(-1))

def draws(n, scale, k=5, size=60, seed=0):
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, rng.dirichlet(np.ones(k), size)).astype(float), rng.uniform(.1, 1, (size, k))*scale


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64), ids=str)
@pytest.mark.parametrize('n', (1, 3, 30, 1000, 10**6))
@pytest.mark.parametrize('scale', (1e-2, 1., 100., 1e4))
def test_the_likelihood_by_scipy_and_zoobot(n, scale, dtype):
    k, alpha = draws(n, scale)
    alpha = torch.tensor(alpha).to(dtype)
    got = plain_dirichlet_multinomial(alpha, torch.tensor(k).to(dtype), -1, False).double().numpy()
    alpha = alpha.double().numpy()
    expected = -np.array([dirichlet_multinomial.logpmf(a.astype(int), b, n) for a, b in zip(k, alpha)])
    assert (np.abs(got - expected)/np.maximum(expected, 1)).max() < 1e-5
    assert (np.abs(got - zoobot(k, alpha))/np.maximum(expected, 1)).max() < 1e-5
    above = plain_dirichlet_multinomial(torch.tensor(alpha).to(dtype), torch.tensor(k).to(dtype), -1, True)
    assert (above > (0 if dtype == torch.float64 else -1e-5)).all()


def test_known_values_and_the_floor():
    def value(k, alpha, kl=False): return plain_dirichlet_multinomial(torch.tensor(alpha, dtype=torch.float64), torch.tensor(k, dtype=torch.float64), -1, kl).item()
    assert value([3, 1, 0], [2., 1, 1]) == pytest.approx(2.169054, abs=1e-6)
    assert value([3, 1, 0], [1., 1, 1]) == pytest.approx(np.log(15), abs=1e-9)
    assert value([12, 28], [13., 29]) == pytest.approx(2.329111, abs=1e-6)
    assert value([12, 28], [13., 29]) - value([12, 28], [13., 29], True) == pytest.approx(1.990890, abs=1e-6)
    assert value([3, 1, 0], [2., 1, 1]) - value([3, 1, 0], [2., 1, 1], True) == pytest.approx(.863046, abs=1e-6)
    assert value([12, 28], [12e7, 28e7], True) == pytest.approx(0, abs=1e-5), 'the shares themselves, and no doubt'
    assert value([0, 0], [1., 2]) == value([0, 0], [1., 2], True) == 0


def test_counts_of_mixup_are_real_numbers():
    k = np.array([[2.5, .5, 0], [1e-6, 12.3, 4], [0, 0, .3]])
    alpha = np.array([[.5, 3, 2], [40, 2, .01], [1, 1, 1]])
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        got = plain_dirichlet_multinomial(torch.tensor(alpha).to(dtype), torch.tensor(k).to(dtype), -1, False)
        np.testing.assert_allclose(got, zoobot(k, alpha), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('dtype,tolerance', ((torch.float64, 1e-9), (torch.float32, 2e-4)), ids=str)
@pytest.mark.parametrize('n', (1, 40, 10**5))
def test_the_gradient_by_digamma(n, dtype, tolerance):
    for scale in (.1, 10., 1000.):
        k, alpha = draws(n, scale)
        a = torch.tensor(alpha).to(dtype).requires_grad_()
        plain_dirichlet_multinomial(a, torch.tensor(k).to(dtype), -1, False).sum().backward()
        alpha, total = a.detach().double().numpy(), a.detach().double().numpy().sum(1, keepdims=True)
        expected = digamma(total + n) - digamma(total) + digamma(alpha) - digamma(alpha + k)
        np.testing.assert_allclose(a.grad, expected, rtol=tolerance, atol=tolerance*np.abs(expected).max())


@pytest.mark.parametrize('concentration', ('softplus', 'bounded'))
@pytest.mark.parametrize('kl', (False, True))
def test_the_loss(concentration, kl):
    torch.manual_seed(0)
    z, k = torch.randn(8, 4), torch.tensor(draws(20, 1, 4, 8)[0]).float()
    k[3] = 0
    loss = DirichletMultinomialLossFlat(concentration=concentration, kl=kl)
    alpha = F.softplus(z) + 1e-3 if concentration == 'softplus' else 1 + 100*z.sigmoid()
    by_item = plain_dirichlet_multinomial(alpha.double(), k.double(), -1, kl)
    z.requires_grad_()
    value = loss(z, k)
    value.backward()
    assert value.item() == pytest.approx(by_item.sum().item()/7, rel=1e-5), 'the mean is over items with votes'
    assert not z.grad[3].any() and z.grad[0].any()
    loss.reduction = 'none'
    torch.testing.assert_close(loss(z, k).double(), by_item, rtol=1e-5, atol=1e-5)
    assert loss(z, k)[3] == 0
    loss.reduction = 'sum'
    assert loss(z, k).item() == pytest.approx(by_item.sum().item(), rel=1e-5)
    nothing = DirichletMultinomialLossFlat(concentration=concentration)(z, torch.zeros_like(k))
    nothing.backward()
    assert nothing.item() == 0
    assert loss(z.half(), k).dtype == torch.float32
    assert torch.autograd.gradcheck(lambda x: DirichletMultinomialLossFlat(concentration=concentration, kl=kl)(x, k.double()), z.detach().double().requires_grad_())


def test_one_vote_each_is_cross_entropy_of_the_shares():
    z, index = torch.randn(9, 4), torch.randint(4, (9,))
    loss = DirichletMultinomialLossFlat()
    shares = loss.activation(z).as_subclass(torch.Tensor)
    expected = F.nll_loss(shares.log(), index)
    torch.testing.assert_close(loss(z, index), expected)
    torch.testing.assert_close(loss(z, F.one_hot(index, 4).float()), expected)
    torch.testing.assert_close(loss(z, torch.tensor([*index[:-1], -100])), F.nll_loss(shares.log()[:-1], index[:-1]))


def test_several_questions_are_summed_and_averaged_over_items():
    z, smooth, bar = torch.randn(5, 5), torch.tensor(draws(12, 1, 3, 5)[0]).float(), torch.tensor(draws(7, 1, 2, 5)[0]).float()
    bar[:3], smooth[4], bar[4] = 0, 0, 0
    both = SumOfLosses([DirichletMultinomialLossFlat(), DirichletMultinomialLossFlat()], [3, 2])
    alpha = F.softplus(z).double().numpy() + 1e-3
    expected = zoobot(smooth.double().numpy(), alpha[:, :3]) + zoobot(bar.double().numpy(), alpha[:, 3:])
    assert both(z, smooth, bar).item() == pytest.approx(expected[:4].mean(), rel=1e-5), 'the fifth item nobody was asked about'
    both.reduction = 'none'
    np.testing.assert_allclose(both(z, smooth, bar), expected, rtol=1e-4, atol=1e-5)
    mixed = SumOfLosses([DirichletMultinomialLossFlat(), SoftCrossEntropyLossFlat()], [3, 2])
    torch.testing.assert_close(mixed(z, smooth, bar), DirichletMultinomialLossFlat()(z[:, :3], smooth) + SoftCrossEntropyLossFlat()(z[:, 3:], bar))


def test_cross_entropy_of_counts_is_weighted_by_votes():
    z, k = torch.randn(6, 3), torch.tensor([[1., 0, 0], [10, 20, 0], [0, 0, 0], [3, 3, 3], [0, 0, 50], [2, 0, 1]])
    n = k.sum(1)
    loss = SoftCountize(list('abc'), loss_func=SoftCrossEntropyLossFlat).loss_func
    expected = sum(n[i]*F.cross_entropy(z[i:i+1], k[i:i+1]/n[i]) for i in range(6) if n[i])/n.sum()
    torch.testing.assert_close(loss(z, k), expected)


LABELS = {'b': [0, 1, 0], ('b', 'b', 'a'): [1, 2, 0], (20, 10, 0): [20, 10, 0], (20., 10., 0.): [20, 10, 0]}

@pytest.mark.parametrize('label', LABELS, ids=str)
def test_forms_of_labels(label):
    tfm = SoftCountize(list('abc'))
    assert tfm.encode(list(label) if isinstance(label, tuple) else label).tolist() == LABELS[label]
    assert tfm.encode(dict(zip('abc', LABELS[label]))).tolist() == LABELS[label]
    assert tfm.encode(pd.Series(LABELS[label], list('abc'))).tolist() == LABELS[label]

@pytest.mark.parametrize('label,words', [
    ([.5, .5, 0], ('holds shares', 'SoftCategoryBlock')), ({'a': .25, 'b': .75}, ('holds shares',)), ([2.5, 1, 0], ('a fraction of a vote',)),
    ([-1, 2, 0], ('-1',)), ([0, 0, 0], ('no votes', '`ignore=True`')), ([1, float('nan'), 0], ('NaN among numbers',)), ([1, 2], ('2 values for 3 classes',)),
    ('d', ("the class 'd' is not in the vocab",)), ([3e8, 0, 0], ('more votes than a float32',)), ([float('inf'), 0, 0], ('inf',)), (None, ('`ignore=True`',)), ([], ('an empty list of votes',))], ids=str)
def test_what_is_no_count(label, words): refused(lambda: SoftCountize(list('abc')).encode(label), *words)

def test_what_is_no_block_of_counts():
    refused(lambda: SoftCountBlock(['a']), 'One class')
    refused(lambda: SoftCountBlock(loss_func=SoftBCEWithLogitsLossFlat()), 'SoftMultiCategoryBlock')
    refused(lambda: DirichletMultinomialLossFlat(concentration='exp'), "concentration is 'exp'")
    refused(lambda: DirichletMultinomialLossFlat()(torch.zeros(2, 1), torch.ones(2, 1)), 'softmax over one class')
    refused(lambda: ConcentrationScaled(DirichletMultinomialLossFlat(), 0.), 'factor is 0')
    assert SoftCountize(list('ab'), ignore=True).encode(None).tolist() == [0, 0]
    assert str(SoftCountize(list('ab'), ignore=True).decode(torch.zeros(2))) == 'unlabelled'


def test_readers_keep_counts():
    answers = pd.DataFrame(dict(f=list('aaabbc'), label=['x', 'y', 'x', 'y', 'y', 'x']))
    soft = votes_to_soft(answers, 'f', label='label')
    reader = SoftLabelReader(soft, None, counts=True)
    assert [reader(f).tolist() for f in 'abc'] == [[2, 1], [0, 2], [1, 0]]
    by_columns = SoftLabelReader(pd.crosstab(answers.f, answers.label), None, ['y', 'x'], counts=True)
    assert SoftCountize(['x', 'y']).encode(by_columns('a')).tolist() == [2, 1]
    thirds = votes_to_soft(pd.DataFrame(dict(f=[0]*7 + [1]*3, label=list('xxxxyyz') + list('xyz'))), 'f', label='label')
    assert SoftLabelReader(thirds, None, counts=True).table.tolist() == [[4, 2, 1], [1, 1, 1]]
    refused(lambda: SoftLabelReader(votes_to_soft(answers, 'f', label='label', prior=1), None, counts=True), 'has smoothed or spread these votes')
    refused(lambda: SoftLabelReader(soft, None, counts=True, multi=True), 'without `multi=`')
    refused(lambda: SoftCountize(['x', 'y']).encode(SoftLabelReader(soft, None)('a')), 'counts=True')
    refused(lambda: SoftCategoryBlock(['x', 'y']).type_tfms[0].encode(reader('a')), 'Leave `counts=` out')
    refused(lambda: SoftLabelReader(pd.DataFrame(dict(f=['a'], x=[.5], y=[.5])), 'f', ['x', 'y'], counts=True), 'holds shares')


def test_a_reader_for_each_question():
    df = pd.DataFrame({'bar_no': [0, 15], 'f': ['a', 'b'], 'smooth_yes': [30, 5], 'smooth_no': [10, 35], 'bar_yes': [0, 20]})
    readers = SoftLabelReader.by_question(df, 'f', {'smooth': ['yes', 'no'], 'bar': ['_yes', '_no']})
    assert {q: [r(f).tolist() for f in 'ab'] for q, r in readers.items()} == {'smooth': [[30, 10], [5, 35]], 'bar': [[0, 0], [20, 15]]}
    assert SoftLabelReader.by_question(df.set_index('f'), None, {'bar': ['yes', 'no']})['bar']('b').tolist() == [20, 15]
    refused(lambda: SoftLabelReader.by_question(df, 'f', {'bar': ['yes', 'maybe']}), "no column 'bar_maybe'", "of the question 'bar'", error=UnknownNameError)
    refused(lambda: SoftLabelReader.by_question(df, 'f', ['smooth']), 'the answers by question')
    refused(lambda: SoftLabelReader.by_question(df, 'f', {'bar': 'yes'}), "The answers to 'bar'")
    refused(lambda: SoftLabelReader.by_question(df, 'g', {'bar': ['yes', 'no']}), "'g'")
    dls = DataBlock(blocks=(RegressionBlock, SoftCountBlock, SoftCountBlock), get_x=lambda row: [1.], get_y=list(readers.values()), n_inp=1,
                    splitter=lambda o: (list(range(len(o) - 1)), [len(o) - 1])).dataloaders(pd.concat([df, df.assign(f=['a', 'b'])], ignore_index=True), bs=2, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Linear(1, dls.c)), loss_func=dls.loss_func)
    assert dls.c == 4 and isinstance(learn.loss_func, SumOfLosses)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert np.isfinite(learn.recorder.values[-1]).all()


@pytest.fixture(scope='module')
def crowd() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x, n = rng.uniform(0, 1, 1200), rng.integers(3, 41, 1200)
    votes = [rng.multinomial(m, rng.dirichlet(12*np.array([.1 + .6*v, .2, .7 - .6*v]))) for v, m in zip(x, n)]
    return pd.DataFrame(votes, columns=list('abc')).assign(x=x)

def new_learner(crowd, **kw):
    set_seed(0, reproducible=True)
    block = DataBlock(blocks=(RegressionBlock, SoftCountBlock(**kw)), get_x=ColReader('x'), get_y=ColReader(list('abc')), n_inp=1, splitter=RandomSplitter(.4, seed=0))
    dls = block.dataloaders(crowd, bs=60, num_workers=0)
    return Learner(dls, nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Linear(1, 24), nn.ReLU(), nn.Linear(24, dls.c)), metrics=[kl_divergence, soft_accuracy])

@pytest.fixture(scope='module')
def trained(crowd):
    learn = new_learner(crowd)
    with learn.no_bar(), learn.no_logging(): learn.fit(10, 1e-2)
    return learn

@pytest.fixture
def learn(crowd, trained):
    "A learner of its own, with the trained weights"
    res = new_learner(crowd)
    res.model.load_state_dict(trained.model.state_dict())
    return res

def valid_of(learn): return learn.dls.valid.items.reset_index(drop=True)


def test_metrics_and_interpretation_read_shares(learn):
    with learn.no_bar():
        probs, counts = learn.get_preds()
        values = list(learn.validate()[1:])
        interp = SoftInterpretation.from_learner(learn)
    shares = counts.as_subclass(torch.Tensor)/counts.as_subclass(torch.Tensor).sum(1, keepdim=True)
    assert values == pytest.approx([m(probs, shares).item() for m in (kl_divergence, soft_accuracy)], abs=1e-5)
    torch.testing.assert_close(interp.targets.as_subclass(torch.Tensor), shares)
    assert interp.confusion_matrix().sum() == pytest.approx(len(counts), rel=1e-5)
    assert '(n =' not in interp.suspicious_labels(2).label[0]
    refused(lambda: kl_divergence(probs, counts), 'not a distribution', 'Divide votes by their sum')
    np.testing.assert_allclose(class_weights(learn.dls), (lambda m: m.sum()/3/m)(learn.dls.train.items[list('abc')].to_numpy().sum(0)), rtol=1e-5)


def test_what_predict_shows(learn):
    with learn.no_bar():
        pred, index, probs = learn.predict(pd.Series(dict(x=.9)))
        logits = learn.get_preds(dl=learn.dls.test_dl(pd.DataFrame(dict(x=[.9]))), act=noop)[0]
    alpha = (F.softplus(logits[0]) + 1e-3).double().numpy()
    assert isinstance(pred, SoftVotes) and float(pred.concentration) == pytest.approx(alpha.sum(), rel=1e-5)
    np.testing.assert_allclose(pred.interval(.9), np.stack([beta.ppf(q, alpha, alpha.sum() - alpha) for q in (.05, .95)], 1), rtol=1e-4)
    low, high = pred.interval()[0]
    assert str(pred).startswith(f'a {probs[0]:.2f} ({low:.2f}–{high:.2f}) · '.replace('0.', '.'))
    target = learn.dls.valid_ds[0][1]
    assert str(learn.dls.valid_ds.tls[1].decode(target)).endswith(f'(n = {int(target.sum())})')
    refused(lambda: pred.interval(1.), 'level is 1')


def test_intervals_by_scipy(learn):
    table = vote_intervals(learn, level=.9)
    with learn.no_bar(): logits = learn.get_preds(act=noop)[0]
    alpha, votes = (F.softplus(logits) + 1e-3).double().numpy(), valid_of(learn)[list('abc')].to_numpy()
    some = range(0, len(votes), 40)
    for i in some:
        a, n = alpha[i], votes[i].sum()
        rows = table.loc[i]
        assert rows.low.tolist() == betabinom.ppf(.05, n, a, a.sum() - a).tolist() and rows.high.tolist() == betabinom.ppf(.95, n, a, a.sum() - a).tolist()
        assert rows.votes.tolist() == votes[i].tolist() and rows.inside.tolist() == ((rows.low <= rows.votes) & (rows.votes <= rows.high)).tolist()
        np.testing.assert_allclose(rows.share, a/a.sum(), rtol=1e-5)
    assert .9 < table.inside.mean() < .97 and set(table.groupby('class').inside.mean().index) == set('abc')
    vote_intervals(learn, plot=True)
    assert plt.gca().get_title() == f'{vote_intervals(learn).inside.mean():.0%} of counts inside' and len(plt.gca().collections) == 2

def test_intervals_of_votes_to_come(crowd, learn):
    items = pd.DataFrame(dict(x=[.1, .9]))
    table = vote_intervals(learn, learn.dls.test_dl(items), m=50)
    assert len(table) == 6 and (table.m == 50).all() and 'votes' not in table
    refused(lambda: vote_intervals(learn, learn.dls.test_dl(items)), 'have no labels', '`m=`')
    refused(lambda: vote_intervals(learn, m=2.5), 'm is 2.5')
    refused(lambda: vote_intervals(learn, m=50, plot=True), 'leave `m=` out')
    refused(lambda: vote_intervals(learn, level=80), 'level is 80')
    refused(lambda: vote_intervals(new_learner(crowd, loss_func=SoftCrossEntropyLossFlat())), 'no concentrations')

def test_intervals_of_a_million_votes():
    a = np.array([[20., 30, 5], [.2, .1, 3]])
    low, high = count_intervals(a, np.array([10**6, 10**6]))
    expected = [1e6*beta.ppf(q, a, a.sum(1, keepdims=True) - a) for q in (.1, .9)]
    np.testing.assert_allclose([low, high], expected, rtol=1e-3, atol=20)
    assert covered(torch.tensor(a), torch.tensor([[350000, 560000, 90000], [999999, 0, 1]])).tolist() == [[True]*3, [False, True, False]]


def test_a_factor_of_the_concentration(trained, learn):
    with learn.no_bar(): before = learn.get_preds()[0].as_subclass(torch.Tensor)
    sure = ConcentrationScaled(learn.loss_func, 8.) # as a network that is too sure
    learn.loss_func = sure
    report = temperature_scale(learn, force=True)
    factor = learn.loss_func.factor
    assert .7 < factor < 1.4 and report.loc['after', 'factor'] == factor and report.factor_low['after'] < factor < report.factor_high['after']
    with learn.no_bar(): after = learn.get_preds()[0].as_subclass(torch.Tensor)
    torch.testing.assert_close(after, before)
    row = pd.Series(dict(x=.3))
    with learn.no_bar(), trained.no_bar(): scaled, plain = (o.predict(row)[0].concentration.item() for o in (learn, trained))
    assert scaled == pytest.approx(factor*plain, rel=1e-5)
    assert list(report.columns[:4]) == ['factor', 'n', 'neg_log_likelihood', 'coverage'] and report.n['after'] == 240
    undo_temperature(learn)
    assert isinstance(learn.loss_func, DirichletMultinomialLossFlat)

def test_a_factor_that_helps_is_kept_and_one_within_the_noise_is_not(crowd, learn):
    with pytest.warns(UserWarning, match='The factor .* within the noise'): temperature_scale(learn)
    assert isinstance(learn.loss_func, DirichletMultinomialLossFlat)
    with torch.no_grad():
        last = learn.model[-1]
        last.weight.mul_(6)
        last.bias.mul_(6) # much surer, and other shares
    abstain(learn, keep=.8)
    thresh = learn.loss_func.thresh
    report = temperature_scale(learn)
    assert report.gain_low['after'] > 0 and report.factor['after'] < .8
    assert report.neg_log_likelihood['after'] < report.neg_log_likelihood['before'] and report.coverage['after'] > report.coverage['before']
    assert learn.loss_func.thresh == thresh and learn.loss_func.loss.factor == report.factor['after'], 'the threshold is one of shares, and stays'
    with learn.no_bar(): assert any(learn.predict(pd.Series(dict(x=v)))[0].is_unsure for v in np.linspace(0, 1, 9))


def test_report_of_a_factor_by_hand(learn):
    report = temperature_scale(learn, force=True)
    with learn.no_bar(): logits, counts = learn.get_preds(act=noop)
    group = torch.randperm(480, generator=torch.Generator().manual_seed(0))
    fit, judge = group[:240].sort().values, group[240:].sort().values
    alpha, k = F.softplus(logits.double()) + 1e-3, counts.double().as_subclass(torch.Tensor)
    def nll(part, f): return zoobot(k[part].numpy(), f*alpha[part].numpy()).mean()
    best = min(np.exp(np.linspace(-1, 1, 4001)), key=lambda f: nll(fit, f))
    assert report.factor['after'] == pytest.approx(best, rel=2e-3)
    assert report.neg_log_likelihood.tolist() == pytest.approx([nll(judge, 1.), nll(judge, report.factor['after'])], rel=1e-5)
    assert report.gain['after'] == pytest.approx(nll(judge, 1.) - nll(judge, report.factor['after']), abs=1e-6)


def test_abstention_reads_shares(learn):
    kept = abstain(learn, risk=.5)
    with learn.no_bar(): probs, counts = learn.get_preds()
    probs, shares = probs.as_subclass(torch.Tensor), counts.as_subclass(torch.Tensor)/counts.as_subclass(torch.Tensor).sum(1, keepdim=True)
    answered = probs.amax(1) >= kept.thresh
    error = 1 - shares.gather(1, probs.argmax(1, keepdim=True))[:, 0]
    assert kept.error == pytest.approx(error[answered].mean().item(), abs=1e-4)


def test_confidence_is_that_of_the_shares(learn):
    strangers = pd.DataFrame(dict(x=[5., -3, 2]))
    report = compare_confidence({'it': learn}, strangers, plot=False)
    with learn.no_bar(): probs = learn.get_preds(dl=learn.dls.test_dl(strangers))[0].as_subclass(torch.Tensor)
    assert report.loc[('it', 'ood'), 'mean'] == pytest.approx(probs.amax(1).mean().item(), abs=1e-5)
    z = torch.randn(4, 3)
    torch.testing.assert_close(logits_of(learn.loss_func, z).softmax(1), learn.loss_func.activation(z).as_subclass(torch.Tensor))


def test_saved_and_loaded(digits, votes, tmp_path):
    reader = SoftLabelReader(votes, 'fname', DIGITS, counts=True)
    dls = DataBlock(blocks=(ImageBlock, SoftCountBlock), get_y=reader, splitter=EndSplitter(.4), item_tfms=Resize(32)).dataloaders([digits/f for f in votes.fname], bs=24, num_workers=0)
    learn = vision_learner(dls, resnet18, pretrained=False)
    abstain(learn, keep=.5)
    temperature_scale(learn, force=True)
    save_soft_learner(learn, tmp_path/'digits.safetensors')
    about = about_soft_learner(tmp_path/'digits.safetensors')
    assert about['block']['name'] == 'SoftCountBlock' and about['loss']['name'] == 'DirichletMultinomialLossFlat' and about['factor'] == learn.loss_func.loss.factor
    loaded = load_soft_learner(tmp_path/'digits.safetensors')
    with learn.no_bar(), loaded.no_bar():
        for f in votes.fname[:3]: assert str(loaded.predict(digits/f)[0]) == str(learn.predict(digits/f)[0])
    assert loaded.loss_func.thresh == learn.loss_func.thresh and 'factor' in repr(loaded.loss_func)


def test_counts_stay_counts_in_mixup(crowd):
    class Seen(Callback):
        order, run_valid = 70, False
        def after_pred(self): self.learn.seen = self.learn.yb[0]
    learn = new_learner(crowd)
    learn.add_cbs([MixUp(.4), Seen()])
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    sums = learn.seen.as_subclass(torch.Tensor).sum(1)
    assert (sums > 3).all() and (sums != sums.round()).any() and np.isfinite(learn.recorder.values[-1]).all()


# what was read silently as something else

def test_tables_with_their_number_of_votes():
    agreed = votes_to_soft(pd.DataFrame(dict(f=list('wwwxxxyyy'), label=list('aaabbbccc'))), 'f', label='label')
    assert SoftLabelReader(agreed, None, list('cba'), counts=True).table.tolist() == [[0, 0, 3], [0, 3, 0], [3, 0, 0]]
    from_file = agreed.reset_index().copy()
    from_file.attrs = {}
    assert SoftLabelReader(from_file, 'f', list('abc'), counts=True).table.tolist() == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    block = SoftCountBlock(list('abc')).type_tfms[0]
    refused(lambda: block.read_columns(from_file, list('abc')), 'so they seem to be shares', 'counts=True')
    assert block.read_columns(from_file.assign(a=[3, 0, 0], b=[0, 3, 0], c=[0, 0, 3]), list('abc')).sum() == 9
    spread = votes_to_soft(pd.DataFrame(dict(f=list('ppppp'), label=list('aa???'))), 'f', label='label', unsure=['?'], unsure_as='spread', vocab=list('abc'))
    for soft in (spread, votes_to_soft(pd.DataFrame(dict(f=['p']*6, label=['a']*6)), 'f', label='label', prior=2, vocab=list('abc'))):
        refused(lambda: SoftLabelReader(soft, None, counts=True), 'has smoothed or spread these votes', '`prior=`')

def test_items_with_other_counts():
    labels = pd.DataFrame(dict(x=[2, 5], y=[1, 5]), index=list('pq'))
    reader = SoftLabelReader(labels, None, ['x', 'y'], counts=True)
    reader.check_items(labels)
    reader.check_items(labels.div(labels.sum(axis=1), axis=0))
    refused(lambda: reader.check_items(labels*10), 'row p of the items holds the label [20.0, 10.0]')

def test_losses_that_are_for_other_blocks():
    for block in (SoftCategoryBlock, lambda **kw: SoftOrdinalBlock([1, 2, 3], **kw)):
        refused(lambda: block(loss_func=DirichletMultinomialLossFlat()), 'reads numbers of votes', '`SoftCountBlock`')
    for loss in (nn.CrossEntropyLoss(), nn.MSELoss(), nn.KLDivLoss()): refused(lambda: SoftCountBlock(loss_func=loss), 'divides by the items', 'SoftCrossEntropyLossFlat')
    for loss in (SoftCrossEntropyLossFlat(), nn.CrossEntropyLoss()): refused(lambda: ConcentrationScaled(loss, 2.), 'has no concentrations')

def test_questions_of_indices_and_of_maps():
    z, a, b = torch.randn(4, 5), torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 0, -100])
    both = SumOfLosses([DirichletMultinomialLossFlat(), DirichletMultinomialLossFlat()], [3, 2])
    each = [DirichletMultinomialLossFlat(reduction='none')(o, t) for o, t in ((z[:, :3], a), (z[:, 3:], b))]
    torch.testing.assert_close(both(z, a, b), sum(each).mean())
    maps = SumOfLosses([DirichletMultinomialLossFlat(axis=1), DirichletMultinomialLossFlat(axis=1)], [3, 2])
    z, a, b = torch.randn(2, 5, 4, 4), torch.ones(2, 3, 4, 4), torch.ones(2, 2, 4, 4)
    torch.testing.assert_close(maps(z, a, b), DirichletMultinomialLossFlat(axis=1)(z[:, :3], a) + DirichletMultinomialLossFlat(axis=1)(z[:, 3:], b))

def test_nan_among_counts_is_seen():
    assert DirichletMultinomialLossFlat()(torch.zeros(2, 3), torch.tensor([[torch.nan, 2, 3], [1, 2, 3]])).isnan()

def test_questions_and_their_items():
    df = pd.DataFrame({'f': ['a', 'b'], 'bar_yes': [1, 2], 'bar_no': [3, 4]})
    reader = SoftLabelReader.by_question(df, None, {'bar': ['yes', 'no']})['bar']
    refused(lambda: reader.check_items(df.iloc[::-1].reset_index(drop=True)), "has 'b' in the column 'f'")
    refused(lambda: SoftLabelReader.by_question(df, None, {'bar': ['yes']}), 'has one answer')
    refused(lambda: SoftLabelReader.by_question(df.rename(columns=dict(f='yes')), 'yes', {'bar': ['yes', 'no']}), 'Rename the column')
    refused(lambda: SoftLabelReader.by_question(df.assign(bar_yes=0, bar_no=0), 'f', {'bar': ['yes', 'no']}, ignore=False), 'no votes')

def test_cross_entropy_on_counts_is_calibrated_by_shares(crowd, trained):
    learn = new_learner(crowd, loss_func=SoftCrossEntropyLossFlat())
    learn.model.load_state_dict(trained.model.state_dict())
    report = temperature_scale(learn, force=True)
    assert report.kl_divergence['after'] < 1 and learn.loss_func.temperature == report.temperature['after']
    refused(lambda: vote_intervals(learn), 'no concentrations')

def test_learners_that_have_no_counts(crowd):
    shares = crowd.assign(**{c: crowd[c]/crowd[list('abc')].sum(axis=1) for c in 'abc'})
    block = DataBlock(blocks=(RegressionBlock, SoftCategoryBlock), get_x=ColReader('x'), get_y=ColReader(list('abc')), n_inp=1, splitter=RandomSplitter(.4, seed=0))
    learn = Learner(block.dataloaders(shares, bs=60, num_workers=0), nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Linear(1, 3)), loss_func=DirichletMultinomialLossFlat())
    refused(lambda: vote_intervals(learn), 'shares, not numbers of votes')
    of_counts = DataBlock(blocks=(RegressionBlock, SoftCountBlock(loss_func=SoftCrossEntropyLossFlat())), get_x=ColReader('x'), get_y=ColReader(list('abc')), n_inp=1)
    refused(lambda: train_two_heads(of_counts, crowd, lambda dls: learn, lambda learn: None), 'keeps numbers of votes', '`SoftCategoryBlock`')

def test_the_interval_of_a_share_that_is_rounded_to_one():
    pred = SoftVotes([1., 0], ['a', 'b'])
    pred.concentration = 5e4
    assert str(pred) == 'a 1.00 (1.00–1.00)'


# what was refused, or changed, though it was right

def test_the_number_of_people_asked_beside_counts():
    asked = pd.DataFrame([[1, 0, 0], [2, 1, 0], [0, 0, 1]], columns=list('abc')).assign(f=list('pqr'), n_votes=[3, 4, 5])
    assert SoftLabelReader(asked, 'f', list('abc'), counts=True).table.tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 1]]
    block = SoftCountBlock(list('abc')).type_tfms[0]
    assert block.read_columns(asked, list('abc')).tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 1]]
    assert block.read_columns(asked.assign(n_votes='many'), list('abc')).sum() == 5
    assert SoftLabelReader(asked.assign(n_votes='many'), 'f', list('abc'), counts=True).table.sum() == 5

def test_items_of_the_same_table_with_a_gap():
    nan = float('nan')
    shares = pd.DataFrame(dict(x=[.5, 1, nan], y=[.5, 0, nan], n_votes=[4, 3, nan]))
    for table in (shares, pd.DataFrame(dict(x=[2, 3, nan], y=[2, 0, nan]))):
        reader = SoftLabelReader(table, None, ['x', 'y'], counts=True, ignore=True)
        reader.check_items(table)
        assert reader.table.tolist() == [[2, 2], [3, 0], [0, 0]]
    SoftLabelReader(shares, None, ['x', 'y'], ignore=True).check_items(shares)

def test_votes_as_they_are_shown_are_labels():
    tfm = SoftCountize(['cat', 'dog'])
    assert tfm.encode(SoftVotes([1/3, 2/3], ['dog', 'cat'], n_votes=30)).tolist() == [20, 10]
    refused(lambda: tfm.encode(SoftVotes([.5, .5], ['cat', 'dog'])), 'holds shares')
    np.testing.assert_allclose(SoftCategoryBlock(['cat', 'dog']).type_tfms[0].encode(SoftVotes([1/3, 2/3], ['dog', 'cat'], n_votes=30)), [2/3, 1/3], rtol=1e-6)

def test_functions_of_pytorch_on_counts():
    for loss in (F.cross_entropy, partial(F.cross_entropy, label_smoothing=.1)): refused(lambda: SoftCountBlock(loss_func=loss), 'divides by the items')

def test_the_axis_of_items():
    z, a, b = torch.randn(4, 5), torch.tensor(draws(9, 1, 3, 4)[0]).float(), torch.tensor(draws(5, 1, 2, 4)[0]).float()
    b[:2] = 0
    values = [SumOfLosses([DirichletMultinomialLossFlat(axis=axis) for _ in range(2)], [3, 2])(z, a, b) for axis in (1, -1)]
    torch.testing.assert_close(*values)
