"Votes against a loop; all four forms; what is refused."
import os, re, warnings
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np, pandas as pd, pytest, torch

from fastai_softlabels.all import SoftLabelError, SoftLabelReader, cifar10h, dawid_skene, entropy, item_weights, krippendorff_alpha, votes_to_soft

CLASSES = ['cat', 'dog', 'fox']


@pytest.fixture
def long():
    "40 items, one to six votes each, by named annotators"
    rng = np.random.default_rng(0)
    rows = [(f'im{i}', rng.choice(CLASSES), a) for i in range(40) for a in rng.permutation(8)[:rng.integers(1, 7)]]
    return pd.DataFrame(rows, columns=['file', 'vote', 'who'])


def loop(long):
    "item by item, vote by vote, pair by pair"
    votes = defaultdict(list)
    for r in long.itertuples(): votes[r.file].append(r.vote)
    res = {}
    for f, v in votes.items():
        shares = [v.count(c)/len(v) for c in CLASSES]
        pairs = [a == b for a, b in combinations(v, 2)]
        res[f] = [*shares, len(v), -sum(s*np.log(s) for s in shares if s), np.mean(pairs) if pairs else np.nan]
    return pd.DataFrame(res, index=[*CLASSES, 'n_votes', 'entropy', 'agreement']).T


def forms(long):
    lists = long.groupby('file', sort=False).vote.agg(list).reset_index()
    wide = long.pivot(index='file', columns='who', values='vote').loc[lists.file].reset_index()
    counts = pd.DataFrame([Counter(v) for v in lists.vote]).reindex(columns=CLASSES).fillna(0).astype(int).assign(file=lists.file)
    return {'long': (long, 'file', dict(label='vote', annotator='who')), 'lists': (lists, 'file', dict(lists='vote')), 'wide': (wide, 'file', dict(annotators=list(range(8)))),
            'counts': (counts, 'file', dict(counts=CLASSES)), 'wide, index': (wide.set_index('file'), None, dict(annotators=list(range(8))))}


@pytest.mark.parametrize('form', ['long', 'lists', 'wide', 'counts', 'wide, index'])
def test_forms_against_loop(long, form):
    df, item, kw = forms(long)[form]
    pd.testing.assert_frame_equal(votes_to_soft(df, item, **kw), loop(long), check_names=False)


def test_one_item_warns_of_nothing():
    "its row is an array that pandas lets nobody write to"
    torch.set_warn_always(True) # torch would say it once in a process
    try:
        with warnings.catch_warnings(action='error'): assert votes_to_soft(pd.DataFrame(dict(item=['x'], label=['a'])), 'item', label='label', vocab=['a', 'b']).entropy.item() == 0
    finally: torch.set_warn_always(False)


def test_any_dtype(long):
    expected = loop(long)
    for dtype in ('category', object, 'string'):
        pd.testing.assert_frame_equal(votes_to_soft(long.astype({'vote': dtype, 'file': dtype}), 'file', label='vote'), expected, check_names=False, check_index_type=False, check_column_type=False)


def test_vocab_orders_by_name_and_adds_classes(long):
    soft = votes_to_soft(long, 'file', label='vote', vocab=['fox', 'elk', 'cat', 'dog'])
    assert list(soft.columns[:4]) == ['fox', 'elk', 'cat', 'dog'] and (soft.elk == 0).all()
    assert np.allclose(soft[CLASSES], loop(long)[CLASSES])
    counts, item, kw = forms(long)['counts']
    assert np.allclose(votes_to_soft(counts, item, **kw, vocab=CLASSES[::-1])[CLASSES], loop(long)[CLASSES])


def test_prior(long):
    soft, plain = votes_to_soft(long, 'file', label='vote', prior=.5), loop(long)
    n = plain.n_votes
    for c in CLASSES: assert np.allclose(soft[c], (plain[c]*n + .5)/(n + 1.5))
    assert np.allclose(soft.n_votes, n) and np.allclose(soft[CLASSES].sum(axis=1), 1)


def test_weights():
    df = pd.DataFrame(dict(f=['a', 'a', 'b'], v=['cat', 'dog', 'dog'], w=[3., 1., .5]))
    soft = votes_to_soft(df, 'f', label='v', weight='w')
    assert np.isnan(votes_to_soft(df.assign(w=[2.5, 1., 1.]), 'f', label='v', weight='w').agreement['a']) and soft.agreement['a'] == .5
    assert soft.loc['a', ['cat', 'dog']].tolist() == [.75, .25] and soft.n_votes.tolist() == [4, .5] and np.isnan(soft.agreement['b'])


@pytest.mark.parametrize('how, row', [('drop', [2/3, 1/3]), ('spread', [2.5/4, 1.5/4])])
def test_unsure(how, row):
    df = pd.DataFrame(dict(f=['a'], v=[['cat', 'cat', 'dog', '?']]))
    soft = votes_to_soft(df, 'f', lists='v', unsure='?', unsure_as=how)
    assert soft[['cat', 'dog']].iloc[0].tolist() == pytest.approx(row) and soft.agreement['a'] == pytest.approx(1/3)
    assert '?' in votes_to_soft(df, 'f', lists='v', unsure='?', unsure_as='class')


def test_min_votes_says_whom_it_leaves_out():
    df = pd.DataFrame(dict(f=list('abc'), v=[['cat', 'dog'], ['?'], []]))
    with pytest.warns(UserWarning, match="2 of 3 items have fewer than 1 votes and are left out, the first is 'b'"):
        assert list(votes_to_soft(df, 'f', lists='v', unsure='?', min_votes=1).index) == ['a']
    with pytest.warns(UserWarning, match='2 of 3'): assert votes_to_soft(df, 'f', lists='v', unsure='?', min_votes=2).n_votes.tolist() == [2]


def test_feeds_the_reader(long):
    soft = votes_to_soft(long, 'file', label='vote')
    assert SoftLabelReader(soft, None, CLASSES)('data/im3').tolist() == pytest.approx(soft.loc['im3', CLASSES].tolist())


@pytest.mark.skipif('FASTAI_SOFTLABELS_DATA' not in os.environ, reason='needs CIFAR-10H in the folder that FASTAI_SOFTLABELS_DATA names')
def test_cifar10h_as_single_votes_and_back():
    df = pd.read_csv(cifar10h()/'votes.csv')
    classes = list(df.columns[2:])
    n = df[classes].to_numpy()
    single = pd.DataFrame(dict(fname=np.repeat(df.fname.to_numpy(), n.sum(1)), vote=np.concatenate([np.repeat(classes, r) for r in n])))
    assert len(single) == 511_000
    np.testing.assert_allclose(votes_to_soft(single, 'fname', label='vote')[classes], n/n.sum(1, keepdims=True))


def alpha_loop(long, difference):
    "Krippendorff's definition: mean difference within items by mean difference among all votes of items with two or more"
    lists = [v for v in long.groupby('file').vote.agg(list) if len(v) > 1]
    within = sum(difference(a, b)/(len(v)-1) for v in lists for i, a in enumerate(v) for j, b in enumerate(v) if i != j)
    pooled = [a for v in lists for a in v]
    among = sum(difference(a, b) for i, a in enumerate(pooled) for j, b in enumerate(pooled) if i != j)
    return 1 - within*(len(pooled)-1)/among


def test_alpha(long):
    long['vote'] = np.where(long.index % 3 == 0, long.vote, long.file.map(lambda f: CLASSES[int(f[2:]) % 3])) # so that they agree beyond chance
    for table, item, form in forms(long).values():
        assert krippendorff_alpha(votes_to_soft(table, item, **form)) == pytest.approx(alpha_loop(long, lambda a, b: a != b), abs=1e-9)
    pooled = long[long.groupby('file').vote.transform('size') > 1].vote.value_counts()
    n = [pooled[c] for c in CLASSES]
    def ordinal(a, b):
        lo, hi = sorted((CLASSES.index(a), CLASSES.index(b)))
        return (sum(n[lo:hi+1]) - (n[lo] + n[hi])/2)**2 if lo != hi else 0
    assert krippendorff_alpha(votes_to_soft(long, 'file', label='vote', vocab=CLASSES), level='ordinal') == pytest.approx(alpha_loop(long, ordinal), abs=1e-9)


def test_item_weights_make_every_vote_count_the_same(long):
    soft = votes_to_soft(long, 'file', label='vote')
    probs = pd.DataFrame(np.random.default_rng(1).dirichlet(np.ones(3), len(soft)), index=soft.index, columns=CLASSES)
    single = np.mean([-np.log(probs.loc[r.file, r.vote]) for r in long.itertuples()])
    by_item = -(soft[CLASSES]*np.log(probs)).sum(axis=1)
    assert (item_weights(soft.n_votes)*by_item).mean() == pytest.approx(single)
    assert item_weights([1, 3, 9], cap=3).tolist() == pytest.approx([3/7, 9/7, 9/7])


def em_loop(long, steps):
    "Dawid and Skene (1979), equations 2.3 to 2.5, from the shares of votes"
    files, people = long.file.unique().tolist(), long.who.unique().tolist()
    votes = [(files.index(r.file), people.index(r.who), CLASSES.index(r.vote)) for r in long.itertuples()]
    t = np.zeros((len(files), 3))
    for i, _, c in votes: t[i, c] += 1
    t /= t.sum(1, keepdims=True)
    for _ in range(steps):
        errors = np.zeros((len(people), 3, 3)) # annotator, true class, vote
        for i, a, c in votes: errors[a, :, c] += t[i]
        errors /= errors.sum(2, keepdims=True)
        new = np.tile(t.mean(0), (len(files), 1))
        for i, a, c in votes: new[i] *= errors[a, :, c]
        t = new/new.sum(1, keepdims=True)
    return pd.DataFrame(t, index=files, columns=CLASSES)


def test_dawid_skene_is_dawid_skene():
    rng = np.random.default_rng(2)
    truth = rng.integers(3, size=60)
    long = pd.DataFrame([(f'im{i}', CLASSES[c] if rng.uniform() < .8 else rng.choice(CLASSES), a) for i, c in enumerate(truth) for a in rng.permutation(7)[:5]], columns=['file', 'vote', 'who'])
    with pytest.warns(UserWarning, match='estimates one true class, not how much annotators disagree'): res = dawid_skene(long, 'file', 'vote', 'who', n_iter=60)
    pd.testing.assert_frame_equal(res, em_loop(long, 60), check_names=False, atol=1e-3)
    with pytest.warns(UserWarning): other = dawid_skene(long.rename(columns=dict(file='task', vote='worker', who='label')), 'task', 'worker', 'label', vocab=['fox', 'yak', 'cat', 'dog'], n_iter=60)
    pd.testing.assert_frame_equal(other[CLASSES], res, check_names=False)
    assert list(other.columns) == ['fox', 'yak', 'cat', 'dog'] and (other.yak == 0).all()


def test_dawid_skene_says_what_to_install(long, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'crowdkit.aggregation', None)
    with pytest.raises(ImportError, match=r"fastai_softlabels\[crowd\]"): dawid_skene(long, 'file', 'vote', 'who')


def test_entropy_of_a_reversed_array():
    "NumPy has views that torch has not"
    assert entropy(np.array([[.5, .5], [1., 0.]])[::-1]).tolist() == pytest.approx([0, np.log(2)])


@pytest.mark.parametrize('shares', [np.array([[.5, .5], [1., 0.]]), np.array([[.5, .5], [1., 0.]])[:, ::-1]], ids=['read-only', 'mirrored'])
def test_entropy_takes_arrays_of_any_make_without_a_warning(shares):
    torch.set_warn_always(True) # torch tells of a read-only array once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            shares.setflags(write=False)
            assert torch.allclose(entropy(shares), torch.tensor([np.log(2), 0.]))
    finally: torch.set_warn_always(False)


@pytest.mark.parametrize('n', [2.6, 2.5, 2.4, -1., np.inf, -.5])
def test_counts_are_whole(n):
    df = pd.DataFrame({'item': ['x', 'y'], 'cat': [3., n], 'dog': [1., 2.]})
    with pytest.raises(SoftLabelError, match=re.escape(f'the counts are {[n, 2.]}. Expected whole numbers, 0 or more')): votes_to_soft(df, 'item', counts=['cat', 'dog'])
