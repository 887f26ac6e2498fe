"Tables that an engine counts: Polars' LazyFrames and DuckDB's relations give what pandas gives."
import sys

import duckdb, numpy as np, pandas as pd, polars as pl, pytest
from conftest import refused
from fastai_softlabels.errors import SoftLabelError, UnknownNameError
from fastai_softlabels.votes import krippendorff_alpha, votes_to_soft

ENGINES = dict(polars=lambda df: pl.from_pandas(df).lazy(), duckdb=duckdb.from_df)
pytestmark = pytest.mark.parametrize('engine', ENGINES)


def votes(n=3000, seed=0, names=('cat', 'dog', 'elk')):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame(dict(item=rng.integers(200, size=n), who=rng.integers(400, size=n), label=rng.choice(list(names), size=n)))
    return df.drop_duplicates(['item', 'who'], ignore_index=True)


def same(a, b):
    pd.testing.assert_frame_equal(a, b.sort_index(), check_index_type=False, check_column_type=False, check_dtype=False)
    assert a.attrs.get('classes') == b.attrs.get('classes')


@pytest.mark.parametrize('kw', [dict(), dict(annotator='who'), dict(vocab=['elk', 'dog', 'cat', 'fox']), dict(unsure=['elk']), dict(unsure=['elk'], unsure_as='spread'), dict(prior=.5)], ids=str)
def test_the_same_as_pandas(engine, kw):
    df = votes()
    lazy = votes_to_soft(ENGINES[engine](df), 'item', label='label', **kw)
    same(lazy, votes_to_soft(df, 'item', label='label', **kw))
    if not set(kw) & {'prior', 'unsure_as'}: assert krippendorff_alpha(lazy) == pytest.approx(krippendorff_alpha(votes_to_soft(df, 'item', label='label', **kw)), abs=1e-12)


def test_texts_numbers_and_few(engine):
    df = votes(names=(3, 1, 2)).assign(item=lambda d: 'im/ä ' + d['item'].astype(str) + '.png')
    same(votes_to_soft(ENGINES[engine](df), 'item', label='label'), votes_to_soft(df, 'item', label='label'))
    with pytest.warns(UserWarning, match='fewer than 15 votes'): lazy = votes_to_soft(ENGINES[engine](df), 'item', label='label', min_votes=15)
    with pytest.warns(UserWarning): same(lazy, votes_to_soft(df, 'item', label='label', min_votes=15))


def test_weights(engine):
    df = votes().assign(n=lambda d: d.who % 4)
    same(votes_to_soft(ENGINES[engine](df), 'item', label='label', weight='n'), votes_to_soft(df, 'item', label='label', weight='n'))
    for weight in (.5, -1., None):
        odd = df.astype(dict(n=float)).assign(n=lambda d: d.n.where(d.index > 0, weight))
        refused(lambda: votes_to_soft(ENGINES[engine](odd), 'item', label='label', weight='n'), f"Item {df['item'][0]} has the weight", 'whole and 0 or more')


def test_several_choices(engine):
    rng = np.random.default_rng(1)
    rows = [(i, p, c) for i in range(30) for p in range(6) if rng.random() < .7 for c in ([c for c in 'abc' if rng.random() < .4] or [None])]
    df = pd.DataFrame(rows, columns=['item', 'who', 'label'])
    kw = dict(label='label', annotator='who', multi=True)
    lazy, eager = votes_to_soft(ENGINES[engine](df), 'item', **kw), votes_to_soft(df, 'item', **kw)
    same(lazy, eager)
    pd.testing.assert_series_equal(krippendorff_alpha(lazy), krippendorff_alpha(eager))
    refused(lambda: votes_to_soft(ENGINES[engine](pd.concat([df, df.iloc[:1]])), 'item', **kw), f'Annotator {df.who[0]} named', '2 times')
    named = df.dropna().iloc[:1]
    refused(lambda: votes_to_soft(ENGINES[engine](pd.concat([df, named.assign(label=None)])), 'item', **kw), 'named none of the classes', 'in another row one')


def test_columns_that_belong_to_an_item(engine):
    df = votes().assign(site=lambda d: 'site ' + (d['item'] % 5).astype(str))
    same(votes_to_soft(ENGINES[engine](df), 'item', label='label', keep='site'), votes_to_soft(df, 'item', label='label', keep='site'))
    refused(lambda: votes_to_soft(ENGINES[engine](df.assign(site=df.who % 2)), 'item', label='label', keep='site'), "several values in column 'site'")


@pytest.mark.parametrize('change, words', [
    (lambda d: d.assign(label=d.label.where(d.index != 5)), ["a vote has no label in column 'label'", '1 votes', '`multi=True`']), (lambda d: d.assign(item=d['item'].astype(float).where(d.index != 5)), ["1 votes have no item"]),
    (lambda d: pd.concat([d, d.iloc[:1]]), ['Annotator', 'voted 2 times on item', 'Keep one vote']), (lambda d: d.assign(who=d.who.astype(float).where(d.index != 5)), ["the annotator in column 'who' is missing"]),
    (lambda d: d.iloc[:0], ['has no rows'])], ids=['label', 'item', 'twice', 'nobody', 'empty'])
def test_votes_that_are_refused(engine, change, words): refused(lambda: votes_to_soft(ENGINES[engine](change(votes())), 'item', label='label', annotator='who'), *words)


def test_forms_that_are_refused(engine):
    lazy = ENGINES[engine](votes())
    refused(lambda: votes_to_soft(lazy, 'item', counts=['who']), 'expected a pandas DataFrame', dict(polars='`.collect()`', duckdb='`.df()`')[engine])
    refused(lambda: votes_to_soft(lazy, 'item', label='labels'), "no column 'labels'", "Did you mean 'label'", error=UnknownNameError)
    refused(lambda: votes_to_soft(lazy, 'item', label='label', annotator='who', weight='who'), 'not with both')
    refused(lambda: votes_to_soft(lazy, 'item', label='label', vocab=['cat']), 'not in the vocab', error=(SoftLabelError, UnknownNameError))


def test_nan_is_nothing(engine):
    df = pd.DataFrame(dict(item=['i', 'i', 'j', 'j'], who=['x', 'y', 'x', 'y'], label=[1., 2., np.nan, 2.]))
    table = pl.DataFrame({c: df[c].tolist() for c in df})
    assert table['label'].is_nan().any() and not table['label'].is_null().any()
    lazy = table.lazy() if engine == 'polars' else duckdb.from_arrow(table.to_arrow())
    same(votes_to_soft(lazy, 'item', label='label', annotator='who', multi=True), votes_to_soft(df, 'item', label='label', annotator='who', multi=True))
    refused(lambda: votes_to_soft(lazy, 'item', label='label'), "Item 'j': a vote has no label")
    blank = ENGINES[engine](df.assign(item=['i', '', ' ', 'i'], label='a'))
    refused(lambda: votes_to_soft(blank, 'item', label='label', annotator='who', multi=True), "Nothing stands in column 'item'")
    refused(lambda: votes_to_soft(ENGINES[engine](df.assign(who=['x', ' ', 'x', 'y'], label='a')), 'item', label='label', annotator='who'), "the annotator in column 'who' is missing")


def test_counts_without_their_weight(engine):
    df = pd.DataFrame(dict(item=['i', 'i', 'j', 'j'], label=['a', 'b', 'a', 'b'], n=[9, 1, 3, 7]))
    refused(lambda: votes_to_soft(ENGINES[engine](df), 'item', label='label'), "column 'n' beside them would not be read", "`weight='n'`")
    assert votes_to_soft(ENGINES[engine](df), 'item', label='label', weight='n').a.tolist() == [.9, .3]


def test_large_numbers(engine):
    ids = [20240115000000001 + i for i in range(3)]
    df = pd.DataFrame(dict(item=ids, label=['a', 'b', 'a'], n=np.array([3e7 + 1, 1, 7])))
    lazy = ENGINES[engine](df[['item', 'label']])
    assert votes_to_soft(lazy, 'item', label='label').index.tolist() == ids
    if engine == 'duckdb': assert votes_to_soft(lazy.project('item::DECIMAL(20, 0) AS item, label'), 'item', label='label').index.astype('int64').tolist() == ids
    narrow = pd.DataFrame(dict(item=['i']*4, label=['a']*4, n=np.array([3e7, 1, 1, 7], dtype=np.float32)))
    assert votes_to_soft(ENGINES[engine](narrow), 'item', label='label', weight='n').n_votes.tolist() == [30000009]


def test_an_order_that_a_column_has(engine):
    "An `Enum` keeps its order, as an ordered categorical does"
    table = pl.DataFrame(dict(item=['i', 'i', 'j', 'j'], who=['x', 'y', 'x', 'y'], label=['low', 'high', 'mid', 'low'])).with_columns(pl.col('label').cast(pl.Enum(['low', 'mid', 'high', 'top'])))
    plain = table.with_columns(pl.col('label').cast(pl.String))
    as_enum = "item, who, label::ENUM('low', 'mid', 'high', 'top') AS label"
    lazy = table.lazy() if engine == 'polars' else duckdb.from_arrow(plain.to_arrow()).project(as_enum)
    for kw in (dict(annotator='who'), dict(annotator='who', multi=True)):
        soft = votes_to_soft(lazy, 'item', label='label', **kw)
        assert soft.attrs['classes'] == ['low', 'mid', 'high']
    assert votes_to_soft(lazy, 'item', label='label').attrs['ordered']


def test_what_comes_back_through_arrow(engine, monkeypatch):
    made = dict(polars=lambda: pl.LazyFrame(dict(item=[0, 1, 0], label=[5, 6, 7])), duckdb=lambda: duckdb.sql('SELECT i % 2 AS item, 5 + i AS label FROM range(3) t(i)'))
    lazy = made[engine]() # without Arrow
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    if engine == 'polars': assert votes_to_soft(lazy, 'item', label='label').n_votes.tolist() == [2, 1]
    else: refused(lambda: votes_to_soft(lazy, 'item', label='label'), 'pip install pyarrow', error=ImportError)


def test_columns_named_twice(engine):
    lazy = ENGINES[engine](votes())
    for kw in (dict(label='item'), dict(label='label', annotator='label'), dict(label='label', weight='item')): refused(lambda: votes_to_soft(lazy, 'item', **kw), 'twice')
    refused(lambda: votes_to_soft(ENGINES[engine](votes().assign(w='9')), 'item', label='label', weight='w'), 'are no numbers')
    refused(lambda: votes_to_soft(lazy, 'item', label='label', keep='site'), "no column 'site'", error=UnknownNameError)
    refused(lambda: votes_to_soft(ENGINES[engine](votes().iloc[:0]), 'item', label='label', annotator='who', multi=True), 'has no rows')


def test_files(engine, tmp_path):
    df = votes()
    pl.from_pandas(df).write_parquet(tmp_path/'votes.parquet')
    lazy = dict(polars=pl.scan_parquet, duckdb=duckdb.read_parquet)[engine](str(tmp_path/'votes.parquet'))
    same(votes_to_soft(lazy, 'item', label='label', annotator='who'), votes_to_soft(df, 'item', label='label', annotator='who'))


@pytest.mark.parametrize('multi', (False, True))
def test_annotators_nearly_alike(engine, multi):
    df = votes(n=40).assign(who=lambda d: 'p' + d.who.astype(str))
    df.loc[1, "who"] = df.who[0] + " "
    with pytest.warns(UserWarning, match="annotators"): votes_to_soft(ENGINES[engine](df), 'item', label='label', annotator='who', multi=multi)
