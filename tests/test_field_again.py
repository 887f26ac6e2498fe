"What new users gave, a second time: each value right, or refused in words."
import json, re, warnings
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import (BCEWithLogitsLossFlat, ColReader, CrossEntropyLossFlat, DataBlock, DataLoaders, EarlyStoppingCallback, EndSplitter, Flatten, ImageBlock,
                               IndexSplitter, Learner, MSELossFlat, ReduceLROnPlateau, SaveModelCallback, TransformBlock, noop)
from PIL import Image
from torch import nn

from fastai_softlabels.all import (DONT_KNOW, DiceAt, OODConfidence, OpenSoftMask, SoftBCEWithLogitsLossFlat, SoftCategorize, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftDice, SoftDiceLoss,
                                   SoftECE, SoftInterpretation, SoftLabelError, SoftLabelReader, SoftMultiCategorize, SoftMultiCategoryBlock, TensorSoftCategory, abstain, bootstrap_interval, brier_score, calibration_error,
                                   entropy_correlation, js_divergence, kl_divergence, krippendorff_alpha, on_target, preds_to_soft, soft_accuracy, soft_cross_entropy, temperature_scale,
                                   top1_agreement, total_variation, votes_to_soft)
from fastai_softlabels.blocks import check_same_classes
from fastai_softlabels.calibrate import best_temperature
from fastai_softlabels.losses import SoftLoss, temperature_of
from fastai_softlabels.scores import augrc, aurc, coverage_at_risk, risk_at_coverage, risk_coverage
from fastai_softlabels.vote_files import read_label_studio
from conftest import refused

ANIMALS = ['owl', 'ant', 'fox']
BLANK = TransformBlock(type_tfms=[lambda o: torch.tensor([1.])])


def labels(get_y, block, items=('a', 'b', 'c')):
    "Vocab and training labels"
    dls = DataBlock((BLANK, block), get_y=get_y, splitter=IndexSplitter([len(items) - 1])).dataloaders(items if hasattr(items, 'iloc') else list(items), bs=2, num_workers=0)
    return list(dls.vocab), [y.tolist() for _, y in dls.train_ds]


# --- integers where integers name the classes

@pytest.mark.parametrize('form', [np.array, torch.tensor, lambda v: [np.int64(i) for i in v], list, tuple, pd.array], ids=['array', 'tensor', 'numbers of NumPy', 'list', 'tuple', 'pandas'])
@pytest.mark.parametrize('cls', [SoftCategorize, SoftMultiCategorize])
def test_grades_of_readers_may_be_votes_or_counts(form, cls):
    refused(lambda: cls([1, 2, 3]).encode(form([3, 3, 2])), 'votes for classes named [1, 2, 3]')


def test_counts_of_classes_that_are_integers():
    tfm = SoftCategorize([1, 2, 3])
    for form in ({3: 2, 2: 1}, Counter([3, 3, 2]), pd.Series([3, 3, 2]).value_counts(), pd.crosstab(['a']*3, pd.Series([3, 3, 2], name='grade')).loc['a']):
        assert tfm.encode(form).tolist() == pytest.approx([0, 1/3, 2/3])
    assert tfm.encode(np.array([0., 1/3, 2/3])).tolist() == pytest.approx([0, 1/3, 2/3])
    assert tfm.encode(np.array([0, 11, 22])).tolist() == pytest.approx([0, 1/3, 2/3]) # no class is called 11


@pytest.mark.parametrize('index', [[0, 1, 2], None], ids=['cut out', 'made anew'])
def test_a_series_of_answers_is_not_one_by_class(index):
    raw = pd.DataFrame(dict(f=['x']*3, grade=[2, 2, 1]))
    o = raw[raw.f == 'x'].grade
    refused(lambda: SoftCategorize([0, 1, 2]).encode(o if index else o.reset_index(drop=True)), 'votes for classes')


def test_columns_of_counts_are_named_whatever_they_hold():
    df = pd.DataFrame({'0': [1, 2, 0], '1': [2, 0, 1]})
    df.columns = [0, 1]
    assert labels(ColReader([0, 1]), SoftCategoryBlock, df)[1] == [pytest.approx([1/3, 2/3]), [1., 0.]]


# --- names

@pytest.mark.parametrize('gap', ['None', 'N/A', 'n/a', 'null', 'NULL', 'NA', '-', '--', '?', '…'])
def test_a_missing_answer_is_no_class(gap):
    votes = pd.DataFrame(dict(f=list('aab'), who=list('xyx'), lab=['cat', gap, 'dog']))
    refused(lambda: votes_to_soft(votes, 'f', label='lab', annotator='who'), 'looks like a missing')
    refused(lambda: labels(lambda f: {'a': 'cat', 'b': gap, 'c': 'dog'}[f], SoftCategoryBlock), 'looks like a missing')
    assert gap in votes_to_soft(votes, 'f', label='lab', annotator='who', vocab=['cat', 'dog', gap])
    assert votes_to_soft(votes, 'f', label='lab', annotator='who', unsure=[gap]).columns.tolist()[:2] == ['cat', 'dog']


def test_plus_and_minus_are_names():
    assert labels(lambda f: {'a': '+', 'b': '-', 'c': '+'}[f], SoftCategoryBlock)[0] == ['+', '-']


def test_yes_and_no_are_no_independent_classes():
    refused(lambda: labels(lambda f: {'a': 'Yes', 'b': 'No', 'c': 'No'}[f], SoftMultiCategoryBlock), 'a yes and a no rather than classes')


def test_a_categorical_is_votes_with_and_without_a_vocab():
    for vocab in (None, ['cat', 'dog']):
        assert labels(lambda f: pd.Categorical(['cat', 'cat', 'dog', 'dog']) if f == 'b' else 'cat', SoftCategoryBlock(vocab))[1][1] == [.5, .5]


# --- what stands beside the classes

def table():
    votes = pd.DataFrame(dict(image=list('aaabbbccc'), l=list('xyzxxyzzz'), who=list('xyz')*3))
    return votes, votes_to_soft(votes, 'image', label='l', annotator='who')

def test_columns_beside_the_classes_are_no_classes():
    votes, soft = table()
    for normalize in (False, True): refused(lambda: labels(lambda f: soft.loc[f], SoftCategoryBlock(normalize=normalize)), 'beside the classes')
    refused(lambda: labels(ColReader(list(soft.columns)), SoftCategoryBlock(normalize=True), soft.reset_index()), 'beside the classes')
    assert labels(lambda f: soft.loc[f, soft.attrs['classes']], SoftCategoryBlock)[0] == ['x', 'y', 'z']


@pytest.mark.parametrize('form', [lambda row: row, dict], ids=['Series', 'dict'])
def test_a_total_is_no_class(form):
    votes, _ = table()
    counts = pd.crosstab(votes.image, votes.l, margins=True)
    refused(lambda: labels(lambda f: form(counts.loc[f]), SoftCategoryBlock), 'is the sum of the others')


def test_shares_are_not_divided_again():
    _, soft = table()
    refused(lambda: SoftLabelReader(soft, None, multi=True, n_votes='n_votes'), 'shares already')
    refused(lambda: SoftLabelReader(pd.DataFrame(dict(f=['a', 'b'], owl=[.4, 1.], fox=[.8, 0.])), 'f', ['owl', 'fox'], multi=True, n_votes=10), 'shares already')
    kept = SoftLabelReader(pd.DataFrame(dict(f=['a', 'b'], owl=[1, 0], fox=[1, 1])), 'f', ['owl', 'fox'], multi=True, n_votes=2)
    assert kept('a').tolist() == [.5, .5]


def test_rows_that_a_new_index_has_moved():
    df = pd.DataFrame(dict(fname=[f'p{i}.png' for i in range(6)], owl=[1, 2, 3, 0, 1, 2], ant=1, fox=2))
    moved = df.sample(frac=1, random_state=3).reset_index(drop=True)[['fname']]
    refused(lambda: labels(SoftLabelReader(df, None, ANIMALS), SoftCategoryBlock, moved), 'index made anew', "item='fname'")
    assert len(labels(SoftLabelReader(df, None, ANIMALS), SoftCategoryBlock, df[['fname']])[1]) == 5
    assert len(labels(SoftLabelReader(df, 'fname', ANIMALS), SoftCategoryBlock, moved)[1]) == 5


def test_columns_named_as_people_are_doubted():
    answers = pd.DataFrame(dict(id=list('abcd'), rater_1=[0, 2, 1, 1], rater_2=[1, 2, 1, 0]))
    with pytest.warns(UserWarning, match=r"named as annotators are.*annotators=\['rater_1', 'rater_2'\]"): SoftLabelReader(answers, 'id', ['rater_1', 'rater_2'])
    with pytest.warns(UserWarning, match='named as annotators are'): labels(ColReader(['rater_1', 'rater_2']), SoftCategoryBlock, answers)


# --- the order of grades

def test_the_order_of_a_categorical_is_kept():
    grades = pd.Categorical(['low', 'medium', 'high', 'high', 'high', 'medium', 'low', 'low', 'medium'], ['low', 'medium', 'high'], ordered=True)
    votes = pd.DataFrame(dict(image=list('aaabbbccc'), who=list('xyz')*3, l=grades))
    kw = dict(item='image', label='l', annotator='who')
    soft, named = votes_to_soft(votes, **kw), votes_to_soft(votes.astype({'l': str}), vocab=['low', 'medium', 'high'], **kw)
    assert soft.columns.tolist() == named.columns.tolist() and krippendorff_alpha(soft, 'ordinal') == pytest.approx(krippendorff_alpha(named, 'ordinal'))
    with pytest.warns(UserWarning, match=r"order of the classes is taken to be \['high', 'low', 'medium'\].*vocab="): krippendorff_alpha(votes_to_soft(votes.astype({'l': str}), **kw), 'ordinal')


# --- predictions

@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12): Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(tmp_path/f'{i:02d}.png')
    return sorted(tmp_path.glob('*.png'))

def learner(files, loss=None, vocab=ANIMALS, **kwargs):
    block = DataBlock((ImageBlock, SoftCategoryBlock(vocab)), get_y=lambda f: [.5, .3, .2], splitter=EndSplitter(.5))
    torch.manual_seed(0)
    return Learner(block.dataloaders(files, bs=4, num_workers=0, device='cpu'), nn.Sequential(Flatten(), nn.Linear(192, 3)), loss_func=loss, **kwargs)


def test_the_probability_of_a_prediction_is_a_number(files):
    learn = learner(files)
    with learn.no_bar(): pred, idx, probs = learn.predict(files[0])
    assert f'{probs[idx]:.4f}' == f'{float(probs.max()):.4f}' and type(f'{probs}') is str
    assert f'{TensorSoftCategory(torch.tensor(.25)):.1f}' == '0.2'


def test_an_abstention_has_the_index_of_no_class(files):
    learn = learner(files)
    abstain(learn, keep=.5)
    with learn.no_bar(): answers = [learn.predict(f) for f in files]
    unsure = [(p, i, probs) for p, i, probs in answers if p.is_unsure]
    assert 0 < len(unsure) < len(files)
    for p, i, probs in unsure:
        assert p.label == DONT_KNOW and int(i) == 3
        with pytest.raises(IndexError): learn.dls.vocab[i]
        with pytest.raises(IndexError): probs[i]
    for p, i, probs in answers:
        if not p.is_unsure: assert learn.dls.vocab[i] == p.label


def test_a_class_called_dont_know_is_no_abstention(files):
    refused(lambda: abstain(learner(files, vocab=["don't know", 'b', 'c'])), 'Give the class another name')


class Wrong(SoftLoss):
    "A loss of one's own whose `activation` gives no probabilities of classes"
    reads = 'softmax'
    def __init__(self, activation):
        super().__init__(-1, 'mean')
        self.activation = activation
    def forward(self, z, y): return (z - y).square().mean()
    def decodes(self, x): return x.argmax(-1)

@pytest.mark.parametrize('loss', [MSELossFlat(), Wrong(lambda z: z), Wrong(lambda z: z.softmax(0)), Wrong(lambda z: z.log_softmax(1))], ids=['MSE', 'logits', 'wrong axis', 'log'])
@pytest.mark.parametrize('metric', [brier_score, kl_divergence, SoftECE(), entropy_correlation], ids=['brier', 'kl', 'ece', 'correlation'])
def test_numbers_that_are_no_probabilities_make_no_metric(files, loss, metric):
    learn = learner(files, loss, metrics=[metric])
    with learn.no_bar(), learn.no_logging():
        refused(learn.validate, 'no distribution over the classes')
        refused(lambda: preds_to_soft(learn, files[:3]), 'What the loss makes of the prediction')
        refused(lambda: SoftInterpretation.from_learner(learn), 'no distribution over the classes')
        learn.metrics = []
        refused(lambda: SoftInterpretation.from_learner(learn), 'predictions is not a distribution')


def test_masks_of_bytes_make_no_metric():
    probs, masks = torch.rand(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > .5).float()
    refused(lambda: SoftDice()(probs, 255*masks), 'is not probabilities')
    data = [(torch.rand(1, 8, 8), 255*(torch.rand(1, 8, 8) > .5).float()) for _ in range(4)]
    dls = DataLoaders(*(torch.utils.data.DataLoader(data, batch_size=2) for _ in range(2)))
    learn = Learner(dls, nn.Conv2d(1, 1, 1), loss_func=SoftDiceLoss(), metrics=SoftDice())
    with learn.no_bar(): refused(learn.validate, 'outside [0,1]', 'by 255')


@pytest.mark.parametrize('items', [lambda fs: pd.DataFrame(dict(f=fs)), lambda fs: [f.name for f in fs], lambda fs: [f.stem for f in fs]], ids=['table', 'names', 'stems'])
def test_items_of_another_kind_are_named(files, items):
    refused(lambda: preds_to_soft(learner(files), items(files)), 'cannot read the items as those of the training are', 'Expected items like')


def test_an_ood_set_of_tensors(files):
    refused(lambda: OODConfidence(torch.rand(4, 3, 8, 8)) and learner(files).fit(1, cbs=OODConfidence(torch.rand(4, 3, 8, 8))), 'Tensor of shape (4, 3, 8, 8)', 'DataLoader')


def test_the_temperature_of_a_learner_is_that_of_its_loss(files):
    refused(lambda: temperature_of(learner(files)), '`learn.loss_func`')


@pytest.mark.parametrize('pair', [('polar bear', 'polar_bear'), ('polar-bear', 'polar bear')])
def test_names_that_differ_in_a_hyphen_are_doubted(pair):
    with pytest.warns(UserWarning, match='differ in case, blanks, hyphens'): labels(lambda f: dict(a=pair[0], b=pair[1], c=pair[0])[f], SoftCategoryBlock)


def test_the_sign_of_a_grade_is_no_hyphen():
    assert labels(lambda f: dict(a='-1', b='1', c='1')[f], SoftCategoryBlock)[0] == ['-1', '1']


# --- classes in another order

VOTES = pd.DataFrame({'spiral': [6, 2, 1, 0], 'elliptical': [2, 6, 1, 9], 'merger': [2, 2, 8, 1]}, index=list('abcd'))
NAMES = list('abcd'*5)

def by_reader(): return galaxies(SoftLabelReader(VOTES, None, list(VOTES)))
def by_dict(): return galaxies(lambda f: VOTES.loc[f].to_dict()) # an inferred vocab is sorted
def galaxies(get_y, block=SoftCategoryBlock):
    return DataBlock((BLANK, block), get_y=get_y, splitter=IndexSplitter(range(2, 20))).dataloaders(NAMES, bs=2, num_workers=0)

IN_ORDER = {
    'SoftInterpretation': lambda learn, dl: SoftInterpretation.from_learner(learn, dl=dl),
    'SoftInterpretation, told so': lambda learn, dl: SoftInterpretation.from_learner(learn, dl=dl, vocab=list(dl.vocab)),
    'a metric': lambda learn, dl: learn.validate(dl=dl),
    'a metric of the whole set': lambda learn, dl: Learner(learn.dls, learn.model, metrics=SoftECE()).validate(dl=dl),
    'temperature_scale': lambda learn, dl: temperature_scale(learn, dl=dl, force=True),
    'abstain': lambda learn, dl: abstain(learn, dl=dl)}

@pytest.mark.parametrize('what', IN_ORDER)
def test_labels_in_another_order_than_predictions(what):
    learn = Learner(by_reader(), nn.Linear(1, 3), metrics=kl_divergence)
    with learn.no_bar(): refused(lambda: IN_ORDER[what](learn, by_dict().valid), "['elliptical', 'merger', 'spiral']", "['spiral', 'elliptical', 'merger']", 'SoftCategoryBlock(vocab=learn.dls.vocab)')


def test_labels_of_one_of_several_targets_in_another_order():
    def two(*get_y): return DataBlock((BLANK, SoftCategoryBlock, SoftCategoryBlock), get_y=get_y, n_inp=1, splitter=IndexSplitter([2, 3])).dataloaders(list('abcd'), bs=2, num_workers=0)
    reader, by_name = SoftLabelReader(VOTES, None, list(VOTES)), lambda f: VOTES.loc[f].to_dict()
    class Twice(nn.Linear):
        def forward(self, x): return super().forward(x), super().forward(x)
    learn = Learner(two(reader, reader), Twice(1, 3), metrics=[on_target(kl_divergence, 0), on_target(kl_divergence, 1)])
    with learn.no_bar():
        assert len(learn.validate()) == 3
        refused(lambda: learn.validate(dl=two(reader, by_name).valid), "['elliptical', 'merger', 'spiral']", 'in another order')
        learn = Learner(learn.dls, learn.model)
        refused(lambda: SoftInterpretation.from_learner(learn, dl=two(reader, by_name).valid, target=1), 'in another order')
        SoftInterpretation.from_learner(learn, dl=two(reader, by_name).valid, target=0)


def test_labels_of_other_classes_than_predictions():
    learn = Learner(by_reader(), nn.Linear(1, 3), metrics=kl_divergence)
    other = VOTES.rename(columns={'merger': 'irregular'})
    with learn.no_bar():
        refused(lambda: learn.validate(dl=galaxies(SoftLabelReader(other, None, list(other))).valid), "'irregular'", "'merger'", 'and others')
    fewer = galaxies(SoftLabelReader(VOTES[['spiral', 'merger']], None, ['spiral', 'merger']))
    refused(lambda: check_same_classes(learn, fewer.valid), 'and others')


@pytest.mark.parametrize('what', IN_ORDER)
def test_labels_in_the_learners_order(what):
    model = nn.Linear(1, 3)
    with torch.no_grad(): model.weight[:, 0], model.bias[:] = torch.tensor([.2, 1., .6]), 0. # elliptical, as most votes
    learn = Learner(by_reader(), model, metrics=kl_divergence)
    same = galaxies(lambda f: VOTES.loc[f].to_dict(), SoftCategoryBlock(vocab=learn.dls.vocab))
    with learn.no_bar(): IN_ORDER[what](learn, same.valid)


# --- counts of independent classes

COUNTS = {'a dict': {'a': None, 'b': 1}, 'a Series': pd.Series({'a': np.nan, 'b': 1.}), "pandas' integers": pd.Series([pd.NA, 1], ['a', 'b'], dtype='Int64')}

@pytest.mark.parametrize('form', COUNTS)
def test_counts_with_a_gap_are_divided(form):
    row = SoftMultiCategorize(['a', 'b'], n_votes=4, ignore=True).encode(COUNTS[form])
    assert row[0].isnan() and row[1] == .25


@pytest.mark.parametrize('form', [lambda v: dict(zip('ab', v)), lambda v: pd.Series(v, list('ab')), np.array, list], ids=['dict', 'Series', 'array', 'list'])
def test_counts_of_floats_are_divided(form):
    tfm = SoftMultiCategorize(['a', 'b'], n_votes=4)
    assert tfm.encode(form([1., 0.])).tolist() == [.25, 0]
    assert tfm.encode(form([3., 0.])).tolist() == [.75, 0]
    refused(lambda: tfm.encode(form([.5, 0.])), 'are shares already', 'leave `n_votes=` out')


def test_columns_of_counts_with_gaps_are_divided():
    df = pd.DataFrame(dict(a=[np.nan, 1, 4], b=[1, 1, 0]), index=list('xyz'))
    found = labels(ColReader(['a', 'b']), SoftMultiCategoryBlock(n_votes=4, ignore=True), df)[1]
    assert found == [[pytest.approx(np.nan, nan_ok=True), .25], [.25, .25]]


@pytest.mark.parametrize('label, share', [(['a'], 1), ([['a'], [], ['a'], []], .5), ('a', 1), ({'a': True, 'b': False}, 1), ([True, False], 1)], ids=str)
def test_what_is_present_is_not_counted(label, share):
    for tfm in (SoftMultiCategorize(['a', 'b']), SoftMultiCategorize(['a', 'b'], n_votes=4)): assert tfm.encode(label).tolist() == [share, 0]


@pytest.mark.parametrize('multi', [False, True])
def test_a_reader_divides_by_its_own_number(multi):
    reader = SoftLabelReader(pd.DataFrame(dict(f=list('abc'), cat=[3, 9, 1], dog=[2, 10, 1])), 'f', ['cat', 'dog'], multi=multi, n_votes=10 if multi else None)
    refused(lambda: labels(reader, SoftMultiCategoryBlock(n_votes=10)), '`n_votes=`', 'SoftLabelReader(…, multi=True, n_votes=10)')


# --- people and totals

@pytest.mark.parametrize('how', [lambda w: labels(lambda f: w.loc[f], SoftCategoryBlock), lambda w: labels(lambda f: w.loc[f].to_dict(), SoftCategoryBlock),
                                 lambda w: votes_to_soft(w.reset_index(), 'index', counts=list(w))], ids=['Series', 'dict', 'counts='])
def test_names_of_annotators_are_no_classes(how):
    grades = pd.DataFrame(dict(rater_1=[0, 2, 1], rater_2=[1, 2, 1], rater_3=[1, 2, 0]), index=list('abc'))
    with pytest.warns(UserWarning, match=r"rater_1.*are named as annotators are.*annotators=\["): how(grades)


@pytest.mark.parametrize('how', [lambda t, K: votes_to_soft(t.reset_index(), 'i', counts=K), lambda t, K: SoftLabelReader(t.reset_index().set_axis(range(9, 9 - len(t), -1)), 'i', K), lambda t, K: SoftLabelReader(t, None, K),
                                 lambda t, K: SoftLabelReader(t.reset_index(), 'i', K, multi=True, n_votes=9)], ids=['counts=', 'a column', 'the index', 'multi'])
def test_the_row_of_totals_is_no_item(how):
    total = pd.crosstab(pd.Series(list('aaabbbccc'), name='i'), pd.Series(list('xxxyyyxxx'), name='v'), margins=True)
    refused(lambda: how(total, ['x', 'y']), "'All'", 'the sum of the other', 'margins=')
    refused(lambda: how(total.iloc[::-1], ['x', 'y']), "'All'")
    how(total.drop('All'), ['x', 'y'])
    how(total.replace(6, 5), ['x', 'y']) # an item that is called so


# --- gaps and answers

@pytest.mark.parametrize('gap', [None, np.nan, pd.NA])
@pytest.mark.parametrize('sort', [True, False])
def test_a_missing_vote_among_votes(gap, sort):
    refused(lambda: labels(lambda f: Counter(['cat', 'dog', gap]), SoftCategoryBlock(sort=sort)), "'a': a missing vote", 'is no class')


def test_a_series_of_answers_in_words():
    long = pd.DataFrame(dict(f=list('aabbcc'), answer=['cat', 'dog', 'cat', 'cat', 'dog', 'dog']))
    refused(lambda: labels(lambda f: long[long.f == f].answer, SoftCategoryBlock), "'cat'", '.tolist()')


# --- masks

@pytest.mark.parametrize('array', [False, True])
def test_eight_bits_in_sixteen(tmp_path, array):
    mask = np.zeros((6, 8), np.uint16)
    mask[2:4] = 255
    Image.fromarray(mask).save(tmp_path/'m.png')
    refused(lambda: OpenSoftMask()(mask if array else tmp_path/'m.png'), 'has 16 bits, but no value above 255', "astype('uint8')")
    assert np.asarray(OpenSoftMask()(mask.astype('uint8'))).max() == 1


def test_an_index_for_what_is_not_labelled():
    mask = np.array([[0, 1, 255]], np.uint8)
    refused(lambda: OpenSoftMask(['bg', 'x', 'Void'], ignore=['Void'])(mask), 'holds 255', 'mask[mask == 255] = 2', "ignore=['Void']")
    refused(lambda: OpenSoftMask(['bg', 'x'])(mask), 'holds 255', 'mask[mask == 255] = 2', "codes=['bg', 'x', 'Void'], ignore=['Void']")


# --- losses and callbacks

class Focal(nn.Module):
    def forward(self, logits, y): return -(y*logits.log_softmax(-1)*(1 - logits.softmax(-1))**2).sum(-1).mean()

def test_a_loss_without_activation_is_told_what_it_needs():
    learn = Learner(galaxies(SoftLabelReader(VOTES, None, list(VOTES)), SoftCategoryBlock(loss_func=Focal())), nn.Linear(1, 3))
    refused(lambda: preds_to_soft(learn, ['a', 'b']), 'a method `activation`')
    with learn.no_bar(): refused(lambda: learn.predict('a'), 'a method `activation`')


@pytest.mark.parametrize('loss', [BCEWithLogitsLossFlat, SoftBCEWithLogitsLossFlat])
def test_decisions_for_each_class_where_classes_exclude_each_other(loss):
    learn = Learner(by_reader(), nn.Linear(1, 3), loss_func=loss())
    with learn.no_bar(): refused(lambda: learn.predict('a'), 'each class by itself', 'leave `loss_func=` out')


@pytest.mark.parametrize('loss', [lambda: CrossEntropyLossFlat(), SoftCrossEntropyLossFlat], ids=['fastai', 'ours'])
def test_one_decision_where_classes_are_independent(loss):
    dls = galaxies(lambda f: (VOTES.loc[f]/10).to_dict(), SoftMultiCategoryBlock)
    learn = Learner(dls, nn.Linear(1, 3), loss_func=loss())
    with learn.no_bar(): refused(lambda: learn.predict('a'), 'one class alone', 'leave `loss_func=` out')


@pytest.mark.parametrize('metric', [soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, SoftECE()], ids=lambda m: m.name)
@pytest.mark.parametrize('tracker', [SaveModelCallback, EarlyStoppingCallback, ReduceLROnPlateau])
def test_a_smaller_divergence_is_the_better_one(metric, tracker, tmp_path):
    learn = Learner(by_reader(), nn.Linear(1, 3), metrics=metric, path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        with pytest.warns(UserWarning, match=f"monitor='{metric.name}'.*comp=np.less"): learn.fit(1, cbs=tracker(monitor=metric.name))
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)
            learn.fit(1, cbs=tracker(monitor=metric.name, comp=np.less))
            learn.fit(1, cbs=tracker(monitor='valid_loss'))


@pytest.mark.parametrize('metric', [top1_agreement, soft_accuracy])
def test_a_larger_agreement_is_the_better_one(metric, tmp_path):
    learn = Learner(by_reader(), nn.Linear(1, 3), metrics=metric, path=tmp_path)
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        learn.fit(1, cbs=SaveModelCallback(monitor=metric.name))


def test_a_report_of_independent_classes():
    dls = galaxies(lambda f: (VOTES.loc[f]/10).to_dict(), SoftMultiCategoryBlock)
    interp = SoftInterpretation.from_learner(Learner(dls, nn.Linear(1, 3)))
    refused(interp.confusion_matrix, 'A confusion matrix needs one class', '`scores')
    report = interp.classification_report()
    assert report.index.tolist() == list(dls.vocab) and report.support.tolist() == pytest.approx(interp.targets.sum(0).tolist())


# --- what the README says of losses

def test_metrics_count_labelled_items_where_the_loss_of_batches_does_not():
    known = {f: None if f in 'bd' else dict(a=1, b=3) for f in 'abcd'}
    dls = DataBlock((BLANK, SoftCategoryBlock(['a', 'b'], ignore=True)), get_y=known.get, splitter=IndexSplitter([1, 2, 3])).dataloaders(list('abcd'), bs=1, num_workers=0)
    model = nn.Linear(1, 2)
    with torch.no_grad(): model.weight[:], model.bias[:] = 0, 0 # log 2, whatever the label
    learn = Learner(dls, model, metrics=soft_cross_entropy)
    with learn.no_bar():
        assert list(learn.validate()) == pytest.approx([np.log(2)/3, np.log(2)]) # fastai averages over three items, one of which is labelled
        assert learn.get_preds(with_loss=True)[2].tolist() == pytest.approx([0, np.log(2), 0])
        assert SoftInterpretation.from_learner(learn).scores([soft_cross_entropy]).value.item() == pytest.approx(np.log(2), abs=1e-6)


# --- readers beside the other block, and rows that are called by several names

def test_flags_read_as_one_distribution():
    flags = pd.DataFrame(dict(f=list('abc'), cat=[1, 1, 0], indoors=[1, 0, 1]))
    refused(lambda: labels(SoftLabelReader(flags, 'f', ['cat', 'indoors']), SoftMultiCategoryBlock), '`multi=True`', 'flags')
    assert labels(SoftLabelReader(flags, 'f', ['cat', 'indoors'], multi=True), SoftMultiCategoryBlock)[1] == [[1, 1], [1, 0]]


def test_votes_divided_by_their_sum_for_independent_classes():
    votes = pd.DataFrame(dict(f=list('abc'), cat=[9, 2, 1], indoors=[8, 1, 4]))
    with pytest.warns(UserWarning, match='were divided by their sum.*multi=True, n_votes='): labels(SoftLabelReader(votes, 'f', ['cat', 'indoors']), SoftMultiCategoryBlock)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        shares = votes.set_index('f').div([17, 3, 5], axis=0)
        labels(SoftLabelReader(shares, None, ['cat', 'indoors']), SoftMultiCategoryBlock)
        labels(SoftLabelReader(votes, 'f', ['cat', 'indoors']), SoftCategoryBlock)


FORMS = {'counts': lambda v: votes_to_soft(pd.crosstab(v.image_id, v.answer).reset_index(), 'image_id', counts=['x', 'y']),
         'label': lambda v: votes_to_soft(v, 'image_id', label='answer'),
         'lists': lambda v: votes_to_soft(v.groupby('image_id').answer.agg(list).reset_index(), 'image_id', lists='answer')}

@pytest.mark.parametrize('form', FORMS)
def test_rows_are_not_items_because_their_numbers_agree(form):
    soft = FORMS[form](pd.DataFrame(dict(image_id=[0, 0, 1, 1, 2, 2, 3, 3], answer=list('xxxyyyyy'))))
    assert soft.index.name == 'image_id'
    moved = pd.DataFrame(dict(image_id=[3, 2, 1, 0], city=list('klmn')))
    refused(lambda: labels(SoftLabelReader(soft, None), SoftCategoryBlock, moved), "column 'image_id'", "item='image_id'", "set_index('image_id'")
    assert labels(SoftLabelReader(soft, None), SoftCategoryBlock, moved.set_index('image_id', drop=False))[1] == [[0, 1], [0, 1], [.5, .5]]
    assert labels(SoftLabelReader(soft, None, key=lambda i: moved.image_id[i]), SoftCategoryBlock, moved)[1] == [[0, 1], [0, 1], [.5, .5]]
    assert labels(SoftLabelReader(soft.reset_index(), 'image_id', ['x', 'y']), SoftCategoryBlock, moved)[1] == [[0, 1], [0, 1], [.5, .5]]


@pytest.mark.parametrize('other', ['Unsure', 'unsure ', 'UNSURE'])
def test_unsure_in_two_spellings(other):
    votes = pd.DataFrame(dict(i=list('aabb'), v=['cat', 'unsure', 'dog', other]))
    refused(lambda: votes_to_soft(votes, 'i', label='v', unsure='unsure'), repr(other), "`unsure` names 'unsure'", 'Name both')
    assert votes_to_soft(votes, 'i', label='v', unsure=['unsure', other]).attrs['classes'] == ['cat', 'dog']


def test_lists_of_all_who_were_asked():
    tfm = SoftMultiCategorize(['mild', 'severe'], n_votes=3)
    assert tfm.encode([['mild', 'severe'], ['severe'], []]).tolist() == pytest.approx([1/3, 2/3])
    refused(lambda: tfm.encode([['mild', 'severe'], ['severe']]), '2 lists', '`n_votes` is 3', 'an empty one')
    refused(lambda: tfm.encode([['mild']]*4), '4 lists')


def test_weights_of_people_are_no_votes():
    votes = pd.DataFrame([('a', 'cat', 'expert', 2), ('a', 'dog', 'bob', 1), ('b', 'cat', 'expert', 2), ('b', 'cat', 'bob', 1)], columns=['i', 'v', 'who', 'w'])
    weighted = votes_to_soft(votes, 'i', label='v', annotator='who', weight='w')
    assert weighted.agreement.isna().all() and weighted.cat.tolist() == pytest.approx([2/3, 1])
    refused(lambda: krippendorff_alpha(weighted), 'no shares of whole votes')
    assert votes_to_soft(votes.assign(w=1), 'i', label='v', annotator='who', weight='w').agreement.tolist() == [0, 1]
    assert votes_to_soft(votes, 'i', label='v', weight='w').agreement.tolist() == pytest.approx([1/3, 1]) # so many votes


def test_an_item_with_its_folder_and_without():
    votes = pd.DataFrame([('x/a.png', 'cat'), ('a.png', 'dog'), ('x/b.png', 'cat'), ('y/a.png', 'dog')], columns=['image', 'answer'])
    with pytest.warns(UserWarning, match="'[xy]/a.png' and 'a.png' may be one"): votes_to_soft(votes, 'image', label='answer')
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        votes_to_soft(votes[votes.image != 'a.png'], 'image', label='answer')
        votes_to_soft(votes.replace('a.png', 'c.png'), 'image', label='answer')


def test_counts_beside_rows_without_any():
    joined = pd.DataFrame(dict(f=['a', 'b'], x=[3, None], y=[1, None]))
    for t in (joined, joined.astype(dict(x='Int64', y='Int64'))):
        assert SoftLabelReader(t, 'f', ['x', 'y'], normalize=True, ignore=True)('a').tolist() == [.75, .25]
        with pytest.raises(SoftLabelError, match='say `normalize=True`') as e: SoftLabelReader(t, 'f', ['x', 'y'], ignore=True)
        assert 'convert' not in str(e.value)


# --- masks of which a part is not labelled by all

def test_hard_dice_of_pixels_that_one_of_two_labelled():
    y = torch.zeros(1, 2, 4, 4)
    y[:, 0, :2], y[:, 1, 2:] = 1, 1
    perfect = y.clone()
    y[:, :, 3] /= 2 # one of two raters said "void" there
    for said in (perfect, 1 - perfect):
        assert DiceAt()(said, y) == DiceAt()(said, perfect)
        learn = SimpleNamespace(pred=said*60 - 30, yb=(y,), loss_func=SoftDiceLoss(), to_detach=lambda t: t)
        metric = DiceAt()
        metric.accumulate(learn)
        assert metric.value == DiceAt()(said, perfect)
    assert SoftDice()(perfect, y) == 1
    refused(lambda: SoftDice()(perfect, y*3), 'is not a distribution')


# --- tables that say more than votes

COUNTED = pd.DataFrame(dict(f=list('aaaaabbbb'), vote=['owl', 'owl', 'ant', 'owl', 'fox', 'fox', 'fox', 'ant', 'fox'])).value_counts()

@pytest.mark.parametrize('name', ['n', 'count', 'counts', 'size', 'freq', 'votes', 'n_votes', 'proportion', 0])
def test_a_row_for_each_class_is_not_one_for_each_vote(name):
    table = COUNTED.rename(name).reset_index()
    refused(lambda: votes_to_soft(table, 'f', label='vote'), 'a row for each class', f'weight={name!r}')
    assert votes_to_soft(table, 'f', label='vote', weight=name).loc['a', ['ant', 'fox', 'owl']].tolist() == pytest.approx([.2, .2, .6])


def test_what_may_be_counts_or_annotators():
    table = COUNTED.rename('k').reset_index()
    with pytest.warns(UserWarning, match="says how often.*weight='k'.*annotator='k'"): votes_to_soft(table, 'f', label='vote')


@pytest.mark.parametrize('table', [dict(f=list('aab'), vote=list('xxy'), n=[3, 2, 1]), dict(f=list('abc'), vote=list('xyx'), n=[3, 2, 1]), dict(f=list('aab'), vote=list('xyy'), n=[1, 1, 1]),
                                   dict(f=list('aab'), vote=list('xyy'), user_id=[1, 2, 1])], ids=['an answer twice', 'one vote each', 'a constant', 'people'])
def test_a_row_for_each_vote_beside_a_number(table):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(pd.DataFrame(table), 'f', label='vote')


def with_notes(**notes): return pd.DataFrame(dict(f=list('abcdef'), **notes, owl=[3, 1, 0, 2, 2, 1], ant=[0, 2, 2, 1, 1, 0]))

READ_COLUMNS = {'reader': lambda t, K: SoftLabelReader(t, 'f', K), 'counts': lambda t, K: votes_to_soft(t, 'f', counts=K),
                'multi': lambda t, K: SoftLabelReader(t, 'f', K, multi=True, n_votes=10), 'columns': lambda t, K: labels(ColReader(K), SoftCategoryBlock, t)}

@pytest.mark.parametrize('how', READ_COLUMNS.values(), ids=READ_COLUMNS)
@pytest.mark.parametrize('name, values', [('Unnamed: 0', range(6)), ('Unnamed: 0', [3, 0, 5, 1, 4, 2]), ('level_0', range(6)), ('is_valid', [False]*5 + [True]), ('reviewed', [True, False]*3)])
def test_columns_that_cannot_be_counts(name, values, how):
    table = with_notes(**{name: list(values)})
    refused(lambda: how(table, [name, 'owl', 'ant']), repr(name), 'eave it out')


@pytest.mark.parametrize('how', READ_COLUMNS.values(), ids=READ_COLUMNS)
@pytest.mark.parametrize('name', ['is_valid', 'fold', 'split', 'id', 'index'])
def test_columns_that_are_named_as_notes_are_doubted(name, how):
    with pytest.warns(UserWarning, match=f"'{name}'.*named as a split or an index is"): how(with_notes(**{name: [0, 1, 0, 1, 0, 1]}), [name, 'owl', 'ant'])


def test_flags_alone_are_labels():
    table = pd.DataFrame(dict(f=list('abc'), owl=[True, False, True], ant=[False, True, True]))
    assert SoftLabelReader(table, 'f', ['owl', 'ant'], multi=True)('c').tolist() == [1, 1]


@pytest.mark.parametrize('ages, odd', [([31, 45, 20], 'age'), ([31, None, 20], 'age')])
def test_numbers_beside_answers(ages, odd):
    wide = pd.DataFrame(dict(f=list('abc'), ann=['x', 'y', 'x'], ben=['x', None, 'y'], age=ages))
    refused(lambda: votes_to_soft(wide, 'f', annotators=['ann', 'ben', 'age']), f"'{odd}' holds numbers, and others names", 'leave it out')
    assert votes_to_soft(wide.assign(age=np.nan), 'f', annotators=['ann', 'ben', 'age']).n_votes.tolist() == [2, 1, 2] # who never answered


@pytest.mark.parametrize('multi', [False, True])
def test_labels_that_only_numbers_name(multi):
    soft = pd.DataFrame(dict(owl=[.1, .2, .9], ant=[.9, .8, .1]))
    reader = SoftLabelReader(soft, None, ['owl', 'ant'], multi=multi)
    files = pd.DataFrame(dict(f=['c.png', 'a.png', 'b.png']))
    with pytest.warns(UserWarning, match='row 0 of the items gets the label of row 0'): reader.check_items(files)
    refused(lambda: reader.check_items(files.assign(owl=[.9, .1, .2], ant=[.1, .9, .8])), 'index made anew')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        reader.check_items(soft)
        SoftLabelReader(soft.rename_axis('id'), None, ['owl', 'ant'], multi=multi).check_items(files) # somebody named them
        SoftLabelReader(soft.assign(f=['a.png', 'b.png', 'c.png']), 'f', ['owl', 'ant'], multi=multi).check_items(files)


# --- a seventh round

def test_the_column_of_n_votes_is_no_class():
    table = pd.DataFrame(dict(f=list('ab'), beach=[3, 1], sun=[0, 1], asked=[5, 5]))
    refused(lambda: SoftLabelReader(table, 'f', ['beach', 'sun', 'asked'], multi=True, n_votes='asked'), "'asked', which is the column of `n_votes`")


def test_an_index_is_no_annotator():
    wide = pd.DataFrame({'Unnamed: 0': [0, 1], 'f': ['a', 'b'], 'r1': [0, 1], 'r2': [0, 1]})
    refused(lambda: votes_to_soft(wide, 'f', annotators=['Unnamed: 0', 'r1', 'r2']), "'Unnamed: 0' was an index")


@pytest.mark.parametrize('cells, words', [([[('ann', 'cat'), ('ben', 'dog')], [('ann', 'dog')]], ['holds pairs of names', 'answers alone']), ([{'cat', 'dog'}, {'dog'}], ['is a set', 'agg(list)']),
                                          ([frozenset('x'), frozenset('y')], ['is a set']), ([torch.tensor([0, 1]), torch.tensor([2, 2])], ['is a tensor', 'tolist()'])], ids=['pairs', 'sets', 'frozen', 'tensors'])
def test_what_is_no_list_of_votes(cells, words):
    refused(lambda: votes_to_soft(pd.DataFrame(dict(f=['a', 'b'], v=cells)), 'f', lists='v'), *words)


def test_a_minimum_of_weights_is_none_of_votes():
    votes = pd.DataFrame(dict(f=['a', 'a', 'b'], who=[1, 2, 1], v=['cat', 'dog', 'dog'], sure=[90, 60, 70]))
    refused(lambda: votes_to_soft(votes, 'f', label='v', annotator='who', weight='sure', min_votes=2), 'count the weights of annotators')
    enough = votes[votes.groupby('f')['f'].transform('size') >= 2]
    assert votes_to_soft(enough, 'f', label='v', annotator='who', weight='sure').index.tolist() == ['a']
    assert votes_to_soft(votes.assign(sure=1), 'f', label='v', annotator='who', weight='sure', min_votes=1).n_votes.tolist() == [2, 1]
    refused(lambda: votes_to_soft(votes.assign(v=[1, 2, 1]), 'f', label='v', weight='v'), "name 'v' twice")


@pytest.mark.parametrize('gap', ['?', 'nan', '', '-', 'N/A', 'None'])
def test_gaps_among_columns_are_doubted(gap):
    table = pd.DataFrame({'f': ['a', 'b'], 'cat': [2, 0], gap: [1, 1]})
    for how in (lambda: votes_to_soft(table, 'f', counts=['cat', gap]), lambda: SoftLabelReader(table, 'f', ['cat', gap])):
        with pytest.warns(UserWarning, match='look like missing or unsure answers'): how()


def test_plus_and_minus_are_counted():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert votes_to_soft(pd.DataFrame({'f': ['a'], '+': [3], '-': [1]}), 'f', counts=['+', '-']).loc['a', '-'] == .25


def test_labels_that_the_items_hold_otherwise():
    soft = pd.DataFrame(dict(f=['a', 'b', 'c'], owl=[.1, .2, .9], ant=[.9, .8, .1]))
    assert labels(SoftLabelReader(soft, 'f', ['owl', 'ant']), SoftCategoryBlock, soft.assign(owl=1., ant=0.))[1][0] == pytest.approx([.1, .9]) # a column says whose label it is
    reader = SoftLabelReader(soft[['owl']], None, ['owl'], multi=True)
    with pytest.warns(UserWarning, match='row 0 of the items gets the label of row 0'): reader.check_items(soft[['f', 'owl']])
    moved = soft.iloc[[2, 0, 1]].reset_index(drop=True)
    by_number = SoftLabelReader(soft[['owl', 'ant']], None, ['owl', 'ant'])
    for _ in range(2): refused(lambda: by_number(moved.iloc[0]), 'index made anew') # each time
    refused(lambda: labels(lambda row: by_number(row), SoftCategoryBlock, moved), 'index made anew', 'as those of a teacher')
    assert labels(lambda row: by_number(row), SoftCategoryBlock(['owl', 'ant']), soft)[1][0] == pytest.approx([.1, .9])


@pytest.mark.parametrize('value', [38, 50, 75, 76, 113, 150, 226, 250])
def test_a_coloured_mask_that_became_grey(value):
    from fastai_softlabels.mask_files import probabilities_of
    said = []
    probabilities_of(np.array([[0, value]], np.uint8), 'm.png', announce=said.append)
    assert len(said) == 1 and f'holds 0 and {value} alone' in said[0]
    probabilities_of(np.array([[0, value, 255]], np.uint8), 'm.png', announce=said.append)
    assert len(said) == 1


def test_probabilities_are_no_logits():
    z = 3*torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    y, p = (z/2).softmax(1), z.softmax(1)
    assert best_temperature(z, y) == pytest.approx(2, abs=.01) and best_temperature(p.log(), y) == pytest.approx(2, abs=.01)
    refused(lambda: best_temperature(p, y), 'rows sum to 1', 'get_preds(act=noop)')


def test_shares_of_votes_are_not_independent():
    counts = pd.DataFrame(dict(f=['a', 'b'], beach=[9, 0], sun=[10, 3], asked=[10, 10]))
    soft = votes_to_soft(counts, 'f', counts=['beach', 'sun'])
    with pytest.warns(UserWarning, match='divided the votes of each item by their sum.*multi=True, n_votes='): SoftLabelReader(soft, None, multi=True)
    assert SoftLabelReader(counts, 'f', ['beach', 'sun'], multi=True, n_votes='asked')('a').tolist() == pytest.approx([.9, 1.])


def test_minus_one_is_doubted():
    wide = pd.DataFrame(dict(f=['a', 'b'], r1=[0, -1], r2=[1, 1], r3=[-1, 1]))
    with pytest.warns(UserWarning, match=r'unsure=\[-1\]'): votes_to_soft(wide, 'f', annotators=['r1', 'r2', 'r3'])
    assert votes_to_soft(wide, 'f', annotators=['r1', 'r2', 'r3'], unsure=[-1]).loc['b', [0, 1]].tolist() == [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(wide.replace(0, -2), 'f', annotators=['r1', 'r2', 'r3']) # grades below 0, too
        votes_to_soft(wide, 'f', annotators=['r1', 'r2', 'r3'], vocab=[-1, 0, 1])


def test_yes_and_no_with_a_gap():
    wide = pd.DataFrame(dict(f=['a', 'b'], r1=[True, False], r2=pd.Series([False, None], dtype=object), r3=[True, True]))
    assert votes_to_soft(wide, 'f', annotators=['r1', 'r2', 'r3']).n_votes.tolist() == [3, 2]
    refused(lambda: SoftLabelReader(pd.DataFrame(dict(f=['a', 'b'], cat=[True, True], dog=[False, True])), 'f', ['cat', 'dog']), 'yes or no for each class', 'multi=True')


def test_a_class_called_none():
    refused(lambda: votes_to_soft(pd.DataFrame(dict(f=['a', 'a'], v=[None, 'crack'])), 'f', label='v'), 'keep_default_na=False')


def label_studio(tmp_path, *results):
    "An export of one image, an annotation for each list of results"
    task = dict(id=1, data=dict(image='a.png'), annotations=[dict(id=i, completed_by=i, result=r) for i, r in enumerate(results)])
    (tmp_path/'export.json').write_text(json.dumps([task]))
    return tmp_path/'export.json'


def choice(name, chosen, question='cell', **value): return dict(id=name, from_name=question, to_name='image', type='choices', value=dict(choices=[chosen], **value))

@pytest.mark.parametrize('region', [dict(x=1, y=1, width=5, height=5), dict(start=3, end=9), dict(points=[[1, 2], [3, 4]])], ids=str)
def test_answers_about_regions_are_no_votes_on_the_image(tmp_path, region):
    box = dict(id='r1', from_name='box', to_name='image', type='rectanglelabels', value=dict(rectanglelabels=['cell'], **region))
    path = label_studio(tmp_path, [box, choice('r1', 'mitosis', **region)], [dict(box, id='r2'), choice('r2', 'normal', **region), choice('q', 'sharp', 'quality')])
    refused(lambda: read_label_studio(path, question='cell'), 'about regions or pages of an item', 'a row for each answer')
    assert read_label_studio(path, question='quality').label.dropna().tolist() == ['sharp']


def test_answers_about_pages_are_no_votes_on_the_document(tmp_path):
    path = label_studio(tmp_path, [dict(choice('q', 'letter'), item_index=0)], [dict(choice('q', 'map'), item_index=1)])
    refused(lambda: read_label_studio(path), 'item_index', 'not about the item')


@pytest.mark.parametrize('void', [None, 254, 255])
def test_percentages_with_a_value_for_no_data(void):
    cover = np.tile(np.arange(101, dtype=np.uint8), (101, 1))
    if void: cover[:10] = void
    with pytest.warns(UserWarning, match='Are these percentages.*divide them by 100') as w: OpenSoftMask(['tree'])(cover)
    assert ('nothing is known' in str(w[0].message)) == bool(void)


@pytest.mark.parametrize('top, void, warned', [(1000, None, True), (4095, None, True), (10000, None, True), (32767, None, True), (40000, None, False), (10000, 65535, True), (30000, 65535, False)])
def test_sixteen_bits_of_another_range(top, void, warned):
    a = np.linspace(0, top, 400).astype(np.uint16).reshape(20, 20)
    if void: a[3] = void
    with (pytest.warns(UserWarning, match='10000 for ten-thousandths') if warned else nullcontext()): OpenSoftMask(['tree'])(a)


def test_lists_as_numpy_prints_them():
    t = pd.DataFrame(dict(f=['a', 'b'], v=["['cat' 'dog' 'dog']", "['cat' 'fox']"]))
    for how in (dict(lists='v'), dict(label='v')):
        refused(lambda: votes_to_soft(t, 'f', **how), 'a printed array of texts', 're.findall')
    lists = t.assign(v=[re.findall(r"['\"](.*?)['\"]", text) for text in t.v])
    assert votes_to_soft(lists, 'f', lists='v').loc['a', ['cat', 'dog', 'fox']].tolist() == pytest.approx([1/3, 2/3, 0])


def test_what_is_correct_may_be_yes_or_no():
    conf = torch.tensor([.9, .9, .6, .6])
    assert calibration_error(conf, torch.tensor([True, False, True, True])) == pytest.approx(.4)


WITH_COUNTS = ['31 cat, 19 dog', '3x cat, 1x dog', '3 cats / 1 dog', '60 % cat, 40 % dog', 'cat 31, dog 19', 'cat 75%, dog 25%', 'black-backed gull 3; tern 1']

@pytest.mark.parametrize('text', WITH_COUNTS)
def test_texts_with_counts_before_or_after_their_names(text):
    t = pd.DataFrame(dict(f=['a', 'b'], y=[text, 'fox']))
    refused(lambda: votes_to_soft(t, 'f', label='y'), 'several classes with a number each', 're.findall')
    refused(lambda: labels(ColReader('y'), SoftCategoryBlock, t), 'several classes with a number each')
    with pytest.raises(SoftLabelError) as e: votes_to_soft(t, 'f', label='y')
    counts = eval(re.search(r'make it a dict: `(.*?)`', str(e.value))[1], dict(re=re, text=text)) # the remedy, as a user would run it
    assert len(counts) == 2 and sum(counts.values()) in (4, 50, 100) and all(name == name.strip() and not any(c.isdigit() for c in name) for name in counts)
    assert labels(lambda f: {'a': counts, 'b': 'fox', 'c': 'fox'}[f], SoftCategoryBlock)[1][0] == pytest.approx([counts.get(n, 0)/sum(counts.values()) for n in sorted([*counts, 'fox'])])

@pytest.mark.parametrize('text', ['Mars 2020', '3 cats', 'grade 2/3', '0 to 5 years', 'T1 N0 M0', 'T1, N0', '1st floor', '4 x 4', '2 or 3 cells', 'Washington, D.C.', 'iPhone 12, 64 GB'])
def test_names_with_numbers_are_names(text):
    assert votes_to_soft(pd.DataFrame(dict(f=['a', 'a'], y=[text, 'fox'])), 'f', label='y').loc['a', text] == .5


def test_votes_that_begin_with_a_number():
    t = pd.DataFrame(dict(f=['a', 'b'], votes=[['3 cat', '1 dog'], ['2 cats']]))
    with pytest.warns(UserWarning, match='All classes begin with a number'): votes_to_soft(t, 'f', lists='votes')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(pd.DataFrame(dict(f=['a', 'b'], votes=[['1 star', '2 stars'], ['5 stars']])), 'f', lists='votes') # grades


def test_value_counts_among_lists():
    t = pd.DataFrame(dict(f=['a', 'b'], votes=[pd.Series(['cat', 'cat', 'dog']).value_counts(), pd.Series(['dog']).value_counts()]))
    refused(lambda: votes_to_soft(t, 'f', lists='votes'), "{'cat': 2, 'dog': 1}", 'as `value_counts` gives them', 'counts=')
    counts = pd.DataFrame(t['votes'].tolist()).fillna(0).assign(f=t.f.values)
    assert votes_to_soft(counts, 'f', counts=['cat', 'dog']).loc['a', ['cat', 'dog']].tolist() == pytest.approx([2/3, 1/3])
    assert votes_to_soft(pd.DataFrame(dict(f=['a', 'b'], votes=[pd.Series([3, 3, 4]), pd.Series([4])])), 'f', lists='votes').loc['a', [3, 4]].tolist() == pytest.approx([2/3, 1/3])


@pytest.mark.parametrize('other', ['a%20b.png', 'A%62.png'])
def test_items_in_the_codes_of_addresses(other):
    t = pd.DataFrame(dict(f=['a b.png', 'Ab.png', other], y=['cat', 'dog', 'dog']))
    with pytest.warns(UserWarning, match='in the codes of accents or paths'): votes_to_soft(t, 'f', label='y')
    with pytest.warns(UserWarning, match='in the codes of accents or paths'): votes_to_soft(pd.DataFrame(dict(f=['img/1.png', 'img\\1.png'], y=['cat', 'dog'])), 'f', label='y')


def test_correctness_outside_its_range():
    conf = [.9, .8, .7, .6]
    refused(lambda: calibration_error(torch.tensor(conf), torch.tensor([100., 100, 0, 100])), 'How right the answer is of item 0 is 100.0')
    refused(lambda: calibration_error(torch.tensor(conf), torch.tensor([0, 1, 2, 1])), 'of item 2 is 2')
    assert calibration_error(conf, [1, 1, 0, 1]) == calibration_error(np.array(conf), np.array([1, 1, 0, 1])) == pytest.approx(calibration_error(torch.tensor(conf), torch.tensor([1., 1, 0, 1])))


def test_cells_that_hold_lists_or_dicts():
    rows = pd.DataFrame(dict(f=['a', 'a'], y=[['cat'], ['dog']], who=['p', 'q']))
    for kwargs in (dict(annotator='who'), {}): refused(lambda: votes_to_soft(rows, 'f', label='y', **kwargs), "['cat'] in column 'y' is not one vote", "`df.explode('y')`")
    assert votes_to_soft(rows.explode('y'), 'f', label='y', annotator='who').loc['a', ['cat', 'dog']].tolist() == [.5, .5]
    rows = pd.DataFrame(dict(f=['a', 'a'], y=['cat', 'dog'], who=[{'id': 1}, {'id': 2}]))
    refused(lambda: votes_to_soft(rows, 'f', label='y', annotator='who'), "{'id': 1} in column 'who' names nothing", "df['who'].str['id']")
    assert len(votes_to_soft(rows.assign(who=rows.who.str['id']), 'f', label='y', annotator='who')) == 1
    refused(lambda: votes_to_soft(rows.assign(f=[['a'], ['b']]), 'f', label='y'), "['a'] in column 'f' names nothing", "df['f'].str[0]")


def test_answers_with_the_name_of_a_region(tmp_path):
    box = dict(id='r1', from_name='box', to_name='image', type='rectanglelabels', value=dict(rectanglelabels=['cell'], x=1, y=1, width=5, height=5))
    refused(lambda: read_label_studio(label_studio(tmp_path, [box, choice('r1', 'mitosis')])), 'about regions or pages of an item')
    assert read_label_studio(label_studio(tmp_path, [box, choice('r2', 'mitosis')])).label.tolist() == ['mitosis']


def test_items_that_a_gap_made_floats():
    one, other = pd.DataFrame(dict(i=[12, 13], y=['cat', 'cat'])).astype(str), pd.DataFrame(dict(i=[12., 13.], y=['dog', 'cat'])).astype(str)
    with pytest.warns(UserWarning, match="'12' and '12.0' differ in .* how a number is written"): votes_to_soft(pd.concat([one, other], ignore_index=True), 'i', 'y')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(one.assign(i=['v1.0', 'v1']), 'i', 'y')


def test_a_stack_of_index_masks_with_as_many_annotators_as_codes():
    raters = np.stack([np.full((4, 4), k, np.uint8) for k in (1, 1, 2)])
    raters[0, 0] = 2
    with pytest.warns(UserWarning, match='the index masks of several annotators, give them as a list'): OpenSoftMask(['water', 'reed', 'tree'])(raters)
    raters[:, 1] = 0
    refused(lambda: OpenSoftMask(['water', 'reed', 'tree'])(raters), 'sum to 0', 'Then give them as a list')
    assert OpenSoftMask(['water', 'reed', 'tree'])(list(raters)).tensor()[:, 0, 0].tolist() == pytest.approx([0, 1/3, 2/3])
    counts = np.stack([np.full((4, 4), n, np.uint8) for n in (1, 2, 2)])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert OpenSoftMask(['water', 'reed', 'tree'])(counts).tensor()[:, 0, 0].tolist() == pytest.approx([.2, .4, .4])
        OpenSoftMask(['water', 'reed', 'tree'])(counts*np.arange(1, 5, dtype=np.uint8)) # more than an index can be


# --- an eleventh round

def test_an_order_that_was_declared_outlives_that_of_the_columns():
    grades = ['mild', 'moderate', 'severe', 'critical']
    votes = pd.DataFrame({'f': [*'aaabbbcccddd'], 'grade': [*['mild']*2, *['moderate']*3, *['severe']*2, *['critical']*4, 'severe']})
    soft = votes_to_soft(votes, 'f', 'grade', vocab=grades)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert krippendorff_alpha(soft.sort_index(axis=1), 'ordinal') == pytest.approx(krippendorff_alpha(soft, 'ordinal'))
    renamed = soft.rename(columns=dict(mild='a', moderate='b', severe='c', critical='d'))
    with pytest.warns(UserWarning, match='as it is in the alphabet'): krippendorff_alpha(renamed, 'ordinal') # these were never put in order


def test_shares_of_votes_are_not_independent_either_way():
    votes = pd.DataFrame({'f': [0, 0, 0, 0, 1, 1], 'tag': ['cat', 'dog', 'cat', 'dog', 'cat', 'cat']})
    reader = SoftLabelReader(votes_to_soft(votes, 'f', 'tag'), None)
    block = DataBlock(blocks=(TransformBlock, SoftMultiCategoryBlock), get_x=noop, get_y=reader)
    with pytest.warns(UserWarning, match='were divided by their sum'): block.datasets([0, 1])
    of_one_mind = SoftLabelReader(votes_to_soft(votes[votes.f == 1], 'f', 'tag', vocab=['cat', 'dog']), None)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        DataBlock(blocks=(TransformBlock, SoftMultiCategoryBlock), get_x=noop, get_y=of_one_mind).datasets([1, 1])


@pytest.mark.parametrize('name', ['cat (80%)', 'cat: 0.8', 'cat (0.8)', 'cat:80%', 'cat 80 %', 'cat=1.0', 'cat (.8)'])
def test_a_name_with_a_share_beside_it(name):
    votes = pd.DataFrame({'f': ['a', 'a'], 'l': [name, 'dog']})
    with pytest.warns(UserWarning, match='has a share beside its name'): votes_to_soft(votes, 'f', 'l')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(votes, 'f', 'l', vocab=[name, 'dog'])


@pytest.mark.parametrize('name', ['Alien (1979)', 'grade 2', 'Room 101', 'T2', 'E. coli O157', 'v1.5', '(unsure)', 'sp. 3', 'type: 2', 'grade=3', 'ISO: 9001', '50% cotton', 'C: 1.2.3'])
def test_a_name_with_a_number_is_a_name(name):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(pd.DataFrame({'f': ['a', 'a'], 'l': [name, 'dog']}), 'f', 'l')


def test_numbers_of_a_database():
    from decimal import Decimal
    from fractions import Fraction
    block = DataBlock(blocks=(TransformBlock, SoftCategoryBlock(vocab=['cat', 'dog'])), get_x=noop, get_y=lambda i: {'cat': Decimal('.75'), 'dog': Fraction(1, 4)})
    assert block.datasets([0, 1])[0][1].tolist() == [.75, .25]


@pytest.mark.parametrize('loss', [nn.NLLLoss(), nn.MultiMarginLoss(), nn.CrossEntropyLoss(ignore_index=0)], ids=lambda loss: type(loss).__name__)
def test_losses_of_indices(loss): refused(lambda: SoftCategoryBlock(loss_func=loss), 'reads class indices alone', '`SoftCrossEntropyLossFlat`')


def test_a_class_for_a_loss():
    from fastai_softlabels.all import SoftCrossEntropyLossFlat
    refused(lambda: SoftCrossEntropyLossFlat(torch.randn(3, 2), torch.rand(3, 2)), 'Give an instance')


# --- a twelfth round

def of_nan(block, y, n_classes, **kw):
    "A learner whose model says NaN of item 9"
    dls = DataBlock((TransformBlock(type_tfms=[lambda i: torch.full((4,), torch.nan if i == 9 else i/10)]), block), get_y=lambda i: y, splitter=IndexSplitter([2, 3, 9])).dataloaders(list(range(10)), bs=4, num_workers=0)
    return Learner(dls, nn.Linear(4, n_classes), **kw)


@pytest.mark.parametrize('block, y, n_classes', [(SoftMultiCategoryBlock(vocab=['lesion']), {'lesion': .7}, 1), (SoftCategoryBlock(vocab=['cat', 'dog']), {'cat': 2, 'dog': 1}, 2),
                                                 (SoftMultiCategoryBlock(vocab=['cat', 'dog']), {'cat': .7, 'dog': .2}, 2)], ids=['yes or no', 'one distribution', 'independent'])
@pytest.mark.parametrize('abstains', [False, True], ids=['plain', 'abstaining'])
def test_nan_is_no_answer(block, y, n_classes, abstains):
    learn = of_nan(block, y, n_classes)
    with learn.no_bar():
        if abstains: abstain(learn, dl=learn.dls.test_dl([2, 3, 4], with_labels=True))
        shown, index, probs = learn.predict(9)
        assert shown.is_unsure and str(shown) == DONT_KNOW and probs.isnan().all()
        if abstains: assert index == 2 if index.ndim == 0 else not index.any(), 'the index of no class, or none that is present'
        else: assert not learn.predict(2)[0].is_unsure
        refused(lambda: preds_to_soft(learn, [2, 9]), 'The model gives NaN for 1 of 2 items')


@pytest.mark.parametrize('metric', [top1_agreement, soft_accuracy, brier_score, kl_divergence, total_variation], ids=lambda m: m.name)
def test_nan_is_no_agreement(metric):
    learn = of_nan(SoftCategoryBlock(vocab=['cat', 'dog']), {'cat': 2, 'dog': 1}, 2, metrics=metric)
    with learn.no_bar(): assert np.isnan(learn.validate()[1])


@pytest.mark.parametrize('typed, set_', [('non-tumor', 'non\u2013tumor'), ('non-tumor', 'non\u2011tumor'), ("can't", 'can\u2019t'), ('"old" one', '\u201cold\u201d one'), ('T-1', 'T\u22121')])
def test_what_a_word_processor_sets(typed, set_):
    with pytest.warns(UserWarning, match='hyphens, quotes'): votes_to_soft(pd.DataFrame({'i': ['a', 'a'], 'l': [typed, set_]}), 'i', 'l')


@pytest.mark.parametrize('items', [['007', '7'], ['007', 7], ['7.0', '07']])
def test_leading_zeros_that_a_spreadsheet_took(items):
    with pytest.warns(UserWarning, match='how a number is written'): votes_to_soft(pd.DataFrame({'i': items, 'l': ['cat', 'dog']}), 'i', 'l')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(pd.DataFrame({'i': ['a007', 'a7'], 'l': ['cat', 'dog']}), 'i', 'l')


def test_nameless_annotators():
    refused(lambda: votes_to_soft(pd.DataFrame({'i': ['a', 'a'], 'l': ['cat', 'dog'], 'who': ['ann', '']}), 'i', 'l', annotator='who'), "the annotator in column 'who' is missing", 'leave `annotator=` out')


def test_an_export_in_other_bytes(tmp_path):
    (tmp_path/'u16.json').write_text('[]', encoding='utf-16')
    refused(lambda: read_label_studio(tmp_path/'u16.json'), 'is not written in UTF-8', 'save it in UTF-8')


# --- a thirteenth round

def test_a_temperature_leaves_out_what_is_unlabelled():
    "A gap among the labels made the search end at one number, whatever the logits"
    torch.manual_seed(0)
    logits = 3*torch.randn(40, 3)
    gaps = logits.softmax(1)
    gaps[5], gaps[6, 1] = torch.nan, torch.nan
    labelled = [i for i in range(40) if i not in (5, 6)]
    assert best_temperature(2*logits, gaps) == pytest.approx(best_temperature(2*logits[labelled], gaps[labelled]), rel=1e-6)
    assert best_temperature(2*logits, gaps) == pytest.approx(2, abs=1e-3)
    refused(lambda: best_temperature(logits, torch.full((40, 3), torch.nan)), 'no labels to fit a temperature to')


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
@pytest.mark.parametrize('answers', [lambda s: s.unique(), lambda s: s.values, lambda s: s.array], ids=['unique', 'values', 'array'])
def test_names_in_an_array_of_pandas(block, answers):
    asked = pd.Series(['dog', 'cat'], dtype='str')
    block = DataBlock(blocks=(TransformBlock, block), get_y=lambda i: answers(asked), splitter=IndexSplitter([1]))
    assert block.datasets(range(3)).vocab == ['cat', 'dog']


def test_pairs_without_a_vocab():
    block = DataBlock(blocks=(TransformBlock, SoftCategoryBlock), get_y=lambda i: {'cat': 2, 'dog': 1}.items(), splitter=IndexSplitter([1]))
    refused(lambda: block.datasets(range(3)), 'Cannot infer the classes from labels without names, like dict_items', 'give `vocab=`')


# --- a fourteenth round

@pytest.mark.parametrize('score', [aurc, augrc, risk_coverage, lambda c, e: risk_at_coverage(c, e, .5), lambda c, e: coverage_at_risk(c, e, .4)],
                         ids=['aurc', 'augrc', 'risk_coverage', 'risk_at_coverage', 'coverage_at_risk'])
def test_confidence_and_error_in_different_orders(score):
    confidence, error = pd.Series([.9, .8, .7, .6], index=[3, 1, 2, 0]), pd.Series([0., 1, 0, 1])
    refused(lambda: score(confidence, error), 'different indexes', 'error.reindex(confidence.index)')
    same = score(confidence, error.reindex(confidence.index)), score(confidence.to_numpy(), np.array([1., 1, 0, 0]))
    assert all(map(np.array_equal, *([o] if np.ndim(o) < 2 else [o.to_numpy()] for o in same)))


@pytest.mark.parametrize('answers', [['cat|dog', 'cat'], ['cat | dog', 'fox'], ['cat\ndog', 'cat\nfox']])
def test_several_answers_in_one_text_whose_parts_never_stand_alone(answers):
    with pytest.warns(UserWarning, match='several answers in one text'): votes_to_soft(pd.DataFrame({'i': ['a', 'b'], 'l': answers}), 'i', 'l')
    with pytest.warns(UserWarning, match='several answers in one text'): labels(dict(zip('abc', [*answers, answers[0]])).get, SoftMultiCategoryBlock)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        votes_to_soft(pd.DataFrame({'i': ['a', 'b'], 'l': answers}), 'i', 'l', vocab=answers)


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
@pytest.mark.parametrize('as_type', [lambda v: pd.Series(v).astype('category'), pd.Categorical, pd.CategoricalIndex], ids=['Series', 'Categorical', 'Index'])
def test_a_categorical_vocab_in_another_order(block, as_type):
    "Numbers would go to one class by the list, and to the other by the categories"
    refused(lambda: labels({'a': [.75, .25]}.get, block(as_type(['pos', 'neg'])), 'a'), "lists ['pos', 'neg'], but its categories are ['neg', 'pos']")
    vocab, _ = labels(dict.fromkeys('abc', [.75, .25]).get, block(as_type(['neg', 'pos'])))
    assert vocab == ['neg', 'pos']


@pytest.mark.parametrize('name', ['', ' '])
def test_an_item_without_a_name(name):
    votes = pd.DataFrame({'i': ['a', name, name], 'l': ['cat', 'dog', 'cat']})
    refused(lambda: votes_to_soft(votes, 'i', 'l'), 'Row 1', "the item in column 'i' is missing")
    refused(lambda: votes_to_soft(pd.DataFrame({'i': ['a', name], 'cat': [1, 2], 'dog': [0, 1]}), 'i', counts=['cat', 'dog']), "the item in column 'i' is missing")


def test_an_activation_that_is_a_text():
    learn = of_nan(SoftCategoryBlock(vocab=['cat', 'dog']), {'cat': 2, 'dog': 1}, 2, metrics=brier_score)
    loss = nn.CrossEntropyLoss()
    loss.activation = 'softmax'
    learn.loss_func = loss
    with learn.no_bar(): refused(learn.validate, 'has no `activation`', 'needs a method')


@pytest.mark.parametrize('score', [top1_agreement, brier_score, kl_divergence, SoftECE(), entropy_correlation, lambda p, y: bootstrap_interval(brier_score, p, y)],
                         ids=['top1', 'brier', 'kl', 'ece', 'correlation', 'interval'])
def test_numbers_of_a_table_are_taken_without_a_word(score):
    "pandas gives arrays that are read-only, of which torch warns"
    p, y = pd.DataFrame({'cat': [.3, .2], 'dog': [.7, .8]}), pd.DataFrame({'cat': [.4, .1], 'dog': [.6, .9]})
    assert not p.to_numpy().flags.writeable
    got, expected = score(p.to_numpy(), y.to_numpy()), score(torch.tensor(p.to_numpy().copy()), torch.tensor(y.to_numpy().copy()))
    np.testing.assert_allclose(got, expected)


def test_several_exports_at_once(): refused(lambda: read_label_studio(['a.json', 'b.json']), "['a.json', 'b.json'] is no path", 'pd.concat(map(read_votes, paths))')


def test_rounds_of_votes_put_together_too_late():
    "Two people judged each image, and later two others; the tables are put one below the other"
    votes = pd.DataFrame({'im': list('aaaabbbbccccdddd'), 'who': ['r0', 'r1', 'r2', 'r3']*4, 'label': list('xxyy')*2 + list('xxxx') + list('yyxx')})
    def soft(who): return votes_to_soft(votes[votes.who.isin(who)], 'im', 'label', annotator='who')
    with pytest.warns(UserWarning, match="The item 'a' has several rows.*before `votes_to_soft`"): alpha = krippendorff_alpha(pd.concat([soft(['r0', 'r1']), soft(['r2', 'r3'])]))
    assert alpha == 1 and krippendorff_alpha(soft(['r0', 'r1', 'r2', 'r3'])) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize('case, warned', [('apart', True), ('overlapping', False), ('a class more', False), ('one is empty', False), ('independent', False)])
def test_a_mask_of_each_class_without_the_background(case, warned):
    rim, core = np.zeros((2, 6, 6), np.uint8)
    rim[:3], core[4:] = 1, 1
    if case == 'overlapping': core[2] = 1
    if case == 'a class more': core[5] = 2
    if case == 'one is empty': core[:] = 0
    tfm = OpenSoftMask(['bg', 'rim', 'core'], exclusive=False if case == 'independent' else None)
    with warnings.catch_warnings(record=True, action='always') as said: tfm([rim, core])
    assert ['2 masks that hold 0 and 1 and do not overlap' in str(w.message) for w in said] == [True]*warned
