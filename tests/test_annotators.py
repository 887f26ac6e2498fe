"Who labels well and what to ask next, against loops, cleanlab and crowd-kit."
import warnings

import numpy as np, pandas as pd, pytest
from crowdkit.aggregation import DawidSkene
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from fastai_softlabels.all import annotator_quality, cells_masks, next_to_label, UnknownNameError, votes_to_soft
from fastai_softlabels.annotators import activelab, annotator_confusion, plot_annotators
from conftest import refused

ASK = dict(item='item', label='label', annotator='who')


def long(rows) -> pd.DataFrame: return pd.DataFrame(rows, columns=['item', 'who', 'label'])

def simulated(seed: int) -> pd.DataFrame:
    "five good annotators; one who answers at random, one who says one thing, one who mixes up two classes"
    rng = np.random.default_rng(seed)
    truth, people = rng.integers(4, size=150), ['a', 'b', 'c', 'd', 'e', 'random', 'same', 'mixed']
    def answer(who, t):
        right = t if rng.random() < .75 else rng.integers(4)
        return {'random': rng.integers(4), 'same': 2, 'mixed': [0, 2, 1, 3][right]}.get(who, right)
    return long([(f'i{i}', who, f'c{answer(who, t)}') for i, t in enumerate(truth) for who in people if rng.random() < .6])

def probs_of(df, seed=0):
    rng = np.random.default_rng(seed)
    items, classes = sorted(df.item.unique()), sorted(df.label.unique())
    return pd.DataFrame(rng.dirichlet(np.ones(len(classes)), len(items)), items, classes)


def test_planted_annotators_are_found():
    for seed in range(20): assert set(annotator_quality(simulated(seed), **ASK).index[:3]) == {'random', 'same', 'mixed'}, seed


def test_loop():
    df, probs = simulated(3), probs_of(simulated(3))
    found = annotator_quality(df, **ASK, probs=probs)
    assert found.index.name == 'who' and found.kappa.is_monotonic_increasing
    classes = sorted(df.label.unique())
    for who, own in df.groupby('who'):
        agree, others_mean, mine = [], np.zeros(4), np.zeros(4)
        for _, row in own.iterrows():
            others = df[(df.item == row['item']) & (df.who != who)].label
            if not len(others): continue
            agree.append((others == row.label).mean())
            others_mean += [(others == c).mean() for c in classes]
            mine[classes.index(row.label)] += 1
        observed, expected = np.mean(agree), (others_mean/len(agree)) @ (mine/len(agree))
        row = found.loc[who]
        assert (row.votes, row.shared) == (len(own), len(agree)) and row.agreement == pytest.approx(observed) and row.kappa == pytest.approx((observed - expected)/(1 - expected))
        assert row.usual == own.label.mode()[0] and row.usual_share == pytest.approx((own.label == row.usual).mean())
        assert row.model == pytest.approx(np.mean([probs.loc[i, c] for i, c in zip(own.item, own.label)]))


def test_of_two_annotators_it_is_cohens_kappa():
    rng = np.random.default_rng(0)
    a = rng.integers(3, size=60)
    b = np.where(rng.random(60) < .6, a, rng.integers(3, size=60))
    df = long([(i, who, int(v)) for i in range(60) for who, v in (('ann', a[i]), ('ben', b[i]))])
    assert annotator_quality(df, **ASK).kappa.tolist() == pytest.approx([cohen_kappa_score(a, b)]*2)


def test_the_cells_five_people():
    masks, rng, rows = cells_masks()/'masks', np.random.default_rng(0), []
    for image in sorted({f.stem.rsplit('_', 2)[0] for f in masks.glob('3_*_imagej.png')})[:20]:
        of_people = {p: np.asarray(Image.open(masks/f'{image}_p{p}_imagej.png')) for p in range(1, 6)}
        disputed = np.argwhere(np.ptp(np.stack(list(of_people.values())).astype(int), 0) > 0)
        for i, j in disputed[rng.permutation(len(disputed))[:20]]: rows += [(f'{image} {i} {j}', f'p{p}', 'cell' if m[i, j] else 'no cell') for p, m in of_people.items()]
    found = annotator_quality(long(rows), **ASK)
    assert len(found) == 5 and (found.votes == found.shared).all() and found.index[0] == 'p3' and found.agreement.max() < .8


# the vector of FIELD's formulas, computed by cleanlab's source
VOTES = long([(i, j, int(c)) for i, row in enumerate(['001', '1-1', '01-', '111']) for j, c in enumerate(row) if c != '-'])
PROBS = pd.DataFrame({0: [.7, .2, .6, .4], 1: [.3, .8, .4, .6]})

def test_cleanlab():
    assert annotator_quality(VOTES, **ASK, probs=PROBS, consensus=['cleanlab']).sort_index().cleanlab.tolist() == pytest.approx([.771084, .605649, .613773], abs=1e-6)
    with pytest.warns(UserWarning, match='one true class'): scores = activelab(VOTES, **ASK, probs=PROBS)
    assert scores.index.tolist() == [2, 0, 3, 1] and scores.sort_index().tolist() == pytest.approx([.556026, .597888, .525855, .592223], abs=1e-6)


def test_activelab_without_its_temperature(monkeypatch):
    from cleanlab import multiannotator
    monkeypatch.setattr(multiannotator, 'find_best_temp_scaler', lambda *args, **kwargs: 1.)
    with pytest.warns(UserWarning, match='one true class'): scores = activelab(VOTES, **ASK, probs=PROBS)
    assert scores.sort_index().tolist() == pytest.approx([.661572, .767028, .583514, .645375], abs=1e-6)


def test_dawid_skene():
    df = simulated(1)
    found = annotator_quality(df, **ASK, consensus=['dawid_skene'])
    model = DawidSkene(n_iter=100).fit(df.rename(columns=dict(item='task', who='worker')))
    for who in found.index: assert found.dawid_skene[who] == pytest.approx(sum(p*model.errors_[c].get((who, c), 0.) for c, p in model.priors_.items()), abs=1e-6)


def test_order_and_names_do_not_matter():
    df, probs = simulated(2), probs_of(simulated(2))
    expected = annotator_quality(df, **ASK, probs=probs, consensus=['cleanlab', 'dawid_skene'])
    shuffled = annotator_quality(df.sample(frac=1, random_state=0), **ASK, probs=probs.sample(frac=1, random_state=1)[probs.columns[::-1]], consensus=['cleanlab', 'dawid_skene'])
    pd.testing.assert_frame_equal(shuffled.loc[expected.index], expected, atol=1e-6, check_like=True)


def test_confusion_and_plot():
    df = simulated(4)
    cm, names = annotator_confusion(df, 'item', 'label', 'who', 'same')
    assert names == ['c0', 'c1', 'c2', 'c3'] and cm[:, 2].tolist() == pytest.approx([1]*4)
    cm, _ = annotator_confusion(df, 'item', 'label', 'who', 'mixed')
    assert cm[1].argmax() == 2 and cm[2].argmax() == 1 and cm.sum(1).tolist() == pytest.approx([1]*4)
    axs = plot_annotators(df, 'item', 'label', 'who')
    assert len(axs) == 6 and [ax.get_title().split(',')[0] for ax in axs[:3]] == annotator_quality(df, **ASK).index[:3].tolist()
    refused(lambda: plot_annotators(df, 'item', 'label', 'who', who=['nobody']), "There is no annotator 'nobody'")
    refused(lambda: plot_annotators(df, 'item', 'label', 'who', who='same'), 'expected a list of annotators')


@pytest.mark.parametrize('df, words', [(long([(i, 'ann', 'a') for i in range(5)]), ['No item has votes of two annotators']), (long([(0, 'ann', 'a'), (1, 'ben', 'b')]), ['No item has votes of two annotators'])])
def test_nobody_to_compare_with(df, words): refused(lambda: annotator_quality(df, **ASK), *words)


def test_everybody_agrees_and_one_vote():
    found = annotator_quality(long([(i, who, 'ab'[i % 2]) for i in range(6) for who in ('ann', 'ben')] + [(7, 'cai', 'a'), (0, 'dee', 'a')]), **ASK)
    assert found.loc[['ann', 'ben'], 'kappa'].tolist() == [1, 1] and np.isnan(found.agreement['cai']) and found.votes['cai'] == 1 and found.shared['cai'] == 0
    assert found.agreement['dee'] == 1 and np.isnan(found.kappa['dee']) # one vote says nothing of chance
    same = annotator_quality(long([(i, who, 'a') for i in range(3) for who in ('ann', 'ben')]), **ASK)
    assert same.agreement.tolist() == [1, 1] and same.kappa.isna().all()


def test_what_is_refused():
    df, probs = simulated(0), probs_of(simulated(0))
    refused(lambda: annotator_quality(df, 'item', 'label', None), '`annotator` is None')
    refused(lambda: annotator_quality(df, **ASK, probs=probs.to_numpy()), 'probs is a ndarray', 'so that no order is guessed')
    refused(lambda: annotator_quality(df, **ASK, probs=probs.iloc[5:]), 'probs has no row for 5 of', "name them as the votes do")
    refused(lambda: annotator_quality(df, **ASK, probs=probs.drop(columns='c1')), 'c1', error=UnknownNameError)
    refused(lambda: annotator_quality(df, **ASK, probs=5*probs), 'which is no distribution')
    refused(lambda: annotator_quality(df, **ASK, probs=pd.concat([probs, probs.iloc[:1]])), 'several rows for the item')
    refused(lambda: annotator_quality(df, **ASK, consensus='cleanlab'), "expected a list, like ['cleanlab']")
    refused(lambda: annotator_quality(df, **ASK, consensus=['cleanlab']), 'Give its predictions: `probs=`')
    refused(lambda: annotator_quality(df, **ASK, consensus=['mace']), "consensus is 'mace'", error=ValueError)


# --- what to ask next

def counted(**rows): return votes_to_soft(pd.DataFrame(rows, index=['yes', 'no']).T.rename_axis('item').reset_index(), 'item', counts=['yes', 'no'])

def test_what_is_finished_comes_last():
    found = next_to_label(counted(even=[25, 25], split=[2, 2], alone=[1, 0], sure=[40, 0]))
    assert found.index.tolist() == ['alone', 'split', 'even', 'sure'] and found.n_votes.tolist() == [1, 4, 50, 40]
    assert found.moves.tolist() == pytest.approx([(4/9)**.5/4, .5**.5/7, .5**.5/53, (2*41/42*1/42)**.5/43])


def test_the_expected_movement_by_drawing_votes():
    soft = votes_to_soft(pd.DataFrame(dict(item=['x'], a=[3], b=[1], c=[0])), 'item', counts=['a', 'b', 'c'])
    alpha, rng = np.array([3.5, 1.5, .5]), np.random.default_rng(0)
    votes = np.eye(3)[rng.choice(3, 200_000, p=alpha/alpha.sum())]
    moved = ((alpha + votes)/(alpha.sum() + 1) - alpha/alpha.sum())
    found = next_to_label(soft, prior=.5)
    assert found.moves['x'] == pytest.approx(np.sqrt((moved**2).sum(1).mean()), rel=5e-3) and found[['a', 'b', 'c']].iloc[0].tolist() == pytest.approx((alpha/alpha.sum()).tolist())


def test_a_model_as_prior():
    soft = counted(split=[2, 2], alone=[1, 0])
    probs = pd.DataFrame(dict(no=[.1, .5, .4], yes=[.9, .5, .6]), index=['alone', 'split', 'new'])
    found = next_to_label(soft, probs, prior=2.)
    alpha = {'alone': np.array([1 + 3.6, .4]), 'split': np.array([4., 4.]), 'new': np.array([2.4, 1.6])}
    for item, a in alpha.items():
        m = a/a.sum()
        assert found.moves[item] == pytest.approx(np.sqrt((m*(1 - m)).sum())/(a.sum() + 1)) and found.loc[item, ['yes', 'no']].tolist() == pytest.approx(m.tolist())
    assert found.index[0] == 'new' and found.n_votes['new'] == 0


def test_several_choices():
    df = pd.DataFrame(dict(item=['x', 'x', 'y'], who=['a', 'b', 'a'], cat=[1, 0, 1], dog=[1, 1, 0]))
    found = next_to_label(votes_to_soft(df, 'item', counts=['cat', 'dog'], annotator='who', multi=True))
    for item, n, yes in (('x', 2, [1, 2]), ('y', 1, [1, 0])):
        m = (np.array(yes) + 1)/(n + 2)
        assert found.moves[item] == pytest.approx(np.sqrt((2*m*(1 - m)).mean())/(n + 3)) and found.loc[item, ['cat', 'dog']].tolist() == pytest.approx(m.tolist())


def test_shares_of_smoothed_or_spread_votes_are_no_votes():
    df = pd.DataFrame(dict(item=['x', 'y'], votes=[['a', 'b', '?'], ['a', 'a', 'b']]))
    for kw in (dict(prior=1.), dict(unsure=['?'], unsure_as='spread')): refused(lambda: next_to_label(votes_to_soft(df if 'unsure' in kw else df.iloc[1:], 'item', lists='votes', **kw)), 'no shares of whole votes', 'prior=')


def test_how_many():
    soft = counted(a=[1, 0], b=[2, 2], c=[3, 9])
    assert [len(next_to_label(soft, k=k)) for k in (1, 2, 99)] == [1, 2, 3] and len(next_to_label(soft)) == 3
    for k in (0, -1, 1.5, 'a'): refused(lambda: next_to_label(soft, k=k), f'k is {k!r}', error=ValueError)
    for prior in (0, -1, np.nan, np.inf, 'a'): refused(lambda: next_to_label(soft, prior=prior), 'pseudo-votes above 0', error=ValueError)
    refused(lambda: next_to_label(soft.drop(columns='n_votes')), "no column 'n_votes'", '`next_to_label(votes_to_soft(votes, …))`', error=UnknownNameError)
    refused(lambda: next_to_label(VOTES), "no column 'n_votes'", error=UnknownNameError)
    from_file = pd.DataFrame(soft.to_numpy(), soft.index, soft.columns) # without `attrs`
    pd.testing.assert_frame_equal(next_to_label(from_file), next_to_label(soft))
    refused(lambda: next_to_label(from_file.assign(patient=7.)), 'no shares that sum to 1')
    refused(lambda: next_to_label(soft, pd.DataFrame(dict(yes=[1.], no=[0.]), index=['a'])), 'probs has no row for 2 of 3 items')
