"""What a careless user does, and what is said: one table of (callable, fault) pairs.

Each row is run by itself, in time, and must raise the named exception from our own code, in one line that names the item, the
value and the remedy. `make test` prints how many faults of which module are tried."""
import json, os, runpy, signal, sys, tempfile, traceback, zipfile
from collections import Counter
from pathlib import Path
from textwrap import fill
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from fastai.vision.all import (CategoryBlock, ColReader, DataBlock, DataLoader, EndSplitter, ImageBlock, ImageDataLoaders, Learner, RegressionBlock, Resize, accuracy, load_learner, noop)
from torch import nn

from fastai_softlabels import all as everything
from fastai_softlabels.all import *
from conftest import TABLES

ROOT = Path(__file__).parents[1]
PETS, LAND = ['cat', 'dog'], ['meadow', 'forest', 'unknown']
FOLDER = tempfile.TemporaryDirectory()
FILES = [Path(FOLDER.name)/f'im{i}.png' for i in range(10)]
for f in FILES: Image.new('RGB', (8, 8)).save(f)
FIVE = FILES[:5]
GREY = np.array([[0, 51, 255, 128], [0, 0, 3, 200]], np.uint8)
INDEX = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], np.uint8)


class Row(NamedTuple):
    call: str         # A name that `fastai_softlabels.all` exports, or a method or a script's function
    fault: str        # What is wrong with what it is given
    do: Callable      # (empty folder) → what the user does
    error: type       # What to expect
    words: list       # And which words it says


# labels, tables and readers

def table(**changes):
    "Four items with votes for cats and dogs"
    df = pd.DataFrame(dict(fname=[f'im{i}.png' for i in range(4)], cat=[3, 2, 1, 0], dog=[0, 1, 2, 3]))
    return df.assign(**changes)

def shares(**changes): return table(cat=[1., .5, .2, 0.], dog=[0., .5, .8, 1.]).assign(**changes)

def read(df=None, **kw): return SoftLabelReader(table() if df is None else df, 'fname', **{'classes': PETS, **kw})

def datasets(labels, block=SoftCategoryBlock, **kw):
    "Datasets of 4 training items and one validation item with these labels"
    return DataBlock(blocks=(ImageBlock, block(**kw)), get_y=dict(zip(FIVE, labels)).get, splitter=EndSplitter(.2)).datasets(FIVE)

def from_reader(reader, items): return DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=reader, splitter=EndSplitter(.2)).datasets(items)

def columns(df, block=SoftCategoryBlock, cols=PETS, **kw):
    "Datasets from a table by a ColReader of several columns"
    return DataBlock(blocks=(ImageBlock, block(**kw)), get_x=ColReader('fname', pref=Path(FOLDER.name)), get_y=ColReader(cols), splitter=EndSplitter(.25)).datasets(df)

def one(label, **kw): return SoftCategorize(vocab=PETS, **kw)(label)
def many(label, vocab=PETS, **kw): return SoftMultiCategorize(vocab=vocab, **kw)(label)
good = [{'cat': 1., 'dog': 0.}]*5
def spoilt(label, at): return [label if i == at else g for i, g in enumerate(good)]

LABELS = [
    # one label, at the transform
    Row('SoftCategorize', 'sum is not 1', lambda t: one([.5, .2]), SoftLabelError, ['[0.5, 0.2]', 'sum to 0.7', 'expected 1', 'normalize=True']),
    Row('SoftCategorize', 'a class is left out', lambda t: one({'cat': .7}), SoftLabelError, ["label {'cat': 0.7}", 'sum to 0.7', 'Is a class missing?']),
    Row('SoftCategorize', 'independent probabilities', lambda t: one([.9, .8]), SoftLabelError, ['sum to 1.7', '`SoftMultiCategoryBlock`', 'multi=True']),
    Row('SoftCategorize', 'votes as floats', lambda t: one([3., 2.]), SoftLabelError, ['[3.0, 2.0]', 'votes stored as floats', 'convert them to integers', 'normalize=True']),
    Row('SoftCategorize', 'negative number', lambda t: one([-.5, 1.5]), SoftLabelError, ['[-0.5, 1.5]', 'negative', '0 or more']),
    Row('SoftCategorize', 'negative votes', lambda t: one({'cat': -1, 'dog': 2}), SoftLabelError, ['-1', 'negative']),
    Row('SoftCategorize', 'NaN among numbers', lambda t: one([np.nan, 1.]), SoftLabelError, ['nan', 'Fill in 0']),
    Row('SoftCategorize', 'NaN among numbers, though ignored', lambda t: one([np.nan, 1.], ignore=True), SoftLabelError, ['nan', 'Fill in 0']),
    Row('SoftCategorize', 'all NaN', lambda t: one([np.nan]*2), SoftLabelError, ['missing (NaN)', 'ignore=True']),
    Row('SoftCategorize', 'infinite number', lambda t: one([np.inf, 0.]), SoftLabelError, ['inf', 'infinite']),
    Row('SoftCategorize', 'numbers too large to add', lambda t: one([1e308, 1e308], normalize=True), SoftLabelError, ['1e+308', 'too large']),
    Row('SoftCategorize', 'integers beyond 64 bits', lambda t: one([10**30, 1]), SoftLabelError, [str(10**30), '64 bits', 'fewer votes, or shares']),
    Row('SoftCategorize', 'None', lambda t: one(None), SoftLabelError, ['label None', 'missing', 'ignore=True']),
    Row('SoftCategorize', 'pd.NA', lambda t: one(pd.NA), SoftLabelError, ['<NA>', 'missing', 'ignore=True']),
    Row('SoftCategorize', 'all zeros', lambda t: one([0, 0]), SoftLabelError, ['[0.0, 0.0]', 'all zeros', 'no votes', 'ignore=True']),
    Row('SoftCategorize', 'no votes', lambda t: one([]), SoftLabelError, ['empty list of votes', 'ignore=True']),
    Row('SoftCategorize', 'empty dict', lambda t: one({}), SoftLabelError, ['all zeros', 'ignore=True']),
    Row('SoftCategorize', 'too many numbers', lambda t: one([.2, .3, .5]), SoftLabelError, ["3 values for 2 classes ['cat', 'dog']", 'vocab order']),
    Row('SoftCategorize', 'too few numbers', lambda t: one(torch.tensor([1.])), SoftLabelError, ['1 values for 2 classes']),
    Row('SoftCategorize', 'empty array', lambda t: one(np.array([])), SoftLabelError, ['empty list of votes']),
    Row('SoftCategorize', 'two dimensions', lambda t: one(np.ones((2, 2))/2), SoftLabelError, ["[0.5, 0.5], for the class 'cat', is not a number", 'one number for each class']),
    Row('SoftCategorize', 'unknown class', lambda t: one('lynx'), UnknownNameError, ["'lynx' is not in the vocab ['cat', 'dog']", 'add the class to `vocab=`']),
    Row('SoftCategorize', 'unknown class among votes', lambda t: one(['cat', 'lynx']), UnknownNameError, ["'lynx' is not in the vocab"]),
    Row('SoftCategorize', 'unknown key', lambda t: one({'cat': .5, 'lynx': .5}), UnknownNameError, ["'lynx' is not in the vocab"]),
    Row('SoftCategorize', 'unknown name in an index', lambda t: one(pd.Series({'cat': .5, 'lynx': .5})), UnknownNameError, ["'lynx' is not in the vocab"]),
    Row('SoftCategorize', 'a number for a class', lambda t: one(3), UnknownNameError, ['class 3 is not in the vocab']),
    Row('SoftCategorize', 'one probability for two classes', lambda t: one(.7), UnknownNameError, ['class 0.7 is not in the vocab']),
    Row('SoftCategorize', 'a text among numbers', lambda t: one([.5, 'dog']), SoftLabelError, ["'dog' stands among numbers", 'numbers only']),
    Row('SoftCategorize', 'a number among names', lambda t: one(['cat', .5]), SoftLabelError, ['0.5 stands among names', 'names only']),
    Row('SoftCategorize', 'None among votes', lambda t: one(['cat', None]), SoftLabelError, ['None stands among names']),
    Row('SoftCategorize', 'a text for a number', lambda t: one({'cat': 'three'}), SoftLabelError, ["'three', for the class 'cat', is not a number"]),
    Row('SoftCategorize', 'class named twice', lambda t: one(pd.Series([.5, .5], index=['cat', 'cat'])), SoftLabelError, ["the index names the class 'cat' more than once", 'Name each class once']),
    Row('SoftCategorize', 'a list for each annotator', lambda t: one([['cat'], ['dog']]), SoftLabelError, ["['cat'], for the class 'cat', is not a number"]),
    Row('SoftCategorize', 'integers that are also names', lambda t: SoftCategorize(vocab=[0, 1, 2])([2, 2, 1]), SoftLabelError, ['label [2, 2, 1]', 'or votes', '`Counter`']),
    Row('SoftCategorize', 'a Series without names', lambda t: one(pd.Series([.5, .5])), SoftLabelError, ['no class names as its index', '.tolist()']),
    Row('SoftCategorize', 'complex numbers', lambda t: one([1+1j, 0]), SoftLabelError, ["(1+1j), for the class 'cat', is not a number"]),
    Row('SoftCategorize', 'a whole table', lambda t: one(table()), SoftLabelError, ['is a DataFrame', 'expected the label of one item']),
    Row('SoftCategorize', 'a function', lambda t: one(len), UnknownNameError, ['<built-in function len> is not in the vocab']),
    Row('SoftCategorize', 'a sparse tensor', lambda t: one(torch.tensor([.5, .5]).to_sparse()), SoftLabelError, ['sparse', '.to_dense()']),
    Row('SoftCategorize', 'no vocab yet', lambda t: SoftCategorize()('cat'), SoftLabelError, ['no classes yet', '`vocab=`']),
    Row('SoftMultiCategorize', 'counts without n_votes', lambda t: many(Counter(cat=4)), SoftLabelError, ['[4.0, 0.0]', 'above 1', 'n_votes=']),
    Row('SoftMultiCategorize', 'count above n_votes', lambda t: many({'cat': 6}, n_votes=5), SoftLabelError, ['[6.0, 0.0, 5.0]', 'exceeds n_votes']),
    Row('SoftMultiCategorize', 'n_votes of 0', lambda t: many({'cat': 1}, n_votes=0), SoftLabelError, ['n_votes is 0', 'above 0']),
    Row('SoftMultiCategorize', 'n_votes a column name', lambda t: many({'cat': 1}, n_votes='n'), SoftLabelError, ["n_votes is 'n'", 'a number of annotators']),
    Row('SoftMultiCategorize', 'number above 1', lambda t: many([1.2, 0.]), SoftLabelError, ['[1.2, 0.0]', 'above 1']),
    Row('SoftMultiCategorize', 'negative number', lambda t: many([-.1, 0.]), SoftLabelError, ['negative']),
    Row('SoftMultiCategorize', 'NaN among numbers', lambda t: many([np.nan, 1.]), SoftLabelError, ['NaN', 'ignore=True']),
    Row('SoftMultiCategorize', 'class named twice', lambda t: many(['cat', 'cat']), SoftLabelError, ["'cat' stands twice", 'a list for each']),
    Row('SoftMultiCategorize', 'a name among lists', lambda t: many([['cat'], 'dog']), SoftLabelError, ["'dog' stands among lists"]),
    Row('SoftMultiCategorize', 'unknown class', lambda t: many([['cat'], ['lynx']]), UnknownNameError, ["'lynx' is not in the vocab"]),
    Row('SoftMultiCategorize', 'one probability for two classes', lambda t: many(.7), UnknownNameError, ['0.7']),
    Row('SoftMultiCategorize', 'scalar above 1', lambda t: many(1.7, vocab=['lesion']), SoftLabelError, ['[1.7]', 'above 1']),
    # blocks
    Row('SoftCategoryBlock', 'class named twice', lambda t: SoftCategoryBlock(vocab=['cat', 'dog', 'cat']), SoftLabelError, ["The vocab names the class 'cat' more than once", 'Name each class once']),
    Row('SoftCategoryBlock', 'no class', lambda t: SoftCategoryBlock(vocab=[]), SoftLabelError, ['vocab is empty']),
    Row('SoftCategoryBlock', 'one class', lambda t: SoftCategoryBlock(vocab=['cat']), SoftLabelError, ["One class, 'cat'", '`SoftMultiCategoryBlock`']),
    Row('SoftCategoryBlock', 'one class, inferred', lambda t: datasets(['cat']*5), SoftLabelError, ["One class, 'cat'"]),
    Row('SoftCategoryBlock', 'a set has no order', lambda t: SoftCategoryBlock(vocab={'cat', 'dog'}), SoftLabelError, ['The vocab is', 'a set has no order']),
    Row('SoftCategoryBlock', 'a text is one name', lambda t: SoftCategoryBlock(vocab='cat'), SoftLabelError, ["The vocab is 'cat'", 'a text is one name']),
    Row('SoftCategoryBlock', 'a number for names', lambda t: SoftCategoryBlock(vocab=3), SoftLabelError, ['The vocab is 3', 'expected a list']),
    Row('SoftCategoryBlock', 'a missing name', lambda t: SoftCategoryBlock(vocab=['cat', np.nan]), SoftLabelError, ['The vocab holds nan', 'cannot be the name of a class']),
    Row('SoftCategoryBlock', 'names that do not sort', lambda t: datasets([{1: 1, 'b': 1}]*5), SoftLabelError, ["[1, 'b'] cannot be sorted", '`sort=False`']),
    Row('SoftCategoryBlock', 'loss that flattens', lambda t: SoftCategoryBlock(vocab=PETS, loss_func=CrossEntropyLossFlat()), SoftLabelError, ['CrossEntropyLossFlat flattens', '`SoftCrossEntropyLossFlat`']),
    Row('SoftCategoryBlock', 'a text for a loss', lambda t: SoftCategoryBlock(vocab=PETS, loss_func='ce'), SoftLabelError, ["`loss_func` is 'ce'", 'expected a loss']),
    Row('SoftCategoryBlock', 'loss of the other kind', lambda t: SoftCategoryBlock(vocab=PETS, loss_func=SoftBCEWithLogitsLossFlat()), SoftLabelError, ['SoftBCEWithLogitsLossFlat', 'a probability of its own', '`SoftMultiCategoryBlock`']),
    Row('SoftCategoryBlock', 'loss along another axis', lambda t: SoftCategoryBlock(vocab=PETS, loss_func=SoftCrossEntropyLossFlat(axis=2)), SoftLabelError, ['axis 2', '(N,C)', 'leave `axis` out']),
    Row('SoftCategoryBlock', 'loss for masks', lambda t: SoftCategoryBlock(vocab=PETS, loss_func=SoftDiceLoss()), SoftLabelError, ['SoftDiceLoss', 'masks', '`SoftMaskBlock`']),
    Row('SoftCategoryBlock', 'weights of another length', lambda t: SoftCategoryBlock(vocab=PETS, loss_func=SoftCrossEntropyLossFlat(weight=[1., 2, 3])), SoftLabelError, ['(3,) values in `weight`', "2 classes ['cat', 'dog']"]),
    Row('SoftCategoryBlock', 'weights of another length, classes inferred', lambda t: datasets(good, loss_func=SoftCrossEntropyLossFlat(weight=[1., 2, 3])), SoftLabelError, ['(3,) values in `weight`', '2 classes']),
    Row('SoftCategoryBlock', 'labels without names', lambda t: datasets([[.5, .5]]*5), SoftLabelError, ['without names, like [0.5, 0.5]', '`vocab=`']),
    Row('SoftCategoryBlock', 'sum is not 1', lambda t: datasets(spoilt({'cat': .5}, 2)), SoftLabelError, ["im2.png'", 'sum to 0.5']),
    Row('SoftCategoryBlock', 'unknown class in the validation set', lambda t: datasets(spoilt({'lynx': 1.}, 4)), UnknownNameError, ["im4.png'", "'lynx' is not in the vocab", 'training set alone']),
    Row('SoftCategoryBlock', 'None', lambda t: datasets(spoilt(None, 1)), SoftLabelError, ["im1.png'", 'ignore=True']),
    Row('SoftCategoryBlock', 'unknown class in training, vocab given', lambda t: datasets(spoilt({'lynx': 1.}, 0), vocab=PETS).train[0], UnknownNameError, ["'lynx' is not in the vocab"]),
    Row('SoftCategoryBlock', 'unknown class in validation, vocab given', lambda t: datasets(spoilt({'lynx': 1.}, 4), vocab=PETS).valid.tls[1][0], UnknownNameError, ["'lynx' is not in the vocab"]),
    Row('SoftCategoryBlock', 'columns: sum is not 1', lambda t: columns(shares(cat=[1., .5, .1, 0.])), SoftLabelError, ['row 2', '[0.1, 0.8]', 'sum to 0.9']),
    Row('SoftCategoryBlock', 'columns: negative in the validation set', lambda t: columns(shares(cat=[1., .5, .2, -.5])), SoftLabelError, ['row 3', 'negative']),
    Row('SoftCategoryBlock', 'columns: a text', lambda t: columns(table(cat=[3, 'two', 1, 0])), SoftLabelError, ["row 1: 'two' in column 'cat' is not a number"]),
    Row('SoftCategoryBlock', 'columns: no such column', lambda t: columns(table(), cols=['cat', 'lynx']), UnknownNameError, ["no column 'lynx'", "['fname', 'cat', 'dog']"]),
    Row('SoftCategoryBlock', 'columns: other number than classes', lambda t: columns(table(), vocab=['cat', 'dog', 'fox']), SoftLabelError, ["2 columns ['cat', 'dog'] for 3 classes"]),
    Row('SoftCategoryBlock', 'columns: NaN, by from_df', lambda t: ImageDataLoaders.from_df(shares(dog=[0., .5, np.nan, 1.]), path=FOLDER.name, label_col=PETS, y_block=SoftCategoryBlock(vocab=PETS)), SoftLabelError, ['row 2', 'nan', 'Fill in 0']),
    Row('SoftMultiCategoryBlock', 'columns: counts', lambda t: columns(table(), block=SoftMultiCategoryBlock), SoftLabelError, ['row 0', '[3.0, 0.0]', 'n_votes=']),
    Row('SoftMultiCategoryBlock', 'threshold said twice', lambda t: SoftMultiCategoryBlock(vocab=PETS, thresh=.9, loss_func=SoftBCEWithLogitsLossFlat()), SoftLabelError, ['thresh=0.9', 'to the loss']),
    Row('SoftMultiCategoryBlock', 'weights of another length', lambda t: SoftMultiCategoryBlock(vocab=PETS, loss_func=SoftBCEWithLogitsLossFlat(pos_weight=[1.])), SoftLabelError, ['(1,) values in `pos_weight`']),
    Row('SoftMultiCategoryBlock', 'loss of the other kind', lambda t: SoftMultiCategoryBlock(vocab=PETS, loss_func=SoftCrossEntropyLossFlat()), SoftLabelError, ['SoftCrossEntropyLossFlat', 'one distribution', '`SoftCategoryBlock`']),
    Row('SoftMultiCategoryBlock', 'a text for a setting', lambda t: SoftMultiCategoryBlock(vocab=PETS, thresh='.5'), ValueError, ["thresh is '.5'", 'in [0,1]']),
    Row('SoftMultiCategoryBlock', 'out of range', lambda t: SoftMultiCategoryBlock(vocab=PETS, thresh=50), ValueError, ['thresh is 50', 'in [0,1]']),
    Row('SoftMultiCategoryBlock', 'negative setting', lambda t: SoftMultiCategoryBlock(vocab=PETS, n_votes=-1), ValueError, ['n_votes is -1', 'above 0']),
    # readers
    Row('SoftLabelReader', 'sum is not 1', lambda t: read(shares(cat=[1., .5, .1, 0.])), SoftLabelError, ["row 2 (item 'im2.png')", '[0.1, 0.8]', 'sum to 0.9', 'normalize=True']),
    Row('SoftLabelReader', 'negative number', lambda t: read(table(cat=[3, 2, -1, 0])), SoftLabelError, ["row 2 (item 'im2.png')", 'negative']),
    Row('SoftLabelReader', 'NaN among numbers', lambda t: read(shares(cat=[1., np.nan, .2, 0.])), SoftLabelError, ["row 1 (item 'im1.png')", 'nan', 'Fill in 0']),
    Row('SoftLabelReader', 'infinite number', lambda t: read(shares(cat=[1., np.inf, .2, 0.])), SoftLabelError, ["row 1 (item 'im1.png')", 'infinite']),
    Row('SoftLabelReader', 'numbers too large to add', lambda t: read(shares(cat=[1e308]*4, dog=[1e308]*4), normalize=True), SoftLabelError, ["row 0 (item 'im0.png')", '1e+308', 'too large']),
    Row('SoftLabelReader', 'no votes', lambda t: read(table(cat=[3, 0, 1, 0], dog=[0, 0, 2, 3])), SoftLabelError, ["row 1 (item 'im1.png')", 'all zeros', 'ignore=True']),
    Row('SoftLabelReader', 'a text for a number', lambda t: read(table(cat=['3', 'two', '1', '0'])), SoftLabelError, ["row 1 (item 'im1.png')", "'two' in column 'cat' is not a number"]),
    Row('SoftLabelReader', 'decimal commas', lambda t: read(shares(cat=['1,0', '0,5', '0,2', '0,0'])), SoftLabelError, ["'1,0' in column 'cat' is not a number"]),
    Row('SoftLabelReader', 'lists in cells', lambda t: read(table(cat=[[1]]*4)), SoftLabelError, ["[1] in column 'cat' is not a number"]),
    Row('SoftLabelReader', 'no such column', lambda t: read(classes=['cat', 'lynx']), UnknownNameError, ["no column 'lynx'", "['fname', 'cat', 'dog']"]),
    Row('SoftLabelReader', 'no such item column', lambda t: SoftLabelReader(table(), 'file', PETS), UnknownNameError, ["no column 'file'", 'fname']),
    Row('SoftLabelReader', 'item column by number', lambda t: SoftLabelReader(table(), 0, PETS), UnknownNameError, ['no column 0', 'fname']),
    Row('SoftLabelReader', 'several item columns', lambda t: SoftLabelReader(table(), ['fname'], PETS), SoftLabelError, ["`item` is ['fname']", 'the name of one column']),
    Row('SoftLabelReader', 'index of several levels', lambda t: SoftLabelReader(table().set_index(['fname', 'cat'], drop=False), None, PETS), SoftLabelError, ['index has 2 levels', 'reset_index']),
    Row('SoftLabelReader', 'class named twice', lambda t: read(classes=['cat', 'cat']), SoftLabelError, ["`classes` names the class 'cat' more than once"]),
    Row('SoftLabelReader', 'item twice', lambda t: read(table(fname=['a', 'b', 'a', 'c'])), SoftLabelError, ["row 2 (item 'a') repeats row 0 (item 'a')", 'each item once', 'groupby']),
    Row('SoftLabelReader', 'no table', lambda t: read({'cat': [1]}), SoftLabelError, ['a dict', 'pandas DataFrame', '.to_pandas()']),
    Row('SoftLabelReader', 'empty table', lambda t: read(table().head(0)), SoftLabelError, ['0 rows', 'nothing to read']),
    Row('SoftLabelReader', 'no class', lambda t: read(classes=[]), SoftLabelError, ['names 0 columns', 'nothing to read']),
    Row('SoftLabelReader', 'a set has no order', lambda t: read(classes={'cat', 'dog'}), SoftLabelError, ['`classes` is', 'a set has no order']),
    Row('SoftLabelReader', 'column twice', lambda t: read(table().rename(columns={'dog': 'cat'}), classes=['cat']), SoftLabelError, ["more than one column 'cat'"]),
    Row('SoftLabelReader', 'dates', lambda t: read(table(cat=pd.Timestamp('2020-01-01'))), SoftLabelError, ["Column 'cat' holds datetime64"]),
    Row('SoftLabelReader', 'durations', lambda t: read(table(cat=pd.Timedelta('1s'))), SoftLabelError, ["Column 'cat' holds timedelta64", 'Expected votes or probabilities']),
    Row('SoftLabelReader', 'periods', lambda t: read(table(cat=pd.period_range('2020', periods=4, freq='D'))), SoftLabelError, ["Column 'cat' holds period[D]"]),
    Row('SoftLabelReader', 'item is the index', lambda t: read(table().set_index('fname')), UnknownNameError, ["no column 'fname'", 'say `item=None`']),
    Row('SoftLabelReader', 'item missing', lambda t: read(table(fname=['a', None, 'b', 'c'])), SoftLabelError, ['Row 1 has no item name']),
    Row('SoftLabelReader', 'item an empty text', lambda t: read(table(fname=['a', '', 'b', 'c'])), SoftLabelError, ['Row 1 has no item name', 'Fill it in']),
    Row('SoftLabelReader', 'normalize and multi', lambda t: read(multi=True, normalize=True), SoftLabelError, ['`normalize` is for one distribution', 'n_votes=']),
    Row('SoftLabelReader', 'n_votes without multi', lambda t: read(n_votes=3), SoftLabelError, ['`n_votes` is for `multi=True`']),
    Row('SoftLabelReader', 'n_votes of 0', lambda t: read(multi=True, n_votes=0), SoftLabelError, ["row 0 (item 'im0.png')", 'n_votes is not a finite number above 0']),
    Row('SoftLabelReader', 'n_votes a column of texts', lambda t: read(table(n='three'), multi=True, n_votes='n'), SoftLabelError, ["row 0 (item 'im0.png')", "'three' in column 'n' is not a number"]),
    Row('SoftLabelReader', 'n_votes for other rows', lambda t: read(multi=True, n_votes=[3]*9), SoftLabelError, ['9 values in `n_votes`', '4 rows']),
    Row('SoftLabelReader', 'n_votes infinite', lambda t: read(multi=True, n_votes=np.inf), SoftLabelError, ['n_votes is not', 'inf']),
    Row('SoftLabelReader', 'a text for a function', lambda t: read(key='stem'), SoftLabelError, ["`key` is 'stem'", 'expected a function']),
    Row('SoftLabelReader', 'row without item', lambda t: read()({'file': 'im0.png'}), UnknownNameError, ["has no 'fname' to look up"]),
    Row('SoftLabelReader', 'unknown item', lambda t: read()(Path('data/im9.png')), UnknownNameError, ["'data/im9.png'", '4 rows', 'im0.png', 'key=']),
    Row('SoftLabelReader', 'a list for an item', lambda t: read()(['im0.png']), UnknownNameError, ["['im0.png']", 'key=']),
    Row('SoftLabelReader.check_items', 'an item without row', lambda t: from_reader(read(), FIVE), UnknownNameError, ['im4.png', '4 rows']),
    Row('SoftLabelReader.check_items', 'no such item column', lambda t: from_reader(read(), pd.concat([table()]*2).rename(columns={'fname': 'file'})), UnknownNameError, ["no column 'fname' to look up", 'file']),
    Row('SoftLabelReader.check_items', 'two items, one row', lambda t: from_reader(read(), [*FILES[:2], '/elsewhere/im1.png', *FILES[2:4]]), SoftLabelError, ["/elsewhere/im1.png' have the same row 'im1.png'", 'key=']),
    Row('SoftCategorize', 'a reader of other classes', lambda t: SoftCategorize(vocab=['cat', 'fox'])(read()('im0.png')), UnknownNameError, ["['cat', 'dog']", "['cat', 'fox']", 'order may differ']),
    Row('SoftCategorize', 'a reader for independent classes', lambda t: one(read(shares(), multi=True)('im0.png')), SoftLabelError, ['built with `multi=True`', 'one distribution']),
    # checks and display
    Row('check_distributions', 'one dimension', lambda t: check_distributions(np.array([.5, .5])), SoftLabelError, ['shape (2,)', '(N,K)']),
    Row('check_distributions', 'a text for an array', lambda t: check_distributions(np.array([['a', 'b']])), SoftLabelError, ['<U1', 'numbers (N,K)']),
    Row('check_distributions', 'complex numbers', lambda t: check_distributions(np.ones((2, 2))*1j), SoftLabelError, ['complex128', 'numbers (N,K)']),
    Row('check_probabilities', 'one dimension', lambda t: check_probabilities(np.array([.5, .5])), SoftLabelError, ['shape (2,)', '(N,K)']),
    Row('check_probabilities', 'n_votes for other rows', lambda t: check_probabilities(np.ones((2, 2)), n_votes=np.ones(3)), SoftLabelError, ['3 values in `n_votes`', '2 rows']),
    Row('SoftCategory', 'logits', lambda t: SoftCategory([-2., 3.], PETS), SoftLabelError, ['[-2.0, 3.0] are not probabilities', 'activation', '`SoftCrossEntropyLossFlat`']),
    Row('SoftCategory', 'weights of another length', lambda t: SoftCategory([.5, .5], ['cat']), SoftLabelError, ['(2,) probabilities for 1 classes']),
    Row('SoftCategory', 'a text for an array', lambda t: SoftCategory(['a', 'b'], PETS), SoftLabelError, ["['a', 'b'] are no numbers"]),
    Row('entropy', 'a text for an array', lambda t: entropy('a'), SoftLabelError, ["'a'", 'no numbers']),
    Row('draw_bars', 'nothing to draw', lambda t: draw_bars(None, {}), SoftLabelError, ['no labels to draw']),
    Row('draw_bars', 'other classes', lambda t: draw_bars(None, {'a': SoftCategory([.5, .5], PETS), 'b': SoftCategory([1., 0.], ['dog', 'cat'])}), SoftLabelError, ["'a' has the classes ['cat', 'dog']", "'b' has ['dog', 'cat']"]),
]


# votes

long = pd.DataFrame(dict(f=['a', 'a', 'b'], v=['cat', 'dog', 'dog'], who=[1, 2, 1], cat=[1, 0, 2], dog=[1, 1, 0], w=[1., 1., 1.], l=[['cat'], ['dog'], []]))
wide = long.drop(index=1).reset_index(drop=True)
pairs = pd.DataFrame(dict(f=list('aabbcc'), v=['cat', 'dog']*3, who=[1, 2]*3))

def soft(df=pairs, **kw): return votes_to_soft(df, 'f', label='v', **kw)
def listed(*votes): return votes_to_soft(pd.DataFrame(dict(f=range(len(votes)), l=votes)), 'f', lists='l')
def counted(df=wide, counts=('cat', 'dog'), **kw): return votes_to_soft(df, 'f', counts=list(counts), **kw)

def exported(t, tasks):
    "A file with these tasks, or with this text"
    (t/'export.json').write_text(tasks if isinstance(tasks, str) else json.dumps(tasks))
    return t/'export.json'

def task(**kw): return dict(id=7, data=dict(image='a.png'), annotations=[dict(completed_by=1, result=[dict(type='choices', value=dict(choices=['cat']))], **kw)])

VOTES = [
    Row('votes_to_soft', 'no form', lambda t: votes_to_soft(long, 'f'), SoftLabelError, ['one of `label=`', 'given: none']),
    Row('votes_to_soft', 'two forms', lambda t: votes_to_soft(long, 'f', label='v', counts=['cat']), SoftLabelError, ["given: ['label', 'counts']"]),
    Row('votes_to_soft', 'no table', lambda t: votes_to_soft([1], 'f', label='v'), SoftLabelError, ['a list', 'pandas DataFrame']),
    Row('votes_to_soft', 'empty table', lambda t: soft(pairs.head(0)), SoftLabelError, ['no rows', 'no votes']),
    Row('votes_to_soft', 'no such item column', lambda t: votes_to_soft(long, 'file', lists='l'), UnknownNameError, ["no column 'file'", "'f', 'v'"]),
    Row('votes_to_soft', 'several item columns', lambda t: votes_to_soft(long, ['f'], label='v'), SoftLabelError, ["['f']", 'the name of one column']),
    Row('votes_to_soft', 'long form without item', lambda t: votes_to_soft(long, None, label='v'), SoftLabelError, ['`item=`']),
    Row('votes_to_soft', 'one column for item and label', lambda t: votes_to_soft(long, 'v', label='v'), SoftLabelError, ["'v' twice", 'a column of its own']),
    Row('votes_to_soft', 'no such annotator column', lambda t: votes_to_soft(long, 'f', label='v', annotator='name'), UnknownNameError, ["no column 'name'"]),
    Row('votes_to_soft', 'one annotator has no column', lambda t: votes_to_soft(wide, 'f', annotators=['v', 'x']), UnknownNameError, ["no column 'x'"]),
    Row('votes_to_soft', 'no such column', lambda t: votes_to_soft(long, 'f', label='vote'), UnknownNameError, ["no column 'vote'", "'f', 'v'"]),
    Row('votes_to_soft', 'a text for a list of columns', lambda t: votes_to_soft(long, 'f', annotators='v'), SoftLabelError, ["`annotators` is 'v'", 'expected a list']),
    Row('votes_to_soft', 'a set has no order', lambda t: votes_to_soft(wide, 'f', counts={'cat', 'dog'}), SoftLabelError, ['`counts` is', 'a set has no order']),
    Row('votes_to_soft', 'no class', lambda t: votes_to_soft(wide, 'f', counts=[]), SoftLabelError, ['`counts` names no column']),
    Row('votes_to_soft', 'no annotator', lambda t: votes_to_soft(wide, 'f', annotators=[]), SoftLabelError, ['`annotators` names no column']),
    Row('votes_to_soft', 'column twice', lambda t: votes_to_soft(pd.concat([pairs, pairs[['v']]], axis=1), 'f', label='v'), SoftLabelError, ["more than one column 'v'", 'Rename']),
    Row('votes_to_soft', 'unknown class', lambda t: soft(long, vocab=['cat', 'fox']), UnknownNameError, ["Item 'a': the class 'dog' is not in the vocab ['cat', 'fox']", '`unsure=`']),
    Row('votes_to_soft', 'counts beyond the vocab', lambda t: counted(vocab=['cat']), UnknownNameError, ["the class 'dog' is not in the vocab"]),
    Row('votes_to_soft', 'vocab a set', lambda t: soft(vocab={'cat', 'dog'}), SoftLabelError, ['`vocab` is', 'a set has no order']),
    Row('votes_to_soft', 'a text is one name', lambda t: soft(vocab='cat'), SoftLabelError, ["`vocab` is 'cat'", 'a text is one name']),
    Row('votes_to_soft', 'class named twice', lambda t: soft(vocab=['cat', 'dog', 'cat']), SoftLabelError, ['more than once', 'Name each class once']),
    Row('votes_to_soft', 'names that do not sort', lambda t: soft(pairs.assign(v=['cat', 1]*3)), SoftLabelError, ["['cat', 1] cannot be sorted", '`vocab=`']),
    Row('votes_to_soft', 'lists in cells', lambda t: soft(pairs.assign(v=[['cat']]*6)), SoftLabelError, ["Row 0: ['cat'] in column 'v'", '`lists=`']),
    Row('votes_to_soft', 'no votes', lambda t: votes_to_soft(wide, 'f', lists='l'), SoftLabelError, ["Item 'b' has no votes (1 of 2 items)", '`min_votes=1`']),
    Row('votes_to_soft', 'only unsure votes', lambda t: soft(long, unsure=['dog']), SoftLabelError, ["Item 'b' has no votes", '`unsure_as=`']),
    Row('votes_to_soft', 'negative number', lambda t: counted(wide.assign(cat=[1, -1])), SoftLabelError, ['Row 1: the counts are [-1, 0]', 'whole numbers']),
    Row('votes_to_soft', 'fractional count', lambda t: counted(wide.assign(cat=[1, .5])), SoftLabelError, ['Row 1', '0.5', 'whole numbers']),
    Row('votes_to_soft', 'NaN among numbers', lambda t: counted(wide.assign(cat=[1, np.nan])), SoftLabelError, ['Row 1', 'nan', '0 where nobody']),
    Row('votes_to_soft', 'infinite number', lambda t: counted(wide.assign(cat=[1, np.inf])), SoftLabelError, ['Row 1', 'inf', 'whole numbers']),
    Row('votes_to_soft', 'a text for a number', lambda t: counted(wide.assign(cat=[1, 'two'])), SoftLabelError, ['Row 1', "'two'"]),
    Row('votes_to_soft', 'dates', lambda t: counted(wide.assign(cat=pd.Timestamp('2020-01-01'))), SoftLabelError, ["Column 'cat' holds datetime64"]),
    Row('votes_to_soft', 'a second vote of one annotator', lambda t: soft(long.assign(who=1), annotator='who'), SoftLabelError, ["Row 1: annotator 1 voted on item 'a' before, for another class", 'may name several classes', '`SoftMultiCategoryBlock`']),
    Row('votes_to_soft', 'a vote that stands twice', lambda t: soft(long.assign(who=1, v='cat'), annotator='who'), SoftLabelError, ["Row 1: annotator 1 voted 'cat' on item 'a' before", 'drop_duplicates']),
    Row('votes_to_soft', 'annotator missing', lambda t: soft(pairs.assign(who=[1, None]*3), annotator='who'), SoftLabelError, ["Row 1: the annotator in column 'who' is missing"]),
    Row('votes_to_soft', 'label missing', lambda t: soft(long.assign(v=['cat', None, 'dog'])), SoftLabelError, ["Row 1: the label in column 'v' is missing", 'Drop the row']),
    Row('votes_to_soft', 'item missing', lambda t: soft(long.assign(f=['a', None, 'b'])), SoftLabelError, ["Row 1: the item in column 'f' is missing"]),
    Row('votes_to_soft', 'item missing beside counts', lambda t: counted(wide.assign(f=['a', None])), SoftLabelError, ["Row 1: the item in column 'f' is missing"]),
    Row('votes_to_soft', 'item missing in the index', lambda t: votes_to_soft(wide.set_index(pd.Index(['a', None])), None, lists='l'), SoftLabelError, ['the item in the index is missing']),
    Row('votes_to_soft', 'item twice', lambda t: counted(long), SoftLabelError, ["Row 1: the item 'a' stands in the table before"]),
    Row('votes_to_soft', 'negative weight', lambda t: soft(long.assign(w=[1, -2, 1]), weight='w'), SoftLabelError, ['Row 1: the weight is', '-2', '0 or more']),
    Row('votes_to_soft', 'infinite weight', lambda t: soft(long.assign(w=[1, np.inf, 1]), weight='w'), SoftLabelError, ['Row 1: the weight is', 'inf', 'a finite number']),
    Row('votes_to_soft', 'weight of another form', lambda t: counted(weight='w'), SoftLabelError, ['`weight=`', 'long form', '`label=`']),
    Row('votes_to_soft', 'annotator of another form', lambda t: counted(annotator='who'), SoftLabelError, ['`annotator=`', 'long form']),
    Row('votes_to_soft', 'a text for a list', lambda t: votes_to_soft(wide, 'f', lists='v'), SoftLabelError, ["Row 0: 'cat' in column 'v' is no list", 'a list of one']),
    Row('votes_to_soft', 'counts in place of lists', lambda t: listed(dict(cat=3), dict(dog=1)), SoftLabelError, ["Row 0: {'cat': 3} in column 'l' is no list", 'a column for each class']),
    Row('votes_to_soft', 'None among votes', lambda t: listed(['cat'], ['cat', None]), SoftLabelError, ["Row 1: None stands among the votes ['cat', None]", 'leave it out']),
    Row('votes_to_soft', 'lists of lists', lambda t: listed(['cat'], [['cat']]), SoftLabelError, ["Row 1: ['cat'] stands among the votes", 'a name']),
    Row('votes_to_soft', 'prior negative', lambda t: soft(prior=-1), SoftLabelError, ['prior is -1', '0 or more']),
    Row('votes_to_soft', 'prior infinite', lambda t: soft(prior=np.inf), SoftLabelError, ['prior is inf', 'a finite number']),
    Row('votes_to_soft', 'prior a list', lambda t: soft(prior=[1, 2]), SoftLabelError, ['prior is [1, 2]', 'a finite number']),
    Row('votes_to_soft', 'min_votes negative', lambda t: soft(min_votes=-1), SoftLabelError, ['min_votes is -1', 'above 0']),
    Row('votes_to_soft', 'min_votes a text', lambda t: soft(min_votes='2'), SoftLabelError, ["min_votes is '2'"]),
    Row('votes_to_soft', 'min_votes beyond all', lambda t: soft(min_votes=5), SoftLabelError, ['All 3 items have fewer than 5 votes', 'min_votes']),
    Row('votes_to_soft', 'unsure a number', lambda t: soft(unsure=3), SoftLabelError, ['`unsure` is 3', 'expected a list']),
    Row('votes_to_soft', 'unknown option', lambda t: soft(unsure_as='ignore'), SoftLabelError, ["unsure_as is 'ignore'", "'spread'"]),
    Row('votes_to_soft', 'class with a result column\'s name', lambda t: soft(long.assign(v='entropy')), SoftLabelError, ["named 'entropy'", 'Rename']),
    Row('krippendorff_alpha', 'unknown option', lambda t: krippendorff_alpha(soft(), level='interval'), SoftLabelError, ["level is 'interval'", "'ordinal'"]),
    Row('krippendorff_alpha', 'no table', lambda t: krippendorff_alpha(soft().n_votes), SoftLabelError, ['a Series', 'pandas DataFrame']),
    Row('krippendorff_alpha', 'no such column', lambda t: krippendorff_alpha(pairs), UnknownNameError, ["no column 'n_votes'"]),
    Row('krippendorff_alpha', 'column twice', lambda t: krippendorff_alpha(pd.concat([soft(), soft()[['entropy']]], axis=1)), SoftLabelError, ["more than one column 'entropy'"]),
    Row('krippendorff_alpha', 'a column beside', lambda t: krippendorff_alpha(soft().assign(split=1.)), SoftLabelError, ["['cat', 'dog', 'split'] are no shares that sum to 1", 'without columns beside it']),
    Row('krippendorff_alpha', 'rounded shares', lambda t: krippendorff_alpha(soft(pd.DataFrame(dict(f=list('aaa'), v=['cat', 'dog', 'dog']))).round(2).assign(cat=.34)), SoftLabelError, ['no shares that sum to 1', 'unrounded']),
    Row('krippendorff_alpha', 'smoothed votes', lambda t: krippendorff_alpha(soft(long, prior=1.)), SoftLabelError, ['no shares of whole votes', '`prior=`']),
    Row('krippendorff_alpha', 'smoothing that looks like whole votes', lambda t: krippendorff_alpha(counted(pd.DataFrame(dict(f=list('abc'), cat=[4, 0, 4], dog=[0, 4, 0])), prior=2.)), SoftLabelError, ['no shares of whole votes']),
    Row('krippendorff_alpha', 'weighted votes', lambda t: krippendorff_alpha(soft(pairs.assign(w=.5), weight='w')), SoftLabelError, ['no shares of whole votes', '`weight=`']),
    Row('krippendorff_alpha', 'a text for a number', lambda t: krippendorff_alpha(soft().assign(n_votes='two')), SoftLabelError, ["'two' in column 'n_votes' is not a number"]),
    Row('krippendorff_alpha', 'one class', lambda t: krippendorff_alpha(soft(pairs.assign(v='cat'), vocab=PETS)), SoftLabelError, ['all of them are for one class', 'two classes']),
    Row('krippendorff_alpha', 'one vote each', lambda t: krippendorff_alpha(soft(pairs.drop_duplicates('f'))), SoftLabelError, ['0 items have two votes', 'agreement takes two']),
    Row('item_weights', 'no votes', lambda t: item_weights([3, 0, 2]), SoftLabelError, ['Item 1 has 0 votes', 'leave such items out']),
    Row('item_weights', 'None', lambda t: item_weights([3, None]), SoftLabelError, ['Item 1 has None votes']),
    Row('item_weights', 'pd.NA', lambda t: item_weights(pd.array([3, pd.NA], dtype='Int64')), SoftLabelError, ['Item 1 has <NA> votes']),
    Row('item_weights', 'a text for a number', lambda t: item_weights(['many']), SoftLabelError, ["Item 0 has 'many' votes"]),
    Row('item_weights', 'negative number', lambda t: item_weights([2, -1]), SoftLabelError, ['Item 1 has -1 votes']),
    Row('item_weights', 'empty table', lambda t: item_weights([]), SoftLabelError, ['no items to weigh']),
    Row('item_weights', 'cap of 0', lambda t: item_weights([1, 2], cap=0), SoftLabelError, ['cap is 0', 'above 0']),
    Row('item_weights', 'cap a text', lambda t: item_weights([1, 2], cap='3'), SoftLabelError, ["cap is '3'"]),
    Row('item_weights', 'a dict', lambda t: item_weights({'a': 1}), SoftLabelError, ['a dict of', 'one number for each item']),
    Row('item_weights', 'a number for all', lambda t: item_weights(5), SoftLabelError, ['a int of 0 dim']),
    Row('item_weights', 'two dimensions', lambda t: item_weights(np.ones((2, 2))), SoftLabelError, ['of 2 dimensions']),
    Row('dawid_skene', 'annotator missing', lambda t: dawid_skene(pairs.assign(who=[None]+[1]*5), 'f', 'v', 'who'), SoftLabelError, ["annotator in column 'who' is missing"]),
    Row('dawid_skene', 'no such annotator column', lambda t: dawid_skene(pairs, 'f', 'v', 'annotator'), UnknownNameError, ["no column 'annotator'"]),
    Row('dawid_skene', 'one column for two things', lambda t: dawid_skene(pairs, 'f', 'v', 'v'), SoftLabelError, ["'v' twice", 'a column of its own']),
    Row('dawid_skene', 'no item column', lambda t: dawid_skene(pairs, None, 'v', 'who'), SoftLabelError, ['`item`', 'None', 'name the column']),
    Row('dawid_skene', 'empty table', lambda t: dawid_skene(pairs.head(0), 'f', 'v', 'who'), SoftLabelError, ['no votes']),
    Row('dawid_skene', 'no step', lambda t: dawid_skene(pairs, 'f', 'v', 'who', n_iter=0), SoftLabelError, ['n_iter is 0', '1 or more']),
    Row('dawid_skene', 'half a step', lambda t: dawid_skene(pairs, 'f', 'v', 'who', n_iter=1.5), SoftLabelError, ['n_iter is 1.5', 'a whole number']),
    Row('dawid_skene', 'label missing', lambda t: dawid_skene(pairs.assign(v=[None]+['cat']*5), 'f', 'v', 'who'), SoftLabelError, ["the label in column 'v' is missing"]),
    Row('read_label_studio', 'no such file', lambda t: read_label_studio(t/'none.json'), FileNotFoundError, ['none.json', 'does not exist', 'Export']),
    Row('read_label_studio', 'a folder', lambda t: read_label_studio(t), OSError, ['cannot be read', 'a file']),
    Row('read_label_studio', 'half a file', lambda t: read_label_studio(exported(t, '{')), SoftLabelError, ['export.json is no JSON export']),
    Row('read_label_studio', 'bytes that are no text', lambda t: ((t/'export.json').write_bytes(b'\xff\xfe\x00'), read_label_studio(t/'export.json')), SoftLabelError, ['export.json is no JSON export']),
    Row('read_label_studio', 'no list of tasks', lambda t: read_label_studio(exported(t, '{}')), SoftLabelError, ['a dict', 'expected a list of tasks', '"JSON-MIN"']),
    Row('read_label_studio', 'tasks that are none', lambda t: read_label_studio(exported(t, [1, 2])), SoftLabelError, ['Task 1', 'expected a dict', '"JSON"']),
    Row('read_label_studio', 'no such key', lambda t: read_label_studio(exported(t, [dict(id=7, data=dict(text='x'))])), UnknownNameError, ["Task 7", "no 'image' in its data", 'key=']),
    Row('read_label_studio', 'no choices', lambda t: read_label_studio(exported(t, [task(was_cancelled=True)])), SoftLabelError, ['1 tasks, but no choices']),
    Row('read_label_studio', 'annotations null', lambda t: read_label_studio(exported(t, [dict(id=7, data=dict(image='a'), annotations=None)])), SoftLabelError, ['1 tasks, but no choices']),
    Row('read_label_studio', 'choices without a value', lambda t: read_label_studio(exported(t, [dict(task(), annotations=[dict(result=[dict(type='choices', value={})])])])), SoftLabelError, ['Task 7', "no 'choices'", 'Export']),
    Row('preds_to_soft', 'temperature of 0', lambda t: preds_to_soft(learner(), FILES, temperature=0), SoftLabelError, ['temperature is 0', 'above 0']),
    Row('preds_to_soft', 'a text for a setting', lambda t: preds_to_soft(learner(), FILES, temperature='2'), SoftLabelError, ["temperature is '2'"]),
    Row('preds_to_soft', 'no learner', lambda t: preds_to_soft(learner().dls, FILES), SoftLabelError, ['is a DataLoaders', 'expected a `Learner`']),
    Row('preds_to_soft', 'no items', lambda t: preds_to_soft(learner(), []), SoftLabelError, ['no items']),
    Row('preds_to_soft', 'a folder', lambda t: preds_to_soft(learner(), FOLDER.name), SoftLabelError, ['is a str', '`get_image_files']),
    Row('preds_to_soft', 'loss without activation', lambda t: preds_to_soft(learner(loss_func=nn.CrossEntropyLoss()), FILES), SoftLabelError, ['CrossEntropyLoss() has no `activation`']),
]


# losses

z, y = torch.randn(4, 2), torch.rand(4, 2).softmax(-1)
maps, masks = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4).softmax(1)
CE, BCE = SoftCrossEntropyLossFlat, SoftBCEWithLogitsLossFlat

LOSSES = [
    Row('SoftCrossEntropyLossFlat', 'negative weight', lambda t: CE(weight=[-1., 2.]), ValueError, ['`weight` is [-1.0, 2.0]', '0 or more']),
    Row('SoftCrossEntropyLossFlat', 'weights all 0', lambda t: CE(weight=[0., 0.]), ValueError, ['`weight` is [0.0, 0.0]', 'not all 0']),
    Row('SoftCrossEntropyLossFlat', 'a text for weights', lambda t: CE(weight='balanced'), ValueError, ["`weight` is 'balanced'", '`class_weights']),
    Row('SoftCrossEntropyLossFlat', 'a dict', lambda t: CE(weight={'cat': 1., 'dog': 2.}), ValueError, ["`weight` is {'cat': 1.0", 'in vocab order']),
    Row('SoftCrossEntropyLossFlat', 'weights of another length', lambda t: CE(weight=[1., 2, 3])(z, y), SoftLabelError, ['`weight` has shape (3,), but the logits have 2 classes', 'give one weight each']),
    Row('SoftCrossEntropyLossFlat', 'unknown option', lambda t: CE(reduction='avg'), ValueError, ["reduction is 'avg'", "'mean', 'sum' or 'none'"]),
    Row('SoftCrossEntropyLossFlat', 'out of range', lambda t: CE(label_smoothing=1.5), ValueError, ['label_smoothing is 1.5', 'in [0,1]']),
    Row('SoftCrossEntropyLossFlat', 'a text for a setting', lambda t: CE(label_smoothing='.1'), ValueError, ["label_smoothing is '.1'"]),
    Row('SoftCrossEntropyLossFlat', 'axis of the items', lambda t: CE(axis=0)(z, y), ValueError, ['axis is 0', 'the items']),
    Row('SoftCrossEntropyLossFlat', 'axis that is none', lambda t: CE(axis=3)(z, y), SoftLabelError, ['axis=3', '(4, 2)', 'axis=1']),
    Row('SoftCrossEntropyLossFlat', 'axis a fraction', lambda t: CE(axis=1.), ValueError, ['axis is 1.0', 'a whole number']),
    Row('SoftCrossEntropyLossFlat', 'one dimension', lambda t: CE()(z[0], y[0]), SoftLabelError, ['Expected logits (N,C)', '(2,)']),
    Row('SoftCrossEntropyLossFlat', 'one class', lambda t: CE()(z[:, :1], torch.zeros(4, dtype=torch.int64)), SoftLabelError, ['With one class there is nothing to index', '(4, 1)']),
    Row('SoftCrossEntropyLossFlat', 'would broadcast', lambda t: CE()(z, y[:, :1]), SoftLabelError, ['(4, 2)', '(4, 1)', 'Nothing is broadcast']),
    Row('SoftCrossEntropyLossFlat', 'columns of an image as classes', lambda t: CE()(maps, masks), SoftLabelError, ['`axis=-1` the columns', 'Say `axis=1` for']),
    Row('SoftCrossEntropyLossFlat', 'index of no class', lambda t: CE()(z, torch.tensor([0, 1, 2, 0])), SoftLabelError, ['class index 2', '0 to 1', '−100']),
    Row('SoftCrossEntropyLossFlat', 'negative index', lambda t: CE()(z, torch.tensor([0, 1, -1, 0])), SoftLabelError, ['class index -1', '−100: unlabelled']),
    Row('SoftCrossEntropyLossFlat', 'no tensor', lambda t: CE()(z, y.tolist()), SoftLabelError, ['The targets are a list', 'expected a tensor']),
    Row('SoftCrossEntropyLossFlat', 'a tuple of predictions', lambda t: CE()((z,), y), SoftLabelError, ['logits are a tuple', 'one tensor']),
    Row('SoftCrossEntropyLossFlat', 'integer logits', lambda t: CE()(z.long(), y), SoftLabelError, ['torch.int64', 'floats']),
    Row('SoftCrossEntropyLossFlat', 'complex numbers', lambda t: CE()(z, y*1j), SoftLabelError, ['torch.complex64', 'expected a tensor of probabilities']),
    Row('SoftBCEWithLogitsLossFlat', 'NaN among weights', lambda t: BCE(pos_weight=[np.nan, 2.]), ValueError, ['`pos_weight` is [nan, 2.0]', 'finite']),
    Row('SoftBCEWithLogitsLossFlat', 'out of range', lambda t: setattr(BCE(), 'thresh', 5), ValueError, ['thresh is 5', 'in [0,1]']),
    Row('SoftBCEWithLogitsLossFlat', 'None for a setting', lambda t: BCE(thresh=None), ValueError, ['thresh is None', 'in [0,1]']),
    Row('SoftBCEWithLogitsLossFlat', 'unknown option', lambda t: BCE(reduction='avg'), ValueError, ["reduction is 'avg'", "'mean', 'sum' or 'none'"]),
    Row('SoftBCEWithLogitsLossFlat', 'weights of another length', lambda t: BCE(weight=[1., 2, 3])(z, y), SoftLabelError, ['`weight` has shape (3,), but the logits have 2 classes']),
    Row('SoftBCEWithLogitsLossFlat', 'one dimension', lambda t: BCE()(z[0], y[0]), SoftLabelError, ['Expected logits (N,C)']),
    Row('SoftBCEWithLogitsLossFlat', 'would broadcast', lambda t: BCE()(z, y[:1]), SoftLabelError, ['(4, 2)', '(1, 2)', 'Nothing is broadcast']),
    Row('SoftBCEWithLogitsLossFlat', 'index of no class', lambda t: BCE()(z, torch.tensor([0, 1, 2, 0])), SoftLabelError, ['class index 2', '0 to 1']),
    Row('SoftDiceLoss', 'unknown option', lambda t: SoftDiceLoss(activation='tanh'), ValueError, ["activation is 'tanh'; expected one of", "'sigmoid'"]),
    Row('SoftDiceLoss', 'unknown aggregate', lambda t: SoftDiceLoss(aggregate='pixel'), ValueError, ["aggregate is 'pixel'", "'class'"]),
    Row('SoftDiceLoss', 'unknown choice of classes', lambda t: SoftDiceLoss(classes='some'), ValueError, ["classes is 'some'", "'present'"]),
    Row('SoftDiceLoss', 'unknown reduction', lambda t: SoftDiceLoss(reduction='average'), ValueError, ["reduction is 'average'"]),
    Row('SoftDiceLoss', 'negative setting', lambda t: SoftDiceLoss(smooth=-1), ValueError, ['smooth is -1', 'a finite number of pixels']),
    Row('SoftDiceLoss', 'NaN', lambda t: SoftDiceLoss(smooth=float('nan')), ValueError, ['smooth is nan']),
    Row('SoftDiceLoss', 'infinite number', lambda t: SoftDiceLoss(smooth=float('inf')), ValueError, ['smooth is inf', 'a finite number of pixels']),
    Row('SoftDiceLoss', 'a text for a setting', lambda t: SoftDiceLoss(smooth='1'), ValueError, ["smooth is '1'"]),
    Row('SoftDiceLoss', 'out of range', lambda t: SoftDiceLoss(thresh=2), ValueError, ['thresh is 2', 'a probability in [0,1]']),
    Row('SoftDiceLoss', 'axis of the items', lambda t: SoftDiceLoss(axis=0), ValueError, ['axis is 0', 'the items']),
    Row('SoftDiceLoss', 'axis that is none', lambda t: SoftDiceLoss(axis=9)(maps, masks), SoftLabelError, ['axis=9', '(2, 3, 4, 4)']),
    Row('SoftDiceLoss', 'would broadcast', lambda t: SoftDiceLoss()(maps, masks[:, :1]), SoftLabelError, ['(2, 3, 4, 4)', '(2, 1, 4, 4)', 'Nothing is broadcast']),
    Row('SoftDiceLoss', 'index of no class', lambda t: SoftDiceLoss()(maps, torch.full((2, 4, 4), 3)), SoftLabelError, ['class index 3', '0 to 2']),
    Row('SoftDiceLoss', 'softmax over one class', lambda t: SoftDiceLoss(activation='softmax')(maps[:, :1], masks[:, :1]), SoftLabelError, ['softmax over one class is 1']),
    Row('SoftDiceLoss', 'a tuple of predictions', lambda t: SoftDiceLoss()((maps, maps), masks), SoftLabelError, ['logits are a tuple', 'one tensor']),
    Row('SoftDiceBCELoss', 'out of range', lambda t: SoftDiceBCELoss(1.5), ValueError, ['dice_weight is 1.5', 'a share in [0,1]']),
    Row('SoftDiceBCELoss', 'weights all 0', lambda t: SoftDiceBCELoss(pos_weight=0.), ValueError, ['`pos_weight` is 0.0', 'finite weights above 0']),
    Row('SoftDiceBCELoss', 'negative weight', lambda t: SoftDiceBCELoss(neg_weight=[1., -1.]), ValueError, ['`neg_weight` is [1.0, -1.0]']),
    Row('SoftDiceBCELoss', 'a text for weights', lambda t: SoftDiceBCELoss(pos_weight='a'), ValueError, ["`pos_weight` is 'a'"]),
    Row('SoftDiceBCELoss', 'weights of another length', lambda t: SoftDiceBCELoss(0., pos_weight=[1., 2.])(maps[:, :1], masks[:, :1]), SoftLabelError, ['`pos` has shape (2,), but the logits have 1 classes']),
    Row('SoftDiceBCELoss', 'would broadcast', lambda t: SoftDiceBCELoss()(maps, masks[..., :1]), SoftLabelError, ['(2, 3, 4, 1)', 'Nothing is broadcast']),
    Row('SoftDiceCELoss', 'NaN', lambda t: SoftDiceCELoss(float('nan')), ValueError, ['dice_weight is nan']),
    Row('SoftDiceCELoss', 'a text for a setting', lambda t: SoftDiceCELoss('half'), ValueError, ["dice_weight is 'half'", 'a share in [0,1]']),
    Row('SoftDiceCELoss', 'negative weight', lambda t: SoftDiceCELoss(weight=[-1.]), ValueError, ['`weight` is [-1.0]']),
    Row('SoftDiceCELoss', 'would broadcast', lambda t: SoftDiceCELoss()(maps, torch.rand(2, 3)), SoftLabelError, ['(2, 3)', 'Nothing is broadcast']),
    Row('SumOfLosses', 'other number of columns', lambda t: SumOfLosses([CE(), CE()], [2, 2])(torch.rand(4, 5), y, y), SoftLabelError, ['gives 5 columns, but the targets need 2 + 2 = 4', 'return a tuple']),
    Row('SumOfLosses', 'other number of predictions', lambda t: SumOfLosses([CE(), CE()], [2, 2])((z,), y, y), SoftLabelError, ['1 predictions', '2 losses']),
    Row('SumOfLosses', 'other number of targets', lambda t: SumOfLosses([CE(), CE()], [2, 2])((z, z), y), SoftLabelError, ['1 targets', '2 losses']),
    Row('SumOfLosses', 'other number of sizes', lambda t: SumOfLosses([CE()], [2, 3]), SoftLabelError, ['1 losses', '2 sizes']),
    Row('SumOfLosses', 'a text for a loss', lambda t: SumOfLosses(['ce'], [2]), SoftLabelError, ["'ce'", 'expected a loss']),
]


# metrics

half = torch.tensor([[.5, .5]])

METRICS = [
    Row('top1_agreement', 'would broadcast', lambda t: top1_agreement(torch.rand(4, 2), torch.rand(4, 1)), SoftLabelError, ['(4, 2)', '(4, 1)', 'Nothing is broadcast']),
    Row('top1_agreement', 'one dimension', lambda t: top1_agreement(torch.rand(4), torch.rand(4)), SoftLabelError, ['Expected predictions (N,K)', '(4,)']),
    Row('top1_agreement', 'one class', lambda t: top1_agreement(torch.rand(4, 1), torch.rand(4, 1)), SoftLabelError, ['Row 0 of the predictions is not a distribution', 'multi=True']),
    Row('top1_agreement', 'two targets', lambda t: top1_agreement.accumulate(SimpleNamespace(pred=torch.rand(4, 2), yb=(torch.rand(4, 2),)*2, to_detach=None)), SoftLabelError, ['`top1_agreement`', '2 targets']),
    Row('top1_agreement', 'index of no class', lambda t: top1_agreement(half, torch.tensor([2])), SoftLabelError, ['class index 2', '0 to 1']),
    Row('top1_agreement', 'masks', lambda t: top1_agreement(masks, masks), SoftLabelError, ['(2, 3, 4, 4)', '`SoftDice` or `DiceAt`']),
    Row('kl_divergence', 'logits', lambda t: kl_divergence(torch.tensor([[.5, .5], [2., -1.]]), torch.tensor([[.5, .5]]*2)), SoftLabelError, ['Row 1', '[2.0, -1.0]', 'learn.get_preds()']),
    Row('kl_divergence', 'counts', lambda t: kl_divergence(half, torch.tensor([[3., 1.]])), SoftLabelError, ['Row 0 of the targets is not a distribution', '[3.0, 1.0]', 'votes']),
    Row('kl_divergence', 'no tensor', lambda t: kl_divergence(learner(), half), SoftLabelError, ['predictions are a Learner', 'tensor or an array']),
    Row('kl_divergence', 'None', lambda t: kl_divergence(half, None), SoftLabelError, ['targets are None', 'with_labels=True']),
    Row('soft_cross_entropy', 'negative number', lambda t: soft_cross_entropy(half, torch.tensor([[-1., 2.]])), SoftLabelError, ['Row 0 of the targets', '[-1.0, 2.0]']),
    Row('soft_cross_entropy', 'sum is not 1', lambda t: soft_cross_entropy(half, torch.tensor([[.5, .2]])), SoftLabelError, ['Row 0 of the targets', '[0.5, 0.2]']),
    Row('total_variation', 'number above 1', lambda t: total_variation(half, torch.tensor([[1.5, .5]]), multi=True), SoftLabelError, ['Row 0 of the targets is not probabilities', '[1.5, 0.5]']),
    Row('brier_score', 'NaN from the model', lambda t: brier_score(torch.tensor([[np.nan, 1.]]), half), SoftLabelError, ['Row 0', 'nan']),
    Row('brier_score', 'loss without activation', lambda t: brier_score.accumulate(SimpleNamespace(pred=torch.rand(4, 2), yb=(torch.rand(4, 2),), loss_func=nn.CrossEntropyLoss(), to_detach=None)), SoftLabelError, ['CrossEntropyLoss() has no `activation`', '`brier_score`']),
    Row('SoftECE', 'no bins', lambda t: SoftECE(n_bins=0), ValueError, ['n_bins is 0', '1 or more']),
    Row('SoftECE', 'bins and a half', lambda t: SoftECE(n_bins=1.5), ValueError, ['n_bins is 1.5', 'a whole number']),
    Row('SoftECE', 'None for a setting', lambda t: SoftECE(n_bins=None), ValueError, ['n_bins is None', '1 or more']),
    Row('calibration_error', 'weights of another length', lambda t: calibration_error(torch.rand(3), torch.rand(4)), SoftLabelError, ['(3,)', '(4,)', 'one number for each item']),
    Row('calibration_error', 'no bins', lambda t: calibration_error(torch.rand(3), torch.rand(3), n_bins=0), ValueError, ['n_bins is 0', '1 or more']),
    Row('calibration_error', 'out of range', lambda t: calibration_error(torch.tensor([2.]), torch.tensor([1.])), SoftLabelError, ['confidence of item 0 is 2.0', 'in [0,1]']),
    Row('bootstrap_interval', 'level in percent', lambda t: bootstrap_interval(brier_score, half, half, level=95), ValueError, ['level is 95', 'between 0 and 1']),
    Row('bootstrap_interval', 'no resample', lambda t: bootstrap_interval(brier_score, half, half, n=0), ValueError, ['n is 0', '1 or more']),
    Row('bootstrap_interval', 'half a resample', lambda t: bootstrap_interval(brier_score, half, half, n=1.5), ValueError, ['n is 1.5', 'a whole number']),
    Row('bootstrap_interval', 'seed a text', lambda t: bootstrap_interval(brier_score, half, half, seed='a'), ValueError, ["seed is 'a'", 'a whole number']),
    Row('bootstrap_interval', 'metric of fastai', lambda t: bootstrap_interval(accuracy, half, half), SoftLabelError, ['is no metric of this module', '`kl_divergence`']),
    Row('bootstrap_interval', 'no items', lambda t: bootstrap_interval(brier_score, half[:0], half[:0]), SoftLabelError, ['no items to resample']),
    Row('bootstrap_interval', 'counts', lambda t: bootstrap_interval(brier_score, half, torch.tensor([[3., 1.]])), SoftLabelError, ['Row 0 of the targets', '[3.0, 1.0]']),
    Row('SoftDice', 'two dimensions', lambda t: SoftDice()(torch.rand(3, 2), torch.rand(3, 2)), SoftLabelError, ['Expected probabilities of masks (N,K,H,W), got shape (3, 2)']),
    Row('SoftDice', 'would broadcast', lambda t: SoftDice()(masks, masks[:, :1]), SoftLabelError, ['Nothing is broadcast']),
    Row('SoftDice', 'logits', lambda t: SoftDice()(9*maps, masks), SoftLabelError, ['The predictions hold', 'no probability', 'learn.get_preds()']),
    Row('SoftDice', 'NaN from the model', lambda t: SoftDice()(masks*np.nan, masks), SoftLabelError, ['The predictions hold nan']),
    Row('SoftDice', 'negative setting', lambda t: SoftDice(smooth=-1), ValueError, ['smooth is -1', 'a finite number of pixels']),
    Row('DiceAt', 'out of range', lambda t: DiceAt(50), ValueError, ['thresh is 50', 'a probability in [0,1)']),
    Row('DiceAt', 'None for a setting', lambda t: DiceAt(None), ValueError, ['thresh is None', 'in [0,1)']),
    Row('DiceAt', 'threshold of 1', lambda t: DiceAt(1), ValueError, ['thresh is 1', 'in [0,1)']),
    Row('DiceAt', 'logits', lambda t: DiceAt()(9*maps, masks), SoftLabelError, ['The predictions hold', 'no probability']),
]


# confidence, callbacks and interpretation

ten = pd.DataFrame(dict(fname=[f.name for f in FILES], cat=[3, 2, 1, 0, 1]*2, dog=[0, 1, 2, 3, 1]*2))
nan = torch.tensor([1., np.nan, 2.])

def block(target=SoftCategoryBlock, get_y=None, splitter=EndSplitter(.4)):
    return DataBlock(blocks=(ImageBlock, target), get_x=ColReader('fname', pref=Path(FOLDER.name)), get_y=SoftLabelReader(ten, 'fname', PETS) if get_y is None else get_y, splitter=splitter)

def silent(learn):
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.logger = noop
    return learn

def linear(dls, n_out=None, **kw): return silent(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, n_out or dls.c)), **kw))

def learner(target=SoftCategoryBlock, n_out=None, get_y=None, splitter=EndSplitter(.4), **kw): return linear(block(target, get_y, splitter).dataloaders(ten, bs=2, num_workers=0), n_out, **kw)

def diverged():
    learn = learner()
    learn.model[1].bias.data[:] = torch.nan
    return learn

def hard(): return learner(CategoryBlock, get_y=lambda r: PETS[int(r['cat'] > 1)])

def of_masks(): return silent(Learner(DataBlock(blocks=(ImageBlock, SoftMaskBlock(['a'])), get_y=lambda f: np.zeros((8, 8)), splitter=EndSplitter(.4)).dataloaders(FILES, bs=2, num_workers=0), nn.Conv2d(3, 1, 1)))

class TwoOutputs(nn.Module):
    def __init__(self): super().__init__(); self.linear = nn.Linear(192, 2)
    def forward(self, x): return self.linear(x.flatten(1)), x

def tuples(): return silent(Learner(learner().dls, TwoOutputs(), loss_func=CE()))

def measured(ood, learn=None, **kw):
    "What comes of a training that measures these sets"
    cb = OODConfidence(ood, **kw)
    (learn or learner()).fit(1, 1e-2, cbs=cb)
    return cb

class Batches:
    "A loader of these batches"
    def __init__(self, *batches): self.batches, self.dataset = batches, batches
    def __iter__(self): return iter(self.batches)
    def __len__(self): return len(self.batches)

def unreadable(*names):
    "A table of ten of which the first have these names"
    (Path(FOLDER.name)/'text.png').write_text('no image')
    return ten.assign(fname=[*names, *ten.fname[len(names):]])

def loaded(t):
    learn = learner()
    learn.export(t/'learn.pkl')
    return load_learner(t/'learn.pkl')

def interpretation(target=SoftCategoryBlock, **kw): return SoftInterpretation.from_learner(learner(target, **kw))
def multi(): return interpretation(SoftMultiCategoryBlock(vocab=PETS), get_y=SoftLabelReader(ten, 'fname', PETS, multi=True, n_votes=3))
def unlabelled(learn): return learn.dls.test_dl(ten)

CONFIDENCE = [
    Row('softmax_score', 'one class', lambda t: softmax_score(torch.ones(3, 1)), SoftLabelError, ['With one class softmax is always 1; use the sigmoid reading']),
    Row('softmax_confidence', 'one class', lambda t: softmax_confidence(torch.ones(3, 1)), SoftLabelError, ['at least 2 classes', '(3, 1)']),
    Row('entropy_score', 'one class', lambda t: entropy_score(torch.ones(3, 1)), SoftLabelError, ['at least 2 classes', '(3, 1)']),
    Row('sigmoid_score', 'one dimension', lambda t: sigmoid_score(torch.ones(3)), SoftLabelError, ['Expected logits (N,C)', '(3,)']),
    Row('energy_score', 'one dimension', lambda t: energy_score(torch.ones(3)), SoftLabelError, ['Expected logits (N,C)', '(3,)']),
    Row('softmax_score', 'a text for an array', lambda t: softmax_score('a'), SoftLabelError, ['is a str', 'expected logits (N,C)']),
    Row('softmax_score', 'complex numbers', lambda t: softmax_score(torch.ones(2, 2)*1j), SoftLabelError, ['complex64', 'logits (N,C)']),
    Row('ood_metrics', 'no in-domain scores', lambda t: ood_metrics([], [1.]), SoftLabelError, ['no in-domain scores', 'items of both kinds']),
    Row('ood_metrics', 'no OOD scores', lambda t: ood_metrics([1.], []), SoftLabelError, ['no OOD scores']),
    Row('ood_metrics', 'NaN among scores', lambda t: ood_metrics([1.], nan), SoftLabelError, ['The OOD score of item 1 is NaN (1 of 3)']),
    Row('ood_metrics', 'two dimensions', lambda t: ood_metrics(torch.rand(3, 2), [1.]), SoftLabelError, ['in-domain scores have shape (3, 2)', 'one score for each item']),
    Row('ood_metrics', 'None', lambda t: ood_metrics(None, [1.]), SoftLabelError, ['in-domain scores']),
    Row('ood_metrics', 'a text for an array', lambda t: ood_metrics('scores', [1.]), SoftLabelError, ['in-domain scores are a str']),
    Row('ood_metrics', 'a histogram', lambda t: ood_metrics([1.], ScoreHistogram()), SoftLabelError, ['OOD scores are a ScoreHistogram']),
    Row('ood_metrics', 'complex numbers', lambda t: ood_metrics(torch.ones(2)*1j, [1.]), SoftLabelError, ['in-domain scores', 'complex64']),
    Row('streamed_ood_metrics', 'no in-domain scores', lambda t: streamed_ood_metrics(ScoreHistogram(), ScoreHistogram().add(torch.ones(2))), SoftLabelError, ['no in-domain scores']),
    Row('streamed_ood_metrics', 'no OOD scores', lambda t: streamed_ood_metrics(ScoreHistogram().add(torch.ones(2)), ScoreHistogram()), SoftLabelError, ['no OOD scores']),
    Row('streamed_ood_metrics', 'NaN among scores', lambda t: streamed_ood_metrics(ScoreHistogram().add(nan), ScoreHistogram().add(nan)), SoftLabelError, ['1 of the in-domain scores are NaN']),
    Row('ScoreHistogram.add', 'two dimensions', lambda t: ScoreHistogram().add(torch.rand(2, 2)), SoftLabelError, ['(2, 2)', 'one score for each item']),
    Row('ConfidenceMeter', 'unknown option', lambda t: ConfidenceMeter(readings=['tanh']), SoftLabelError, ["['tanh']", "'softmax'", "'sigmoid'"]),
    Row('ConfidenceMeter', 'a text is one name', lambda t: ConfidenceMeter(readings='softmax'), SoftLabelError, ["readings is 'softmax'", 'a list']),
    Row('ConfidenceMeter', 'temperature of 0', lambda t: ConfidenceMeter(temperature=0), ValueError, ['temperature is 0', 'above 0']),
    Row('ConfidenceMeter', 'negative setting', lambda t: ConfidenceMeter(k=-1), ValueError, ['k is -1', '0 or more']),
    Row('ConfidenceMeter.add', 'a tuple of predictions', lambda t: ConfidenceMeter().add((torch.rand(2, 2),)), SoftLabelError, ['is a tuple', 'logits (N,C)']),
    Row('reads_of', 'loss of neither kind', lambda t: reads_of(MSELossFlat()), SoftLabelError, ['neither a softmax nor a sigmoid', '`SoftCategoryBlock`']),
    Row('OODConfidence', 'no items', lambda t: OODConfidence([]), SoftLabelError, ["'ood' is empty", 'Is the folder right?']),
    Row('OODConfidence', 'no set', lambda t: OODConfidence({}), SoftLabelError, ['names no set']),
    Row('OODConfidence', 'an empty set among others', lambda t: OODConfidence({'a': FILES, 'b': []}), SoftLabelError, ["'b' is empty"]),
    Row('OODConfidence', 'empty table', lambda t: OODConfidence(ten.head(0)), SoftLabelError, ["'ood' is empty"]),
    Row('OODConfidence', 'a set named valid', lambda t: OODConfidence({'valid': FILES}), SoftLabelError, ["named 'valid'", 'the in-domain set']),
    Row('OODConfidence', 'a set named by a number', lambda t: OODConfidence({1: FILES}), SoftLabelError, ['named 1', 'expected a text']),
    Row('OODConfidence', 'a set without a name', lambda t: OODConfidence({'': FILES}), SoftLabelError, ["named ''", 'expected a text']),
    Row('OODConfidence', 'a folder', lambda t: OODConfidence('folder'), SoftLabelError, ['is a str; expected a list of files', '`get_image_files']),
    Row('OODConfidence', 'a number for items', lambda t: OODConfidence(3), SoftLabelError, ['is a int']),
    Row('OODConfidence', 'a set has no order', lambda t: OODConfidence({'a', 'b'}), SoftLabelError, ['is a set']),
    Row('OODConfidence', 'None', lambda t: OODConfidence(None), SoftLabelError, ['is a NoneType', 'expected a list of files']),
    Row('OODConfidence', 'a generator', lambda t: OODConfidence(f for f in FILES), SoftLabelError, ['is a generator', 'expected a list of files']),
    Row('OODConfidence', 'all loaders for one', lambda t: OODConfidence(learner().dls), SoftLabelError, ['is a DataLoaders', 'expected a list of files', 'one of its loaders']),
    Row('OODConfidence', 'a learner', lambda t: OODConfidence(learner()), SoftLabelError, ['is a Learner', 'expected a list of files']),
    Row('OODConfidence', 'never', lambda t: OODConfidence(FILES, every=0), ValueError, ['every is 0', '1 or more']),
    Row('OODConfidence', 'a text for a setting', lambda t: OODConfidence(FILES, every='1'), ValueError, ["every is '1'", '1 or more']),
    Row('OODConfidence', 'half an item', lambda t: OODConfidence(FILES, k=1.5), ValueError, ['k is 1.5', 'a whole number']),
    Row('OODConfidence', 'files that are no images', lambda t: measured(unreadable('text.png', 'gone.png')), SoftLabelError, ["2 of 10 items of the OOD set 'ood' cannot be read", 'text.png', 'Remove them, or say `skip_unreadable=True`']),
    Row('OODConfidence', 'no file is an image', lambda t: measured(unreadable(*['text.png']*10), skip_unreadable=True), SoftLabelError, ['10 of 10 items', 'None is left']),
    Row('OODConfidence', 'no such column', lambda t: measured(ten.rename(columns=dict(fname='file'))), SoftLabelError, ["'ood' cannot be read"]),
    Row('OODConfidence', 'items of another kind', lambda t: measured([1, 2]), SoftLabelError, ["'ood' cannot be read"]),
    Row('OODConfidence', 'a loader that shuffles', lambda t: measured(torch.utils.data.DataLoader([torch.rand(3, 8, 8)]*9, batch_size=2, shuffle=True)), SoftLabelError, ['shuffles or drops items', '`shuffle=False`']),
    Row('OODConfidence', 'a loader with the share of one process', lambda t: measured(torch.utils.data.DataLoader([torch.rand(3, 8, 8)]*9, batch_size=2, sampler=torch.utils.data.DistributedSampler([0]*9, num_replicas=2, rank=0))), SoftLabelError, ['has a `DistributedSampler`', 'leave the sampler out']),
    Row('OODConfidence', 'a loader that drops', lambda t: measured(torch.utils.data.DataLoader([torch.rand(3, 8, 8)]*9, batch_size=2, drop_last=True)), SoftLabelError, ['shuffles or drops items', '`drop_last=False`']),
    Row('OODConfidence', 'batches of another shape', lambda t: measured({'far': Batches(torch.zeros(2, 5))}), SoftLabelError, ["batch 0 of 'far'", '(2, 5)', 'like those of the training']),
    Row('OODConfidence', 'batches of bytes', lambda t: measured({'far': Batches(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))}), SoftLabelError, ["batch 0 of 'far'", 'torch.uint8']),
    Row('OODConfidence', 'a text for a batch', lambda t: measured({'far': Batches('ab')}), SoftLabelError, ["batch 0 of 'far'", "'ab'"]),
    Row('OODConfidence', 'empty batches', lambda t: measured({'far': Batches(torch.zeros(0, 3, 8, 8))}), SoftLabelError, ["'far'", 'no images']),
    Row('OODConfidence', 'loss of neither kind', lambda t: measured(ten, learner(loss_func=MSELossFlat())), SoftLabelError, ['neither a softmax nor a sigmoid loss']),
    Row('OODConfidence', 'no validation set', lambda t: measured(ten, learner(splitter=lambda o: (range(len(o)), []))), SoftLabelError, ['no validation images', 'splitter']),
    Row('OODConfidence', 'a column that is there already', lambda t: measured(ten, learner(cbs=OODConfidence({'a': ten}))), SoftLabelError, ['Use one `OODConfidence` for all sets, by name']),
    Row('OODConfidence', 'a loader after loading', lambda t: (learn := learner(cbs=OODConfidence({'far': Batches(torch.zeros(2, 3, 8, 8))})), learn.export(t/'l.pkl'), l := load_learner(t/'l.pkl'), setattr(l, 'dls', learn.dls), silent(l).fit(1)), SoftLabelError, ["'far' was left out when the learner was exported"]),
    Row('OODConfidence', 'masks', lambda t: measured(FILES, of_masks()), SoftLabelError, ['one row for each item', 'these labels are masks']),
    Row('OODConfidence.plot_history', 'nothing measured yet', lambda t: OODConfidence(FILES).plot_history(), SoftLabelError, ['Nothing was measured yet', 'train with this callback']),
    Row('OODConfidence.plot_histograms', 'nothing measured yet', lambda t: OODConfidence(FILES).plot_histograms(), SoftLabelError, ['Nothing was measured yet']),
    Row('OODConfidence.show_surest', 'nothing measured yet', lambda t: OODConfidence(FILES).show_surest(), SoftLabelError, ['Nothing was measured yet']),
    Row('OODConfidence.show_surest', 'no such set', lambda t: measured({'near': ten}).show_surest('far'), SoftLabelError, ["no OOD set 'far'; there are ['near']"]),
    Row('train_two_heads', 'no block', lambda t: train_two_heads(learner().dls, ten, linear, noop), SoftLabelError, ['Expected a DataBlock with one target', 'DataLoaders']),
    Row('train_two_heads', 'a block of another target', lambda t: train_two_heads(block(SoftMultiCategoryBlock), ten, linear, noop), SoftLabelError, ['one target, a `SoftCategoryBlock`', 'with other targets']),
    Row('train_two_heads', 'hard labels', lambda t: train_two_heads(block(CategoryBlock), ten, linear, noop), SoftLabelError, ['one target, a `SoftCategoryBlock`']),
    Row('train_two_heads', 'loss of one training for both', lambda t: train_two_heads(block(), ten, lambda dls: linear(dls, loss_func=CE()), noop, num_workers=0), SoftLabelError, ['The sigmoid training has the loss SoftCrossEntropyLossFlat', 'without `loss_func=`']),
    Row('train_two_heads', 'loss in the block', lambda t: train_two_heads(block(SoftCategoryBlock(loss_func=CE(label_smoothing=.1))), ten, linear, noop), SoftLabelError, ['a loss of its own, SoftCrossEntropyLossFlat', 'leave `loss_func=` out']),
    Row('train_two_heads', 'one model for both', lambda t: (m := nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), train_two_heads(block(), ten, lambda dls: silent(Learner(dls, m)), noop, num_workers=0)), SoftLabelError, ['Both learners have the same model', 'Make a new model']),
    Row('train_two_heads', 'learner of other data', lambda t: (l := learner(), train_two_heads(block(), ten, lambda dls: l, noop, num_workers=0)), SoftLabelError, ['of the DataLoaders that it is given']),
    Row('train_two_heads', 'no learner', lambda t: train_two_heads(block(), ten, noop, noop, num_workers=0), SoftLabelError, ['has to make a Learner']),
    Row('train_two_heads', 'a learner for a function', lambda t: train_two_heads(block(), ten, learner(), noop, num_workers=0), SoftLabelError, ['`learner` is', 'expected a function']),
    Row('train_two_heads', 'no function', lambda t: train_two_heads(block(), ten, linear, None, num_workers=0), SoftLabelError, ['`fit` is None', 'expected a function']),
    Row('train_two_heads', 'seed a text', lambda t: train_two_heads(block(), ten, linear, noop, seed='a', num_workers=0), ValueError, ["seed is 'a'", 'a whole number']),
    Row('compare_confidence', 'no learner', lambda t: compare_confidence({}, ten), SoftLabelError, ['Nothing to compare']),
    Row('compare_confidence', 'learner without a name', lambda t: compare_confidence(learner(), ten), SoftLabelError, ['give learners by name']),
    Row('compare_confidence', 'a number for a learner', lambda t: compare_confidence({'a': 3}, ten), SoftLabelError, ["'a' is a int", 'expected a `Learner`']),
    Row('compare_confidence', 'no items', lambda t: compare_confidence({'a': learner()}, []), SoftLabelError, ["'ood' is empty"]),
    Row('compare_confidence', 'other classes', lambda t: compare_confidence({'a': learner(), 'b': learner(get_y=SoftLabelReader(ten, 'fname', PETS[::-1]))}, ten), SoftLabelError, ["'a' has the classes ['cat', 'dog']", "'b' has ['dog', 'cat']"]),
    Row('compare_confidence', 'other validation sets', lambda t: compare_confidence({'a': learner(), 'b': learner(splitter=EndSplitter(.2))}, ten), SoftLabelError, ["different validation sets, of {'a': 4, 'b': 2} images", 'the same images']),
    Row('compare_confidence', 'NaN from the model', lambda t: compare_confidence({'a': diverged()}, ten), SoftLabelError, ["NaN for 4 of 4 images of 'valid'", 'Did the training diverge?']),
    Row('compare_confidence', 'loss of neither kind', lambda t: compare_confidence({'a': learner(loss_func=nn.MSELoss())}, ten), SoftLabelError, ['neither a softmax nor a sigmoid']),
    Row('compare_confidence', 'a tuple of predictions', lambda t: compare_confidence({'a': tuples()}, ten), SoftLabelError, ['is a tuple', 'logits (N,C)']),
    Row('compare_confidence', 'batches of another shape', lambda t: compare_confidence({'a': learner()}, {'far': Batches(torch.zeros(2, 5))}), SoftLabelError, ["batch 0 of 'far'", '(2, 5)']),
    Row('compare_confidence', 'empty batches', lambda t: compare_confidence({'a': learner()}, {'far': Batches(torch.zeros(0, 3, 8, 8))}), SoftLabelError, ["'far'", 'no images']),
    Row('compare_confidence', 'no validation set', lambda t: compare_confidence({'a': learner(splitter=lambda o: (range(len(o)), []))}, ten), SoftLabelError, ['no validation images']),
    Row('Abstaining', 'NaN', lambda t: Abstaining(CE(), float('nan')), ValueError, ['thresh is nan', 'a confidence in [0,1]']),
    Row('Abstaining', 'out of range', lambda t: Abstaining(CE(), 1.1), ValueError, ['thresh is 1.1', 'a confidence in [0,1]']),
    Row('Abstaining', 'loss without activation', lambda t: Abstaining(nn.CrossEntropyLoss(), .5), SoftLabelError, ['has no `activation`']),
    Row('abstain', 'no learner', lambda t: abstain(None), SoftLabelError, ['is None', 'expected a `Learner`']),
    Row('abstain', 'keep none', lambda t: abstain(learner(), 0), ValueError, ['keep is 0; expected a share above 0, at most 1']),
    Row('abstain', 'keep in percent', lambda t: abstain(learner(), 95), ValueError, ['keep is 95; expected a share above 0, at most 1']),
    Row('abstain', 'a text for a setting', lambda t: abstain(learner(), '.9'), ValueError, ["keep is '.9'", 'a share above 0']),
    Row('abstain', 'a table for a loader', lambda t: abstain(learner(), dl=ten), SoftLabelError, ['is a DataFrame; expected a DataLoader', 'with_labels=True']),
    Row('abstain', 'no items', lambda t: abstain(learner(), dl=DataLoader([], bs=2)), SoftLabelError, ['no items to go by in `dl`']),
    Row('abstain', 'a loaded learner', lambda t: abstain(loaded(t)), SoftLabelError, ['was it loaded', 'Give a `dl=`']),
    Row('abstain', 'hard labels', lambda t: abstain(hard()), SoftLabelError, ["fastai's own and a data set of your own cannot show it", '`SoftCategoryBlock`']),
    Row('abstain', 'NaN from the model', lambda t: abstain(diverged()), SoftLabelError, ['NaN for 4 of 4 images']),
    Row('abstain', 'masks', lambda t: abstain(of_masks()), SoftLabelError, ['`SoftCategoryBlock` or `SoftMultiCategoryBlock`']),
    Row('TemperatureScaled', 'temperature of 0', lambda t: TemperatureScaled(CE(), 0), ValueError, ['temperature is 0; expected a finite number above 0']),
    Row('TemperatureScaled', 'infinite number', lambda t: TemperatureScaled(CE(), float('inf')), ValueError, ['temperature is inf; expected a finite number above 0']),
    Row('TemperatureScaled', 'NaN', lambda t: TemperatureScaled(CE(), float('nan')), ValueError, ['temperature is nan']),
    Row('TemperatureScaled', 'negative setting', lambda t: TemperatureScaled(CE(), -1), ValueError, ['temperature is -1']),
    Row('TemperatureScaled', 'None for a setting', lambda t: TemperatureScaled(CE(), None), ValueError, ['temperature is None', 'above 0']),
    Row('best_temperature', 'right about all', lambda t: best_temperature(torch.tensor([[3., 0], [0, 3]]), torch.tensor([0, 1])), SoftLabelError, ['2 labels: the model is right about all of them', 'Give more labels']),
    Row('best_temperature', 'right about all, independent classes', lambda t: best_temperature(torch.tensor([[3., 0], [0, 3]]), torch.eye(2), multi=True), SoftLabelError, ['right about all']),
    Row('best_temperature', 'wrong about all', lambda t: best_temperature(torch.tensor([[3., 0], [0, 3]]), torch.tensor([1, 0])), SoftLabelError, ['its logits say nothing about them']),
    Row('best_temperature', 'constant logits', lambda t: best_temperature(torch.zeros(4, 2), half.expand(4, 2)), SoftLabelError, ['4 labels: its logits say nothing about them']),
    Row('best_temperature', 'no items', lambda t: best_temperature(torch.zeros(0, 2), torch.zeros(0, 2)), SoftLabelError, ['no labels to fit']),
    Row('best_temperature', 'NaN from the model', lambda t: best_temperature(torch.tensor([[0., 1.]]*3 + [[torch.nan, 1.]]), half.expand(4, 2)), SoftLabelError, ['A logit is nan, of item 3', 'Did the training diverge?']),
    Row('best_temperature', 'a text for an array', lambda t: best_temperature('a', half), SoftLabelError, ['logits are a str', 'tensor or an array']),
    Row('best_temperature', 'counts', lambda t: best_temperature(z, torch.tensor([[3., 1.]]*4)), SoftLabelError, ['Row 0 of the targets', '[3.0, 1.0]']),
    Row('best_temperature', 'no labels', lambda t: best_temperature(z, torch.zeros(4, 2)), SoftLabelError, ['no labels to fit']),
    Row('best_temperature', 'would broadcast', lambda t: best_temperature(z, half), SoftLabelError, ['(4, 2)', '(1, 2)', 'Nothing is broadcast']),
    Row('temperature_scale', 'no learner', lambda t: temperature_scale(None), SoftLabelError, ['is None', 'expected a `Learner`']),
    Row('temperature_scale', 'NaN from the model', lambda t: temperature_scale(diverged()), SoftLabelError, ['gives nan for some item', 'Did the training diverge?']),
    Row('temperature_scale', 'no labels', lambda t: (l := learner(), temperature_scale(l, dl=unlabelled(l))), SoftLabelError, ['no labels', 'with_labels=True']),
    Row('temperature_scale', 'few labels', lambda t: temperature_scale(learner(splitter=EndSplitter(.3))), SoftLabelError, ['3 labelled items are too few']),
    Row('temperature_scale', 'loss of neither kind', lambda t: temperature_scale(learner(loss_func=MSELossFlat())), SoftLabelError, ['neither a softmax nor a sigmoid']),
    Row('temperature_scale', 'loss without activation', lambda t: temperature_scale(learner(loss_func=nn.CrossEntropyLoss())), SoftLabelError, ['CrossEntropyLoss() has no `activation`']),
    Row('temperature_scale', 'a table for a loader', lambda t: temperature_scale(learner(), dl=ten), SoftLabelError, ['is a DataFrame; expected a DataLoader']),
    Row('temperature_scale', 'no items', lambda t: temperature_scale(learner(), dl=DataLoader([], bs=2)), SoftLabelError, ['no items to go by in `dl`']),
    Row('temperature_scale', 'seed a text', lambda t: temperature_scale(learner(), seed='a'), ValueError, ["seed is 'a'", 'a whole number']),
    Row('temperature_scale', 'masks', lambda t: temperature_scale(of_masks()), SoftLabelError, ['one row for each item', 'these labels are masks']),
    Row('temperature_scale', 'a tuple of predictions', lambda t: temperature_scale(tuples()), SoftLabelError, ['logits are a tuple', 'one tensor']),
    Row('SoftInterpretation', 'no learner', lambda t: SoftInterpretation.from_learner(None), SoftLabelError, ['is None', 'expected a `Learner`']),
    Row('SoftInterpretation', 'no labels', lambda t: (l := learner(), SoftInterpretation(l, unlabelled(l), torch.zeros(10))), SoftLabelError, ['no labels', 'with_labels=True']),
    Row('SoftInterpretation', 'loss without activation', lambda t: interpretation(loss_func=nn.CrossEntropyLoss()), SoftLabelError, ['CrossEntropyLoss() has no `activation`', '`act=`']),
    Row('SoftInterpretation', 'NaN from the model', lambda t: SoftInterpretation.from_learner(diverged()), SoftLabelError, ['NaN for 4 of 4 items', 'Did the training diverge?']),
    Row('SoftInterpretation', 'masks', lambda t: SoftInterpretation.from_learner(of_masks()), SoftLabelError, ['(4, 1, 8, 8)', '(N,K)']),
    Row('SoftInterpretation.confusion_matrix', 'independent classes', lambda t: multi().confusion_matrix(), SoftLabelError, ['one class for each item']),
    Row('SoftInterpretation.plot_ambiguity', 'independent classes', lambda t: multi().plot_ambiguity(), SoftLabelError, ['one distribution over classes']),
    Row('SoftInterpretation.suspicious_labels', 'negative setting', lambda t: interpretation().suspicious_labels(-1), ValueError, ['k is -1', '1 or more']),
    Row('SoftInterpretation.suspicious_labels', 'a text for a setting', lambda t: interpretation().suspicious_labels('3'), ValueError, ["k is '3'", 'a whole number']),
    Row('SoftInterpretation.show_disagreements', 'none of them', lambda t: interpretation().show_disagreements(0), ValueError, ['k is 0', '1 or more']),
    Row('SoftInterpretation.plot_reliability', 'no bins', lambda t: interpretation().plot_reliability(n_bins=0), ValueError, ['n_bins is 0', '1 or more']),
    Row('SoftInterpretation.most_confused', 'a text for a mass', lambda t: interpretation().most_confused('many'), ValueError, ["min_val is 'many'"]),
    Row('SoftInterpretation.scores', 'metric of fastai', lambda t: interpretation().scores([accuracy]), SoftLabelError, ['is no metric for soft labels']),
    Row('SoftInterpretation.scores', 'a text for a metric', lambda t: interpretation().scores(['brier_score']), SoftLabelError, ["'brier_score' is no metric for soft labels"]),
    Row('SoftInterpretation.scores', 'a class for a metric', lambda t: interpretation().scores(SoftECE), SoftLabelError, ['is no metric for soft labels', '`SoftECE()`']),
    Row('SoftInterpretation.scores', 'no metric', lambda t: interpretation().scores([]), SoftLabelError, ['no metrics', '`kl_divergence`']),
    Row('SoftInterpretation.scores', 'metric of masks', lambda t: interpretation().scores(SoftDice()), SoftLabelError, ['(N,K,H,W)', '(4, 2)']),
    Row('SoftInterpretation.scores', 'negative setting', lambda t: interpretation().scores(n=-1), ValueError, ['n is -1', '0 or more']),
    Row('SoftInterpretation.scores', 'level in percent', lambda t: interpretation().scores(n=0, level=95), ValueError, ['level is 95', 'between 0 and 1']),
]


# what is made of data: weights, data sets, the demo

def loaders_of(labels, block):
    "DataLoaders whose training items have these labels; two more, which must not count, are for validation"
    items = [[i, o] for i, o in enumerate([*labels, labels[0], labels[0]])]
    return DataBlock(blocks=(ImageBlock, block), get_x=lambda o: np.zeros((8, 8), dtype=np.uint8), get_y=lambda o: o[1], splitter=EndSplitter(2/len(items))).dataloaders(items, bs=2, num_workers=0)

def two_targets():
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock, SoftCategoryBlock), get_x=lambda o: np.zeros((8, 8), dtype=np.uint8), get_y=[noop, noop], splitter=EndSplitter(.5), n_inp=1)
    return block.dataloaders(list('abab'), bs=1, num_workers=0)

ABC = list('abc')

def from_folder(folder):
    "CIFAR-10H from where the environment variable says"
    before = os.environ.get('FASTAI_SOFTLABELS_DATA')
    os.environ['FASTAI_SOFTLABELS_DATA'] = str(folder)
    try: return cifar10h()
    finally:
        del os.environ['FASTAI_SOFTLABELS_DATA']
        if before is not None: os.environ['FASTAI_SOFTLABELS_DATA'] = before

def zipped(t, *names, content=None):
    "An archive `cifar10h.zip` with these members"
    if content is not None: (t/'cifar10h.zip').write_bytes(content)
    else:
        with zipfile.ZipFile(t/'cifar10h.zip', 'w') as z:
            for name in names: z.writestr(name, 'x')
    return t/'cifar10h.zip'

def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path

def demo(*args):
    "Run the demo in this process, with these arguments"
    before, sys.argv = sys.argv, ['demo.py', *map(str, args)]
    try: runpy.run_path(str(ROOT/'examples/demo.py'), run_name='__main__')
    finally: sys.argv = before

def building(folder):
    with build_folder(folder): pass

DATA = [
    Row('class_weights', 'a class without mass', lambda t: class_weights(loaders_of([[.5, .5, 0], [1., 0, 0]], SoftCategoryBlock(vocab=ABC))), SoftLabelError, ["The class 'c' has no mass in the 2 training labels", 'Leave it out']),
    Row('class_weights', 'a class with all mass', lambda t: class_weights(loaders_of([[1, .5, .5], [1., .2, .2]], SoftMultiCategoryBlock(vocab=ABC))), SoftLabelError, ["The class 'a' has all the mass in the 2 training labels"]),
    Row('class_weights', 'no labels', lambda t: class_weights(loaders_of([None, None], SoftCategoryBlock(vocab=ABC, ignore=True))), SoftLabelError, ["The class 'a' has no mass"]),
    Row('class_weights', 'a number for a class', lambda t: class_weights(loaders_of([.5, .2], RegressionBlock)), SoftLabelError, ['The target is a Tensor, which has no classes to weigh']),
    Row('class_weights', 'one of its loaders', lambda t: class_weights(learner().dls.train), SoftLabelError, ['expected DataLoaders as']),
    Row('class_weights', 'a learner', lambda t: class_weights(learner()), SoftLabelError, ['is a Learner', 'expected DataLoaders as']),
    Row('class_weights', 'a loaded learner', lambda t: class_weights(loaded(t).dls), SoftLabelError, ['an exported learner has no items']),
    Row('class_weights', 'two targets', lambda t: class_weights(two_targets()), SoftLabelError, ['There are 2 targets', '`target=0` to `target=1`']),
    Row('build_folder', 'unwritable path', lambda t: building(touched(t/'file')/'set'), OSError, ['Cannot write the data set to', 'Set another data folder']),
    Row('cifar10h', 'no such folder', lambda t: from_folder(t/'none'), FileNotFoundError, ['FASTAI_SOFTLABELS_DATA names', 'none', 'Correct it, or unset it']),
    Row('cifar10h', 'nothing in the folder', lambda t: from_folder(t), FileNotFoundError, ['neither cifar10h.zip nor cifar10h/ but', 'unset the variable to download']),
    Row('cifar10h', 'a file for a folder', lambda t: from_folder(touched(t/'file')), NotADirectoryError, ['FASTAI_SOFTLABELS_DATA names', 'cannot be read as a folder']),
    Row('cifar10h', 'half a download', lambda t: from_folder(zipped(t, content=b'half a downl').parent), ValueError, ['cifar10h.zip is not a readable zip file', 'download it again']),
    Row('cifar10h', 'other files than expected', lambda t: from_folder(zipped(t, 'cifar10h/votes.csv').parent), FileNotFoundError, ['cifar10h.zip lacks votes.csv and images at its top level']),
    Row('cifar10h', 'a folder without its table', lambda t: from_folder(touched(t/'cifar10h/images/0.jpg').parents[2]), FileNotFoundError, ['lacks votes.csv at its top level']),
    Row('safe_unzip', 'a member that leaves its folder', lambda t: safe_unzip(zipped(t, '../evil'), t), ValueError, ["'../evil'", 'outside', 'do not trust this file']),
    Row('safe_unzip', 'an absolute member', lambda t: safe_unzip(zipped(t, '/tmp/evil'), t/'dest'), ValueError, ["'/tmp/evil'", 'do not trust this file']),
    Row('safe_unzip', 'no such file', lambda t: safe_unzip(t/'none.zip', t), FileNotFoundError, ['none.zip', 'does not exist']),
    Row('safe_unzip', 'a folder', lambda t: safe_unzip(t, t), OSError, ['cannot be read', str(tempfile.gettempdir())]),
    Row('write_cifar10h', 'half a file', lambda t: write_cifar10h(b'x'*3000, np.ones((1, 10)), t), ValueError, ['3000 bytes', '3,073 bytes', 'Download both again']),
    Row('write_cifar10h', 'other number of classes', lambda t: write_cifar10h(b'x'*3073, np.ones((1, 9)), t), ValueError, ['the shape (1, 9)', '10 counts an image']),
    Row('committee_votes', 'images of another size', lambda t: committee_votes(np.zeros((20, 5, 5)), np.arange(20) % 2), ValueError, ['(20, 5, 5)', '(N,8,8)']),
    Row('committee_votes', 'labels of another length', lambda t: committee_votes(np.zeros((20, 8, 8)), np.arange(19) % 2), ValueError, ['20 images', '19 labels']),
    Row('committee_votes', 'too few of a class', lambda t: committee_votes(np.zeros((20, 8, 8)), np.array([0]*17 + [1]*3)), ValueError, ['class 1', '3 images', '5']),
    Row('demo.main', 'unwritable path', lambda t: demo('--out', touched(t/'file')/'out'), SystemExit, ['Cannot write to', 'file/out', 'Choose another folder with --out']),
    Row('demo.main', 'a file for a folder', lambda t: demo('--out', touched(t/'file')), SystemExit, ['Cannot write to', 'Choose another folder with --out']),
    Row('demo.main', 'no epoch', lambda t: demo('--out', t, '--epochs', 0), SystemExit, ['--epochs is 0', '1 or more']),
    Row('demo.main', 'negative setting', lambda t: demo('--out', t, '--epochs', -3), SystemExit, ['--epochs is -3', '1 or more']),
]


# masks

def opened(o, *args, **kwargs): return OpenSoftMask(*args, **kwargs)(o).tensor()

def saved(t, image, name='mask.png'):
    "Path of a PIL image that was written to disk"
    image.save(t/name)
    return t/name

def bad_file(t, name, content):
    (t/name).write_bytes(content)
    return t/name

def full(*shape): return np.full(shape, .5)

def with_value(value):
    a = full(4, 6)
    a[1, 2] = value
    return a

def block_and_files(path, size=(8, 6), missing=None, codes=None):
    "Five images with a mask file each"
    for i in range(5):
        Image.new('RGB', (8, 6)).save(path/f'i{i}.png')
        if i != missing: Image.new('L', size, 90).save(path/f'm{i}.png')
    block = DataBlock(blocks=(ImageBlock, SoftMaskBlock(codes)), get_y=lambda f: f.parent/f.name.replace('i', 'm'), splitter=EndSplitter(.4), item_tfms=Resize(8))
    return block, [path/f'i{i}.png' for i in range(5)]

def mask_loaders(*args, **kwargs):
    block, files = block_and_files(*args, **kwargs)
    return block.dataloaders(files, bs=1, num_workers=0, shuffle=False)

MASKS = [
    Row('OpenSoftMask', 'floats up to 255', lambda t: opened(GREY.astype(float)), SoftLabelError, ['holds 51 at row 0, column 1', 'above 1', 'Divide it by 255']),
    Row('OpenSoftMask', 'floats above 255', lambda t: opened(with_value(1000.)), SoftLabelError, ['holds 1000 at row 1, column 2', 'largest possible value']),
    Row('OpenSoftMask', 'float TIFF up to 255', lambda t: opened(saved(t, Image.fromarray(GREY.astype(np.float32)), 'f.tif')), SoftLabelError, ['f.tif', 'holds 51', 'Divide it by 255']),
    Row('OpenSoftMask', 'NaN among numbers', lambda t: opened(with_value(np.nan)), SoftLabelError, ['holds nan at row 1, column 2', 'ignore=']),
    Row('OpenSoftMask', 'infinite number', lambda t: opened(with_value(np.inf)), SoftLabelError, ['holds inf at row 1, column 2', 'above 1']),
    Row('OpenSoftMask', 'negative number', lambda t: opened(with_value(-.2)), SoftLabelError, ['holds -0.2 at row 1, column 2', 'negative']),
    Row('OpenSoftMask', 'NaN in a plane', lambda t: opened(np.stack([with_value(np.nan), full(4, 6)]), LAND[:2]), SoftLabelError, ['holds nan at row 1, column 2']),
    Row('OpenSoftMask', 'NaN in an independent plane', lambda t: opened(np.stack([with_value(np.nan), full(4, 6)]), LAND[:2], exclusive=False), SoftLabelError, ['holds nan at row 1, column 2']),
    Row('OpenSoftMask', 'negative index', lambda t: opened(INDEX.astype(int) - 1, LAND), UnknownNameError, ['holds -1 at row 0, column 0', 'numbers 0 to 2']),
    Row('OpenSoftMask', 'negative integers, one class', lambda t: opened(INDEX.astype(int) - 1), SoftLabelError, ['holds -1', 'negative']),
    Row('OpenSoftMask', 'negative votes', lambda t: opened(np.stack([INDEX.astype(int)]*3) - 1, LAND), SoftLabelError, ['holds -1', 'negative number of votes']),
    Row('OpenSoftMask', 'index of no class', lambda t: opened(saved(t, Image.fromarray(INDEX*3)), LAND), UnknownNameError, ['mask.png', 'holds 3 at row 0, column 1', "the 3 codes ['meadow', 'forest', 'unknown']", 'numbers 0 to 2', 'add the name']),
    Row('OpenSoftMask', 'binary mask for two codes', lambda t: opened(np.where(GREY > 100, 255, 0), LAND[:2]), UnknownNameError, ['holds 255', '`codes=` one name']),
    Row('OpenSoftMask', 'integers of no scale', lambda t: opened(GREY.astype(int)), SoftLabelError, ['integers of type int64 up to 255', 'no known scale', '`uint8`']),
    Row('OpenSoftMask', 'palette of several colours', lambda t: opened(Image.fromarray(INDEX).convert('P')), SoftLabelError, ['indices into a palette up to 2', '`codes=`']),
    Row('OpenSoftMask', 'indices without codes', lambda t: opened(saved(t, Image.fromarray(INDEX + 1))), SoftLabelError, ['mask.png holds no values but small ones, up to 3', '`codes=`', 'give floats']),
    Row('OpenSoftMask', 'indices and 255 for void', lambda t: opened(np.array([[0, 1, 255]], np.uint8)), SoftLabelError, ['up to 1, and 255', 'void', '`ignore=`']),
    Row('OpenSoftMask', 'index planes, independent', lambda t: opened(np.stack([INDEX]*3), LAND, exclusive=False), SoftLabelError, ['small ones, up to 2']),
    Row('OpenSoftMask', 'masked array', lambda t: opened(np.ma.masked_array(full(4, 6), mask=np.eye(4, 6))), SoftLabelError, ['masked array', 'ignore=']),
    Row('OpenSoftMask', 'overshoot', lambda t: opened(with_value(1.2)), SoftLabelError, ['holds 1.2', 'overshoot', 'clip']),
    Row('OpenSoftMask', 'one-hot planes as a list', lambda t: opened([(INDEX == k).astype(np.uint8) for k in range(3)], LAND), SoftLabelError, ['list of 3 planes', 'np.stack']),
    Row('OpenSoftMask', 'a gap among annotators', lambda t: opened([GREY, np.nan]), SoftLabelError, ['one annotator is missing', 'Leave it out']),
    Row('OpenSoftMask.decode', 'logits', lambda t: OpenSoftMask().decode(TensorSoftMask(torch.tensor([[[-.4, .6]]]))), SoftLabelError, ['from -0.4 to 0.6', 'no `activation`']),
    Row('OpenSoftMask', 'float indices', lambda t: opened(INDEX.astype(float), LAND), SoftLabelError, ['one float for each pixel', '3 codes', 'a plane for each code']),
    Row('OpenSoftMask', 'planes for other codes', lambda t: opened(full(2, 4, 6), LAND), SoftLabelError, ['2 planes (its shape is (2, 4, 6))', '3 codes', 'one plane for each code']),
    Row('OpenSoftMask', 'channels last', lambda t: opened(full(4, 6, 3), LAND), SoftLabelError, ['4 planes', '.transpose(2, 0, 1)']),
    Row('OpenSoftMask', 'annotators in one array', lambda t: opened(full(5, 4, 6)), SoftLabelError, ['5 planes', '1 codes', 'several annotators as a list']),
    Row('OpenSoftMask', 'sum is not 1', lambda t: opened(full(3, 4, 6), LAND), SoftLabelError, ['at row 0, column 0 sum to 1.5', '[0.5, 0.5, 0.5]', 'exclusive=False', 'ignore=']),
    Row('OpenSoftMask', 'no votes', lambda t: opened(np.zeros((3, 4, 6), int), LAND), SoftLabelError, ['sum to 0', 'ignore=']),
    Row('OpenSoftMask', 'colours', lambda t: opened(saved(t, Image.new('RGB', (4, 4)))), SoftLabelError, ['mask.png', 'channels RGB', '.convert("L")']),
    Row('OpenSoftMask', 'transparency', lambda t: opened(saved(t, Image.new('LA', (4, 4)))), SoftLabelError, ['channels LA']),
    Row('OpenSoftMask', 'no such file', lambda t: opened(t/'none.png'), FileNotFoundError, ['none.png does not exist', '`get_y`']),
    Row('OpenSoftMask', 'no such array file', lambda t: opened(t/'none.npy'), FileNotFoundError, ['none.npy does not exist']),
    Row('OpenSoftMask', 'a folder', lambda t: opened(t), SoftLabelError, ['cannot be read as a mask']),
    Row('OpenSoftMask', 'files that are no images', lambda t: opened(bad_file(t, 'x.png', b'no image')), SoftLabelError, ['x.png cannot be read as a mask', 'make the file anew']),
    Row('OpenSoftMask', 'half a file', lambda t: opened(bad_file(t, 'y.png', saved(t, Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))).read_bytes()[:900])), SoftLabelError, ['y.png cannot be read as a mask']),
    Row('OpenSoftMask', 'no array in a file', lambda t: opened(bad_file(t, 'x.npy', b'no array')), SoftLabelError, ['x.npy cannot be read as a mask']),
    Row('OpenSoftMask', 'empty array', lambda t: opened(bad_file(t, 'e.npy', b'')), SoftLabelError, ['e.npy cannot be read as a mask']),
    Row('OpenSoftMask', 'objects in a file', lambda t: (np.save(t/'o.npy', np.array([None]), allow_pickle=True), opened(t/'o.npy')), SoftLabelError, ['o.npy cannot be read as a mask']),
    Row('OpenSoftMask', 'two arrays in a file', lambda t: (np.savez(t/'two.npz', a=GREY, b=GREY), opened(t/'two.npz')), SoftLabelError, ["two.npz holds the arrays ['a', 'b']; expected one"]),
    Row('OpenSoftMask', 'annotators of two sizes', lambda t: opened([saved(t, Image.fromarray(GREY), 'a.png'), saved(t, Image.fromarray(GREY.T), 'b.png')]), SoftLabelError, ['a.png is 4×2 pixels', 'b.png', 'is 2×4 pixels', 'one size']),
    Row('OpenSoftMask', 'no annotator', lambda t: opened([]), SoftLabelError, ['empty list', "at least one annotator's mask"]),
    Row('OpenSoftMask', 'None', lambda t: opened(None), SoftLabelError, ['is missing (None)', 'Leave its image out']),
    Row('OpenSoftMask', 'a number for a mask', lambda t: opened(7), SoftLabelError, ['is 7', 'expected a path, an image, an array']),
    Row('OpenSoftMask', 'a dict', lambda t: opened({'a': GREY}), SoftLabelError, ["is {'a'", 'expected a path, an image, an array']),
    Row('OpenSoftMask', 'a list of numbers', lambda t: opened([0, 1]), SoftLabelError, ['is 0', 'expected a path']),
    Row('OpenSoftMask', 'four dimensions', lambda t: opened(full(1, 1, 4, 4)), SoftLabelError, ['shape (1, 1, 4, 4)', '(K,H,W)']),
    Row('OpenSoftMask', 'one dimension', lambda t: opened(full(4)), SoftLabelError, ['shape (4,)']),
    Row('OpenSoftMask', 'no pixels', lambda t: opened(np.zeros((0, 4))), SoftLabelError, ['shape (0, 4)']),
    Row('OpenSoftMask', 'a text for an array', lambda t: opened(np.array([['a', 'b']])), SoftLabelError, ['type <U1']),
    Row('OpenSoftMask', 'complex numbers', lambda t: opened(np.ones((2, 2), complex)), SoftLabelError, ['type complex128']),
    Row('OpenSoftMask', 'a sparse tensor', lambda t: opened(torch.eye(3).to_sparse()), SoftLabelError, ['sparse', '.to_dense()']),
    Row('PILSoftMask', 'turned by 10°', lambda t: OpenSoftMask()(GREY).rotate(10), SoftLabelError, ['several planes', 'mask.like']),
    Row('PILSoftMask', 'other number of planes', lambda t: OpenSoftMask(LAND[:2])(INDEX % 2).like(np.zeros((4, 4, 3))), SoftLabelError, ['3 planes', "2 classes ['meadow', 'forest']"]),
    Row('PILSoftMask', 'two dimensions', lambda t: OpenSoftMask()(GREY).like(np.zeros((2, 4))), SoftLabelError, ['(2, 4)', '(H,W,K)']),
    Row('SoftMaskBlock', 'class named twice', lambda t: SoftMaskBlock(['a', 'a']), SoftLabelError, ["names the class 'a' more than once"]),
    Row('SoftMaskBlock', 'a dict', lambda t: SoftMaskBlock({'meadow': 1, 'forest': 0}), SoftLabelError, ['`codes` is', 'a dict two']),
    Row('SoftMaskBlock', 'lists for names', lambda t: SoftMaskBlock([['a', 'b']]), SoftLabelError, ["`codes` holds ['a', 'b']", 'texts or numbers']),
    Row('SoftMaskBlock', 'a missing name', lambda t: SoftMaskBlock(['a', None]), SoftLabelError, ['`codes` holds None', 'texts or numbers']),
    Row('SoftMaskBlock', 'no class', lambda t: SoftMaskBlock([]), SoftLabelError, ['No code is left', 'name at least one class']),
    Row('SoftMaskBlock', 'a text is one name', lambda t: SoftMaskBlock('lesion'), SoftLabelError, ["`codes` is 'lesion'", 'a text is one name']),
    Row('SoftMaskBlock', 'a text for a loss', lambda t: SoftMaskBlock(loss_func='dice'), SoftLabelError, ["`loss_func` is 'dice'", 'expected a loss']),
    Row('SoftMaskBlock', 'a text for yes or no', lambda t: SoftMaskBlock(LAND, exclusive='no'), SoftLabelError, ["exclusive is 'no'", 'True, False or None']),
    Row('SoftMaskBlock', 'a loss that NaN spoils', lambda t: SoftMaskBlock(LAND, exclusive=False, ignore=['unknown'], loss_func=BCEWithLogitsLossFlat()), SoftLabelError, ['BCEWithLogitsLossFlat cannot leave out', 'SoftDiceBCELoss()']),
    Row('SoftMaskBlock', "torch's cross-entropy for one class", lambda t: SoftMaskBlock(loss_func=nn.CrossEntropyLoss()), SoftLabelError, ['CrossEntropyLoss reads softmax']),
    Row('SoftMaskBlock', 'ignore a stranger', lambda t: SoftMaskBlock(LAND, ignore=['Void']), UnknownNameError, ["`ignore` names 'Void'", 'not among the codes']),
    Row('SoftMaskBlock', 'ignore a text', lambda t: SoftMaskBlock(LAND, ignore='unknown'), SoftLabelError, ["`ignore` is 'unknown'", 'expected a list']),
    Row('SoftMaskBlock', 'ignore all', lambda t: SoftMaskBlock(LAND, ignore=LAND), SoftLabelError, ['No code is left']),
    Row('SoftMaskBlock', 'one class that excludes', lambda t: SoftMaskBlock(['lesion'], exclusive=True), SoftLabelError, ["One class, 'lesion', has nothing to exclude"]),
    Row('SoftMaskBlock', 'loss that flattens', lambda t: SoftMaskBlock(LAND, loss_func=CrossEntropyLossFlat(axis=1)), SoftLabelError, ['CrossEntropyLossFlat flattens', 'SoftDiceCELoss()']),
    Row('SoftMaskBlock', 'loss along another axis', lambda t: SoftMaskBlock(LAND, loss_func=CE()), SoftLabelError, ['axis -1', 'axis=1']),
    Row('SoftMaskBlock', 'loss of the other kind', lambda t: SoftMaskBlock(LAND, loss_func=SoftDiceBCELoss()), SoftLabelError, ['SoftDiceBCELoss reads sigmoid', 'exclude each other', 'exclusive=False', 'SoftDiceCELoss()']),
    Row('SoftMaskBlock', 'softmax loss, one class', lambda t: SoftMaskBlock(loss_func=SoftDiceCELoss()), SoftLabelError, ['SoftDiceCELoss reads softmax', 'are independent', "activation='sigmoid'"]),
    Row('SoftMaskBlock', 'softmax loss, independent classes', lambda t: SoftMaskBlock(LAND, exclusive=False, loss_func=SoftDiceLoss()), SoftLabelError, ['SoftDiceLoss reads softmax', 'exclusive=True']),
    Row('SoftMaskBlock', 'weights of another length', lambda t: SoftMaskBlock(LAND, ignore=['unknown'], loss_func=SoftDiceCELoss(weight=[1., 2., 3.])), SoftLabelError, ['(3,) values in `pixel.weight`', "2 classes ['meadow', 'forest']"]),
    Row('SoftMaskBlock', 'mask larger than its image', lambda t: mask_loaders(t, size=(9, 5)).one_batch(), SoftLabelError, ['m0.png is 9×5 pixels, but its image is 8×6', 'one size first']),
    Row('SoftMaskBlock', 'mask of another size, before resizing', lambda t: mask_loaders(t, size=(16, 12)).one_batch(), SoftLabelError, ['m0.png is 16×12 pixels, but its image is 8×6']),
    Row('SoftMaskBlock', 'no such file', lambda t: mask_loaders(t, missing=4), FileNotFoundError, ['m4.png does not exist', 'leave its image out']),
    Row('SoftMaskBlock', 'None', lambda t: DataBlock(blocks=(ImageBlock, SoftMaskBlock), get_y=lambda f: None if f.stem == 'i1' else f.parent/f.name.replace('i', 'm'), splitter=EndSplitter(.4)).datasets(block_and_files(t)[1]), SoftLabelError, ['i1.png', 'is missing (None)']),
    Row('SoftMaskBlock', 'index of no class', lambda t: block_and_files(t, codes=LAND)[0].datasets(block_and_files(t)[1]), UnknownNameError, ['m0.png', 'holds 90']),
    Row('TensorSoftMask', 'a batch for one mask', lambda t: TensorSoftMask(torch.rand(2, 1, 4, 4)).show(), SoftLabelError, ['shape (2, 1, 4, 4)', 'pick one item']),
    Row('mask_overlay', 'two dimensions', lambda t: mask_overlay(torch.rand(3, 3), False), SoftLabelError, ['(3, 3)', '(K,H,W)']),
    Row('mask_planes', 'no such file', lambda t: mask_planes(t/'none.png', ['a'], False), FileNotFoundError, ['none.png does not exist']),
    Row('probabilities_of', 'integers of no scale', lambda t: probabilities_of(GREY.astype(int), 'here'), SoftLabelError, ['here holds integers of type int64 up to 255', 'no known scale']),
    Row('SoftMaskCutMix', 'labels that are no masks', lambda t: learner().fit(1, cbs=SoftMaskCutMix()), SoftLabelError, ['(2, 2)', 'no masks', "fastai's `CutMix`"]),
    Row('SoftMaskCutMix', 'two targets', lambda t: silent(Learner(two_targets(), TwoOutputs(), loss_func=CE())).fit(1, cbs=SoftMaskCutMix()), SoftLabelError, ['one mask', '2 targets']),
]

ROWS = [*LABELS, *VOTES, *LOSSES, *METRICS, *CONFIDENCE, *DATA, *MASKS]


def module_of(call: str) -> str:
    "Where a callable lives"
    name = call.split('.')[0]
    if name == 'demo': return 'examples/demo.py'
    o = getattr(everything, name)
    return (o.__module__ if isinstance(o, type) or callable(o) else type(o).__module__).split('.')[-1]


@pytest.fixture(autouse=True)
def in_time():
    "A case that hangs fails"
    def late(*_): raise TimeoutError('not done in 20 s')
    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize('row', ROWS, ids=lambda r: f'{r.call}: {r.fault}')
def test_says_what_is_wrong(row, tmp_path):
    with pytest.raises(row.error) as e: row.do(tmp_path)
    message = str(e.value).removeprefix('Exception occured in ').split('\n\t')[-1] # fastai says first which callback it was
    assert [w for w in row.words if w not in message] == [], message
    assert '\n' not in message
    raised_in = Path(traceback.extract_tb(e.value.__traceback__)[-1].filename)
    assert raised_in.parent.name in ('fastai_softlabels', 'examples'), f'the last word is that of {raised_in}'


def test_the_table():
    "Enough of them, no two alike, no fault tried on everything; and each can be caught as what a caller expects"
    by_fault = Counter(r.fault for r in ROWS)
    assert len(ROWS) >= 150 and len({(r.call, r.fault) for r in ROWS}) == len(ROWS)
    assert {f: n for f, n in by_fault.items() if n > 8} == {}
    assert all(issubclass(r.error, (ValueError, KeyError, TypeError, OSError, SystemExit)) and r.words for r in ROWS)
    by_module = {m: [r for r in ROWS if module_of(r.call) == m] for m in dict.fromkeys(module_of(r.call) for r in ROWS)}
    counts = pd.DataFrame({m: dict(cases=len(rows), callables=len({r.call for r in rows}), faults=len({r.fault for r in rows})) for m, rows in by_module.items()}).T
    counts.loc['all'] = len(ROWS), len({r.call for r in ROWS}), len(by_fault)
    often = ' · '.join(f'{fault} ({n})' for fault, n in by_fault.most_common() if n > 3)
    TABLES['Bad input'] = f'{counts.to_string()}\n\n' + fill(f'{len(by_fault)} faults, with the number of callables: {often}, and {sum(n < 4 for n in by_fault.values())} more', 150)


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
    labels.update({f: {'cat': 1, 'dog': 1} for f in FIVE})
    pets = block.datasets(FIVE)
    labels.update({f: {'elm': 1, 'fir': 2, 'oak': 1} for f in FIVE})
    trees = block.datasets(FIVE)
    assert list(pets.vocab) == ['cat', 'dog'] and list(trees.vocab) == ['elm', 'fir', 'oak'] and (pets.c, trees.c) == (2, 3)
    assert pets.loss_func is not trees.loss_func
