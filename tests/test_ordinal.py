"Grades in their order: the loss, the metrics, how labels are read, and what is refused."
from collections import Counter

import numpy as np, pandas as pd, pytest, torch, torch.nn.functional as F
from dlordinal.metrics import accuracy_off1, ranked_probability_score as by_dlordinal
from fastai.vision.all import ColReader, DataBlock, EndSplitter, ImageBlock, Learner, RandomSplitter, RegressionBlock, nn
from scipy.stats import wasserstein_distance as by_scipy
from sklearn.metrics import cohen_kappa_score

from fastai_softlabels.all import (SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftInterpretation, SoftLabelReader, SoftOrdinalBlock, SoftOrdinalLossFlat, bootstrap_interval, grade_error,
                                   quadratic_weighted_kappa, ranked_probability_score, votes_to_soft, wasserstein_distance, within_one)
from fastai_softlabels.errors import SoftLabelError, UnknownNameError
from fastai_softlabels.ordinal import SoftGrade, SoftOrdinalize, labels_kappa, spread_difference
from conftest import refused


def soft(n=40, k=5, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.dirichlet(np.ones(k), n)).float(), torch.tensor(rng.dirichlet(np.ones(k)*.5, n)).float()

def by_loop(p, y, values=None):
    values, total = values or range(len(p)), 0.
    for k in range(len(p) - 1): total += abs(values[k+1] - values[k])*(sum(p[:k+1]) - sum(y[:k+1]))**2
    return total


@pytest.mark.parametrize('values', [None, [1, 2, 5, 10, 11], [5, 4, 3, 2.5, 0]], ids=str)
def test_the_loss_is_a_loop_over_grades(values):
    p, y = soft()
    got = SoftOrdinalLossFlat(values=values, reduction='none')(p.log(), y)
    expected = [by_loop(a, b, values) for a, b in zip(p.double().tolist(), y.double().tolist())]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert SoftOrdinalLossFlat(values=values)(p.log(), y).item() == pytest.approx(np.mean(expected), abs=1e-6)
    assert SoftOrdinalLossFlat(values=values, reduction='sum')(p.log(), y).item() == pytest.approx(np.sum(expected), rel=1e-5)


@pytest.mark.parametrize('ce', (0., .3, 1.))
@pytest.mark.parametrize('weight', (None, [1., 2, 0, 4, .5]), ids=str)
def test_hard_grades_are_soft_ones(ce, weight):
    p, _ = soft()
    hard = torch.randint(5, (40,))
    grads = []
    for y in (hard, F.one_hot(hard, 5).float()):
        z = p.log().requires_grad_()
        value = SoftOrdinalLossFlat(ce=ce, weight=weight)(z, y)
        value.backward()
        grads.append((value.item(), z.grad))
    assert grads[0][0] == pytest.approx(grads[1][0], abs=1e-6)
    torch.testing.assert_close(grads[0][1], grads[1][1])
    if ce == 1: assert grads[0][0] == pytest.approx(F.cross_entropy(p.log(), hard, None if weight is None else torch.tensor(weight)).item(), abs=1e-5)


def test_unlabelled_items_have_no_value_and_no_gradient():
    p, y = soft(6)
    y[[1, 4]] = 0
    for loss in (SoftOrdinalLossFlat(), SoftOrdinalLossFlat(ce=.5, kl=True, weight=[1., 2, 3, 4, 5])):
        z = p.log().requires_grad_()
        value = loss(z, y)
        value.backward()
        assert not z.grad[[1, 4]].any() and z.grad[[0, 2]].abs().sum() > 0
        torch.testing.assert_close(value, loss(p.log()[[0, 2, 3, 5]], y[[0, 2, 3, 5]]))
        nothing = loss(z, torch.zeros_like(y))
        nothing.backward()
        assert nothing.item() == 0


def test_shapes_precision_and_gradients():
    p, y = soft(12)
    masks = SoftOrdinalLossFlat(axis=1)(p.log().T.reshape(1, 5, 3, 4), y.T.reshape(1, 5, 3, 4))
    torch.testing.assert_close(masks, SoftOrdinalLossFlat()(p.log(), y))
    assert SoftOrdinalLossFlat()(p.log().half(), y.half()).dtype == torch.float32
    for loss in (SoftOrdinalLossFlat(ce=.5), SoftOrdinalLossFlat(values=[1, 2, 4, 8, 16], weight=[1., 2, 3, 4, 5], kl=True)):
        assert torch.autograd.gradcheck(lambda z: loss(z, y.double()), p.double().log().requires_grad_())
    assert SoftOrdinalLossFlat(ce=1, kl=True)(y.clamp_min(1e-9).log(), y).item() == pytest.approx(0, abs=1e-6)


def test_the_score_by_dlordinal():
    rng = np.random.default_rng(0)
    grades, p = rng.integers(5, size=300), rng.dirichlet(np.ones(5), 300)
    probs, hard = torch.tensor(p).float(), torch.tensor(grades)
    expected = by_dlordinal(grades, p)
    assert ranked_probability_score(probs, hard).item() == pytest.approx(expected, rel=1e-5)
    assert SoftOrdinalLossFlat()(probs.log(), hard).item() == pytest.approx(expected, rel=1e-5)
    assert within_one(probs, hard).item() == pytest.approx(accuracy_off1(grades, p.argmax(1)), rel=1e-5)


def test_metrics_by_scipy_and_loops():
    p, y = soft(60)
    steps = np.arange(5)
    assert wasserstein_distance(p, y).item() == pytest.approx(np.mean([by_scipy(steps, steps, a, b) for a, b in zip(p, y)]), rel=1e-5)
    assert ranked_probability_score(p, y).item() == pytest.approx(np.mean([by_loop(a, b) for a, b in zip(p.tolist(), y.tolist())]), rel=1e-5)
    assert grade_error(p, y).item() == pytest.approx(np.abs(p.numpy() @ steps - y.numpy() @ steps).mean(), rel=1e-5)
    def sd(o): return np.sqrt(o.numpy() @ steps**2 - (o.numpy() @ steps)**2)
    assert spread_difference(p, y).item() == pytest.approx((sd(p) - sd(y)).mean(), abs=1e-5)
    assert within_one(p, y).item() == pytest.approx(np.mean([b[max(0, i - 1):i + 2].sum() for b, i in zip(y.numpy(), p.numpy().argmax(1))]), rel=1e-5)
    low, high = bootstrap_interval(ranked_probability_score, p, y)
    assert low < ranked_probability_score(p, y) < high
    assert np.isfinite(bootstrap_interval(quadratic_weighted_kappa, p, y)).all()


def test_kappa():
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=200), rng.integers(4, size=200)
    a[:120] = b[:120]
    hard = [F.one_hot(torch.tensor(o), 4).float() for o in (a, b)]
    assert quadratic_weighted_kappa(*hard).item() == pytest.approx(cohen_kappa_score(a, b, weights='quadratic'), abs=1e-6)
    assert quadratic_weighted_kappa(hard[0], torch.tensor(b)).item() == pytest.approx(cohen_kappa_score(a, b, weights='quadratic'), abs=1e-6)
    raters = [rng.multinomial(2, p) for p in rng.dirichlet(np.ones(4), 3000)]
    pairs = np.array([np.repeat(range(4), r) for r in raters]) # two raters of each item, in no order
    both = np.concatenate([pairs, pairs[:, ::-1]])
    shares = torch.tensor(np.array(raters)/2).float()
    unpaired = cohen_kappa_score(both[:, 0], both[:, 1], weights='quadratic')
    assert labels_kappa(shares, shares).item() == pytest.approx((1 + unpaired)/2, abs=1e-4) # a rater agrees with himself, in half of the pairs
    assert labels_kappa(hard[0], shares[:200]) == labels_kappa(shares[:200], shares[:200]), 'whatever the predictions'
    assert torch.isnan(quadratic_weighted_kappa(hard[0]*0 + torch.eye(4)[0], hard[0]*0 + torch.eye(4)[0]))


def test_unlabelled_items_do_not_count_in_metrics():
    p, y = soft(20)
    y[3:6] = 0
    some = [i for i in range(20) if i not in (3, 4, 5)]
    for metric in (ranked_probability_score, wasserstein_distance, grade_error, within_one, spread_difference, quadratic_weighted_kappa, labels_kappa):
        assert metric(p, y).item() == pytest.approx(metric(p[some], y[some]).item(), rel=1e-5)
        refused(lambda: metric(p, y, multi=True), 'is for grades')
        refused(lambda: metric(p, y*12), 'not a distribution', 'Divide votes by their sum')


LABELS = {3: [0, 0, 1, 0, 0], 3.: [0, 0, 1, 0, 0], (3, 4): [0, 0, .5, .5, 0], (1, 1, 1, 4, 4, 5): [.5, 0, 0, 1/3, 1/6], (0, 0, .25, .75, 0): [0, 0, .25, .75, 0],
          (0, 12, 28, 0, 0): [0, .3, .7, 0, 0], (0, 0, 1, 0, 0): [0, 0, 1, 0, 0], (3., 4.): [0, 0, .5, .5, 0]}

@pytest.mark.parametrize('label', LABELS, ids=str)
@pytest.mark.parametrize('kind', (list, np.array, torch.tensor))
def test_forms_of_labels(label, kind):
    tfm = SoftOrdinalize(range(1, 6))
    o = kind(list(label)) if isinstance(label, tuple) else label
    np.testing.assert_allclose(tfm.encode(o), LABELS[label], atol=1e-6)
    if isinstance(label, tuple) and len(label) != 5: np.testing.assert_allclose(tfm.encode(Counter(label)), LABELS[label], atol=1e-6)


@pytest.mark.parametrize('label', ([1, 2, 3, 4, 5], [3, 3, 3, 3, 3], [0, 0, 3, 2, 1], [4, 0, 1, 2, 6], np.array([2, 2, 2, 1, 1]), [0, 0, 0, 0, 0]), ids=str)
def test_as_many_numbers_as_grades_may_be_either(label):
    refused(lambda: SoftOrdinalize(range(1, 6)).encode(label), 'ratings, or votes for the grades', 'Counter')
    assert SoftOrdinalize(range(1, 6)).encode(Counter(np.clip(label, 1, 5).tolist())).sum() == pytest.approx(1)


def test_what_is_no_grade():
    ten = SoftOrdinalize(range(1, 11))
    refused(lambda: ten.encode([0, 9, 9]), 'the class 0 is not in the vocab', 'Then add 1', error=UnknownNameError)
    refused(lambda: ten.encode(11), 'Then subtract 1', error=UnknownNameError)
    refused(lambda: ten.encode(3.5), 'the class 3.5 is not in the vocab')
    refused(lambda: ten.encode([3, None, 4]), 'a rating is missing')
    refused(lambda: ten.encode([3, float('nan')]), 'a rating is missing')
    refused(lambda: ten.encode('7'), "the class '7'", 'Did you mean 7?')
    refused(lambda: ten.encode({3: .4, 4: .4}), 'sum to 0.8')
    refused(lambda: ten.encode([.4, .4]), 'the class 0.4')
    refused(lambda: ten.encode(None), 'label None', '`ignore=True`')
    named = SoftOrdinalize(['none', 'mild', 'severe'])
    refused(lambda: named.encode('mid'), "Did you mean 'mild'?", error=UnknownNameError)
    assert named.encode(['mild', 'severe']).tolist() == [0, .5, .5] and named.encode([1, 2, 1]).tolist() == [.25, .5, .25]


def test_vocabs_that_have_no_order():
    refused(lambda: SoftOrdinalBlock([3, 1, 2]), 'not in their order', '`vocab=[1, 2, 3]`')
    refused(lambda: SoftOrdinalBlock([1, 2, 5, 10]), 'not equally far apart', '`values=[1, 2, 5, 10]`', '`values=range(4)`')
    refused(lambda: SoftOrdinalBlock(['1', '2', '4']), 'not equally far apart')
    refused(lambda: SoftOrdinalBlock([1]), 'One class')
    refused(lambda: SoftOrdinalBlock([1, 2, 3], values=[1, 2]), 'for the 3 grades')
    refused(lambda: SoftOrdinalBlock(['a', 'b'], values=[2, 2]), 'rise, or fall')
    refused(lambda: SoftOrdinalBlock(['a', 'b'], values='xy'), 'a number for each grade')
    refused(lambda: SoftOrdinalBlock(['a', 'b'], values=[1, 5], loss_func=SoftOrdinalLossFlat()), 'give both the same')
    refused(lambda: SoftOrdinalLossFlat(ce=1.5), 'ce is 1.5')
    assert SoftOrdinalize([5, 4, 3]).positions == [5, 4, 3] and SoftOrdinalize([.5, 1, 1.5]).positions == [.5, 1, 1.5]
    assert SoftOrdinalize(['a', 'b']).positions == [0, 1]
    ordered = pd.Categorical(['mild', 'none'], categories=['none', 'mild', 'severe'], ordered=True)
    assert list(SoftOrdinalize(pd.Series(ordered)).vocab) == ['none', 'mild', 'severe']


def grades_of(labels, **kw):
    "The vocab that a data set of these labels gets, and the last label"
    df = pd.DataFrame(dict(x=range(len(labels)))).assign(y=pd.Series(labels, dtype=object if any(isinstance(o, list) for o in labels) else None))
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock(**kw)), get_x=ColReader('x'), get_y=ColReader('y'), n_inp=1, splitter=RandomSplitter(.25, seed=0))
    dsets = block.datasets(df)
    return list(dsets.vocab)

def test_inferred_grades():
    assert grades_of([3, 1, 2, 3]*5) == [1, 2, 3]
    assert grades_of([3., 1., 2., np.nan]*5, ignore=True) == [1, 2, 3]
    assert grades_of(['10', '9', '8']*5) == ['8', '9', '10']
    assert grades_of([[3, 4, 4], [1], [2, 2]]*5) == [1, 2, 3, 4]
    with pytest.warns(UserWarning, match=r'Nobody gave the grades \[2, 4\]'): assert grades_of([1, 5, 3]*5) == [1, 2, 3, 4, 5]
    with pytest.warns(UserWarning, match='Nobody gave'): assert grades_of([-1, 1]*8) == [-1, 0, 1]
    refused(lambda: grades_of(['mild', 'severe']*6), 'whose order is not known', 'from the lowest to the highest')
    refused(lambda: grades_of([1, 2000]*6), 'nobody gave 1998')
    refused(lambda: grades_of([2.5, 3.]*6), 'looks like a share', 'vocab=')
    refused(lambda: grades_of([[0, 1, 0], [1, 0, 0]]*6), 'sum to 1', 'Give `vocab=`')
    assert grades_of(['mild', 'severe']*6, vocab=['none', 'mild', 'severe']) == ['none', 'mild', 'severe']


def test_a_table_may_lack_a_grade():
    answers = pd.DataFrame(dict(f=['a', 'a', 'b', 'c', 'c', 'c'], grade=[1, 1, 4, 2, 2, 4]))
    reader = SoftLabelReader(votes_to_soft(answers, 'f', label='grade'), None)
    items = pd.DataFrame(dict(f=list('abc'), x=range(3)))
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock), get_x=ColReader('x'), get_y=reader, n_inp=1, splitter=lambda o: ([0, 1], [2]))
    with pytest.warns(UserWarning, match='Nobody gave'): dsets = block.datasets(items.set_index('f'))
    assert list(dsets.vocab) == [1, 2, 3, 4]
    np.testing.assert_allclose(dsets.valid[0][1], [0, 2/3, 0, 1/3], atol=1e-6)
    table = pd.crosstab(answers.f, answers.grade).assign(x=range(3))
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock(range(1, 5))), get_x=ColReader('x'), get_y=ColReader([1, 2, 4]), n_inp=1, splitter=lambda o: ([0, 1], [2]))
    refused(lambda: block.datasets(table), '`ColReader` takes the integer 1 as a position')
    names = table.rename(columns=str)
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock(['1', '2', '3', '4'])), get_x=ColReader('x'), get_y=ColReader(['1', '2', '4']), n_inp=1, splitter=lambda o: ([0, 1], [2]))
    np.testing.assert_allclose(block.datasets(names).valid[0][1], [0, 2/3, 0, 1/3], atol=1e-6)
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock(['1', '2', '3'])), get_x=ColReader('x'), get_y=ColReader(['1', '2', '4']), n_inp=1, splitter=lambda o: ([0, 1], [2]))
    refused(lambda: block.datasets(names), 'not named as the classes')
    refused(lambda: SoftOrdinalBlock(['a', 'b', 'c']).type_tfms[0].read_columns(pd.DataFrame(dict(a=[1], b=[2])), ['a', 'b']), '2 columns')


def test_how_grades_are_shown():
    assert str(SoftGrade([.1, .2, .3, .4], range(4))) == '2.0 ± 1.0 (1 .20 · 2 .30 · 3 .40 · …)'
    assert str(SoftGrade([0, 1, 0], [1, 2, 3])) == '2.0 ± 0.0 (2 1.00)'
    assert str(SoftGrade([.5, .5], [0, .5])) == '0.25 ± 0.25 (0 .50 · 0.5 .50)'
    assert str(SoftGrade([0, 0], [1, 2])) == 'unlabelled' and np.isnan(SoftGrade([0, 0], [1, 2]).mean)
    assert str(SoftGrade([.4, .6], ['low', 'high'])) == 'low .40 · high .60'
    assert str(SoftGrade([.4, .6], [1, 2], label="don't know")).startswith("don't know (1.6 ± 0.5")
    assert SoftGrade([.4, .6], [1, 2]) == 2 and repr(SoftGrade([.4, .6], [1, 2])).startswith('SoftGrade(1.6')
    bars = SoftGrade([.1, .7, .2], [1, 2, 3]).show(bars=True)
    assert [t.get_text() for t in bars.get_yticklabels()] == ['1', '2', '3'] and [p.get_width() for p in bars.patches] == pytest.approx([.1, .7, .2])


@pytest.fixture(scope='module')
def graders():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 4, 200)
    df = pd.DataFrame(dict(x=x, y=[np.rint(h + rng.normal(0, .6, 7)).clip(0, 4).astype(int).tolist() for h in x]))
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock), get_x=ColReader('x'), get_y=ColReader('y'), n_inp=1, splitter=RandomSplitter(seed=0))
    learn = Learner(block.dataloaders(df, bs=40, num_workers=0), nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 5)),
                    metrics=[ranked_probability_score, wasserstein_distance, grade_error, within_one, quadratic_weighted_kappa, labels_kappa])
    with learn.no_bar(), learn.no_logging(): learn.fit(8, 1e-2)
    return learn

def test_metrics_in_training_are_the_functions(graders):
    with graders.no_bar():
        probs, targets = graders.get_preds()
        values = graders.validate()[1:]
    assert isinstance(graders.loss_func, SoftCrossEntropyLossFlat)
    assert list(values) == pytest.approx([m(probs, targets).item() for m in (ranked_probability_score, wasserstein_distance, grade_error, within_one, quadratic_weighted_kappa, labels_kappa)], abs=1e-5)

def test_interpretation_of_grades(graders):
    with graders.no_bar(): interp = SoftInterpretation.from_learner(graders)
    scores = interp.scores(n=0).value
    assert scores['ranked_probability_score'] == pytest.approx(ranked_probability_score(interp.probs, interp.targets).item())
    assert list(scores.index[-7:]) == ['ranked_probability_score', 'wasserstein_distance', 'grade_error', 'within_one', 'spread_difference', 'quadratic_weighted_kappa', 'labels_kappa']
    points = interp.plot_means().collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], interp.targets.numpy() @ np.arange(5), atol=1e-5)
    np.testing.assert_allclose(points[:, 1], interp.probs.numpy() @ np.arange(5), atol=1e-5)
    bins = interp.plot_reliability(n_bins=5, cumulative=True)
    cdf, share = interp.probs.numpy().cumsum(1)[:, :-1].ravel(), interp.targets.numpy().cumsum(1)[:, :-1].ravel()
    numbers = np.clip(np.ceil(cdf*5).astype(int), 1, 5) - 1
    for b in bins.index:
        assert bins.votes[b] == pytest.approx(share[numbers == b].mean(), abs=1e-5) and bins.n[b] == (numbers == b).sum()
    assert '±' in interp.suspicious_labels(2).label[0]

def test_order_is_asked_of_a_block_that_has_one(digits, votes):
    digits_block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=SoftLabelReader(votes, 'fname', [str(i) for i in range(10)]), splitter=EndSplitter(.2))
    learn = Learner(digits_block.dataloaders([digits/f for f in votes.fname], bs=24, num_workers=0), nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
    with learn.no_bar(): interp = SoftInterpretation.from_learner(learn)
    refused(interp.plot_means, 'is for grades', 'SoftOrdinalBlock')
    refused(lambda: interp.plot_reliability(cumulative=True), 'is for grades')
    assert 'ranked_probability_score' not in interp.scores(n=0).index


# what was read silently as something else

def test_votes_and_shares_among_inferred_grades():
    for labels in ([[3, 0, 0], [0, 2, 1], [1, 2, 0], [1, 1, 1]], [[0, 3, 2], [5, 0, 0], [1, 1, 3], [2, 2, 1]], [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]):
        refused(lambda: SoftOrdinalize().scan(labels), f'sum to {sum(labels[0])} each', 'Counter')
    same = SoftOrdinalize()
    same.scan([[3, 4, 4]]*4)
    assert list(same.vocab) == [3, 4]

def test_sure_labels_that_may_be_ratings():
    refused(lambda: SoftOrdinalize(range(5)).encode([0, 0, 0, 1, 0]), 'may be ratings')
    refused(lambda: SoftOrdinalize([0, .5, 1]).encode([0, .5, .5]), 'may be ratings')
    refused(lambda: SoftOrdinalize(range(-2, 3)).encode([-1, 0, 1, 1, 0]), 'may be ratings')
    assert SoftOrdinalize(range(5)).encode([0., 0., 0., 1., 0.]).tolist() == [0, 0, 0, 1, 0], 'floats are shares'
    assert SoftOrdinalize(range(1, 6)).encode([0, 0, 0, 1, 0]).tolist() == [0, 0, 0, 1, 0], 'of grades without a 0'

@pytest.mark.parametrize('label', (True, [True, False, True], np.array([True, False]), np.True_), ids=str)
def test_yes_and_no_are_no_grades(label): refused(lambda: SoftOrdinalize(range(5)).encode(label), 'a yes or no is no grade')

def test_columns_of_raters_with_numbers():
    ratings = pd.DataFrame({'1': [3, 1, 2, 2, 3, 1], '2': [1, 1, 2, 3, 3, 2], '3': [2, 1, 3, 3, 3, 1]})
    fixed = pd.DataFrame({'1': [3, 1, 2, 2, 3, 1], '2': [1, 1, 2, 1, 1, 2], '3': [1, 3, 1, 2, 1, 2]})
    SoftOrdinalize(['1', '2', '3']).read_columns(fixed, ['1', '2', '3']) # five people each
    with pytest.warns(UserWarning, match='read as votes .* each of their numbers is a grade'): SoftOrdinalize(['1', '2', '3']).read_columns(ratings, ['1', '2', '3'])
    votes = ratings.assign(**{'1': [3, 0, 2, 2, 3, 1]})
    assert SoftOrdinalize(['1', '2', '3']).read_columns(votes, ['1', '2', '3']).shape == (6, 3)
    refused(lambda: SoftOrdinalize(range(1, 6)).read_columns(ratings.set_axis(['r1', 'r2', 'r3'], axis=1), ['r1', 'r2', 'r3']), 'not named as the grades', 'annotators=')

def test_orders_that_nobody_gave():
    for vocab in (pd.Series(['none', 'mild', 'severe', 'mild'], dtype='category'), pd.Categorical(['none', 'mild', 'severe'])):
        refused(lambda: SoftOrdinalize(vocab), 'have no order')
    refused(lambda: SoftOrdinalize(sorted(map(str, range(1, 11))), values=range(10)), 'not in their order')
    refused(lambda: SoftOrdinalize()._learn_vocab(['1', 2, 3, '2']), '2 and \'2\' are one grade')
    assert grades_of(['1', 2, 3]*4) == ['1', 2, 3]
    with pytest.warns(UserWarning, match='Nobody gave'): assert grades_of(['01', '02', '04']*4) == ['01', '02', '03', '04']
    with pytest.warns(UserWarning, match='−1 is taken for the lowest grade'): assert grades_of([-1, 0, 1, 2]*4) == [-1, 0, 1, 2]
    assert grades_of([Counter(np.array([1, 2, 2])), Counter(np.array([3, 3, 1]))]*6) == [1, 2, 3]
    refused(lambda: SoftOrdinalBlock([.5, 1, 2.5]), 'give all in `vocab=`', '`values=[0.5, 1, 2.5]`')

def test_values_that_do_not_fit():
    refused(lambda: SoftOrdinalLossFlat(values=[1, 2, 3])(torch.zeros(2, 5), torch.tensor([0, 1])), '`values` has 3 numbers', '5 grades')
    refused(lambda: SoftGrade([.4, .6], [1, 2], values=[1, 2, 3]), '3 numbers for 2 grades')
    refused(lambda: SoftGrade([.4, .6], [1, 2], values='xy'), 'a number for each grade')
    assert str(SoftGrade([1.], [3])) == '3.0 ± 0.0 (3 1.00)'
    assert SoftOrdinalBlock(range(5), loss_func=SoftOrdinalLossFlat(values=range(5))) is not None

def test_names_without_an_order_have_no_metrics_of_grades():
    df = pd.DataFrame(dict(x=range(40), y=['none', 'mild', 'severe', 'mild']*10))
    refused(lambda: SoftCategoryBlock(loss_func=SoftOrdinalLossFlat), 'a loss for grades', '`SoftOrdinalBlock`')
    for metric in (ranked_probability_score, quadratic_weighted_kappa):
        block = DataBlock(blocks=(RegressionBlock, SoftCategoryBlock), get_x=ColReader('x'), get_y=ColReader('y'), n_inp=1)
        learn = Learner(block.dataloaders(df, bs=8, num_workers=0), nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Linear(1, 3)), metrics=[metric])
        with learn.no_bar(), learn.no_logging(): refused(lambda: learn.validate(), 'in their order', 'SoftOrdinalBlock(vocab=…)')

def test_a_table_with_a_gap_is_predicted():
    from fastai.tabular.all import TabularPandas, tabular_learner
    rng = np.random.default_rng(0)
    df = pd.DataFrame(rng.multinomial(5, [.3, .3, .4], 40), columns=['1', '2', '4']).assign(x=rng.normal(size=40))
    with pytest.warns(UserWarning, match='Nobody gave'):
        to = TabularPandas(df, cont_names=['x'], y_names=['1', '2', '4'], y_block=SoftOrdinalBlock(), splits=(list(range(30)), list(range(30, 40))))
    dls = to.dataloaders(bs=8)
    learn = tabular_learner(dls, layers=[4])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        probs, targets = learn.get_preds(dl=dls.test_dl(df.tail(10), with_labels=True))
        row, *_ = learn.predict(df.iloc[0])
    shares = df[['1', '2', '4']].tail(10).to_numpy()/5
    np.testing.assert_allclose(targets[:, [0, 1, 3]], shares, atol=1e-6)
    assert not targets[:, 2].any() and probs.shape == (10, 4)


# what was refused though it was right

def test_a_reader_inside_of_a_function():
    soft = votes_to_soft(pd.DataFrame(dict(f=list('aaabbcc'), grade=[1, 1, 2, 3, 4, 5, 5])), 'f', label='grade')
    reader = SoftLabelReader(soft, None)
    block = DataBlock(blocks=(RegressionBlock, SoftOrdinalBlock), get_x=lambda f: [1.], get_y=lambda f: reader(f), n_inp=1, splitter=lambda o: ([0, 1], [2]))
    assert list(block.datasets(list('abc')).vocab) == [1, 2, 3, 4, 5]

def test_values_with_the_same_steps():
    for vocab in ([1, 2, 4], ['a', 'b', 'c']): assert SoftOrdinalBlock(vocab, values=range(3), loss_func=SoftOrdinalLossFlat(ce=.5)) is not None
    refused(lambda: SoftOrdinalBlock(['a', 'b', 'c'], values=[0, 1, 3], loss_func=SoftOrdinalLossFlat(ce=.5)), 'give both the same')
    refused(lambda: SoftOrdinalBlock(['a', 'b', 'c'], loss_func=SoftOrdinalLossFlat(values=[0, 1])), 'give both the same')

def test_scores_of_classes_without_an_order():
    df = pd.DataFrame(dict(x=range(40), y=['none', 'mild', 'severe', 'mild']*10))
    block = DataBlock(blocks=(RegressionBlock, SoftCategoryBlock), get_x=ColReader('x'), get_y=ColReader('y'), n_inp=1)
    learn = Learner(block.dataloaders(df, bs=8, num_workers=0), nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Linear(1, 3)))
    with learn.no_bar(): interp = SoftInterpretation.from_learner(learn)
    for metric in (grade_error, quadratic_weighted_kappa): refused(lambda: interp.scores(metric, n=0), 'in their order')
