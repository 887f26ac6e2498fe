"What a careless user does, and what is said: the value, what was expected, how to mend it, and the item where it is known."
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from fastai.losses import CrossEntropyLossFlat
from fastai.vision.all import ColReader, DataBlock, EndSplitter, ImageBlock, ImageDataLoaders, Resize

from fastai_softlabels.all import (SoftBCEWithLogitsLossFlat, SoftCategorize, SoftCategory, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftECE, SoftLabelError, SoftLabelReader,
                                   SoftMultiCategorize, SoftMultiCategoryBlock, UnknownNameError, bootstrap_interval, brier_score, cifar10h, kl_divergence, top1_agreement)

PETS = ['cat', 'dog']
FOLDER = tempfile.TemporaryDirectory()
FILES = [Path(FOLDER.name)/f'im{i}.png' for i in range(5)]
for f in FILES: Image.new('L', (8, 8)).save(f)


def table(**changes):
    "Four items with votes for cats and dogs"
    df = pd.DataFrame(dict(fname=[f'im{i}.png' for i in range(4)], cat=[3, 2, 1, 0], dog=[0, 1, 2, 3]))
    return df.assign(**changes)

def shares(**changes): return table(cat=[1., .5, .2, 0.], dog=[0., .5, .8, 1.]).assign(**changes)

def read(df=None, **kw): return SoftLabelReader(table() if df is None else df, 'fname', **{'classes': PETS, **kw})

def datasets(labels, block=SoftCategoryBlock, **kw):
    "Datasets of 4 training items and one validation item with these labels"
    return DataBlock(blocks=(ImageBlock, block(**kw)), get_y=dict(zip(FILES, labels)).get, splitter=EndSplitter(.2)).datasets(FILES)

def from_reader(reader, items): return DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=reader, splitter=EndSplitter(.2)).datasets(items)

def columns(df, block=SoftCategoryBlock, cols=PETS, **kw):
    "Datasets from a table by a ColReader of several columns"
    return DataBlock(blocks=(ImageBlock, block(**kw)), get_x=ColReader('fname', pref=Path(FOLDER.name)), get_y=ColReader(cols), splitter=EndSplitter(.25)).datasets(df)

def one(label, **kw): return SoftCategorize(vocab=PETS, **kw)(label)
def many(label, vocab=PETS, **kw): return SoftMultiCategorize(vocab=vocab, **kw)(label)
good = [{'cat': 1., 'dog': 0.}]*5
def spoilt(label, at): return [label if i == at else g for i, g in enumerate(good)]

CASES = {
    # one label, at the transform
    'sum 0.7': (lambda: one([.5, .2]), SoftLabelError, ['[0.5, 0.2]', 'sum to 0.7', 'expected 1', 'normalize=True']),
    'sum 0.7 by name': (lambda: one({'cat': .7}), SoftLabelError, ["label {'cat': 0.7}", 'sum to 0.7', 'Is a class missing?']),
    'independent probabilities': (lambda: one([.9, .8]), SoftLabelError, ['sum to 1.7', '`SoftMultiCategoryBlock`', 'multi=True']),
    'votes as floats': (lambda: one([3., 2.]), SoftLabelError, ['[3.0, 2.0]', 'votes stored as floats', 'convert them to integers', 'normalize=True']),
    'negative': (lambda: one([-.5, 1.5]), SoftLabelError, ['[-0.5, 1.5]', 'negative', '0 or more']),
    'negative votes': (lambda: one({'cat': -1, 'dog': 2}), SoftLabelError, ['-1', 'negative']),
    'NaN among numbers': (lambda: one([np.nan, 1.]), SoftLabelError, ['nan', 'Fill in 0']),
    'NaN among numbers, ignore': (lambda: one([np.nan, 1.], ignore=True), SoftLabelError, ['nan', 'Fill in 0']),
    'all NaN': (lambda: one([np.nan]*2), SoftLabelError, ['missing (NaN)', 'ignore=True']),
    'infinite': (lambda: one([np.inf, 0.]), SoftLabelError, ['inf', 'infinite']),
    'None': (lambda: one(None), SoftLabelError, ['label None', 'missing', 'ignore=True']),
    'pd.NA': (lambda: one(pd.NA), SoftLabelError, ['<NA>', 'missing', 'ignore=True']),
    'all zeros': (lambda: one([0, 0]), SoftLabelError, ['[0.0, 0.0]', 'all zeros', 'no votes', 'ignore=True']),
    'empty votes': (lambda: one([]), SoftLabelError, ['empty list of votes', 'ignore=True']),
    'empty dict': (lambda: one({}), SoftLabelError, ['all zeros', 'ignore=True']),
    'too long': (lambda: one([.2, .3, .5]), SoftLabelError, ["3 values for 2 classes ['cat', 'dog']", 'vocab order']),
    'too short': (lambda: one(torch.tensor([1.])), SoftLabelError, ['1 values for 2 classes']),
    'empty array': (lambda: one(np.array([])), SoftLabelError, ['empty list of votes']),
    'two-dimensional': (lambda: one(np.ones((2, 2))/2), SoftLabelError, ['[0.5, 0.5] is not a number', 'one number for each class']),
    'unknown class': (lambda: one('lynx'), UnknownNameError, ["'lynx' is not in the vocab ['cat', 'dog']", 'add the class to `vocab=`']),
    'unknown among votes': (lambda: one(['cat', 'lynx']), UnknownNameError, ["'lynx' is not in the vocab"]),
    'unknown key': (lambda: one({'cat': .5, 'lynx': .5}), UnknownNameError, ["'lynx' is not in the vocab"]),
    'unknown in index': (lambda: one(pd.Series({'cat': .5, 'lynx': .5})), UnknownNameError, ["'lynx' is not in the vocab"]),
    'number as class': (lambda: one(3), UnknownNameError, ['class 3 is not in the vocab']),
    'float as class': (lambda: one(.7), UnknownNameError, ['class 0.7 is not in the vocab']),
    'text among numbers': (lambda: one([.5, 'dog']), SoftLabelError, ["'dog' stands among numbers", 'numbers only']),
    'number among names': (lambda: one(['cat', .5]), SoftLabelError, ['0.5 stands among names', 'names only']),
    'None among votes': (lambda: one(['cat', None]), SoftLabelError, ['None stands among names']),
    'text as count': (lambda: one({'cat': 'three'}), SoftLabelError, ["'three' is not a number"]),
    'twice in the index': (lambda: one(pd.Series([.5, .5], index=['cat', 'cat'])), SoftLabelError, ["the index names the class 'cat' more than once", 'Name each class once']),
    'lists for one distribution': (lambda: one([['cat'], ['dog']]), SoftLabelError, ["['cat'] is not a number"]),
    'integers that are names': (lambda: SoftCategorize(vocab=[0, 1, 2])([2, 2, 1]), SoftLabelError, ['label [2, 2, 1]', 'or votes', '`Counter`']),
    'series without names': (lambda: one(pd.Series([.5, .5])), SoftLabelError, ['no class names as its index', '.tolist()']),
    'complex': (lambda: one([1+1j, 0]), SoftLabelError, ['(1+1j) is not a number']),
    'count without n_votes': (lambda: many(Counter(cat=4)), SoftLabelError, ['[4.0, 0.0]', 'above 1', 'n_votes=']),
    'count above n_votes': (lambda: many({'cat': 6}, n_votes=5), SoftLabelError, ['[6.0, 0.0, 5.0]', 'exceeds n_votes']),
    'n_votes of 0': (lambda: many({'cat': 1}, n_votes=0), SoftLabelError, ['n_votes is not above 0']),
    'probability above 1': (lambda: many([1.2, 0.]), SoftLabelError, ['[1.2, 0.0]', 'above 1']),
    'negative probability': (lambda: many([-.1, 0.]), SoftLabelError, ['negative']),
    'partly NaN': (lambda: many([np.nan, 1.]), SoftLabelError, ['NaN', 'ignore=True']),
    'set with a repeat': (lambda: many(['cat', 'cat']), SoftLabelError, ["'cat' stands twice", 'a list for each']),
    'name among sets': (lambda: many([['cat'], 'dog']), SoftLabelError, ["'dog' stands among lists"]),
    'unknown in a set': (lambda: many([['cat'], ['lynx']]), UnknownNameError, ["'lynx' is not in the vocab"]),
    'scalar for two classes': (lambda: many(.7), UnknownNameError, ['0.7']),
    'scalar above 1': (lambda: many(1.7, vocab=['lesion']), SoftLabelError, ['[1.7]', 'above 1']),
    # blocks
    'twice in the vocab': (lambda: SoftCategoryBlock(vocab=['cat', 'dog', 'cat']), SoftLabelError, ["The vocab names the class 'cat' more than once", 'Name each class once']),
    'empty vocab': (lambda: SoftCategoryBlock(vocab=[]), SoftLabelError, ['vocab is empty']),
    'vocab a set': (lambda: SoftCategoryBlock(vocab={'cat', 'dog'}), SoftLabelError, ['The vocab is', 'a set has no order']),
    'vocab a text': (lambda: SoftCategoryBlock(vocab='cat'), SoftLabelError, ["The vocab is 'cat'", 'a text is one name']),
    'vocab a number': (lambda: SoftCategoryBlock(vocab=3), SoftLabelError, ['The vocab is 3', 'expected a list']),
    'names that do not sort': (lambda: datasets([{1: 1, 'b': 1}]*5), SoftLabelError, ["[1, 'b'] cannot be sorted", '`sort=False`']),
    'loss that flattens': (lambda: SoftCategoryBlock(vocab=PETS, loss_func=CrossEntropyLossFlat()), SoftLabelError, ['CrossEntropyLossFlat flattens', '`SoftCrossEntropyLossFlat`']),
    'threshold twice': (lambda: SoftMultiCategoryBlock(vocab=PETS, thresh=.9, loss_func=SoftBCEWithLogitsLossFlat()), SoftLabelError, ['thresh=0.9', 'to the loss']),
    'one class': (lambda: SoftCategoryBlock(vocab=['cat']), SoftLabelError, ["One class, 'cat'", '`SoftMultiCategoryBlock`']),
    'one class inferred': (lambda: datasets(['cat']*5), SoftLabelError, ["One class, 'cat'"]),
    'weights of another length': (lambda: SoftCategoryBlock(vocab=PETS, loss_func=SoftCrossEntropyLossFlat(weight=[1., 2, 3])), SoftLabelError, ['(3,) values in `weight`', "2 classes ['cat', 'dog']"]),
    'pos_weight of another length': (lambda: SoftMultiCategoryBlock(vocab=PETS, loss_func=SoftBCEWithLogitsLossFlat(pos_weight=[1.])), SoftLabelError, ['(1,) values in `pos_weight`']),
    'weights, classes inferred': (lambda: datasets(good, loss_func=SoftCrossEntropyLossFlat(weight=[1., 2, 3])), SoftLabelError, ['(3,) values in `weight`', '2 classes']),
    'no names': (lambda: datasets([[.5, .5]]*5), SoftLabelError, ['without names, like [0.5, 0.5]', '`vocab=`']),
    'scan: training item': (lambda: datasets(spoilt({'cat': .5}, 2)), SoftLabelError, ["im2.png'", 'sum to 0.5']),
    'scan: validation item': (lambda: datasets(spoilt({'lynx': 1.}, 4)), UnknownNameError, ["im4.png'", "'lynx' is not in the vocab", 'training set alone']),
    'scan: missing': (lambda: datasets(spoilt(None, 1)), SoftLabelError, ["im1.png'", 'ignore=True']),
    'training, vocab given': (lambda: datasets(spoilt({'lynx': 1.}, 0), vocab=PETS).train[0], UnknownNameError, ["'lynx' is not in the vocab"]),
    'validation, vocab given': (lambda: datasets(spoilt({'lynx': 1.}, 4), vocab=PETS).valid.tls[1][0], UnknownNameError, ["'lynx' is not in the vocab"]),
    # tables through ColReader
    'columns: sum': (lambda: columns(shares(cat=[1., .5, .1, 0.])), SoftLabelError, ['row 2', '[0.1, 0.8]', 'sum to 0.9']),
    'columns: validation row': (lambda: columns(shares(cat=[1., .5, .2, -.5])), SoftLabelError, ['row 3', 'negative']),
    'columns: text': (lambda: columns(table(cat=[3, 'two', 1, 0])), SoftLabelError, ["row 1: 'two' in column 'cat' is not a number"]),
    'columns: missing': (lambda: columns(table(), cols=['cat', 'lynx']), UnknownNameError, ["no column 'lynx'", "['fname', 'cat', 'dog']"]),
    'columns: other number': (lambda: columns(table(), vocab=['cat', 'dog', 'fox']), SoftLabelError, ["2 columns ['cat', 'dog'] for 3 classes"]),
    'columns: from_df': (lambda: ImageDataLoaders.from_df(shares(dog=[0., .5, np.nan, 1.]), path=FOLDER.name, label_col=PETS, y_block=SoftCategoryBlock(vocab=PETS)), SoftLabelError, ['row 2', 'nan', 'Fill in 0']),
    'columns: multi counts': (lambda: columns(table(), block=SoftMultiCategoryBlock), SoftLabelError, ['row 0', '[3.0, 0.0]', 'n_votes=']),
    # readers
    'reader: sum': (lambda: read(shares(cat=[1., .5, .1, 0.])), SoftLabelError, ["row 2 (item 'im2.png')", '[0.1, 0.8]', 'sum to 0.9', 'normalize=True']),
    'reader: negative': (lambda: read(table(cat=[3, 2, -1, 0])), SoftLabelError, ["row 2 (item 'im2.png')", 'negative']),
    'reader: NaN': (lambda: read(shares(cat=[1., np.nan, .2, 0.])), SoftLabelError, ["row 1 (item 'im1.png')", 'nan', 'Fill in 0']),
    'reader: infinite': (lambda: read(shares(cat=[1., np.inf, .2, 0.])), SoftLabelError, ["row 1 (item 'im1.png')", 'infinite']),
    'reader: no votes': (lambda: read(table(cat=[3, 0, 1, 0], dog=[0, 0, 2, 3])), SoftLabelError, ["row 1 (item 'im1.png')", 'all zeros', 'ignore=True']),
    'reader: text': (lambda: read(table(cat=['3', 'two', '1', '0'])), SoftLabelError, ["row 1 (item 'im1.png')", "'two' in column 'cat' is not a number"]),
    'reader: no such class': (lambda: read(classes=['cat', 'lynx']), UnknownNameError, ["no column 'lynx'", "['fname', 'cat', 'dog']"]),
    'reader: no such item column': (lambda: SoftLabelReader(table(), 'file', PETS), UnknownNameError, ["no column 'file'", 'fname']),
    'reader: class twice': (lambda: read(classes=['cat', 'cat']), SoftLabelError, ["`classes` names the class 'cat' more than once"]),
    'reader: item twice': (lambda: read(table(fname=['a', 'b', 'a', 'c'])), SoftLabelError, ["row 2 (item 'a') repeats row 0 (item 'a')", 'each item once', 'groupby']),
    'reader: no DataFrame': (lambda: read({'cat': [1]}), SoftLabelError, ['a dict', 'pandas DataFrame', '.to_pandas()']),
    'reader: empty table': (lambda: read(table().head(0)), SoftLabelError, ['0 rows', 'nothing to read']),
    'reader: no classes': (lambda: read(classes=[]), SoftLabelError, ['names 0 columns', 'nothing to read']),
    'reader: classes a set': (lambda: read(classes={'cat', 'dog'}), SoftLabelError, ['`classes` is', 'a set has no order']),
    'reader: column twice': (lambda: read(table().rename(columns={'dog': 'cat'}), classes=['cat']), SoftLabelError, ["more than one column 'cat'"]),
    'reader: dates': (lambda: read(table(cat=pd.Timestamp('2020-01-01'))), SoftLabelError, ["Column 'cat' holds datetime64"]),
    'reader: item is the index': (lambda: read(table().set_index('fname')), UnknownNameError, ["no column 'fname'", 'say `item=None`']),
    'reader: item missing': (lambda: read(table(fname=['a', None, 'b', 'c'])), SoftLabelError, ['Row 1 has no item name']),
    'reader: normalize, multi': (lambda: read(multi=True, normalize=True), SoftLabelError, ['`normalize` is for one distribution', 'n_votes=']),
    'reader: row without item': (lambda: read()({'file': 'im0.png'}), UnknownNameError, ["has no 'fname' to look up"]),
    'reader: an item of the data without row': (lambda: from_reader(read(), FILES), UnknownNameError, ['im4.png', '4 rows']),
    'reader: items without its column': (lambda: from_reader(read(), pd.concat([table()]*2).rename(columns={'fname': 'file'})), UnknownNameError, ["no column 'fname' to look up", 'file']),
    'reader: two items, one row': (lambda: from_reader(read(), [*FILES[:2], '/elsewhere/im1.png', *FILES[2:4]]), SoftLabelError, ["/elsewhere/im1.png' have the same row 'im1.png'", 'key=']),
    'reader: unknown item': (lambda: read()(Path('data/im9.png')), UnknownNameError, ["'data/im9.png'", '4 rows', 'im0.png', 'key=']),
    'reader: counts, multi': (lambda: read(multi=True), SoftLabelError, ["row 0 (item 'im0.png')", 'n_votes=']),
    'reader: n_votes too small': (lambda: read(multi=True, n_votes=2), SoftLabelError, ["row 0 (item 'im0.png')", 'exceeds n_votes']),
    'reader: n_votes column': (lambda: read(multi=True, n_votes='n'), UnknownNameError, ["no column 'n'"]),
    'reader: n_votes, one distribution': (lambda: read(n_votes=3), SoftLabelError, ['`n_votes` is for `multi=True`']),
    'reader: multi for one distribution': (lambda: SoftCategorize(vocab=PETS)(read(multi=True, n_votes=3)('im0.png')), SoftLabelError, ['multi=True', 'one distribution']),
    'reader: other classes': (lambda: SoftCategorize(vocab=['cat', 'fox'])(read()('im0.png')), UnknownNameError, ["['cat', 'dog']", "['cat', 'fox']", 'order may differ']),
    # losses, metrics, display, data
    'metric: broadcast': (lambda: top1_agreement(torch.rand(4, 2), torch.rand(4, 1)), SoftLabelError, ['(4, 2)', '(4, 1)', 'Nothing is broadcast']),
    'metric: one row': (lambda: top1_agreement(torch.rand(4), torch.rand(4)), SoftLabelError, ['Expected predictions (N,K)', '(4,)']),
    'metric: logits': (lambda: kl_divergence(torch.tensor([[.5, .5], [2., -1.]]), torch.tensor([[.5, .5]]*2)), SoftLabelError, ['Row 1', '[2.0, -1.0]', 'learn.get_preds()']),
    'metric: NaN': (lambda: brier_score(torch.tensor([[np.nan, 1.]]), torch.tensor([[.5, .5]])), SoftLabelError, ['Row 0', 'nan']),
    'metric: no activation': (lambda: brier_score.accumulate(SimpleNamespace(pred=torch.rand(4, 2), yb=(torch.rand(4, 2),), loss_func=torch.nn.CrossEntropyLoss(), to_detach=None)), SoftLabelError, ['CrossEntropyLoss() has no `activation`', '`brier_score`']),
    'metric: no bins': (lambda: SoftECE(n_bins=0), ValueError, ['n_bins is 0', '1 or more']),
    'metric: level': (lambda: bootstrap_interval(brier_score, torch.tensor([[.5, .5]]), torch.tensor([[.5, .5]]), level=95), ValueError, ['level is 95', 'between 0 and 1']),
    'metric: one class': (lambda: top1_agreement(torch.rand(4, 1), torch.rand(4, 1)), SoftLabelError, ['Row 0 of the predictions is not a distribution', 'multi=True']),
    'metric: two targets': (lambda: top1_agreement.accumulate(SimpleNamespace(pred=torch.rand(4, 2), yb=(torch.rand(4, 2),)*2, to_detach=None)), SoftLabelError, ['`top1_agreement`', '2 targets']),
    'weights: negative': (lambda: SoftCrossEntropyLossFlat(weight=[-1., 2.]), ValueError, ['`weight` is [-1.0, 2.0]', '0 or more']),
    'weights: NaN': (lambda: SoftBCEWithLogitsLossFlat(pos_weight=[np.nan, 2.]), ValueError, ['`pos_weight` is [nan, 2.0]', 'finite']),
    'threshold set later': (lambda: setattr(SoftBCEWithLogitsLossFlat(), 'thresh', 5), ValueError, ['thresh is 5', 'in [0,1]']),
    'display: logits': (lambda: SoftCategory([-2., 3.], PETS), SoftLabelError, ['[-2.0, 3.0] are not probabilities', 'activation', '`SoftCrossEntropyLossFlat`']),
    'display: wrong length': (lambda: SoftCategory([.5, .5], ['cat']), SoftLabelError, ['(2,) probabilities for 1 classes']),
}


@pytest.mark.parametrize('case', CASES)
def test_says_what_is_wrong(case):
    f, exception, words = CASES[case]
    with pytest.raises(exception) as e: f()
    message = str(e.value)
    assert [w for w in words if w not in message] == [], message
    assert isinstance(e.value, ValueError) and '\n' not in message


def test_unknown_names_are_key_errors():
    "as fastai's `Categorize` raises"
    with pytest.raises(KeyError, match='lynx'): one('lynx')
    with pytest.raises(KeyError, match='im9'): read()('im9.png')


def test_unknown_class_at_test_time(digits, votes):
    label = lambda p: {'lynx': 1} if p.stem == '0011' else {'cat': 3, 'dog': 1}
    files = [digits/f for f in votes.fname[:10]]
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=label, splitter=EndSplitter(.2), item_tfms=Resize(32)).dataloaders(files, bs=4, num_workers=0)
    with pytest.raises(UnknownNameError, match="'lynx' is not in the vocab"): dls.test_dl([digits/votes.fname[11]], with_labels=True).one_batch()


def test_missing_is_unlabelled_when_said():
    assert one(None, ignore=True).tolist() == one([0, 0], ignore=True).tolist() == one([], ignore=True).tolist() == one(np.nan, ignore=True).tolist() == [0, 0]
    assert many(None, ignore=True).isnan().all() and many([np.nan, .5], ignore=True).isnan().tolist() == [True, False]
    assert read(table(cat=[3, 0, 1, 0], dog=[0, 0, 2, 3]), ignore=True)('im1.png').tolist() == [0, 0]
    dsets = datasets([{'cat': 1}, None, 'dog', [], {'dog': 2}], ignore=True)
    assert [dsets.train.tls[1][i].tolist() for i in range(4)] == [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert str(dsets.train.tls[1].decode(dsets.train.tls[1][1])) == 'unlabelled'


def test_a_reader_decides_what_is_unlabelled():
    "nobody voted is not \"none of them\""
    reader = read(table(cat=[3, 0, 1, 0], dog=[0, 0, 2, 3]), ignore=True)
    assert SoftCategorize(vocab=PETS)(reader('im1.png')).tolist() == [0, 0]
    assert SoftMultiCategorize(vocab=PETS)(reader('im1.png')).isnan().all() and SoftMultiCategorize(vocab=PETS)(reader('im0.png')).tolist() == [1, 0]
    asked = SoftLabelReader(table(n=[3, 0, 3, 3], dog=[0, 0, 2, 3]), 'fname', PETS, multi=True, n_votes='n', ignore=True)
    assert asked('im1.png').isnan().all() and asked('im0.png').tolist() == [1, 0]


def test_no_two_learners_share_a_loss():
    dsets = datasets(good)
    a, b = dsets.loss_func, dsets.loss_func
    a.reduction = 'sum'
    assert b.reduction == 'mean' and dsets.loss_func.reduction == 'mean'


def test_no_stale_vocab_and_no_shared_loss():
    labels = {}
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=lambda p: labels[p], splitter=EndSplitter(.2))
    labels.update({f: {'cat': 1, 'dog': 1} for f in FILES})
    pets = block.datasets(FILES)
    labels.update({f: {'elm': 1, 'fir': 2, 'oak': 1} for f in FILES})
    trees = block.datasets(FILES)
    assert list(pets.vocab) == ['cat', 'dog'] and list(trees.vocab) == ['elm', 'fir', 'oak'] and (pets.c, trees.c) == (2, 3)
    assert pets.loss_func is not trees.loss_func


def test_unreadable_folder(monkeypatch, tmp_path):
    for folder, words in ((tmp_path/'none', 'Correct it, or unset it'), (tmp_path, 'neither cifar10h.zip nor cifar10h/ but')):
        monkeypatch.setenv('FASTAI_SOFTLABELS_DATA', str(folder))
        with pytest.raises(FileNotFoundError, match='FASTAI_SOFTLABELS_DATA names') as e: cifar10h()
        assert words in str(e.value) and str(folder) in str(e.value)
    (tmp_path/'file').touch()
    monkeypatch.setenv('FASTAI_SOFTLABELS_DATA', str(tmp_path/'file'))
    with pytest.raises(NotADirectoryError, match='cannot be read as a folder'): cifar10h()
