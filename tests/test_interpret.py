"Interpretation for both blocks, against loops."
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.vision.all import CategoryBlock, ColReader, DataBlock, EndSplitter, ImageBlock, Learner, RandomSplitter, Resize
from sklearn.metrics import confusion_matrix
from torch import nn

from fastai_softlabels.all import SoftCategoryBlock, SoftECE, SoftInterpretation, brier_score, entropy_correlation, SoftLabelReader, SoftMultiCategoryBlock
from conftest import DIGITS


def interpretation(block, digits, df, ignore=False):
    options = dict(multi=True, n_votes=30) if block is SoftMultiCategoryBlock else {}
    reader = SoftLabelReader(df, 'fname', DIGITS, ignore=ignore, **options)
    dls = DataBlock(blocks=(ImageBlock, block(ignore=ignore)), get_x=ColReader('fname', pref=digits), get_y=reader, splitter=EndSplitter(.25), item_tfms=Resize(8)).dataloaders(df, bs=16, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))
    with learn.no_bar():
        learn.fit(2, 1e-2)
        return SoftInterpretation.from_learner(learn)


@pytest.fixture
def soft(digits, votes): return interpretation(SoftCategoryBlock, digits, votes)

@pytest.fixture
def multi(digits, votes): return interpretation(SoftMultiCategoryBlock, digits, votes)


def kl(y, p): return sum(a*np.log(a/b) for a, b in zip(y, p) if a > 0)


def test_losses_are_above_the_floor(soft):
    expected = [kl(y, p) for p, y in zip(soft.probs.double().numpy(), soft.targets.double().numpy())]
    assert soft.losses.tolist() == pytest.approx(expected, abs=1e-5)
    values, idx = soft.top_losses(3)
    assert values.tolist() == pytest.approx(sorted(expected)[:-4:-1], abs=1e-5) and soft.losses[idx].tolist() == values.tolist()


def test_losses_of_independent_classes(multi):
    expected = [np.mean([kl([a, 1-a], [b, 1-b]) for a, b in zip(y, p)]) for p, y in zip(multi.probs.double().numpy(), multi.targets.double().numpy())]
    assert multi.losses.tolist() == pytest.approx(expected, abs=1e-5)


def test_confusion(soft):
    cm = np.zeros((10, 10))
    for p, y in zip(soft.probs.numpy(), soft.targets.numpy()): cm[:, p.argmax()] += y
    assert soft.confusion_matrix() == pytest.approx(cm, abs=1e-4)
    a, b, mass = soft.most_confused(0)[0]
    np.fill_diagonal(cm, -1)
    assert mass == pytest.approx(cm.max(), abs=1e-4) and cm[int(a), int(b)] == pytest.approx(cm.max())
    ax = soft.plot_confusion_matrix(normalize=True)
    assert ax.images[0].get_array().sum() == pytest.approx((soft.targets.sum(0) > 0).sum())


def test_mass_is_written_where_there_is_some(soft):
    "in white on dark cells"
    ax, cm = soft.plot_confusion_matrix(), soft.confusion_matrix()
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): (t.get_text(), t.get_color()) for t in ax.texts}
    assert written == {(i, j): (f'{cm[i, j]:.1f}', 'white' if cm[i, j] > cm.max()/2 else 'black') for i in range(10) for j in range(10) if cm[i, j] > .005*cm.max()}
    assert 0 < len(written) < 100 and {color for _, color in written.values()} == {'white', 'black'}


def test_unlabelled_items_stay_out(digits, votes):
    df = votes.copy()
    df.loc[100:104, DIGITS] = 0
    interp = interpretation(SoftCategoryBlock, digits, df, ignore=True)
    assert interp.labelled.sum() == 25 and interp.confusion_matrix().sum() == pytest.approx(25) and (interp.losses[10:15] == 0).all()
    assert interp.plot_reliability().n.sum() == 25
    ax = interp.plot_ambiguity()
    p, y = interp.probs[interp.labelled].double().numpy(), interp.targets[interp.labelled].double().numpy()
    h = [-(q*np.log(np.where(q > 0, q, 1.))).sum(1) for q in (p, y)]
    assert len(ax.collections[0].get_offsets()) == 25 and ax.get_title() == f'Ambiguity, r = {np.corrcoef(*h)[0, 1]:.2f}'
    interp.probs = torch.full_like(interp.probs, .1)
    assert interp.plot_ambiguity().get_title() == 'Ambiguity, r = nan' # nothing varies, so no number is shown


def test_reliability(soft):
    res = soft.plot_reliability(n_bins=4)
    p, y = soft.probs.numpy(), soft.targets.numpy()
    conf, right = p.max(1), y[np.arange(len(y)), p.argmax(1)]
    for b, row in res.iterrows():
        inside = (conf > b/4) & (conf <= (b+1)/4)
        assert (row.n, row.confidence, row.votes) == (inside.sum(), pytest.approx(conf[inside].mean()), pytest.approx(right[inside].mean()))
    assert soft.plot_reliability(n_bins=3, equal_mass=True).n.tolist() == [10, 10, 10]


def test_hard_labels_are_one_hot(digits, votes):
    dls = DataBlock(blocks=(ImageBlock, CategoryBlock(DIGITS)), get_x=ColReader('fname', pref=digits), get_y=lambda r: str(r.label), splitter=RandomSplitter(seed=42), item_tfms=Resize(8)).dataloaders(votes, bs=16, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))
    interp = SoftInterpretation.from_learner(learn)
    p, y = (o.numpy() for o in learn.get_preds())
    assert interp.losses.numpy() == pytest.approx(-np.log(p[np.arange(len(y)), y]), rel=1e-5)
    assert interp.confusion_matrix() == pytest.approx(confusion_matrix(y, p.argmax(1), labels=range(10)))


def test_suspicious_labels(soft):
    js = []
    for p, y in zip(soft.probs.double().numpy(), soft.targets.double().numpy()): js.append(.5*kl(y, (p+y)/2) + .5*kl(p, (p+y)/2))
    table = soft.suspicious_labels(5)
    assert table.js.tolist() == pytest.approx(sorted(js)[:-6:-1], abs=1e-5)
    assert table['item'][0] == soft.dl.items.fname.iloc[int(np.argmax(js))] and table.label[0] == str(soft.dl.dataset.tls[1].decode(soft.dl.dataset.tls[1][int(np.argmax(js))]))


def test_pictures(soft, multi):
    for interp in (soft, multi):
        with interp.learn.no_bar():
            interp.show_disagreements(2)
            worst = interp.losses.argmax()
            widths = [p.get_width() for ax in plt.gcf().axes for p in ax.patches][:20]
            assert sorted(widths) == pytest.approx(sorted(torch.cat([interp.targets[worst], interp.probs[worst]]).tolist()), abs=1e-4)
            interp.plot_top_losses(2)
        assert plt.gcf().axes[0].get_title().endswith(f'{interp.losses.max():.2f}')


def test_multi_has_reliability_and_suspects(multi):
    assert multi.plot_reliability().n.sum() == multi.targets.numel() and len(multi.suspicious_labels(3)) == 3


def test_scores_and_their_intervals(soft, multi):
    for interp in (soft, multi):
        scores = interp.scores(n=100)
        assert scores.value['kl_divergence'] == pytest.approx(interp.losses.mean().item(), rel=1e-5)
        kls = interp.losses.double().numpy()
        draws = [np.random.default_rng(i).choice(kls, len(kls)).mean() for i in range(2000)]
        width = np.subtract(*np.quantile(draws, [.975, .025]))
        assert scores.high['kl_divergence'] - scores.low['kl_divergence'] == pytest.approx(width, rel=.3)
    assert soft.scores([brier_score], n=0).low.isna().all() and soft.scores([brier_score], n=0).index.tolist() == ['brier_score']
    both = soft.scores([SoftECE(), SoftECE(5), SoftECE(classwise=True), SoftECE(equal_mass=True)], n=0)
    assert both.index.tolist() == ['soft_ece', 'soft_ece_5', 'soft_ece_classwise', 'soft_ece_equal_mass'] and both.value.nunique() >= 3
    assert soft.scores(brier_score, n=0).equals(soft.scores([brier_score], n=0))
    soft.targets[1:] = soft.targets[0] # nearly nothing varies, in some resamples nothing
    soft.targets[0] = torch.ones(10)/10
    assert soft.scores([entropy_correlation], n=50)[['low', 'high']].notna().all(axis=None)
    wide, narrow = (soft.scores([brier_score], n=200, level=level).loc['brier_score'] for level in (.95, .5))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize('n_bins', [4, 10])
def test_bars_of_reliability_are_as_wide_as_bins(soft, n_bins):
    soft.plot_reliability(n_bins=n_bins)
    top, below = plt.gcf().axes
    assert all(bar.get_width() == pytest.approx(.6/n_bins) for bar in below.patches) and below.patches
