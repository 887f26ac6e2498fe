"The same numbers whatever a table is made of: each type of column, each library, through each function that takes a table."
from contextlib import nullcontext

import numpy as np, pandas as pd, pyarrow as pa, pytest
from fastai.vision.all import ColReader, DataBlock, EndSplitter, ImageBlock

from fastai_softlabels.all import SoftCategoryBlock, SoftLabelError, SoftLabelReader, SoftMultiCategoryBlock, class_weights, dawid_skene, item_weights, krippendorff_alpha, votes_to_soft
from fastai_softlabels.tables import refuse_total
from conftest import TABLES

pl = pytest.importorskip('polars')
PETS, OUTCOMES = ['cat', 'dog'], {}
VOTES = np.array([[3, 0], [2, 1], [1, 2], [0, 3], [2, 2], [4, 1]])
SHARES = VOTES/VOTES.sum(1, keepdims=True)
IDS = [7, 3, 12, 5, 100, 2]
ONES = [(i, who, PETS[int(who >= n)]) for i, (n, m) in zip('abcdef', VOTES) for who in range(n + m)] # item, annotator, vote
COUNTS = pd.DataFrame(dict(f=[f'im{i}.png' for i in IDS], cat=VOTES[:, 0], dog=VOTES[:, 1], n=5))
LONG = pd.DataFrame(ONES, columns=['f', 'who', 'v']).assign(w=[1 + i % 2 for i in range(len(ONES))])
WIDE = pd.DataFrame(dict(f=list('abc'), x=['cat', 'dog', None], y=['cat', 'cat', 'dog']))
LISTS = pd.DataFrame(dict(f=list('abc'), l=[['cat', 'dog'], ['dog'], ['cat', 'cat', 'dog', 'dog']]))


def texts(df, to):
    "Each column as `to`, gaps as they are; lists stay lists"
    return pd.DataFrame({c: col.astype(str).where(col.notna(), None).astype(to) if not pd.api.types.is_list_like(col.iloc[0]) else col for c, col in df.items()})

def categories(df): return df.astype({c: 'category' for c in df if not pd.api.types.is_list_like(df[c].iloc[0])})

def arrow(df):
    lists = {c: pd.ArrowDtype(pa.list_(pa.string())) for c in df if pd.api.types.is_list_like(df[c].iloc[0])}
    return df.drop(columns=list(lists)).convert_dtypes(dtype_backend='pyarrow').join(df[list(lists)].astype(lists))[list(df)]

def few_bytes(df): return df.astype({c: 'uint8' for c in df if df[c].dtype == int and df[c].max() < 256})

FORMS = {'NumPy': lambda df: df, 'few bytes': few_bytes, 'objects': lambda df: df.astype(object), 'nullable': lambda df: df.convert_dtypes(dtype_backend='numpy_nullable'), 'Arrow': arrow,
         'texts': lambda df: texts(df, object), 'str': lambda df: texts(df, 'str'), 'string[python]': lambda df: texts(df, 'string[python]'), 'string[pyarrow]': lambda df: texts(df, 'string[pyarrow]'),
         'categories': categories, 'categories of texts': lambda df: categories(texts(df, object)), 'polars': pl.from_pandas,
         'polars categories': lambda df: pl.from_pandas(df).with_columns(pl.col(pl.String).cast(pl.Categorical)), 'pyarrow.Table': lambda df: pa.Table.from_pandas(df, preserve_index=False)}
if int(pd.__version__.split('.')[0]) < 3: del FORMS['str'] # there it means Python's texts, with 'None' for a gap


def items_in(reader): return np.stack([reader(f'/data/im{i}.png').numpy() for i in IDS])

def counts_read(form):
    np.testing.assert_allclose(items_in(SoftLabelReader(form(COUNTS), 'f', PETS)), SHARES, rtol=1e-6)

def shares_read(form):
    np.testing.assert_allclose(items_in(SoftLabelReader(form(COUNTS.assign(cat=SHARES[:, 0], dog=SHARES[:, 1])), 'f', PETS)), SHARES, rtol=1e-6)

def independent_read(form):
    np.testing.assert_allclose(items_in(SoftLabelReader(form(COUNTS), 'f', PETS, multi=True, n_votes='n')), VOTES/5, rtol=1e-6)

def gaps_read(form):
    "nobody voted on the second and the last"
    gaps = COUNTS.assign(**{c: [np.nan if i in (1, 5) else p for i, p in enumerate(SHARES[:, k])] for k, c in enumerate(PETS)})
    expected = np.where(np.isin(np.arange(6), [1, 5])[:, None], 0, SHARES)
    np.testing.assert_allclose(items_in(SoftLabelReader(form(gaps), 'f', PETS, ignore=True)), expected, rtol=1e-6)
    with pytest.raises(SoftLabelError, match=r"row 1 \(item 'im3.png'\): the label is missing"): SoftLabelReader(form(gaps), 'f', PETS)

def ids_read(form):
    "items that are numbers"
    reader = SoftLabelReader(form(COUNTS.assign(f=IDS)), 'f', PETS)
    np.testing.assert_allclose(np.stack([reader(i).numpy() for i in IDS]), SHARES, rtol=1e-6)

def by_item(soft, expected, index):
    np.testing.assert_allclose(soft[PETS].to_numpy(), expected)
    assert list(soft.index) == index and list(soft.columns) == [*PETS, 'n_votes', 'entropy', 'agreement'] and all(d == float for d in soft.dtypes)

def long_votes(form):
    by_item(votes_to_soft(form(LONG), 'f', label='v', annotator='who'), SHARES, list('abcdef'))
    weighted = np.array([[sum(w for f, v, w in zip(LONG.f, LONG.v, LONG.w) if (f, v) == (i, c)) for c in PETS] for i in 'abcdef'])
    by_item(votes_to_soft(form(LONG), 'f', label='v', weight='w'), weighted/weighted.sum(1, keepdims=True), list('abcdef'))

def counted_votes(form): by_item(votes_to_soft(form(COUNTS), 'f', counts=PETS), SHARES, list(COUNTS.f))
def wide_votes(form): by_item(votes_to_soft(form(WIDE), 'f', annotators=['x', 'y']), [[1, 0], [.5, .5], [0, 1]], list('abc'))
def listed_votes(form): by_item(votes_to_soft(form(LISTS), 'f', lists='l'), [[.5, .5], [0, 1], [.5, .5]], list('abc'))

def agreement(form):
    soft = votes_to_soft(LONG, 'f', label='v')
    assert krippendorff_alpha(form(soft.reset_index(drop=True))) == pytest.approx(krippendorff_alpha(soft))

def weights_of_items(form):
    soft = form(votes_to_soft(LONG, 'f', label='v').reset_index(drop=True))
    np.testing.assert_allclose(item_weights(soft['n_votes']), VOTES.sum(1)/VOTES.sum(1).mean())

def consensus(form):
    with pytest.warns(UserWarning): # that it is no disagreement; crowd-kit's own are shown
        expected, ours = (dawid_skene(df, 'f', 'v', 'who') for df in (LONG, form(LONG)))
    pd.testing.assert_frame_equal(ours, expected, check_index_type=False)

def weights_of_classes(form):
    "by a reader, and by columns of a table as fastai takes it, which is pandas'"
    df = form(COUNTS)
    expected = len(SHARES)/(2*SHARES.sum(0))
    image = dict(get_x=lambda o: np.zeros((8, 8), np.uint8), splitter=lambda o: (range(6), []))
    for get_y, source in ((SoftLabelReader(df, 'f', PETS), list(COUNTS.f)), (ColReader(PETS), df if isinstance(df, pd.DataFrame) else df.to_pandas())):
        dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=get_y, **image).dataloaders(source, bs=2, num_workers=0)
        np.testing.assert_allclose(class_weights(dls), expected, rtol=1e-5)

def columns_of_a_table(form):
    "of shares with a gap, which stays one"
    df = form(COUNTS.assign(cat=[*SHARES[:5, 0], None], dog=[*SHARES[:5, 1], None]))
    if not isinstance(df, pd.DataFrame): df = df.to_pandas()
    for block, missing in ((SoftCategoryBlock, 0), (SoftMultiCategoryBlock, np.nan)):
        dsets = DataBlock(blocks=(ImageBlock, block(ignore=True)), get_x=lambda o: np.zeros((8, 8), np.uint8), get_y=ColReader(PETS), splitter=EndSplitter(.5)).datasets(df)
        got = np.stack([s[1].numpy() for part in (dsets.train, dsets.valid) for s in (part[i] for i in range(3))])
        np.testing.assert_allclose(got, [*SHARES[:5], [missing]*2], rtol=1e-6)

USES = {'SoftLabelReader, counts': counts_read, '– shares': shares_read, '– independent, n_votes': independent_read, '– gaps': gaps_read, '– numbers as items': ids_read,
        'votes_to_soft, long': long_votes, '– counts': counted_votes, '– a column for each annotator': wide_votes, '– lists': listed_votes,
        'krippendorff_alpha': agreement, 'dawid_skene': consensus, 'item_weights': weights_of_items, 'class_weights': weights_of_classes, 'ColReader of columns': columns_of_a_table}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('use', USES)
def test_same_numbers(use, form):
    OUTCOMES[use, form] = 'FAILED'
    USES[use](FORMS[form])
    OUTCOMES[use, form] = 'ok'


def test_table():
    "Every line must have run and passed"
    table = pd.DataFrame({u: {f: OUTCOMES.get((u, f), 'not run') for f in FORMS} for u in USES}).T
    TABLES['Tables of labels, by what they are made of'] = table.to_string()
    assert (table == 'ok').all(axis=None)


class NeedsMore:
    "A table whose library lacks something that it needs to become pandas'"
    columns = ['f']
    def to_pandas(self): raise ModuleNotFoundError("No module named 'pyarrow'")

@pytest.mark.parametrize('table, words', [(pl.from_pandas(COUNTS).lazy(), ['a LazyFrame', 'pandas DataFrame', '`.collect()`']), (pl.Series([1]), ['a Series', '`.to_pandas()`']),
                                          (pa.array([1]), ['a Int64Array', '`.to_pandas()`']), (NeedsMore(), ['a NeedsMore', "No module named 'pyarrow'", 'Install what it needs'])], ids=lambda o: type(o).__name__)
def test_what_is_no_table(table, words):
    for f in (lambda: SoftLabelReader(table, 'f', PETS), lambda: votes_to_soft(table, 'f', counts=PETS), lambda: krippendorff_alpha(table), lambda: dawid_skene(table, 'f', 'v', 'who')):
        with pytest.raises(SoftLabelError) as e: f()
        assert [w for w in words if w not in str(e.value)] == [], str(e.value)


@pytest.mark.parametrize('n, name, refused', [(2, 'All', True), (2, 'fox', False), (4, 'n', True), (4, 'fox', False), (5, 'fox', True), (12, 'fox', True)])
def test_a_column_of_totals(n, name, refused):
    "by its name, or by more rows than chance would have"
    rows = np.random.default_rng(0).integers(1, 9, (n, 2))
    def check(): refuse_total(np.column_stack([rows, rows.sum(1)]), ['cat', 'dog', name])
    if not refused:
        with pytest.warns(UserWarning, match="If it is a total, it is no class") if n > 2 else nullcontext(): return check()
    with pytest.raises(SoftLabelError, match=f"The column '{name}' is the sum of the others in each of the {n} rows"): check()
