"Scores of several raters' masks, against their definitions in NumPy, and what is refused."
import copy, itertools, pickle
from functools import partial

import numpy as np, pandas as pd, pytest, torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn
from fastai.vision.all import Learner, set_seed

from fastai_softlabels.all import (best_rater_dice, brier_score, consensus_dice, ged2, matched_dice, rater_agreement, rater_scores, threshold_dice, volume_crps)
from fastai_softlabels.rater_metrics import empirical_crps, gaussian_crps
from conftest import refused
from test_raters import KINDS, block, net

SCORES = [threshold_dice, ged2, best_rater_dice, matched_dice, consensus_dice, volume_crps]


# --- the definitions, an image and a class at a time

def dice(a, b):
    total = a.sum() + b.sum()
    return 2*(a & b).sum()/total if total else 1.

def iou(a, b):
    union = (a | b).sum()
    return (a & b).sum()/union if union else 1.

def by_class(f):
    "The mean over classes of a function of a prediction (K,P) and of masks (R,K,P)"
    return lambda p, y, **kw: np.mean([f(p[k], y[:, k], **kw) for k in range(len(p))])

@by_class
def threshold_oracle(p, y, thresholds=tuple(i/10 for i in range(1, 10))):
    votes = [sum(int(v) for v in pixel) for pixel in y.T]
    return np.mean([dice(p > t, np.array([10*v > round(10*t*len(y), 6) for v in votes])) for t in thresholds])

def ged_oracle(samples, y, pairs='all'):
    def d(a, b): return np.mean([1 - iou(a[k], b[k]) for k in range(len(a))])
    def within(o):
        if len(o) == 1: return 0.
        return np.mean([d(o[i], o[j]) for i in range(len(o)) for j in range(len(o)) if pairs == 'all' or i != j])
    return 2*np.mean([d(s, r) for s in samples for r in y]) - within(samples) - within(y)

def dices(samples, y): return np.array([[np.mean([dice(s[k], r[k]) for k in range(len(s))]) for r in y] for s in samples])

def matched_oracle(samples, y):
    d = dices(samples, y)
    if len(samples) > len(y): d = d.T
    return max(np.mean([d[i, j] for i, j in enumerate(chosen)]) for chosen in itertools.permutations(range(d.shape[1]), len(d)))

@by_class
def consensus_oracle(p, y):
    agreed = (y == y[0]).all(0)
    return dice((p > .5) & agreed, y[0] & agreed)

@by_class
def crps_oracle(p, y, kind='gaussian'):
    v, drawn = p.sum(), y.sum(1)
    if kind == 'empirical': return abs(drawn - v).mean() - abs(drawn[:, None] - drawn).mean()/2
    m, s = drawn.mean(), drawn.std()
    if not s: return abs(v - m)
    def cdf_gap(x, above): return (norm.cdf(x, m, s) - above)**2
    return quad(cdf_gap, m - 12*s - abs(v - m), v, args=(0,), epsabs=1e-9, limit=200)[0] + quad(cdf_gap, v, m + 12*s + abs(v - m), args=(1,), epsabs=1e-9, limit=200)[0]


def drawn(seed, n=4, r=3, k=1, side=5):
    "Masks that share some of their pixels, and probabilities that are not quite theirs"
    rng = np.random.default_rng(seed)
    true = rng.random((n, 1, k, side, side)) < .4
    masks = true ^ (rng.random((n, r, k, side, side)) < .2)
    probs = (.8*masks.mean(1) + .2*rng.random((n, k, side, side))).astype(np.float32)
    return torch.tensor(probs), torch.tensor(masks)

def pixels(o): return o.flatten(-2).numpy()

@pytest.mark.parametrize('k', [1, 3])
@pytest.mark.parametrize('r', [1, 3, 10])
@pytest.mark.parametrize('seed', range(3))
def test_definitions_of_one_prediction(seed, r, k):
    probs, masks = drawn(seed, r=r, k=k)
    p, y = pixels(probs), pixels(masks)
    n = range(len(p))
    close = partial(np.testing.assert_allclose, atol=2e-6)
    close(threshold_dice.by_image(probs, masks, multi=True), [threshold_oracle(p[i], y[i]) for i in n])
    close(consensus_dice.by_image(probs, masks, multi=True), [consensus_oracle(p[i], y[i]) for i in n])
    close(best_rater_dice.by_image(probs, masks, multi=True), [dices([p[i] > .5], y[i]).max() for i in n])
    for kind in ('gaussian', 'empirical'):
        np.testing.assert_allclose(volume_crps.by_image(probs, masks, multi=True, kind=kind), [crps_oracle(p[i].astype(float), y[i], kind=kind) for i in n], rtol=1e-4, atol=1e-5)
    if r > 1:
        for pairs in ('all', 'distinct'):
            close(ged2.by_image(probs, masks, multi=True, pairs=pairs), [ged_oracle([p[i] > .5], y[i], pairs) for i in n])

@pytest.mark.parametrize('s', [1, 2, 4])
@pytest.mark.parametrize('seed', range(3))
def test_definitions_of_samples(seed, s):
    _, masks = drawn(seed)
    _, samples = drawn(seed + 100, r=s)
    y, z = pixels(masks), pixels(samples)
    n, close = range(len(y)), partial(np.testing.assert_allclose, atol=2e-6)
    for pairs in ('all', 'distinct'): close(ged2.by_image(samples.float(), masks, pairs=pairs), [ged_oracle(z[i], y[i], pairs) for i in n])
    close(matched_dice.by_image(samples.float(), masks), [matched_oracle(z[i], y[i]) for i in n])
    close(best_rater_dice.by_image(samples.float(), masks), [dices(z[i], y[i]).max(1).mean() for i in n])
    close(best_rater_dice.by_image(samples.float(), masks, best='sample'), [dices(z[i], y[i]).max(0).mean() for i in n])
    for score in (ged2, matched_dice, best_rater_dice): close(score(samples.float(), masks[:, :, 0]), score(samples.float(), masks))


@pytest.mark.parametrize('score', SCORES, ids=lambda s: s.name)
@pytest.mark.parametrize('k', [1, 3])
def test_a_missing_rater_is_as_one_who_was_never_asked(score, k):
    probs, masks = drawn(5, r=4, k=k)
    gaps = masks.float()
    gaps[:, 2] = torch.nan
    others = masks[:, [0, 1, 3]].float()
    np.testing.assert_allclose(score.by_image(probs, gaps, multi=True), score.by_image(probs, others, multi=True), atol=1e-6)
    if score in (best_rater_dice, matched_dice, consensus_dice): return # who is neither the nearest nor dissents does not matter
    assert score.by_image(probs, masks, multi=True).ne(score.by_image(probs, others, multi=True)).any(), 'that rater mattered'


@pytest.mark.parametrize('score', [s for s in SCORES if s is not volume_crps], ids=lambda s: s.name)
def test_an_unlabelled_pixel_is_as_if_cut_off(score):
    "By all raters"
    probs, masks = drawn(6)
    gaps = masks.float()
    gaps[..., -1:] = torch.nan
    np.testing.assert_allclose(score.by_image(probs, gaps), score.by_image(probs[..., :-1], masks[..., :-1].float()), atol=1e-6)
    np.testing.assert_allclose(volume_crps.by_image(probs, gaps), volume_crps.by_image(probs[..., :-1], masks[..., :-1].float()), atol=1e-4)


def test_exclusive_classes_are_decided_by_the_largest():
    rng = np.random.default_rng(0)
    index = torch.tensor(rng.integers(0, 3, (2, 4, 5, 5)))
    masks = nn.functional.one_hot(index, 3).movedim(-1, 2).float()
    probs = torch.tensor(rng.dirichlet([1, 1, 1], (2, 5, 5)), dtype=torch.float32).movedim(-1, 1)
    hard = nn.functional.one_hot(probs.argmax(1), 3).movedim(-1, 1).bool()
    y, z = pixels(masks.bool()), pixels(hard)
    np.testing.assert_allclose(best_rater_dice.by_image(probs, masks), [dices([z[i]], y[i]).max() for i in range(2)], atol=1e-6)
    np.testing.assert_allclose(ged2.by_image(probs, masks), [ged_oracle([z[i]], y[i]) for i in range(2)], atol=1e-6)
    void = masks.clone()
    void[..., 0] = 0 # without mass: unlabelled
    np.testing.assert_allclose(best_rater_dice.by_image(probs, void), best_rater_dice.by_image(probs[..., 1:], masks[..., 1:]), atol=1e-6)


def test_all_empty():
    none, masks = torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4)
    assert [s(none, masks).item() for s in SCORES] == [1, 0, 1, 1, 1, 0]
    assert [s(none + .9, masks).item() for s in (threshold_dice, best_rater_dice, consensus_dice)] == pytest.approx([1/9, 0, 0]), 'at .9 nothing exceeds'


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize('n', [3, 5, 10, 30, 100])
def test_votes_are_counted(dtype, n):
    "A share that equals a threshold does not exceed it, in no type"
    t = torch.arange(1, n)/n
    votes = torch.stack([(torch.arange(n)[:, None] < k + 1).expand(n, 4) for k in range(n - 1)]).reshape(n - 1, n, 2, 2).to(dtype)
    for i, threshold in enumerate(t.double().tolist()):
        sure = torch.ones(n - 1, 1, 2, 2)
        found = threshold_dice.by_image(sure, votes, thresholds=round(threshold, 10))
        assert found.tolist() == [1. if k > i else 0. for k in range(n - 1)]


def test_crps_far_away():
    "Where the integral over three standard deviations ends"
    volumes = torch.tensor([[[100.], [110], [120]]])
    third = torch.full((1, 3, 1), 1/3)
    for v in (0., 90., 118., 500.):
        exact = crps_oracle_of(v, [100, 110, 120])
        assert gaussian_crps(torch.tensor([[v]]), volumes, third).item() == pytest.approx(exact, rel=1e-4)
    assert gaussian_crps(torch.tensor([[7.]]), torch.full((1, 3, 1), 5.), third).item() == 2
    assert empirical_crps(torch.tensor([[118.]]), volumes, third).item() == pytest.approx(4.88889, abs=1e-4)

def crps_oracle_of(v, drawn):
    m, s = np.mean(drawn), np.std(drawn)
    z = (v - m)/s
    return s*(z*(2*norm.cdf(z) - 1) + 2*norm.pdf(z) - 1/np.sqrt(np.pi))


# --- agreement

def test_agreement_by_hand():
    _, masks = drawn(3, n=5, r=4)
    table = rater_agreement(masks, list('abcde'))
    y = pixels(masks)[:, :, 0]
    assert table.dice.is_monotonic_increasing
    for i, name in enumerate('abcde'):
        pairs = list(itertools.combinations(y[i], 2))
        others = [[m for j, m in enumerate(y[i]) if j != r] for r in range(4)]
        expected = dict(raters=4, dice=np.mean([dice(*p) for p in pairs]), iou=np.mean([iou(*p) for p in pairs]),
                        dice_to_others=np.mean([dice(m, np.mean(o, 0) > .5) for m, o in zip(y[i], others)]), disputed=(y[i].any(0) & ~y[i].all(0)).sum()/y[i].any(0).sum())
        assert table.loc[name].to_dict() == pytest.approx(expected, abs=1e-6)


def test_agreement_where_some_are_missing():
    _, masks = drawn(3, n=3, r=3)
    gaps = masks.float()
    gaps[0, 2] = torch.nan
    gaps[1, 1:] = torch.nan
    table = rater_agreement(gaps).sort_index()
    assert table.raters.tolist() == [2, 1, 3] and table.loc[1, ['dice', 'iou', 'dice_to_others']].isna().all()
    assert table.dice[0] == pytest.approx(dice(*pixels(masks)[0, :2, 0]))
    assert np.isnan(rater_agreement(torch.zeros(1, 2, 3, 3)).disputed[0]), 'nobody marked anything'


def test_who_left_out_pixels_is_compared_on_the_others():
    _, masks = drawn(3, n=2, r=3)
    gaps = masks.float()
    gaps[:, 1, ..., :2] = torch.nan
    y = pixels(masks)[:, :, 0].reshape(2, 3, 5, 5)
    table = rater_agreement(gaps).sort_index()
    for i in range(2):
        there = {r: slice(2, None) if r == 1 else slice(None) for r in range(3)}
        of_others = []
        for r in range(3):
            votes = np.sum([np.where(np.arange(5) < 2, 0, y[i, j]) if j == 1 else y[i, j] for j in range(3) if j != r], 0)
            asked = np.sum([np.where(np.arange(5) < 2, 0, 1) if j == 1 else np.ones(5) for j in range(3) if j != r], 0)
            of_others.append(dice(y[i, r][:, there[r]], (2*votes > asked)[:, there[r]]))
        assert table.dice_to_others[i] == pytest.approx(np.mean(of_others), abs=1e-6)
        pairs = [dice(y[i, a][:, 2:] if 1 in (a, b) else y[i, a], y[i, b][:, 2:] if 1 in (a, b) else y[i, b]) for a, b in itertools.combinations(range(3), 2)]
        assert table.dice[i] == pytest.approx(np.mean(pairs), abs=1e-6)


# --- as metrics, and a model beside people

@pytest.mark.parametrize('kind', KINDS)
def test_in_a_training(kind):
    dls = block(kind)
    scores = [threshold_dice, threshold_dice.using(thresholds='CURVAS'), ged2, best_rater_dice, matched_dice, consensus_dice, volume_crps.using(kind='empirical')]
    set_seed(0)
    learn = Learner(dls, net(dls), metrics=scores)
    with learn.no_bar(), learn.no_logging():
        values = learn.validate()[1:]
        probs, y = learn.get_preds()
    multi = not kind.startswith('exclusive')
    assert list(values) == pytest.approx([s(probs, y, multi).item() for s in (threshold_dice, threshold_dice.using(thresholds='CURVAS'), ged2, best_rater_dice, matched_dice, consensus_dice)]
                                         + [volume_crps(probs, y, multi, kind='empirical').item()], rel=1e-4)
    assert [scores[1].name, scores[5].name] == ['threshold_dice_CURVAS', 'consensus_dice'] and scores[-1].name == 'volume_crps_empirical'


def test_scores_beside_people():
    dls = block('one class', get_y=lambda i: list(drawn(i, n=1, r=4, side=24)[1][0, :, 0].numpy()))
    set_seed(0)
    learn = Learner(dls, net(dls))
    table = rater_scores(learn, n_boot=50)
    with learn.no_bar(): probs, y = learn.get_preds()
    for score in (threshold_dice, ged2, best_rater_dice, consensus_dice, volume_crps):
        row = table.loc[score.name]
        alone = [score.by_image(y[:, r].float(), y[:, [j for j in range(4) if j != r]]) for r in range(4)]
        assert row.model == pytest.approx(score(probs, y).item(), rel=1e-5)
        assert row.people == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)
        assert row.model_low <= row.model <= row.model_high and row.people_low < row.people < row.people_high
    images = rater_scores(learn, by_image=True, n_boot=0)
    np.testing.assert_allclose(images.ged2, ged2.by_image(probs, y), atol=1e-6)
    assert 'model_low' not in rater_scores(learn, n_boot=0) and len(images) == 6
    pd.testing.assert_frame_equal(table, rater_scores(learn, n_boot=50))
    assert not table.equals(rater_scores(learn, n_boot=50, seed=1))


def by_few(i): return rows_by_image(i)[:1 if i % 2 else 3] # one rater of each second image

@pytest.mark.parametrize('n_boot', [0, 20])
def test_both_means_are_over_the_same_images(n_boot):
    "Of half of the images there is one rater, whom nobody can be compared with"
    learn = sure_of_everything(block('one class', get_y=by_few))
    table = rater_scores(learn, n_boot=n_boot)
    with learn.no_bar(): probs, y = learn.get_preds()
    several = y[:, 1].isfinite().flatten(1).any(1)
    assert several.tolist() == [True, False]*3
    for score in (threshold_dice, ged2, best_rater_dice, consensus_dice, volume_crps):
        assert table.model[score.name] == pytest.approx(score(probs[several], y[several]).item(), rel=1e-5)
        assert table.images[score.name] == 3 and table.people[score.name] == pytest.approx(0 if score in (ged2, volume_crps) else 1, abs=1e-6)
    assert table.model.threshold_dice != pytest.approx(threshold_dice(probs, y).item(), rel=.01)


@pytest.mark.filterwarnings('error')
def test_a_score_that_people_have_not():
    "Of two raters one remains to compare with, and GED needs two"
    learn = sure_of_everything(block('one class', get_y=lambda i: rows_by_image(i)[:2]))
    table = rater_scores(learn, n_boot=20)
    with learn.no_bar(): probs, y = learn.get_preds()
    assert np.isnan(table.people.ged2) and table.people.notna().sum() == 4 and (table.images == 6).all()
    assert table.model.ged2 == pytest.approx(ged2(probs, y).item(), rel=1e-5)
    alone = sure_of_everything(block('one class', get_y=lambda i: rows_by_image(i)[:1]))
    for by_image in (False, True): refused(lambda: rater_scores(alone, by_image=by_image), 'No image has two raters, so none of them can be compared with others', '`SoftDice` and `DiceAt`')
    assert rater_scores(learn, scores=ged2, n_boot=0).index.tolist() == ['ged2']


def test_masks_of_each_image_in_a_list():
    masks = torch.rand(3, 2, 5, 5) > .5
    pd.testing.assert_frame_equal(rater_agreement(list(masks.numpy())), rater_agreement(masks))


def sure_of_everything(dls) -> Learner:
    "A model that gives each pixel the logit 3"
    learn = Learner(dls, net(dls))
    for o in learn.model.parameters(): o.data.zero_()
    learn.model[-1].bias.data.fill_(3.)
    return learn

def rows_by_image(i): return [np.add.outer(np.arange(24), np.zeros(24)) < 2 + 3*(i % 6)]*3

def test_the_interval_is_over_people_too():
    "Images that are all alike, and people who are not: only another draw of people changes the score"
    shapes = [np.add.outer(np.arange(12), np.zeros(12)) < n for n in (3, 5, 7, 9)]
    shapes = [np.kron(s, np.ones((2, 2))) > 0 for s in shapes]
    dls = block('one class', get_y=lambda i: shapes)
    learn = sure_of_everything(dls)
    table = rater_scores(learn, dls.valid, n_boot=200)
    y = torch.tensor(np.stack(shapes))[None]
    ones = torch.full((1, 1, 24, 24), torch.tensor(3.).sigmoid())
    by_draw = [threshold_dice(ones, y[:, list(people)]).item() for people in itertools.product(range(4), repeat=4)]
    low, high = np.quantile(by_draw, [.025, .975])
    assert table.loc['threshold_dice', ['model_low', 'model_high']].tolist() == pytest.approx([low, high], abs=.06)
    assert table.model_low.threshold_dice < table.model.threshold_dice < table.model_high.threshold_dice


def test_the_interval_is_over_images_too():
    "People who all draw the same, on images of which some are easier"
    dls = block('one class', get_y=rows_by_image)
    learn = sure_of_everything(dls)
    row = rater_scores(learn, scores=[best_rater_dice], n_boot=400).iloc[0]
    each = np.array([2*n/(n + 24) for n in 2 + 3*np.arange(6)]) # of the rows that are marked, where all are found
    assert row.model == pytest.approx(each.mean(), abs=1e-6) and row.people == row.people_low == row.people_high == 1
    drawn = np.random.default_rng(0).choice(each, (20_000, 6)).mean(1)
    assert [row.model_low, row.model_high] == pytest.approx(np.quantile(drawn, [.025, .975]).tolist(), abs=.04)


def test_images_have_their_own_rows():
    "Also those of a shuffled loader"
    dls = block('one class', get_y=rows_by_image)
    learn = sure_of_everything(dls)
    table = rater_scores(learn, dls.train, scores=[best_rater_dice], by_image=True, n_boot=0)
    assert table.best_rater_dice.tolist() == pytest.approx([2*n/(n + 24) for n in 2 + 3*np.arange(6)], abs=1e-6)
    assert table.index.tolist() == list(range(6))


@pytest.mark.parametrize('score', [ged2, threshold_dice.using(thresholds=[.2, .5])], ids=['plain', 'with options'])
def test_scores_travel(score):
    for twin in (pickle.loads(pickle.dumps(score)), copy.deepcopy(score)):
        assert twin.name == score.name and twin.options == score.options
        probs, masks = drawn(0)
        assert twin(probs, masks) == score(probs, masks)


# --- what is refused

P, Y = drawn(0)
BAD = {
    'bytes': (lambda: ged2(P, Y*torch.tensor(255, dtype=torch.uint8)), "masks hold 255", 'Divide masks of bytes by 255'),
    'counts': (lambda: ged2(P, Y*3), "masks hold 3", 'counts by their number'),
    'negative': (lambda: ged2(P, -Y.float()), "masks hold -1"),
    'a mean mask of several classes': (lambda: ged2(torch.rand(2, 3, 4, 4).softmax(1), torch.rand(2, 3, 4, 4)), 'expected (N,R,K,H,W) for K = 3 classes', 'A mean mask has forgotten its raters'),
    'another size': (lambda: ged2(P, Y[..., :-1]), "of (5, 5) pixels, the raters' masks of 4 of (5, 4)", 'Resize'),
    'other images': (lambda: ged2(P, Y[:2]), 'predictions are of 4 images', 'masks of 2'),
    'logits': (lambda: ged2(P*9, Y), 'which is no probability'),
    'one rater': (lambda: ged2(P, Y[:, :1]), '`ged2` needs 2 raters, and no image has more than 1'),
    'nobody': (lambda: threshold_dice(P, Y.float()*torch.nan), 'needs 1 raters, and no image has more than 0'),
    'agreement of one': (lambda: rater_agreement(Y[:, :1]), 'Agreement needs two raters', 'NaN everywhere'),
    'ragged': (lambda: rater_agreement([Y[0], Y[1, :2]]), 'masks of the images differ in size or number', 'masks of NaN where a rater is missing'),
    'an axis too many': (lambda: ged2(P, Y[..., None]), 'have shape', 'expected (N,R,K,H,W) or (N,R,H,W) for K = 1 class'),
    'agreement of no images': (lambda: rater_agreement(Y[:0]), 'no image has more than 0'),
    'one image': (lambda: rater_agreement(Y[0, :, 0]), 'expected (N,R,K,H,W), or (N,R,H,W) of one class', '`masks[None]`'),
    'names': (lambda: rater_agreement(Y, ['a']), 'There are 1 names for 4 images'),
    'samples of one class': (lambda: ged2(torch.rand(4, 2, 5, 5), Y), 'expected (N,R,K,H,W) for K = 2 classes'),
    'samples for a score of one': (lambda: threshold_dice(torch.rand(4, 2, 1, 5, 5), Y), 'takes one prediction for each image, and these are 2', "samples' mean"),
    'thresholds outside': (lambda: threshold_dice(P, Y, thresholds=[0, .5]), 'Each of thresholds is 0; expected a share of the raters in (0,1)'),
    'thresholds in disorder': (lambda: threshold_dice(P, Y, thresholds=[.5, .3]), 'expected each once, in increasing order'),
    'a threshold twice': (lambda: threshold_dice(P, Y, thresholds=[.5, .5]), 'expected each once'),
    'no threshold': (lambda: threshold_dice(P, Y, thresholds=[]), 'thresholds is empty'),
    'unknown set': (lambda: threshold_dice(P, Y, thresholds='LIDC'), "expected 'QUBIQ', 'D-Persona' or 'CURVAS'"),
    'unknown pairs': (lambda: ged2(P, Y, pairs='some'), "expected 'all' or 'distinct'"),
    'unknown best': (lambda: best_rater_dice(P, Y, best='all'), "expected 'rater' or 'sample'"),
    'unknown kind': (lambda: volume_crps(P, Y, kind='normal'), "expected 'gaussian' or 'empirical'"),
    'option of a metric': (lambda: ged2.using(pairs='some'), "expected 'all' or 'distinct'"),
    'texts': (lambda: ged2(P, [['a']]), "The raters' masks are a list"),
    'other metrics': (lambda: rater_scores(None, scores=[brier_score]), 'expected scores of raters such as `threshold_dice`'),
    'level': (lambda: rater_scores(None, level=95), 'level is 95'),
}

@pytest.mark.parametrize('name', BAD)
def test_refused(name):
    call, *words = BAD[name]
    refused(call, *words)


def test_a_batch_without_raters_is_refused():
    dls = block('one class', raters=False)
    learn = Learner(dls, net(dls), metrics=ged2)
    with learn.no_bar(): refused(learn.validate, "compares with the masks of all raters (N,R,K,H,W), but this batch's are (6, 1, 24, 24)", 'SoftMaskBlock(raters=True)')
    refused(lambda: rater_scores(learn), 'SoftMaskBlock(raters=True)')


def test_batches_without_masks_or_with_more_targets():
    dls = block('one class')
    learn = Learner(dls, net(dls))
    refused(lambda: rater_scores(learn, dls.test_dl([0, 1])), 'The batch has no masks', 'with_labels=True')
