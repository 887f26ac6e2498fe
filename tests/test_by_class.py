"Scores of independent classes by class, and a threshold for each: against scikit-learn on single votes."
import warnings

import numpy as np, pandas as pd, pytest, torch
from conftest import refused
from fastai.vision.all import ColReader, DataBlock, Learner, RandomSplitter, TransformBlock, load_learner, nn, set_seed
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score
from fastai_softlabels.all import (SoftBCEWithLogitsLossFlat, SoftClassScore, SoftInterpretation, SoftMultiCategoryBlock, abstain, bootstrap_interval, temperature_scale, undo_temperature)
from fastai_softlabels.calibrate import best_thresholds
from fastai_softlabels.metrics import class_scores

ORACLES = dict(precision=lambda y, p, t: precision_score(y, p > t), recall=lambda y, p, t: recall_score(y, p > t), f1=lambda y, p, t: f1_score(y, p > t),
               average_precision=lambda y, p, t: average_precision_score(y, p), auroc=lambda y, p, t: roc_auc_score(y, p))


def votes(n=80, people=5, k=3, seed=0):
    "Probabilities (n,k) with ties, shares (n,k), and the single votes (n,k,people)"
    rng = np.random.default_rng(seed)
    p = np.round(rng.random((n, k)), 2)
    single = (rng.random((n, k, people)) < (p[..., None] + rng.random((n, k, 1)))/2).astype(float)
    return torch.tensor(p).float(), torch.tensor(single.mean(-1)).float(), single


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('thresh', [.5, .31])
def test_scores_are_those_of_single_votes(seed, thresh):
    p, y, single = votes(seed=seed)
    for k in range(3):
        found = class_scores(p[:, k], y[:, k], thresh)
        repeated, said = p[:, k].numpy().repeat(5), single[:, k].ravel()
        for name, oracle in ORACLES.items(): assert found[name] == pytest.approx(oracle(said, repeated, thresh), abs=1e-6), name


@pytest.mark.parametrize('score', ORACLES)
def test_the_metric_is_the_mean_over_classes(score):
    p, y, single = votes()
    gaps = y.clone()
    gaps[:30, 1] = torch.nan
    expected = np.mean([ORACLES[score](single[s, k].ravel(), p[s, k].numpy().repeat(5), [.5, .3, .6][k]) for k, s in enumerate([slice(0, 80), slice(30, 80), slice(0, 80)])])
    metric = SoftClassScore(score, thresh=[.5, .3, .6])
    assert metric(p, gaps, multi=True).item() == pytest.approx(expected, abs=1e-6) and metric.name == f'soft_{score}'
    low, high = bootstrap_interval(metric, p, gaps, multi=True, n=50)
    assert low < expected < high


def test_scores_that_do_not_exist():
    p, y = torch.tensor([.1, .2]), torch.tensor([0., 0.])
    assert {k: np.isnan(v) for k, v in class_scores(p, y).items()} == dict(precision=True, recall=True, f1=True, average_precision=True, auroc=True)
    both = SoftClassScore('auroc')(torch.tensor([[.1, .2], [.2, .9]]), torch.tensor([[0., 0.], [0., 1.]]), multi=True)
    assert both == 1 # of the class that has one
    refused(lambda: SoftClassScore('f1')(torch.tensor([[.4, .6]]), torch.tensor([[.5, .5]])), 'soft_f1 is for independent classes', 'classification_report')
    refused(lambda: SoftClassScore('kappa'), "score is 'kappa'", "'f1'")
    refused(lambda: SoftClassScore('f1', thresh=[.5, 2]), 'thresh of class 1 is 2')


NAMES = ['frequent', 'rare', 'very rare']

def learner(n=300, seed=3, block=None, **kw):
    "A linear model of shares of five people, of three independent classes"
    set_seed(0)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    shares = rng.binomial(5, 1/(1 + np.exp(-(2*x - [0, 2, 3]))))/5
    df = pd.DataFrame(np.c_[x, shares], columns=['x0', 'x1', 'x2', *NAMES])
    dls = DataBlock(blocks=(TransformBlock(type_tfms=as_tensor), block or SoftMultiCategoryBlock(NAMES)), get_x=ColReader(['x0', 'x1', 'x2']), get_y=ColReader(NAMES),
                    splitter=RandomSplitter(.5, seed=1)).dataloaders(df, bs=50, num_workers=0)
    learn = Learner(dls, nn.Linear(3, 3), lr=.1, **kw)
    with learn.no_bar(), learn.no_logging(): learn.fit(5)
    return learn

def as_tensor(v): return torch.tensor(v).float()


def test_the_metric_in_a_training():
    learn = learner(metrics=[SoftClassScore('f1'), SoftClassScore('auroc')])
    probs, y = learn.get_preds()
    last = learn.recorder.values[-1]
    for name, value in zip(('f1', 'auroc'), last[-2:]):
        expected = np.mean([class_scores(probs[:, k].as_subclass(torch.Tensor), y[:, k].as_subclass(torch.Tensor))[name] for k in range(3)])
        assert value == pytest.approx(expected, abs=1e-6)


def test_a_report_by_class():
    learn = learner()
    probs, y = learn.get_preds()
    learn.loss_func.thresh = [.5, .2, .1]
    report = SoftInterpretation.from_learner(learn).classification_report()
    assert report.index.tolist() == NAMES and list(report) == [*ORACLES, 'support']
    for k, name in enumerate(NAMES):
        weights = np.r_[y[:, k], 1 - y[:, k]]
        twice, present = np.tile(probs[:, k], 2), np.repeat([1, 0], len(y))
        assert report.f1[name] == pytest.approx(f1_score(present, twice > [.5, .2, .1][k], sample_weight=weights), abs=1e-6)
        assert report.auroc[name] == pytest.approx(roc_auc_score(present, twice, sample_weight=weights), abs=1e-6)
        assert report.support[name] == pytest.approx(y[:, k].sum().item(), abs=1e-4)


def test_thresholds_that_maximise_f1():
    learn = learner()
    probs, y = (o.as_subclass(torch.Tensor) for o in learn.get_preds())
    report = best_thresholds(learn, seed=5)
    assert learn.loss_func.thresh == report.thresh.tolist() and report.f1.mean() > report.f1_before.mean()
    half = torch.randperm(150, generator=torch.Generator().manual_seed(5)) # as the split is documented: items shuffled, halves
    fit, judge = half[:75], half[75:]
    for k, name in enumerate(NAMES):
        grid = np.unique(np.r_[0, probs[fit, k].double().numpy()])
        best = max(class_scores(probs[fit, k], y[fit, k], t)['f1'] for t in grid)
        assert class_scores(probs[fit, k], y[fit, k], report.thresh[name])['f1'] == pytest.approx(best, abs=1e-9)
        assert report.f1[name] == pytest.approx(class_scores(probs[judge, k], y[judge, k], report.thresh[name])['f1'], abs=1e-9)
        assert report.f1_before[name] == pytest.approx(class_scores(probs[judge, k], y[judge, k], .5)['f1'], abs=1e-9)


def test_thresholds_that_do_not_help():
    learn = learner()
    with torch.no_grad(): learn.model.weight.zero_(), learn.model.bias.fill_(2.) # says yes to all, whatever comes
    with pytest.warns(UserWarning, match='The thresholds do not help.*decides as before'): best_thresholds(learn)
    assert learn.loss_func.thresh == .5


def test_groups_and_another_loader():
    learn = learner()
    dl = learn.dls.valid
    groups = [i//3 for i in range(len(dl.dataset))]
    one, other = best_thresholds(learn, dl, groups=groups), best_thresholds(learner(), groups=groups)
    pd.testing.assert_frame_equal(one, other)


def test_decisions_follow_the_thresholds(tmp_path):
    learn = learner()
    best_thresholds(learn)
    thresh = torch.tensor(learn.loss_func.thresh)
    row = learn.dls.valid_ds.items.iloc[0]
    pred, decided, probs = learn.predict(row)
    assert decided.tolist() == (probs > thresh).tolist() and list(pred.label) == [n for n, p, t in zip(NAMES, probs, thresh) if p > t]
    learn.export(tmp_path/'a.pkl')
    loaded = load_learner(tmp_path/'a.pkl')
    assert loaded.loss_func.thresh == learn.loss_func.thresh and loaded.predict(row)[1].tolist() == decided.tolist()
    _, _, all_decided = learn.get_preds(with_decoded=True)
    assert all_decided.tolist() == (learn.get_preds()[0] > thresh).tolist()


def test_thresholds_and_a_temperature():
    "They are of the probabilities with the temperature"
    learn = learner(n=2000)
    with torch.no_grad(): learn.model.weight *= 3
    temperature_scale(learn)
    report = best_thresholds(learn)
    probs, _ = learn.get_preds()
    assert learn.get_preds(with_decoded=True)[2].tolist() == (probs > torch.tensor(report.thresh.tolist())).tolist()


def test_a_block_with_a_threshold_for_each_class():
    learn = learner(block=SoftMultiCategoryBlock(NAMES, thresh=[.5, .2, .1]))
    assert learn.loss_func.thresh == [.5, .2, .1]
    probs, _, decided = learn.get_preds(with_decoded=True)
    assert decided.tolist() == (probs > torch.tensor([.5, .2, .1])).tolist()


def test_thresholds_belong_to_one_learner_and_to_its_percentages():
    learn, other = learner(), learner()
    other.loss_func = learn.loss_func
    best_thresholds(learn)
    assert other.loss_func.thresh == .5 and isinstance(learn.loss_func.thresh, list)
    with torch.no_grad(): learn.model.weight *= 4
    with pytest.warns(UserWarning, match='those for the old percentages. Call `best_thresholds` again'): temperature_scale(learn, force=True)
    with pytest.warns(UserWarning, match='those for the old percentages'): undo_temperature(learn)


def test_thresholds_after_an_abstention():
    learn = learner()
    with pytest.warns(UserWarning, match="no class exceeds the loss's own threshold"): abstain(learn, keep=.9)
    with pytest.warns(UserWarning, match='The threshold of `abstain` was one for other decisions and is gone'): best_thresholds(learn)
    assert isinstance(learn.loss_func, SoftBCEWithLogitsLossFlat) and isinstance(learn.loss_func.thresh, list)


def test_a_number_for_each_class_and_no_more():
    for thresh in ([.5, .5], [.5]*4):
        refused(lambda: learner(block=SoftMultiCategoryBlock(NAMES, thresh=thresh)), f'thresh has {len(thresh)} numbers for 3 classes')
        refused(lambda: SoftClassScore('f1', thresh)(torch.rand(4, 3), torch.rand(4, 3), multi=True), f'thresh has {len(thresh)} numbers for 3 classes')
    learn = learner()
    learn.loss_func.thresh = [.5, .5]
    refused(lambda: SoftInterpretation.from_learner(learn).classification_report(), 'thresh has 2 numbers for 3 classes')
    refused(lambda: best_thresholds(learn), 'thresh has 2 numbers for 3 classes')


def test_thresholds_that_are_refused():
    refused(lambda: SoftBCEWithLogitsLossFlat(thresh=[.5, -1]), 'thresh of class 1 is -1')
    refused(lambda: SoftBCEWithLogitsLossFlat(thresh=[.5, .5]).decodes(torch.rand(2, 3)), 'thresh has 2 numbers for 3 classes')
    refused(lambda: SoftMultiCategoryBlock(NAMES, thresh=[.1, .2, .3], loss_func=SoftBCEWithLogitsLossFlat()), 'a loss of its own')
