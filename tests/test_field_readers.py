"What two readers of the code found: each was read as something else, or gave another number than its docstring says."
import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import ColReader, DataBlock, IndexSplitter, Learner, TransformBlock
from torch import nn

from fastai_softlabels.all import *
from fastai_softlabels.calibrate import _threshold
from fastai_softlabels.mask_files import mask_planes
from conftest import refused


def get_x(r): return torch.tensor([float(r['x'] if not hasattr(r, '_fields') else r.x)])

def loaders(items, block, get_y, valid=(0, 1)):
    return DataBlock(blocks=(TransformBlock, block), get_x=get_x, get_y=get_y, splitter=IndexSplitter(list(valid))).dataloaders(items, bs=2, num_workers=0)

def labels(dl): return torch.cat([b[1] for b in dl]).tolist()


# columns of numbers, and a table of another type

HARD = pd.DataFrame(dict(x=range(6), a=[0, 1, 0, 1, 0, 1], b=[1, 1, 0, 0, 1, 0]))
SOFT = pd.DataFrame(dict(x=range(4), a=[.7, .3, 1., .9], b=[.5, .6, 0., .2]))

def test_trained_on_hard_labels_and_tested_on_soft_ones():
    dls = loaders(HARD, SoftMultiCategoryBlock, ColReader(['a', 'b']))
    np.testing.assert_allclose(labels(dls.test_dl(SOFT, with_labels=True)), SOFT[['a', 'b']], rtol=1e-6)
    np.testing.assert_allclose(labels(dls.test_dl(SOFT.astype(str).assign(x=1), with_labels=True)), SOFT[['a', 'b']], rtol=1e-6)

def test_trained_on_votes_and_tested_on_shares():
    votes = HARD.assign(a=[3, 1, 2, 2, 0, 4], b=[1, 3, 2, 2, 4, 0])
    shares = SOFT.assign(b=1 - SOFT.a)
    for kw in ({}, dict(ignore=True)):
        dls = loaders(votes, SoftCategoryBlock(**kw), ColReader(['a', 'b']))
        np.testing.assert_allclose(labels(dls.test_dl(shares, with_labels=True)), shares[['a', 'b']], rtol=1e-6)
    parts = pd.DataFrame(dict(x=[1], a=[2.3], b=[1.7]))
    refused(lambda: labels(dls.test_dl(parts, with_labels=True)), 'sum to 4')
    gap = pd.DataFrame(dict(x=[1, 1], a=[np.nan, 3], b=[np.nan, 1]))
    assert labels(dls.test_dl(gap, with_labels=True)) == [[0, 0], [.75, .25]], 'what is missing is unlabelled'

def rows_by_name():
    df = HARD.assign(a=[3, 1, 2, 1, 0, 1])
    return {'table': df, 'dicts': df.to_dict('records'), 'named tuples': list(df.itertuples(index=False)), 'Series': [r for _, r in df.iterrows()]}

@pytest.mark.parametrize('form', ['table', 'dicts', 'named tuples', 'Series'])
def test_columns_of_rows_that_are_no_table(form):
    dls = loaders(rows_by_name()[form], SoftCategoryBlock(['b', 'a'], ignore=True), ColReader(['a', 'b']))
    assert labels(dls.valid) == [[.25, .75], [.5, .5]]
    refused(lambda: loaders(rows_by_name()[form], SoftCategoryBlock(['cat', 'dog'], ignore=True), ColReader(['a', 'b'])), 'are not named as the classes')


# a new index

def test_a_test_table_with_a_new_index():
    df = pd.DataFrame(dict(f=[f'{i}.png' for i in range(8)], x=range(8), a=[1]*5 + [0]*3, b=[0]*5 + [1]*3))
    dls = loaders(df[:5], SoftCategoryBlock, SoftLabelReader(df, None, ['a', 'b']))
    assert labels(dls.test_dl(df[5:], with_labels=True)) == [[0, 1]]*3
    refused(lambda: labels(dls.test_dl(df[5:].reset_index(drop=True), with_labels=True)), 'the row of that name in the table of labels has another')


# risk and coverage

@pytest.mark.parametrize('n', [10, 20, 100, 1000])
@pytest.mark.parametrize('coverage', [.3, .7, .9, .95, 1.])
def test_a_share_of_the_answers_is_rounded_up_once(n, coverage):
    error = np.arange(n)/n
    k = int(np.ceil(round(coverage*n, 6)))
    assert risk_at_coverage(np.linspace(1, .1, n), error, coverage) == pytest.approx(error[:k].mean(), abs=1e-9)
    assert risk_coverage(np.linspace(1, .1, n), error).coverage.tolist() == [i/n for i in range(1, n + 1)]

def test_a_threshold_between_neighbours():
    found = []
    for x in np.linspace(.9, .91, 200, dtype=np.float32):
        b = torch.tensor(x)
        a = torch.nextafter(b, torch.tensor(0.))
        thresh = torch.tensor(_threshold(torch.stack([b, a]), 1))
        found.append((bool(b >= thresh), bool(a >= thresh)))
    assert set(found) == {(True, False)}


# votes

def test_shares_of_votes_are_not_lost():
    s = pd.DataFrame(dict(i=['x']*2 + ['y']*3, l=['a', '?', 'a', 'a', 'a']))
    soft = votes_to_soft(s, 'i', label='l', vocab=list('abc'), unsure='?', unsure_as='spread', min_votes=2)
    assert soft.n_votes.to_dict() == {'x': 2, 'y': 3}
    w = pd.DataFrame(dict(i=['x']*3, l=list('abc'), w=[.7, .2, .1]))
    assert list(votes_to_soft(w, 'i', label='l', weight='w', min_votes=1).index) == ['x']

def test_unsure_is_no_grade():
    df = pd.DataFrame(dict(i=list('aabbcc'), l=['1', '?', '2', '3', '1', '1']))
    soft = votes_to_soft(df, 'i', label='l', unsure=['?'], unsure_as='class', vocab=['1', '2', '3'])
    with pytest.warns(UserWarning): krippendorff_alpha(soft, 'ordinal')

def test_grades_of_an_ordered_column():
    grades = pd.Categorical(['mild', 'severe', 'none'], ['none', 'mild', 'severe'], ordered=True)
    df = pd.DataFrame(dict(i=list('abc'), l=grades))
    assert votes_to_soft(df, 'i', label='l', vocab=df.l.unique()).attrs['classes'] == ['none', 'mild', 'severe']

def test_a_row_of_a_pivot_by_rater():
    long = pd.DataFrame(dict(f=list('aabb'), rater=['anna', 'ben']*2, grade=[1, 3, 2, 2]))
    wide = long.pivot(index='f', columns='rater', values='grade')
    refused(lambda: loaders(pd.DataFrame(dict(x=[1, 2]), index=list('ab')), SoftCategoryBlock(['anna', 'ben']), lambda r: wide.loc[r.name], valid=[1]), "is named 'rater'", '`answers.value_counts()`')

@pytest.mark.parametrize('name, is_people', [('rater', True), ('Reader ID', True), ('expert_label', False), ('diagnosis', False), ('graders', True), (None, False)])
def test_an_index_of_people_or_of_what_they_said(name, is_people):
    answers = pd.Series([1, 3], pd.Index(['anna', 'ben'], name=name))
    if is_people: refused(lambda: SoftCategorize(['anna', 'ben']).encode(answers), 'seem to be the answers of people')
    else: assert SoftCategorize(['anna', 'ben']).encode(answers).tolist() == [.25, .75]

def test_an_annotator_of_blanks(): refused(lambda: votes_to_soft(pd.DataFrame(dict(i=list('ab'), l=list('xy'), who=['anna', ' '])), 'i', label='l', annotator='who'), 'is missing')

def test_one_label_again_and_again():
    "as a smoke test has it"
    tfm = SoftCategorize()
    tfm.scan([{'a': .5, 'b': .25, 'c': .25}]*6)
    assert list(tfm.vocab) == ['a', 'b', 'c']


# targets

def test_indices_in_eight_bits():
    targets = torch.tensor([156, 3], dtype=torch.uint8)
    loss = SoftCrossEntropyLossFlat(reduction='none')(torch.zeros(2, 200), targets)
    torch.testing.assert_close(loss, nn.functional.cross_entropy(torch.zeros(2, 200), targets.long(), reduction='none'))

def test_entropy_of_halves():
    p = torch.full((2, 1000), .001)
    torch.testing.assert_close(entropy(p.half()), entropy(p.half().float()))


# raters' masks

def organs() -> torch.Tensor:
    "Masks (1,2,2,32,32) of two classes without a background, on which two raters half agree"
    m = torch.zeros(1, 2, 2, 32, 32)
    m[0, 0, 0, :16, :16] = m[0, 1, 0, :16, 8:24] = m[0, 0, 1, 20:30, :6] = m[0, 1, 1, 20:30, 3:9] = 1
    return m

def test_masks_without_a_background():
    m = organs()
    with pytest.warns(UserWarning, match='Is the plane of the background missing'): rater_agreement(m)
    assert rater_agreement(m, multi=True).dice[0] == pytest.approx(.5)
    alone = torch.cat([m, torch.full_like(m[:, :1], torch.nan)], 1) # a third rater is missing
    with pytest.warns(UserWarning, match='Is the plane of the background missing'): rater_agreement(alone)
    whole = torch.cat([1 - m.sum(2, keepdim=True), m], 2)
    assert rater_agreement(whole).dice[0] < 1
    m[0, 0, 1, :4, :4] = 1
    for call in (lambda: rater_agreement(m), lambda: ged2(torch.rand(1, 2, 32, 32).softmax(1), m)):
        with pytest.warns(UserWarning): refused(call, 'so that their classes overlap', '`multi=True`')

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_raters_scores_under_autocast(dtype):
    p, y = torch.ones(1, 1, 512, 512), torch.ones(1, 2, 1, 512, 512)
    y[:, 1, :, :, 256:] = 0
    plain = [score(p, y).item() for score in (ged2, best_rater_dice, consensus_dice)]
    with torch.autocast('cpu', dtype=dtype):
        assert [score(p, y).item() for score in (ged2, best_rater_dice, consensus_dice)] == pytest.approx(plain, abs=1e-6)
        assert rater_agreement(y).dice[0] == pytest.approx(2/3, abs=1e-6)

def test_lists_of_raters_masks():
    p, y = torch.rand(2, 1, 8, 8), (torch.rand(2, 3, 1, 8, 8) > .5).float()
    assert ged2(p, list(y.numpy())).item() == pytest.approx(ged2(p, y).item())

class Batch:
    "What a metric asks a `Learner` for"
    def __init__(self, pred, y, loss): self.pred, self.yb, self.loss_func, self.to_detach = pred, (y,), loss, lambda t: t

@pytest.mark.parametrize('metric', [SoftDice(), DiceAt(), threshold_dice, consensus_dice, ged2, best_rater_dice], ids=lambda m: m.name)
def test_a_model_that_gives_nan(metric):
    of_raters = isinstance(metric, type(ged2))
    y = torch.zeros(2, 3, 1, 8, 8) if of_raters else torch.zeros(2, 1, 8, 8)
    pred = torch.zeros(2, 1, 8, 8)
    pred[0, 0, 3, 3] = torch.nan
    metric.reset()
    metric.accumulate(Batch(pred, y, SoftDiceLoss(activation='sigmoid')))
    assert np.isnan(float(metric.value))


# masks

def test_each_kind_of_warning_is_given_once():
    tfm = OpenSoftMask(['lesion'])
    with pytest.warns(UserWarning, match='index mask'): tfm.encode(np.eye(8, dtype=np.uint8))
    percent = np.linspace(0, 100, 64).reshape(8, 8).astype(np.uint8)
    with pytest.warns(UserWarning, match='percentages'): tfm.encode(percent)
    tfm.encode(percent)

def test_planes_that_overlap_in_large_integers():
    organ = np.zeros((8, 8), int)
    organ[2:6, 2:6] = 255
    tumour = np.where(np.arange(8) < 4, organ, 0)
    said = []
    mask_planes(np.stack([255 - organ, organ, tumour]), ['bg', 'organ', 'tumour'], True, 'm.npy', said.append)
    assert 'whose sum varies' in said[0]


# interpretation and comparison

def flat_learner(dls): return Learner(dls, nn.Linear(1, dls.c), metrics=[])

def test_unlabelled_items_contradict_nobody():
    df = HARD.assign(a=[1, 0, 0, 1, 1, 0], b=[0, 1, 0, 0, 0, 1])
    learn = flat_learner(loaders(df, SoftCategoryBlock(ignore=True), ColReader(['a', 'b']), valid=range(4)))
    with learn.no_bar(): said = SoftInterpretation.from_learner(learn).suspicious_labels(10)
    assert len(said) == 3 and 'unlabelled' not in said.label.tolist()

def test_two_splits_are_compared_with_a_warning():
    a, b = (flat_learner(loaders(HARD.assign(b=1 - HARD.a), SoftCategoryBlock, ColReader(['a', 'b']), valid=v)) for v in ([0, 1], [1, 2]))
    strangers = pd.DataFrame(dict(x=[50, 60]))
    with a.no_bar(), b.no_bar():
        with pytest.warns(UserWarning, match="share 1 of 2 items"): compare_confidence({'a': a, 'b': b}, strangers, plot=False)
        compare_confidence({'a': a, 'again': a}, strangers, plot=False)
