"Annotators who name several classes, columns that belong to an item, groups that stay together."
import warnings
from itertools import combinations

import krippendorff, numpy as np, pandas as pd, pytest, torch
from conftest import refused
from fastai.vision.all import ColReader, DataBlock, RegressionBlock, TransformBlock
from fastai_softlabels.data import SoftMultiCategoryBlock, SoftMultiCategorize
from fastai_softlabels.datasets import cell_votes, digits_votes
from fastai_softlabels.errors import SoftLabelError, UnknownNameError
from fastai_softlabels.reader import GroupSplitter, SoftLabelReader
from fastai_softlabels.votes import krippendorff_alpha, votes_to_soft


def survey(n_items=40, n_people=7, classes='abc', seed=0):
    "Who was asked about an item, and the set of classes that each named, some of them empty"
    rng = np.random.default_rng(seed)
    return {(i, p): {c for c in classes if rng.random() < .3} for i in range(n_items) for p in range(n_people) if rng.random() < .6}

def long(said): return pd.DataFrame([(f'i{i}', f'p{p}', c) for (i, p), named in said.items() for c in (sorted(named) or [None])], columns=['item', 'who', 'label'])
def wide(said, classes='abc'): return pd.DataFrame([(f'i{i}', f'p{p}', *(int(c in named) for c in classes)) for (i, p), named in said.items()], columns=['item', 'who', *classes])


def by_hand(said, classes='abc'):
    "Shares, number of annotators, entropy and agreement, by loops"
    rows = {}
    for item in dict.fromkeys(i for i, _ in said):
        answers = [named for (i, _), named in said.items() if i == item]
        shares = [sum(c in a for a in answers)/len(answers) for c in classes]
        entropy = sum(-p*np.log(p) for s in shares for p in (s, 1 - s) if p > 0)
        pairs = list(combinations(answers, 2))
        agreement = np.mean([np.mean([(c in a) == (c in b) for a, b in pairs]) for c in classes]) if pairs else np.nan
        rows[f'i{item}'] = [*shares, len(answers), entropy, agreement]
    return pd.DataFrame(rows, index=[*classes, 'n_votes', 'entropy', 'agreement']).T


@pytest.mark.parametrize('seed', range(5))
def test_shares_of_annotators(seed):
    said = survey(seed=seed)
    expected = by_hand(said)
    for soft in (votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True), votes_to_soft(wide(said), 'item', counts=list('abc'), annotator='who', multi=True)):
        assert list(soft.columns) == list(expected.columns) and soft.index.tolist() == expected.index.tolist()
        np.testing.assert_allclose(soft.astype(float), expected, rtol=0, atol=1e-12)
        assert soft.attrs['classes'] == list('abc')


def test_alpha_by_class():
    said = survey()
    soft = votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True)
    alphas = krippendorff_alpha(soft)
    people = sorted({p for _, p in said})
    for c in 'abc':
        data = [[float(c in said[i, p]) if (i, p) in said else np.nan for i in range(40)] for p in people]
        assert alphas[c] == pytest.approx(krippendorff.alpha(reliability_data=data, level_of_measurement='nominal'), abs=1e-12)
    never = votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True, vocab=['a', 'b', 'c', 'z'])
    assert np.isnan(krippendorff_alpha(never)['z']) and not krippendorff_alpha(never).drop('z').isna().any()


def test_labels_of_a_training():
    said = survey()
    soft = votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        reader = SoftLabelReader(soft, None, multi=True)
    items = [f'/there/i{i}' for i in range(10)]
    dsets = DataBlock(blocks=(TransformBlock, SoftMultiCategoryBlock), get_y=reader).datasets(items)
    np.testing.assert_allclose(torch.stack([dsets[i][1].as_subclass(torch.Tensor) for i in range(10)]), soft[list('abc')].loc[[f'i{i}' for i in range(10)]], atol=1e-6)
    refused(lambda: SoftLabelReader(soft, None), 'several may be right at once', 'Say `multi=True`')


def test_the_lists_that_a_block_reads_are_the_same():
    said = {(0, 0): {'a', 'b'}, (0, 1): {'a'}, (0, 2): set()}
    soft = votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True)
    assert soft.loc['i0', ['a', 'b']].tolist() == pytest.approx(SoftMultiCategorize(vocab=['a', 'b'])([sorted(s) for s in said.values()]).tolist())


def test_order_and_least_number():
    said = survey()
    soft = votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True, vocab=['c', 'a', 'b'])
    assert soft.attrs['classes'] == ['c', 'a', 'b'] and list(soft)[:3] == ['c', 'a', 'b']
    with pytest.warns(UserWarning, match='items have fewer than 5 votes and are left out'): few = votes_to_soft(long(said), 'item', label='label', annotator='who', multi=True, min_votes=5)
    assert (few.n_votes >= 5).all() and len(few) == (by_hand(said).n_votes >= 5).sum()
    kinds = pd.CategoricalDtype(['c', 'b', 'a'], ordered=True)
    assert votes_to_soft(long(said).astype(dict(label=kinds)), 'item', label='label', annotator='who', multi=True).attrs['classes'] == ['c', 'b', 'a']


ONE = pd.DataFrame(dict(item=['i', 'i', 'j'], who=['x', 'y', 'x'], label=['a', 'b', None], a=[1, 0, 0], b=[0, 1, 0], w=[1, 2, 3]))

@pytest.mark.parametrize('kw, words', [
    (dict(label='label'), ['counts the annotators', '`annotator=`']), (dict(annotators=['label'], annotator='who'), ['not `annotators=`', 'df.explode']), (dict(lists='label', annotator='who'), ['not `lists=`']),
    (dict(label='label', annotator='who', weight='w'), ['`weight=` has no meaning']), (dict(label='label', annotator='who', unsure=['a']), ['`unsure=` has no meaning']), (dict(label='label', annotator='who', prior=1.), ['`prior=` has no']),
    (dict(label='label', annotator='who', vocab=['a']), ["the class 'b' is not in the vocab"]), (dict(label='label', annotator='who', min_votes=0), ['min_votes is 0']), (dict(label='label', annotator='nobody'), ["'nobody'"]),
    (dict(counts=['a', 'w'], annotator='who'), ['Row 1: the answers are [0, 2]', 'Expected 1 for each class']), (dict(counts=[], annotator='who'), ['names no column'])], ids=str)
def test_what_is_refused(kw, words): refused(lambda: votes_to_soft(ONE, 'item', multi=True, **kw), *words, error=(SoftLabelError, UnknownNameError))


def test_rows_that_contradict():
    refused(lambda: votes_to_soft(pd.concat([ONE, ONE.iloc[:1]], ignore_index=True), 'item', label='label', annotator='who', multi=True), "Row 3: annotator 'x' named 'a' for item 'i' before", 'drop_duplicates')
    refused(lambda: votes_to_soft(ONE.assign(item='i'), 'item', label='label', annotator='who', multi=True), "Row 2: annotator 'x' named none of the classes for item 'i', and in another row one")
    refused(lambda: votes_to_soft(ONE.assign(item='i'), 'item', counts=['a', 'b'], annotator='who', multi=True), "Row 2: annotator 'x' has a row for item 'i' before")
    refused(lambda: votes_to_soft(ONE.assign(who=['x', None, 'x']), 'item', label='label', annotator='who', multi=True), "Row 1: the annotator in column 'who' is missing")
    refused(lambda: votes_to_soft(ONE, 'item', label='label', annotator='who'), "Row 2: the label in column 'label' is missing", '`multi=True`')


# ---- columns of items, and groups ----

def test_columns_that_belong_to_an_item():
    df = pd.DataFrame(dict(item=['i', 'j', 'i'], who=['x', 'x', 'y'], label=['a', 'b', 'b'], site=['n', None, 'n'], age=[3, 4, 3]))
    forms = [votes_to_soft(df, 'item', label='label', annotator='who', keep=['site', 'age']), votes_to_soft(df, 'item', label='label', annotator='who', multi=True, keep=['site', 'age'])]
    for soft in forms:
        assert soft.age.tolist() == [3, 4] and soft.site.tolist()[0] == 'n' and pd.isna(soft.site.iloc[1]) and list(soft)[-2:] == ['site', 'age']
        assert SoftLabelReader(soft, None, multi='multi' in soft.attrs).classes == ['a', 'b']
    counted = pd.DataFrame(dict(file=['i', 'j'], a=[1, 0], b=[1, 1], site=['n', 's']))
    assert votes_to_soft(counted, 'file', counts=['a', 'b'], keep='site').site.to_dict() == dict(i='n', j='s')
    assert votes_to_soft(counted.set_index('file'), None, counts=['a', 'b'], keep='site').site.to_dict() == dict(i='n', j='s')
    with pytest.warns(UserWarning, match='left out'): assert votes_to_soft(counted.assign(b=[1, 0]), 'file', counts=['a', 'b'], keep='site', min_votes=1).site.to_dict() == dict(i='n')
    refused(lambda: votes_to_soft(df.assign(site=['n', 's', 'm']), 'item', label='label', annotator='who', keep='site'), "Row 2: item 'i' has 'm' in column 'site', and 'n' before", 'belongs to an item')
    refused(lambda: votes_to_soft(df.assign(site=['n', 's', None]), 'item', label='label', annotator='who', keep='site'), "Row 2: item 'i' has")
    refused(lambda: votes_to_soft(df, 'item', label='label', annotator='who', keep='age_'), "'age_'", error=UnknownNameError)
    refused(lambda: votes_to_soft(df, 'item', label='label', annotator='who', keep='item'), "`keep` names 'item'")
    refused(lambda: votes_to_soft(df.rename(columns=dict(age='a')), 'item', label='label', annotator='who', keep='a'), "`keep` names 'a'", 'rename')


@pytest.mark.parametrize('seed', range(10))
def test_groups_stay_together(seed):
    df = pd.DataFrame(dict(file=[f'{i}.png' for i in range(200)], patient=np.random.default_rng(seed).integers(20, size=200)))
    splits = [GroupSplitter('patient', seed=seed)(df), GroupSplitter(df.set_index('file').patient, seed=seed)([f'/x/{f}' for f in df.file]),
              GroupSplitter(lambda f: df.patient[int(f.split('.')[0])], seed=seed)(df.file.tolist())]
    for train, valid in splits:
        assert sorted(train + valid) == list(range(200)) and not set(df.patient[train]) & set(df.patient[valid])
        assert df.patient[valid].nunique() == 4
    assert splits[0] == splits[1] == splits[2]
    assert GroupSplitter('patient', seed=seed)(df) != GroupSplitter('patient', seed=seed + 100)(df)


def test_groups_of_a_data_block():
    df = pd.DataFrame(dict(x=np.arange(30.), y=np.arange(30.), patient=np.arange(30)//3))
    dls = DataBlock(blocks=(RegressionBlock, RegressionBlock), get_x=ColReader('x'), get_y=ColReader('y'), splitter=GroupSplitter('patient', valid_pct=.5, seed=0), n_inp=1).dataloaders(df, bs=5)
    assert dls.train_ds.items.patient.nunique() == dls.valid_ds.items.patient.nunique() == 5 and not set(dls.train_ds.items.patient) & set(dls.valid_ds.items.patient)


def test_groups_that_are_refused():
    df = pd.DataFrame(dict(file=['a', 'b'], patient=[1, None], site=['n', 'n']))
    refused(lambda: GroupSplitter('patient')(df), 'Item 1: the group is missing')
    refused(lambda: GroupSplitter('site')(df), "All 2 items have the group 'n'")
    refused(lambda: GroupSplitter('patients')(df), "'patients'", "['file', 'patient', 'site']", error=UnknownNameError)
    refused(lambda: GroupSplitter('patient')(['a', 'b']), 'no table', 'a Series with the item as its index')
    refused(lambda: GroupSplitter(pd.Series(['n', 's'], ['a', 'a'])), "two rows for the item 'a'")
    refused(lambda: GroupSplitter(pd.Series(['n', 's'], ['a', 'b']))(['a', 'c']), "No group for the item 'c'", error=UnknownNameError)
    refused(lambda: GroupSplitter('site', valid_pct=20), 'valid_pct is 20')
    refused(lambda: GroupSplitter('site', seed=-1), 'seed is -1')
    refused(lambda: GroupSplitter(lambda f: [f])(['a', 'b']), "Item 0: the group is ['a']")
    refused(lambda: GroupSplitter('patient')(df.assign(patient=['p', ' '])), 'Item 1: the group is missing')
    with pytest.warns(UserWarning, match="The groups 'p1' and 'p1 ' differ in blanks"): GroupSplitter('patient')(df.assign(patient=['p1', 'p1 ']))


def test_groups_of_the_rows_of_a_table():
    df = pd.DataFrame(dict(patient=np.arange(30)//3), index=[f'{i}.png' for i in range(30)])
    by_column = GroupSplitter('patient', seed=0)(df)
    assert GroupSplitter(lambda row: row.patient, seed=0)(df) == GroupSplitter(df.patient, seed=0)(df) == GroupSplitter(df.patient.to_dict(), seed=0)(df) == by_column
    few = df.iloc[:9]
    for share, n in ((.9, 2), (.1, 1), (.5, 2)): assert few.patient.iloc[GroupSplitter('patient', valid_pct=share)(few)[1]].nunique() == n


def test_shares_are_not_divided_again():
    soft = votes_to_soft(ONE, 'item', label='label', annotator='who', multi=True)
    refused(lambda: SoftLabelReader(soft, None, multi=True, n_votes='n_votes'), 'divide shares of annotators again')


def test_nobody_named_anything():
    refused(lambda: votes_to_soft(ONE.assign(label=None), 'item', label='label', annotator='who', multi=True), 'None of the 3 answers names a class')
    refused(lambda: votes_to_soft(ONE, 'item', label='item', annotator='who', multi=True), "name 'item' twice")
    refused(lambda: votes_to_soft(ONE, 'item', counts=['who', 'a'], annotator='who', multi=True), "name 'who' twice")


def test_lists_that_name_nothing():
    for kw in (dict(label='label'), dict(counts=['a', 'b'])): refused(lambda: votes_to_soft(ONE.assign(who=[['x']]*3), 'item', annotator='who', multi=True, **kw), "['x'] in column 'who' names nothing")


def test_alpha_of_other_tables():
    soft = votes_to_soft(long(survey()), 'item', label='label', annotator='who', multi=True)
    refused(lambda: krippendorff_alpha(soft, 'ordinal'), 'a yes or no, which has no order')
    changed = soft.copy()
    changed['a'] = .333
    refused(lambda: krippendorff_alpha(changed), 'no shares of whole numbers of annotators')
    kept = votes_to_soft(long(survey()).assign(site=1).dropna().drop_duplicates(['item', 'who']), 'item', label='label', annotator='who', keep='site')
    assert krippendorff_alpha(kept) == krippendorff_alpha(kept.drop(columns='site'))


@pytest.mark.parametrize('dtype', ['Int64', 'string', 'boolean', 'int64[pyarrow]'])
def test_kept_columns_of_types_with_gaps(dtype):
    values = dict(string=['n', None, 'n'], boolean=[True, None, True]).get(dtype, [1, None, 1])
    df = pd.DataFrame(dict(item=['i', 'j', 'i'], who=['x', 'x', 'y'], label=['a', 'b', 'b'], site=pd.array(values, dtype=dtype)))
    assert votes_to_soft(df, 'item', label='label', annotator='who', keep='site').site.isna().tolist() == [False, True]
    refused(lambda: votes_to_soft(df.assign(item='i'), 'item', label='label', keep='site'), "Row 1: item 'i' has", "in column 'site'")


def test_kept_columns_with_odd_names():
    df = pd.DataFrame({'item': ['i', 'j', 'i'], 'label': ['a', 'b', 'b'], 7: [1, 2, 1], 'size': [3, 4, 3]})
    assert votes_to_soft(df.drop(columns='size'), 'item', label='label', keep=7)[7].tolist() == votes_to_soft(df, 'item', label='label', keep=[7, 'size'])[7].tolist() == [1, 2]
    assert votes_to_soft(df.drop(columns=7), 'item', label='label', keep='size')['size'].tolist() == [3, 4] # no column of counts


def test_the_cells_of_a_photograph_stay_together():
    soft = votes_to_soft(pd.read_csv(cell_votes()/'votes.csv'), 'fname', counts=['yes', 'no'], keep=['image'])
    assert len(soft) == 1088 and (soft.n_votes == 5).all() and list(soft.columns[-1:]) == ['image']
    train, valid = (set(soft.image.iloc[list(split)]) for split in GroupSplitter('image', seed=0)(soft))
    assert len(train | valid) == 68 and not train & valid


def test_the_committee_names_one_class_each():
    votes = pd.read_csv(digits_votes()/'votes.csv')[::10]
    voters = [c for c in votes.columns if c.isdigit()]
    rows = [(f, f'voter {who}', digit) for f, *counts in votes[['fname', *voters]].itertuples(index=False) for who, digit in enumerate(np.repeat(voters, counts))]
    long = pd.DataFrame(rows, columns=['item', 'who', 'label'])
    several, single = (votes_to_soft(long, 'item', label='label', annotator='who', multi=multi) for multi in (True, False))
    pd.testing.assert_frame_equal(several[voters + ['n_votes']], single[voters + ['n_votes']])
    assert (single.n_votes == 30).all() and (several.entropy >= single.entropy - 1e-9).all()
