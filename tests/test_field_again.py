"What new users gave, a second time: each value right, or refused in words."
from collections import Counter

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import (ColReader, DataBlock, DataLoaders, EndSplitter, Flatten, ImageBlock, IndexSplitter, Learner, MSELossFlat, TransformBlock)
from PIL import Image
from torch import nn

from fastai_softlabels.all import (DONT_KNOW, OODConfidence, SoftCategorize, SoftCategoryBlock, SoftDice, SoftDiceLoss,
                                   SoftECE, SoftInterpretation, SoftLabelError, SoftLabelReader, SoftLoss, SoftMultiCategorize, SoftMultiCategoryBlock, TensorSoftCategory, abstain, brier_score,
                                   entropy_correlation, kl_divergence, krippendorff_alpha, preds_to_soft, votes_to_soft)
from fastai_softlabels.losses import temperature_of

ANIMALS = ['owl', 'ant', 'fox']
BLANK = TransformBlock(type_tfms=[lambda o: torch.tensor([1.])])


def refused(f, *words):
    with pytest.raises(SoftLabelError) as e: f()
    for w in words: assert w in str(e.value), str(e.value)

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
