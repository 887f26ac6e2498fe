"Readers, transforms and blocks beyond the lessons."
import warnings
from collections import Counter
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from fastcore.all import L
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from fastai.vision.all import CategoryBlock, ColReader, DataBlock, EndSplitter, Flatten, ImageBlock, Learner, MultiCategoryBlock, Pipeline, Resize, attrgetter, noop

from fastai_softlabels.all import (UnknownNameError, SoftCategorize, SoftCategory, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftLabelReader, SoftMultiCategorize,
                                   SoftMultiCategoryBlock, TensorSoftCategory, TensorSoftMultiCategory, SoftLabelError, class_weights, entropy)
from fastai_softlabels.data import agrees, label_names
from conftest import DIGITS, refused
from refusals import FIVE, PETS, datasets, good, many, one, read, table

ABC = ['a', 'b', 'c']


@pytest.mark.parametrize('label, row', [
    ({'a': 3, 'c': 1}, [.75, 0, .25]), (Counter('aaac'), [.75, 0, .25]), (pd.Series({'c': 1, 'a': 3}), [.75, 0, .25]), (pd.Series({'c': .25, 'a': .75}), [.75, 0, .25]),
    ([3, 0, 1], [.75, 0, .25]), ((3, 0, 1), [.75, 0, .25]), (L(3, 0, 1), [.75, 0, .25]), (np.array([3, 0, 1]), [.75, 0, .25]), (torch.tensor([3, 0, 1]), [.75, 0, .25]),
    ([.75, 0., .25], [.75, 0, .25]), (np.array([.75, 0, .25], dtype=np.float32), [.75, 0, .25]), (torch.tensor([.75, 0, .25], dtype=torch.float16), [.75, 0, .25]),
    ([.75, 0, .25], [.75, 0, .25]), ([True, False, False], [1, 0, 0]), (['a', 'c', 'a', 'a'], [.75, 0, .25]), (('a', 'c', 'a', 'a'), [.75, 0, .25]), (L('a', 'c', 'a', 'a'), [.75, 0, .25]),
    (pd.array([3, 0, 1]), [.75, 0, .25]), (pd.Index(['a', 'c', 'a', 'a']), [.75, 0, .25]), ([torch.tensor(.75), torch.tensor(0.), torch.tensor(.25)], [.75, 0, .25]),
    ({'a': np.float32(.75), 'c': torch.tensor(.25)}, [.75, 0, .25]), ('b', [0, 1, 0]), (np.str_('b'), [0, 1, 0]), (np.array(['a', 'b']), [.5, .5, 0]), ([1, 0, 0], [1, 0, 0]), ([.7504, 0, .25], [.7504/1.0004, 0, .25/1.0004])])
def test_forms_of_one_distribution(label, row):
    y = SoftCategorize(vocab=ABC)(label)
    assert type(y) is TensorSoftCategory and y.dtype == torch.float32
    torch.testing.assert_close(y.as_subclass(torch.Tensor), torch.tensor(row, dtype=torch.float32))


@pytest.mark.parametrize('label, row', [
    ({'a': .9, 'c': .8}, [.9, 0, .8]), (pd.Series({'c': .8, 'a': .9}), [.9, 0, .8]), ([.9, 0., .8], [.9, 0, .8]), ((.9, 0., .8), [.9, 0, .8]), (np.array([1, 0, 1]), [1, 0, 1]),
    (torch.tensor([.9, 0, .8]), [.9, 0, .8]), (['a', 'c'], [1, 0, 1]), (('c',), [0, 0, 1]), ({'a', 'c'}, [1, 0, 1]), ([], [0, 0, 0]), (L(), [0, 0, 0]), ('b', [0, 1, 0]),
    ([['a'], ['a', 'c'], [], ['a']], [.75, 0, .25]), (L(['a'], []), [.5, 0, 0]), ([[], []], [0, 0, 0]), ({'a': 1, 'b': 0}, [1, 0, 0]), ({}, [0, 0, 0])])
def test_forms_of_independent_classes(label, row):
    y = SoftMultiCategorize(vocab=ABC)(label)
    assert type(y) is TensorSoftMultiCategory
    torch.testing.assert_close(y.as_subclass(torch.Tensor), torch.tensor(row, dtype=torch.float32))


@pytest.mark.parametrize('label', [.7, np.float32(.7), torch.tensor(.7), np.array(.7), [.7], {'lesion': .7}])
def test_binary_from_one_number(label):
    torch.testing.assert_close(SoftMultiCategorize(vocab=['lesion'])(label).as_subclass(torch.Tensor), torch.tensor([.7]))


def test_binary_trains(digits, votes):
    files = [digits/f for f in votes.fname]
    is_three = {f: n/30 for f, n in zip(files, votes['3'])}
    dls = DataBlock(blocks=(ImageBlock, SoftMultiCategoryBlock(vocab=['three'])), get_y=is_three.get, splitter=EndSplitter(.2), item_tfms=Resize(32)).dataloaders(files, bs=16, num_workers=0)
    assert dls.c == 1 and dls.one_batch()[1].shape == (16, 1)
    learn = Learner(dls, nn.Sequential(nn.AvgPool2d(4), Flatten(), nn.Linear(3*64, 1)))
    with learn.no_bar():
        before = learn.validate()[0]
        learn.fit(8, 1e-2)
        after = learn.recorder.values[-1][1]
        logits, targets = learn.get_preds(act=noop)
        pred, present, probs = learn.predict(files[3])
    assert after == pytest.approx(F.binary_cross_entropy_with_logits(logits, targets).item(), rel=1e-5) and after < before
    assert probs.shape == (1,) and present.tolist() == (probs > .5).tolist() and pred.label == (['three'] if probs > .5 else [])


@pytest.mark.parametrize('cls', [SoftCategorize, SoftMultiCategorize])
def test_what_predict_gives_is_a_label(cls):
    "with its probabilities, whatever was decided; in another vocab's order; the classes are inferred from it"
    shown = SoftCategory([.5, .2, .3], ['a', 'b', 'c'], multi=cls is SoftMultiCategorize, label='b')
    for vocab in (['a', 'b', 'c'], ['c', 'x', 'b', 'a']):
        row = cls(vocab).encode(shown)
        assert dict(zip(vocab, row.tolist())) == pytest.approx({'x': 0, 'a': .5, 'b': .2, 'c': .3} if 'x' in vocab else {'a': .5, 'b': .2, 'c': .3}) and cls(vocab).decode(row).label != 'b'
    assert label_names(shown) == ['a', 'b', 'c']
    with pytest.raises(SoftLabelError, match=r"the class 'b' is not in the vocab \['a', 'c'\]"): cls(['a', 'c']).encode(shown)
    unlabelled = SoftCategory([float('nan')]*3, ['a', 'b', 'c'], multi=cls is SoftMultiCategorize)
    with pytest.raises(SoftLabelError, match='missing'): cls(['a', 'b', 'c']).encode(unlabelled)
    assert not cls(['a', 'b', 'c'], ignore=True).encode(unlabelled).nan_to_num().any()


def test_counts_with_n_votes():
    tfm = SoftMultiCategorize(vocab=ABC, n_votes=4)
    for label in ({'a': 3, 'b': 4}, Counter(a=3, b=4), [3, 4, 0], pd.Series({'b': 4, 'a': 3})): assert tfm(label).tolist() == [.75, 1, 0]
    assert tfm([['a'], [], ['a'], []]).tolist() == [.5, 0, 0], 'sets are shares already'
    assert tfm('a').tolist() == tfm(['a']).tolist() == tfm([True, False, False]).tolist() == [1, 0, 0], 'a name is present, not counted'


def test_arrays_that_could_be_names_are_refused_as_lists_are():
    tfm = SoftCategorize(vocab=[0, 1, 2])
    for label in (np.array([2, 2, 0]), torch.tensor([2, 2, 0]), [2, 2, 0]):
        with pytest.raises(SoftLabelError, match='values in vocab order, or votes'): tfm(label)
    assert tfm(np.array([2, 2, 5])).tolist() == pytest.approx([2/9, 2/9, 5/9]), 'no class is called 5'


def test_a_column_reader_with_more_behind_it(digits, votes):
    "columns are only judged by themselves where nothing comes after them"
    df = votes.assign(**{c: votes[c]*1. for c in DIGITS})
    dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(vocab=DIGITS)), get_x=ColReader('fname', pref=digits),
                      get_y=Pipeline([ColReader(DIGITS), lambda o: np.array(o)/30]), splitter=EndSplitter(.2)).datasets(df)
    assert dsets.train[2][1].tolist() == pytest.approx((votes.loc[2, DIGITS]/30).tolist())


def test_numbers_as_class_names():
    tfm = SoftCategorize(vocab=[3, 5, 7])
    assert tfm(5).tolist() == tfm(np.int64(5)).tolist() == [0, 1, 0]
    assert tfm(Counter([3, 3, 3, 7])).tolist() == [.75, 0, .25] and tfm([3, 0, 1]).tolist() == [.75, 0, .25]


def test_given_vocab_keeps_its_order_inferred_is_sorted(digits, votes):
    files = [digits/f for f in votes.fname[:10]]
    label = lambda p: {'dog': 1, 'cat': 2}
    vocab = lambda block: list(DataBlock(blocks=(ImageBlock, block), get_y=label, splitter=EndSplitter(.2)).datasets(files).vocab)
    assert vocab(SoftCategoryBlock(vocab=['dog', 'cat'])) == ['dog', 'cat'] == vocab(SoftCategoryBlock(sort=False))
    assert vocab(SoftCategoryBlock) == ['cat', 'dog'] == vocab(SoftCategoryBlock(vocab=pd.Series(['dog', 'cat', 'dog'], dtype='category')))


def test_hard_and_soft_labels_mix(digits, votes):
    files = [digits/f for f in votes.fname[:10]]
    labels = dict(zip(files, ['cat', {'cat': 1, 'dog': 3}, ['dog', 'dog'], pd.Series({'cat': .5, 'dog': .5}), 'dog']*2))
    dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=labels.get, splitter=EndSplitter(.2)).datasets(files)
    assert [dsets.train.tls[1][i].tolist() for i in range(5)] == [[1, 0], [.25, .75], [0, 1], [.5, .5], [0, 1]]


def test_permuting_the_vocab_permutes_the_label(votes):
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    mixed = [DIGITS[i] for i in order]
    for label in (dict(zip(DIGITS, votes.loc[2, DIGITS].tolist())), SoftLabelReader(votes, 'fname', DIGITS)(votes.fname[2])):
        assert SoftCategorize(vocab=mixed)(label).tolist() == SoftCategorize(vocab=DIGITS)(label)[torch.tensor(order)].tolist()


class TestReader:
    def test_finds_by_path_row_and_id(self, votes):
        reader = SoftLabelReader(votes, 'fname', DIGITS)
        expected = torch.tensor(votes.loc[7, DIGITS].to_numpy(float)/30, dtype=torch.float32)
        for o in ('images/0007.png', Path('/somewhere/else/images/0007.png'), votes.iloc[7], votes.iloc[7].to_dict(), next(votes.iloc[[7]].itertuples())):
            torch.testing.assert_close(reader(o).as_subclass(torch.Tensor), expected)
        by_index = SoftLabelReader(votes.set_index('fname'), None, DIGITS)
        torch.testing.assert_close(by_index(votes.set_index('fname').iloc[7]).as_subclass(torch.Tensor), expected)
        torch.testing.assert_close(SoftLabelReader(votes.assign(id=range(len(votes))), 'id', DIGITS)(7).as_subclass(torch.Tensor), expected)
        torch.testing.assert_close(SoftLabelReader(votes.assign(stem=[Path(f).stem for f in votes.fname]), 'stem', DIGITS, key=attrgetter('stem'))(Path('x/0007.png')).as_subclass(torch.Tensor), expected)

    def test_ids_in_a_table_of_numbers(self, digits):
        "pandas turns a row of integers and floats into floats"
        df = pd.DataFrame(dict(id=[7, 8], x=[1, 3], y=[3, 1], score=[.5, .7]))
        assert SoftLabelReader(df, 'id', ['x', 'y'])(df.iloc[1]).tolist() == [.75, .25]
        dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=lambda r: digits/f'images/{int(r.id):04d}.png', get_y=ColReader(['x', 'y']),
                          splitter=EndSplitter(.5)).datasets(df)
        assert dsets.train[0][1].tolist() == [.25, .75] and dsets.valid[0][1].tolist() == [.75, .25]

    def test_windows_and_relative_paths(self):
        df = pd.DataFrame(dict(f=['im\\a.png', './im/b.png'], x=[1, 0], y=[0, 1]))
        assert SoftLabelReader(df, 'f', ['x', 'y'])('/data/im/a.png').tolist() == [1, 0] and SoftLabelReader(df, 'f', ['x', 'y'])('im/b.png').tolist() == [0, 1]

    def test_its_table_is_safe(self, votes):
        reader = SoftLabelReader(votes, 'fname', DIGITS)
        reader(votes.fname[0]).zero_()
        assert reader(votes.fname[0]).sum() == 1

    def test_longest_match_wins(self):
        df = pd.DataFrame(dict(f=['a.png', 'sub/a.png', '/abs/a.png'], x=[1, 0, 1], y=[0, 1, 3]))
        reader = SoftLabelReader(df, 'f', ['x', 'y'])
        assert reader('/data/a.png').tolist() == [1, 0] and reader('/data/sub/a.png').tolist() == [0, 1] and reader('/abs/a.png').tolist() == [.25, .75]

    def test_a_file_name_is_not_a_suffix_of_another(self):
        reader = SoftLabelReader(pd.DataFrame(dict(f=['a.png'], x=[1], y=[0])), 'f', ['x', 'y'])
        with pytest.raises(KeyError): reader('banana.png')

    def test_reads_what_pandas_has(self):
        plain = pd.DataFrame(dict(f=list('abc'), x=[1, 2, 3], y=[3, 2, 1]))
        expected = SoftLabelReader(plain, 'f', ['x', 'y']).table
        for df in (plain.astype({'x': 'Int64', 'y': 'uint8'}), plain.astype({'x': object, 'y': object}), plain.astype({'x': str, 'y': str}), plain.astype({'f': 'category'}),
                   plain.assign(x=plain.x/4, y=plain.y/4)):
            torch.testing.assert_close(SoftLabelReader(df, 'f', ['x', 'y']).table, expected)

    def test_multi(self):
        df = pd.DataFrame(dict(f=list('ab'), x=[1, 2], y=[3, 4], n=[4, 5]))
        assert SoftLabelReader(df, 'f', ['x', 'y'], multi=True, n_votes='n').table.tolist() == [[.25, .75], [pytest.approx(.4), pytest.approx(.8)]]
        assert SoftLabelReader(df, 'f', ['x', 'y'], multi=True, n_votes=4).table.tolist() == [[.25, .75], [.5, 1]]

    def test_distributions_serve_the_multi_block_too(self, votes):
        y = SoftMultiCategorize(vocab=DIGITS)(SoftLabelReader(votes, 'fname', DIGITS)(votes.fname[2]))
        assert type(y) is TensorSoftMultiCategory and y.tolist() == pytest.approx((votes.loc[2, DIGITS]/30).tolist())

    def test_composes_in_a_pipeline(self, digits, votes):
        stems = votes.assign(stem=[Path(f).stem for f in votes.fname])
        dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=Pipeline([attrgetter('stem'), SoftLabelReader(stems, 'stem', DIGITS)]),
                          splitter=EndSplitter(.2)).datasets([digits/f for f in votes.fname])
        assert list(dsets.vocab) == DIGITS and dsets.train[2][1].tolist() == pytest.approx((votes.loc[2, DIGITS]/30).tolist())

    def test_inside_a_function_too(self, digits, votes):
        reader = SoftLabelReader(votes, 'fname', DIGITS)
        dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=lambda p: reader(p), splitter=EndSplitter(.2)).datasets([digits/f for f in votes.fname])
        assert list(dsets.vocab) == DIGITS and dsets.train[2][1].tolist() == pytest.approx((votes.loc[2, DIGITS]/30).tolist())


def test_columns_name_the_classes(digits, votes):
    dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=digits), get_y=ColReader(DIGITS), splitter=EndSplitter(.2)).datasets(votes)
    assert list(dsets.vocab) == DIGITS and dsets.train[2][1].tolist() == pytest.approx((votes.loc[2, DIGITS]/30).tolist())


def test_columns_in_another_order_are_matched_by_name(digits, votes):
    for cols in (DIGITS[::-1], [2 + i for i in range(9, -1, -1)]): # by name, by position
        dsets = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(vocab=DIGITS)), get_x=ColReader('fname', pref=digits), get_y=ColReader(cols), splitter=EndSplitter(.2)).datasets(votes)
        assert dsets.train[2][1].tolist() == pytest.approx((votes.loc[2, DIGITS]/30).tolist())


def test_beside_a_category_block(digits, votes):
    "the sum of losses, with one of fastai's own"
    files = [digits/f for f in votes.fname]
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock, CategoryBlock), n_inp=1, get_y=[SoftLabelReader(votes, 'fname', DIGITS), lambda p: int(p.stem) % 2],
                    splitter=EndSplitter(.2), item_tfms=Resize(32)).dataloaders(files, bs=16, num_workers=0)
    assert dls.c == 12 and [list(v) for v in dls.vocab] == [DIGITS, [0, 1]]
    x, y, parity = dls.one_batch()
    assert dls.train_ds.loss_func(torch.zeros(16, 12), y, parity).item() == pytest.approx(np.log(10) + np.log(2), rel=1e-5)


def test_threshold_of_the_loss_decides_for_labels_too():
    tfm = SoftMultiCategorize(vocab=ABC, thresh=.2)
    probs = torch.tensor([.3, .1, .9])
    pred, target = tfm.decode(tfm.loss_func.decodes(probs[None])[0]), tfm.decode(tfm(probs))
    assert pred.label == target.label == ['a', 'c'] and agrees(pred, target)


class TestSoftCategory:
    def test_text(self):
        assert str(SoftCategory([.004, .996], 'ab')) == 'b 1.00' and str(SoftCategory([1., 0.], 'ab')) == 'a 1.00'
        assert str(SoftCategory([.5, .3, .15, .05], 'abcd')) == 'a .50 · b .30 · c .15 · …'
        assert str(SoftCategory([.001, .002], 'ab', multi=True)) == 'none of these' and str(SoftCategory([float('nan'), .5], 'ab', multi=True)) == 'b .50'

    def test_formats_and_draws_anywhere(self):
        assert f'{SoftCategory([.6, .4], "ab"):>15}' == '  a .60 · b .40'
        assert [p.get_width() for p in SoftCategory([.75, .25], 'ab').show(bars=True).patches] == [.75, .25]

    def test_compares(self):
        a = SoftCategory([.6, .4], 'ab')
        assert a == 'a' and a != 'b' and a == SoftCategory([.6, .4], 'ab') and a != SoftCategory([.61, .39], 'ab') and a != SoftCategory([.6, .4], 'xy')
        assert hash(a) == hash('a') and len({a, SoftCategory([.6, .4], 'ab')}) == 1
        assert SoftCategory([.6, .7], 'ab', multi=True) == ['a', 'b'] and SoftCategory([0., 0.], 'ab').label is None

    def test_agrees_with_any_of_a_tie(self):
        pred, tie = SoftCategory([.1, .8, .1], ABC), SoftCategory([.4, .4, .2], ABC)
        assert agrees(pred, tie) and not agrees(pred, SoftCategory([.5, .3, .2], ABC)) and not agrees(pred, SoftCategory([0., 0, 0], ABC))
        both = SoftCategory([.9, .8, .1], ABC, multi=True)
        assert agrees(both, SoftCategory([.6, .7, 0.], ABC, multi=True)) and not agrees(both, SoftCategory([.6, .4, 0.], ABC, multi=True))

    def test_ties_and_unlabelled(self):
        assert SoftCategory([.4, .4, .2], ABC).top_classes == ['a', 'b'] and SoftCategory([0., 0., 0.], ABC).is_labelled is False


def test_entropy_of_integers_and_lists():
    assert entropy([1, 0]).item() == 0 and entropy([[.5, .5], [1., 0.]]).tolist() == pytest.approx([np.log(2), 0])


def loaders_of(labels, block, **kw):
    "DataLoaders whose training items have these labels; two more, which must not count, are for validation"
    items = [[i, o] for i, o in enumerate([*labels, labels[0], labels[0]])] # lists, as fastai takes tuples apart
    return DataBlock(blocks=(ImageBlock, block), get_x=lambda o: np.zeros((8, 8), dtype=np.uint8), get_y=lambda o: o[1], splitter=EndSplitter(2/len(items))).dataloaders(items, bs=2, num_workers=0, **kw)


def test_class_weights_of_hard_labels_are_scikit_learns():
    labels = list('aaaaaabbbc')
    expected = compute_class_weight('balanced', classes=np.array(ABC), y=labels)
    for block in (SoftCategoryBlock, CategoryBlock): np.testing.assert_allclose(class_weights(loaders_of(labels, block)), expected, rtol=1e-6)


def test_class_weights_of_soft_labels():
    labels = [[.5, .5, 0], [1., 0, 0], [0, .25, .75], None, [.2, .2, .6]]
    dls = loaders_of(labels, SoftCategoryBlock(vocab=ABC, ignore=True))
    np.testing.assert_allclose(class_weights(dls), [4/(3*m) for m in (1.7, .95, 1.35)], rtol=1e-6)
    dls = loaders_of([[.5, .5, .1], [1., 0, .3], [0, np.nan, .75], [.2, .2, .6]], SoftMultiCategoryBlock(vocab=ABC, ignore=True))
    np.testing.assert_allclose(class_weights(dls), [(4-1.7)/1.7, (3-.7)/.7, (4-1.75)/1.75], rtol=1e-6)
    np.testing.assert_allclose(class_weights(loaders_of([['a'], ['a', 'b'], ['c'], ['c']], MultiCategoryBlock)), [1, 3, 1], rtol=1e-6)


def test_a_constant_model_on_weighted_labels_is_uniform():
    "that is what the weights are for: no class is favoured for being frequent"
    dls = loaders_of([[.5, .4, .1], [1., 0, 0], [.6, .3, .1]], SoftCategoryBlock(vocab=ABC))
    y = torch.stack([t for t in dls.train_ds.tls[1]])
    z = torch.zeros(1, 3, requires_grad=True)
    SoftCrossEntropyLossFlat(weight=class_weights(dls))(z.expand(3, 3), y).backward()
    assert z.grad.abs().max() < 1e-6


@pytest.mark.parametrize('f', [lambda p: entropy(p), lambda p: SoftCategory(p, 'abc').probs.sum()], ids=['entropy', 'SoftCategory'])
def test_takes_numbers_straight_from_a_table(f):
    "pandas hands out arrays that may not be written to, and turned ones have negative strides"
    p = np.float32([.2, .3, .5])
    turned, locked = p[::-1], p.copy()
    locked.flags.writeable = False
    torch.set_warn_always(True) # not only the first time in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            assert f(turned).item() == pytest.approx(f(p).item()) == f(locked).item()
    finally: torch.set_warn_always(False)
    of_table = SoftCategory(p, 'abc')
    p[:] = 0
    assert of_table.label == 'c'


# what is unlabelled, and what is shared


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


def test_a_loss_along_the_last_axis_of_two(): assert SoftCategorize(ABC, loss_func=SoftCrossEntropyLossFlat(axis=1)).loss_func.axis == 1


@pytest.mark.parametrize('label', [torch.tensor([.5, .5]), np.array([.5, .5]), [.5, .5], .5, None])
def test_numbers_mention_no_class(label): assert label_names(label) == []


def test_classes_are_sorted_unless_one_says_no():
    for kw, expected in (({}, ['ant', 'fox', 'owl']), (dict(sort=False), ['owl', 'ant', 'fox'])):
        tfm = SoftCategorize(**kw)
        tfm.setup(L({'owl': 1, 'ant': 2}, {'fox': 1}))
        assert list(tfm.vocab) == expected


def test_what_is_no_distribution_is_shown_with_four_digits():
    refused(lambda: SoftCategorize(['a', 'b', 'c']).decode(torch.tensor([.723456, .5, .4])), '[0.7235, 0.5, 0.4] is no distribution')
