"Interpretation, calibration and doubt of masks: each number against a NumPy loop over all pixels of small sets."
import math, subprocess, sys
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import DataBlock, DataLoader, DataLoaders, EndSplitter, ImageBlock, IntToFloatTensor, Learner, PILImage, aug_transforms, get_image_files, load_learner, noop
from scipy.optimize import minimize_scalar
from torch import nn

from fastai_softlabels.all import *
from fastai_softlabels.losses import temperature_of, TemperatureScaled
from fastai_softlabels.mask_interpret import SoftMaskInterpretation
from fastai_softlabels.rater_metrics import rater_agreement
from conftest import refused

SHAPE = 9, 11
RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (*SHAPE, 3), dtype=np.uint8) for _ in range(8)]
VOTES = [(RNG.random((3, *SHAPE)) < (im[..., 0]/300)).astype(float) for im in IMAGES] # of three raters


def void_corner(i):
    "planes of three classes and of void, which is all of image 2"
    share = VOTES[i].mean(0)
    void = np.zeros(SHAPE)
    void[:4, :4] = 1
    if i == 2: void[:] = 1
    return np.stack([*(np.stack([1 - share, share**2, share - share**2])*(1 - void)), void])

KINDS = {'one class': (dict(codes=['cell']), lambda i: VOTES[i].mean(0), SoftDiceBCELoss), 'exclusive': (dict(codes=['out', 'core', 'rim', 'void'], ignore=['void']), void_corner, SoftDiceCELoss),
         'independent': (dict(codes=['seen', 'sure'], exclusive=False), lambda i: np.stack([VOTES[i].mean(0), VOTES[i].min(0)]), SoftDiceBCELoss),
         'raters': (dict(codes=['cell'], raters=True), lambda i: list(VOTES[i][:2 + i % 2]), SoftDiceBCELoss)} # of every second image one is missing


def learner(kind='one class', n=8, loss=None, get_y=None, bs=3, valid=1., batch_tfms=None, model=None, **kw):
    codes, masks, usual = KINDS[kind]
    block = DataBlock((ImageBlock, SoftMaskBlock(loss_func=loss or usual, **{**codes, **kw})), get_x=lambda i: IMAGES[i], get_y=get_y or masks, splitter=lambda o: (range(2), range(len(o))) if valid == 1 else EndSplitter(valid)(o),
                      batch_tfms=batch_tfms)
    dls = block.dataloaders(list(range(n)), bs=bs, num_workers=0)
    torch.manual_seed(1)
    model = model or nn.Conv2d(3, dls.c, 1)
    if isinstance(model, nn.Conv2d): # which sees something of what the raters saw
        nn.init.normal_(model.weight, std=.3)
        slope, bias = {'exclusive': ([-4., 4, 0], [2., -2, -1]), 'independent': ([4., 4], [-2., -3])}.get(kind, ([4.], [-2.]))
        model.weight.data[:, 0] += torch.tensor(slope).view(-1, 1, 1)
        model.bias.data[:] = torch.tensor(bias)
    return Learner(dls, model)

def predicted(learn):
    with learn.no_bar(): probs, masks = learn.get_preds()
    y = masks.as_subclass(torch.Tensor)
    if y.ndim == 5: y = y.nanmean(1)
    return probs.double().numpy(), y.double().numpy()


@pytest.fixture(scope='module', params=KINDS)
def case(request):
    learn = learner(request.param)
    return request.param, learn, SoftInterpretation.from_learner(learn), *predicted(learn)


def labelled_pixels(kind, p, y):
    "image, position, prediction and label of each labelled pixel, the label as a distribution or as yes and no of each class"
    for n, i, j in product(range(len(p)), *map(range, SHAPE)):
        a, b = p[n, :, i, j], y[n, :, i, j]
        if kind != 'exclusive': yield n, a, b, 1.
        elif b.sum() > 0: yield n, a, b/b.sum(), b.sum()

def kl(b, a): return sum(s*math.log(s/t) for s, t in zip(b, a) if s > 1e-12)

def h(b): return -sum(s*math.log(s) for s in b if s > 1e-12)

def sides(v): return np.array([1 - v, v])


def test_the_class(case):
    kind, learn, interp, *_ = case
    assert type(interp) is SoftMaskInterpretation and not hasattr(interp, 'probs')
    assert interp.vocab == KINDS[kind][0]['codes'][:learn.dls.c]


def test_table_of_images(case):
    kind, _, interp, p, y = case
    table = interp.by_image()
    assert list(table.index) == list('01234567')
    for n in range(8):
        divergence = people = model = weight = 0.
        for m, a, b, w in labelled_pixels(kind, p, y):
            if m != n: continue
            pairs = [(a, b)] if kind == 'exclusive' else [(sides(s), sides(t)) for s, t in zip(a, b)]
            for s, t in pairs: divergence, people, model, weight = divergence + w*kl(t, s), people + w*h(t), model + w*h(s), weight + w
        if not weight:
            assert kind == 'exclusive' and n == 2 and table.iloc[n].isna()[['soft_dice', 'kl_divergence', 'entropy_of_people']].all() and not interp.labelled[n]
            continue
        assert table.iloc[n][['kl_divergence', 'entropy_of_people', 'entropy_of_model']].tolist() == pytest.approx([divergence/weight, people/weight, model/weight], rel=1e-4)
        assert interp.losses[n].item() == pytest.approx(divergence/weight, rel=1e-4)


def dice_loop(kind, p, y):
    "soft and hard Dice (N,K)"
    soft, hard = np.full(p.shape[:2], np.nan), np.full(p.shape[:2], np.nan)
    for n, k in product(*map(range, p.shape[:2])):
        w = y[n].sum(0) if kind == 'exclusive' else np.ones(SHAPE)
        if w.sum() == 0: continue
        a, b = p[n, k]*w, y[n, k]
        soft[n, k] = 1 - (abs(a - b).sum()/(a.sum() + b.sum() + 1) if b.sum() > 0 else a.sum()/(a.sum() + w.sum()))
        found, marked = (p[n, k] > .5) & (w > 0), b/np.where(w > 0, w, 1) > .5
        hard[n, k] = 2*(found & marked).sum()/max(1, found.sum() + marked.sum()) if found.sum() + marked.sum() else 1.
    return soft, hard

def test_table_of_classes(case):
    kind, _, interp, p, y = case
    table, (soft, hard) = interp.by_image(by_class=True), dice_loop(kind, p, y)
    np.testing.assert_allclose(table.soft_dice.to_numpy().reshape(p.shape[:2]), soft, rtol=1e-4)
    np.testing.assert_allclose(table['dice_at_0.5'].to_numpy().reshape(p.shape[:2]), hard, rtol=1e-5)
    np.testing.assert_allclose(interp.by_image().soft_dice, [np.mean(d) for d in soft], rtol=1e-4)
    w = (y.sum(1, keepdims=True) > 0 if kind == 'exclusive' else np.ones_like(y))
    shares = y/np.where(y.sum(1, keepdims=True) > 0, y.sum(1, keepdims=True), 1) if kind == 'exclusive' else y
    np.testing.assert_allclose(table.area.to_numpy().reshape(p.shape[:2]), (p*w).sum((2, 3)), rtol=1e-4)
    np.testing.assert_allclose(table.people.to_numpy().reshape(p.shape[:2]), shares.sum((2, 3)), rtol=1e-4, atol=1e-6)


def test_areas_of_raters():
    table = SoftInterpretation.from_learner(learner('raters')).by_image()
    sizes = [[int(m.sum()) for m in VOTES[i][:2 + i % 2]] for i in range(8)]
    assert table.smallest.tolist() == [min(s) for s in sizes] and table.largest.tolist() == [max(s) for s in sizes]
    assert table.people.tolist() == pytest.approx([np.mean(s) for s in sizes], rel=1e-5)


def test_scores(case):
    kind, learn, interp, p, y = case
    table = interp.scores(n=30)
    args = torch.tensor(p).float(), torch.tensor(y).float(), kind == 'independent'
    for m in (soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, soft_accuracy, SoftECE()):
        assert table.value[m.name] == pytest.approx(m(*args, axis=1).item(), rel=1e-4)
        assert table.loc[m.name, ['low', 'high']].tolist() == pytest.approx(bootstrap_interval(m, *args, n=30, axis=1), rel=1e-3)
    soft, hard = dice_loop(kind, p, y)
    assert table.value[['soft_dice', 'dice_at_0.5']].tolist() == pytest.approx([np.nanmean(soft), np.nanmean(hard)], rel=1e-4)
    rough = interp.scores([SoftDice(), SoftDice(smooth=500)], n=0)
    assert rough.value.tolist() == pytest.approx([SoftDice(s)(*args).item() for s in (1., 500.)], rel=1e-4) and rough.low.isna().all()
    refused(lambda: interp.scores([entropy_correlation]), 'keeps numbers of each item')


def test_scores_of_raters():
    learn = learner('raters')
    with learn.no_bar(): p, masks = learn.get_preds()
    curvas = threshold_dice.using(thresholds='CURVAS')
    table = SoftInterpretation.from_learner(learn).scores([ged2, curvas], n=0)
    assert table.value.tolist() == pytest.approx([ged2(p, masks).item(), curvas(p, masks).item()], rel=1e-5)


@pytest.mark.parametrize('n_bins', [1, 10, 12])
def test_reliability(case, n_bins):
    kind, _, interp, p, y = case
    res, sums = interp.plot_reliability(n_bins), {}
    for _, a, b, w in labelled_pixels(kind, p, y):
        pairs = [(a.max(), b[a.argmax()])] if kind == 'exclusive' else zip(a, b)
        for conf, vote in pairs:
            at = min(max(math.ceil(np.float32(conf)*np.float32(n_bins)), 1), n_bins) - 1
            sums.setdefault(at, []).append((w*conf, w*vote, w))
    assert sorted(sums) == res.index.tolist()
    for at, rows in sums.items():
        conf, vote, n = np.sum(rows, 0)
        assert res.loc[at].tolist() == pytest.approx([conf/n, vote/n, n], rel=1e-4)
    assert plt.gcf().axes[1].get_yscale() == 'log' and plt.gcf().axes[1].get_ylabel() == 'pixels'


def test_confusion(case):
    kind, _, interp, p, y = case
    if kind == 'independent': return refused(interp.confusion_matrix, 'one class for each pixel', '`classification_report()`')
    expected = np.zeros((3, 3) if kind == 'exclusive' else (2, 2))
    for _, a, b, w in labelled_pixels(kind, p, y):
        if kind == 'exclusive': expected[:, a.argmax()] += w*b
        else: expected[:, int(a[0] > .5)] += sides(b[0])
    np.testing.assert_allclose(interp.confusion_matrix(), expected, rtol=1e-4)
    before = interp.classification_report()
    assert [r for r, *_ in interp.most_confused(0)][0] in (interp.vocab if kind == 'exclusive' else ['no cell', 'cell'])
    pd.testing.assert_frame_equal(interp.classification_report(), before) # what was listed changed nothing
    hits, n_found, mass = (expected.diagonal(), expected.sum(0), expected.sum(1)) if kind == 'exclusive' else (expected[1:, 1], expected[:, 1:].sum(0), expected[1:].sum(1))
    precision = [a/b if b else np.nan for a, b in zip(hits, n_found)]
    np.testing.assert_allclose(before[['precision', 'recall', 'f1']].to_numpy().T, [precision, hits/mass, 2*hits/(n_found + mass)], rtol=1e-4)


def test_report_of_independent_classes_goes_by_their_thresholds():
    learn = learner('independent', loss=SoftBCEWithLogitsLossFlat(axis=1, thresh=[.3, .4]))
    p, y = predicted(learn)
    report = SoftInterpretation.from_learner(learn).classification_report()
    for k, t in enumerate([.3, .4]):
        found = p[:, k] > t
        assert report.iloc[k, :2].tolist() == pytest.approx([y[:, k][found].mean(), (found*y[:, k]).sum()/y[:, k].sum()], rel=1e-4)


def decided_error(kind, p, y, thresh=.5) -> list:
    res = []
    for a, b in zip(p, y):
        w = b.sum(0) if kind == 'exclusive' else np.ones(SHAPE)
        found = np.eye(len(a))[a.argmax(0)].transpose(2, 0, 1).astype(bool) if kind == 'exclusive' else a > thresh
        each = []
        for k in range(len(a)):
            f, m = found[k] & (w > 0), b[k]/np.where(w > 0, w, 1) > .5
            if f.sum() + m.sum(): each.append(1 - 2*(f & m).sum()/(f.sum() + m.sum()))
        res.append(np.nan if w.sum() == 0 else np.mean(each) if each else 0.)
    return res

def test_risk_and_coverage(case):
    kind, _, interp, p, y = case
    error = torch.tensor(decided_error(kind, p, y))
    confidence = torch.tensor(interp.by_image().confidence.to_numpy())
    there = ~error.isnan()
    res = interp.plot_risk_coverage()
    assert res.loc['this learner', 'aurc'] == pytest.approx(aurc(confidence[there], error[there]), rel=1e-5)


def test_what_is_decided_by_another_threshold_is_what_is_judged():
    learn = learner(loss=SoftDiceLoss(thresh=.1))
    p, y = predicted(learn)
    error = decided_error('one class', p, y, .1)
    torch.testing.assert_close(SoftInterpretation.from_learner(learn).values['error'].double(), torch.tensor(error), atol=1e-5, rtol=0)
    kept = abstain(learn, risk=.95)
    answered = SoftInterpretation.from_learner(learn).by_image().confidence >= kept.thresh
    assert kept.error == pytest.approx(np.mean(np.array(error)[answered]), abs=1e-5)


def test_ambiguity(case):
    kind, _, interp, *_ = case
    table = interp.by_image().dropna()
    points = interp.plot_ambiguity().collections[0].get_offsets()
    np.testing.assert_allclose(points, table[['entropy_of_people', 'entropy_of_model']], rtol=1e-5)
    fig = interp.show_ambiguity(2)
    gap = (table.entropy_of_people - table.entropy_of_model).abs().sort_values(ascending=False)
    assert fig.axes[0].texts[0].get_text().splitlines()[0] == str(gap.index[0])
    assert [ax.get_title() for ax in fig.axes[:4]] == ['image', 'mean mask', "raters' entropy", "model's entropy"]


def test_maps_of_entropy(case):
    kind, _, interp, p, y = case
    fig = interp.show_ambiguity([1])
    people, model = (np.ma.filled(ax.images[0].get_array(), np.nan) for ax in fig.axes[2:4])
    for i, j in product(*map(range, SHAPE)):
        a, b = p[1, :, i, j], y[1, :, i, j]
        if kind == 'exclusive' and b.sum() == 0: assert np.isnan(people[i, j])
        elif kind == 'exclusive': assert (people[i, j], model[i, j]) == pytest.approx((h(b/b.sum()), h(a)), abs=1e-4)
        else: assert (people[i, j], model[i, j]) == pytest.approx((np.mean([h(sides(v)) for v in b]), np.mean([h(sides(v)) for v in a])), abs=1e-4)


def test_top_losses(case):
    kind, _, interp, p, y = case
    order = interp.by_image().kl_divergence.dropna().sort_values(ascending=False).index.astype(int).tolist()
    assert interp.top_losses(3)[1].tolist() == order[:3] and interp.top_losses(2, largest=False)[1].tolist() == order[::-1][:2]
    assert len(interp.top_losses()[1]) == len(order) == len(interp.top_losses(99)[1])
    fig = interp.plot_top_losses(2)
    n_columns = 5 if kind == 'raters' else 4
    assert fig.axes[0].texts[0].get_text() == f'{order[0]}\nKL {interp.losses[order[0]]:.3f}'
    difference = np.ma.filled(fig.axes[n_columns - 1].images[0].get_array(), np.nan)
    a, b = p[order[0]], y[order[0]]
    if kind == 'exclusive': b = b/np.where(b.sum(0) > 0, b.sum(0), np.nan)
    expected = (a - b)[0] if len(a) == 1 else abs(a - b).sum(0)/2 if kind == 'exclusive' else abs(a - b).mean(0)
    np.testing.assert_allclose(difference, expected, atol=1e-4)
    if kind == 'raters': assert len(fig.axes[1].collections) > 0 and [t.get_text() for t in fig.legends[0].texts] in (['rater 1', 'rater 2'], ['rater 1', 'rater 2', 'rater 3'])


def test_suspicious_images(case):
    kind, _, interp, p, y = case
    js = {}
    for n, a, b, w in labelled_pixels(kind, p, y):
        pairs = [(a, b)] if kind == 'exclusive' else [(sides(s), sides(t)) for s, t in zip(a, b)]
        js.setdefault(n, []).extend((w*(h((s + t)/2) - (h(s) + h(t))/2), w) for s, t in pairs)
    expected = {n: sum(v for v, _ in rows)/sum(w for _, w in rows) for n, rows in js.items()}
    table = interp.suspicious_labels(3)
    assert table.item.astype(int).tolist() == sorted(expected, key=expected.get, reverse=True)[:3]
    assert table.js.tolist() == pytest.approx(sorted(expected.values(), reverse=True)[:3], rel=1e-3)
    if kind != 'raters': refused(lambda: interp.suspicious_labels(raters=True), 'not known apart', '`SoftMaskBlock(raters=True)`')


def test_suspicious_masks():
    learn = learner('raters')
    p, _ = predicted(learn)
    rows = []
    for i in range(8):
        masks, own = VOTES[i][:2 + i % 2].astype(bool), []
        for r in range(len(masks)):
            others = np.delete(masks, r, 0)
            majority = others.sum(0) > len(others)/2
            own.append(2*(masks[r] & majority).sum()/(masks[r].sum() + majority.sum()))
        found = p[i, 0] > .5
        for r in range(len(masks)): rows.append((i, f'rater {r + 1}', own[r], np.mean(np.delete(own, r)), 2*(masks[r] & found).sum()/max(1, masks[r].sum() + found.sum())))
    expected = pd.DataFrame(rows, columns=['item', 'mask', 'to_others', 'among_others', 'to_model'])
    expected = expected.iloc[(expected.to_others - expected.among_others).argsort(kind='stable')]
    found = SoftInterpretation.from_learner(learn).suspicious_labels(5, raters=True)
    assert (found.among_others - found.to_others).tolist() == pytest.approx((expected.among_others - expected.to_others).tolist()[:5], abs=1e-5)
    both = found.assign(item=found.item.astype(int)).merge(expected, on=['item', 'mask'])
    assert len(both) == 5 and np.allclose(both.to_model_x, both.to_model_y, atol=1e-5) and np.allclose(both.to_others_x, both.to_others_y, atol=1e-5)


def test_the_displaced_mask_is_found():
    cells = cells_masks()
    files = get_image_files(cells/'images').sorted()
    block = DataBlock((ImageBlock, SoftMaskBlock(['cell'], raters=True)), get_y=RaterMasks(cells/'masks', '{stem}_*.png'), splitter=lambda o: ([0], range(len(o))))
    learn = Learner(block.dataloaders(files, bs=17, num_workers=0), nn.Conv2d(3, 1, 1))
    found = SoftInterpretation.from_learner(learn).suspicious_labels(3, raters=True)
    assert found['mask'][0] == '3_m48_p3_imagej.png' and Path(found.item[0]).name == '3_m48.png' and found.to_others[0] < .6 < .8 < found.among_others[0]


def test_masks_of_one_name_are_told_apart_by_their_folders(tmp_path):
    from PIL import Image
    for r, i in product(range(3), range(8)):
        (tmp_path/'abc'[r]).mkdir(exist_ok=True)
        Image.fromarray((VOTES[i][r]*255).astype(np.uint8)).save(tmp_path/'abc'[r]/f'{i}.png')
    learn = learner('raters', get_y=lambda i: [tmp_path/f'{r}'/f'{i}.png' for r in 'abc'])
    names = SoftInterpretation.from_learner(learn).suspicious_labels(24, raters=True)['mask']
    assert sorted(names) == sorted(f'{r}/{i}.png' for r, i in product('abc', range(8)))


# --- which images, which loader

def test_another_loader_in_whatever_order(case):
    kind, learn, interp, *_ = case
    shuffled = learn.dls.valid.new(shuffle=True, drop_last=True)
    torch.testing.assert_close(SoftInterpretation.from_learner(learn, dl=shuffled).losses, interp.losses)
    chosen = learn.dls.test_dl([5, 1, 3], with_labels=True)
    torch.testing.assert_close(SoftInterpretation.from_learner(learn, dl=chosen).losses, interp.losses[[5, 1, 3]])


def test_the_training_set_is_not_augmented():
    learn = learner(batch_tfms=aug_transforms(max_rotate=90, p_affine=1.))
    torch.testing.assert_close(SoftInterpretation.from_learner(learn, ds_idx=0).losses, SoftInterpretation.from_learner(learn).losses[:2])


def test_several_sizes():
    sizes = [(9, 11), (7, 5), (12, 6)]
    image = lambda i: IMAGES[i][:sizes[i % 3][0], :sizes[i % 3][1]]
    block = DataBlock((ImageBlock, SoftMaskBlock(['cell'], loss_func=SoftDiceBCELoss)), get_x=image, get_y=lambda i: VOTES[i].mean(0)[:image(i).shape[0], :image(i).shape[1]], splitter=lambda o: ([0], range(len(o))))
    learn = Learner(block.dataloaders(list(range(8)), bs=1, num_workers=0), learner().model)
    interp = SoftInterpretation.from_learner(learn)
    values = []
    for i in range(8):
        with learn.no_bar(): _, _, p = learn.predict(i)
        y = VOTES[i].mean(0)[:image(i).shape[0], :image(i).shape[1]]
        values.append(np.mean([kl(sides(t), sides(s)) for s, t in zip(p.double().numpy().ravel(), y.ravel())]))
    assert interp.by_image().kl_divergence.tolist() == pytest.approx(values, rel=1e-4)
    interp.plot_top_losses(3), interp.show_ambiguity(2), interp.show_results([0, 1])
    report = temperature_scale(learn, force=True)
    assert report.loc['after', 'pixels'] < 8*9*11 and abstain(learn, keep=.5).n == 8


def test_two_targets():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.mask, self.label = nn.Conv2d(3, 1, 1), nn.Linear(3, 2)
        def forward(self, x): return self.mask(x), self.label(x.mean((2, 3)))
    block = DataBlock((ImageBlock, SoftMaskBlock(['cell'], loss_func=SoftDiceBCELoss), SoftCategoryBlock(vocab=['a', 'b'])), n_inp=1, get_x=lambda i: IMAGES[i], get_y=[lambda i: VOTES[i].mean(0), lambda i: [.3, .7]], splitter=lambda o: ([0], range(len(o))))
    learn = Learner(block.dataloaders(list(range(8)), bs=3, num_workers=0), Both())
    with learn.no_bar(): (p, _), (y, _) = learn.get_preds()
    interp = SoftInterpretation.from_learner(learn, target=0)
    assert interp.losses.mean().item() == pytest.approx(kl_divergence(p, y, axis=1).item(), rel=1e-5)
    interp.plot_top_losses(1), interp.show_results([2])
    softer = SoftInterpretation.from_learner(learn, target=0, act=lambda z: (z/3).sigmoid())
    assert softer.losses.mean().item() == pytest.approx(kl_divergence((p.logit()/3).sigmoid(), y, axis=1).item(), rel=1e-4)
    softer.plot_top_losses(1)
    assert type(SoftInterpretation.from_learner(learn, target=1)) is SoftInterpretation
    refused(lambda: SoftInterpretation.from_learner(learn), 'say which')


def test_no_foreground_anywhere():
    empty = learner(get_y=lambda i: np.zeros(SHAPE))
    nn.init.constant_(empty.model.bias, -60.)
    nn.init.zeros_(empty.model.weight)
    table = SoftInterpretation.from_learner(empty).by_image()
    assert (table.confidence == 1).all() and (table['dice_at_0.5'] == 1).all() and (table.people == 0).all()
    assert abstain(empty, keep=.5).kept == 1


# --- what is refused, and warned of

def test_one_rater_has_no_disagreement():
    hard = SoftInterpretation.from_learner(learner(get_y=lambda i: VOTES[i][0]))
    for f in (hard.plot_ambiguity, hard.show_ambiguity): refused(f, 'no disagreement to compare with', 'several raters')
    assert (hard.by_image().entropy_of_people == 0).all()
    alone = SoftInterpretation.from_learner(learner('raters', get_y=lambda i: [VOTES[i][0]]))
    refused(lambda: alone.suspicious_labels(raters=True), 'No image has two raters')


def test_what_is_refused(case):
    kind, learn, interp, *_ = case
    refused(lambda: interp.plot_reliability(11), 'n_bins is 11', 'divides 5040')
    refused(lambda: interp.plot_reliability(0), 'n_bins is 0', error=ValueError)
    refused(lambda: interp.plot_reliability(equal_mass=True), 'take all pixels at once', 'SoftECE(equal_mass=True)')
    refused(lambda: interp.plot_reliability(cumulative=True), 'is for grades')
    refused(interp.plot_means, 'is for grades')
    for k in (0, -1): refused(lambda: interp.plot_top_losses(k), f'k is {k}', error=ValueError)
    for numbers in ([], [99], [-1], ['a']): refused(lambda: interp.plot_top_losses(numbers), 'expected numbers from 0 to 7')
    refused(lambda: interp.suspicious_labels(0), 'k is 0', error=ValueError)
    refused(lambda: SoftInterpretation.from_learner(learn, dl=learn.dls.test_dl([1, 2])), 'These images have no masks', 'with_labels=True')
    refused(lambda: interp.scores([nn.MSELoss()]), 'is no metric for soft labels')


def test_models_that_give_no_probabilities():
    refused(lambda: SoftInterpretation.from_learner(learner(), act=noop), 'is no probability of each class')
    broken = learner()
    nn.init.constant_(broken.model.bias, torch.nan)
    refused(lambda: SoftInterpretation.from_learner(broken), 'The model gives NaN', 'Did the training diverge?')
    refused(lambda: temperature_scale(broken), 'gives nan for some pixel')
    refused(lambda: abstain(broken), 'NaN for 8 of 8 images')
    refused(lambda: abstain(broken, pixels=True), 'NaN for some pixel')


def test_nothing_labelled():
    void = learner('exclusive', get_y=lambda i: np.full(SHAPE, 3))
    refused(lambda: SoftInterpretation.from_learner(void), 'No pixel of these masks is labelled', '`ignore=`')
    refused(lambda: temperature_scale(void), 'no labels to fit a temperature to')
    refused(lambda: abstain(void, risk=.5), 'no labelled answers')


def test_dice_alone_is_told():
    interp = SoftInterpretation.from_learner(learner(loss=SoftDiceLoss))
    for f in (interp.plot_reliability, interp.plot_ambiguity, interp.show_ambiguity):
        with pytest.warns(UserWarning, match=r'reads percentages, and the loss is Dice alone.*`SoftMaskBlock\(loss_func=SoftDiceBCELoss\)`'): f()
    with pytest.warns(UserWarning, match='SoftDiceCELoss'): SoftInterpretation.from_learner(learner('exclusive', loss=SoftDiceLoss(activation='softmax'))).plot_reliability()


def test_a_data_set_without_a_block():
    data = [(torch.rand(3, *SHAPE), torch.rand(1, *SHAPE)) for _ in range(6)]
    dls = DataLoaders(*(torch.utils.data.DataLoader(data, batch_size=4, shuffle=s) for s in (True, False)))
    learn = Learner(dls, nn.Conv2d(3, 1, 1), loss_func=SoftDiceBCELoss())
    refused(lambda: SoftInterpretation.from_learner(learn), '(N,K) both', '`SoftMaskInterpretation`')
    interp = SoftMaskInterpretation.from_learner(learn)
    assert len(interp.by_image()) == 6 and interp.vocab == [0]
    refused(lambda: interp.plot_top_losses([1]), 'reads them anew', '`by_image` names their numbers')
    refused(lambda: SoftMaskInterpretation.from_learner(learn, ds_idx=0), 'shuffles or drops items', 'which image')


# --- a temperature

def all_pixels(learn):
    "logits and labels of the labelled pixels of all images, image by image"
    with learn.no_bar(): z, y = learn.get_preds(act=noop)
    y = y.as_subclass(torch.Tensor)
    if y.ndim == 5: y = y.nanmean(1)
    return z.double().numpy(), y.double().numpy()

def cross_entropy(kind, z, y):
    p = np.exp(z - z.max(0))/np.exp(z - z.max(0)).sum(0) if kind == 'exclusive' else 1/(1 + np.exp(-z))
    if kind != 'exclusive': return -(y*np.log(p) + (1 - y)*np.log(1 - p)).mean()
    w = y.sum(0)
    return -(y/np.where(w > 0, w, 1)*np.log(p)).sum()/max(1, (w > 0).sum())

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('loss', [None, 'dice', 'pixels'])
def test_the_temperature_is_the_best_for_all_pixels_of_the_fitted_images(kind, loss):
    "all of which are in the sample"
    softmax = kind == 'exclusive'
    given = {None: None, 'dice': SoftDiceLoss(activation='softmax' if softmax else 'sigmoid'), 'pixels': (SoftCrossEntropyLossFlat if softmax else SoftBCEWithLogitsLossFlat)(axis=1)}[loss]
    learn = learner(kind, loss=given)
    z, y = all_pixels(learn)
    labelled = [n for n in range(8) if np.nansum(y[n]) > 0]
    report = temperature_scale(learn, seed=5, force=True)
    order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(5))
    fit, judge = ([labelled[i] for i in half] for half in (order[:len(labelled)//2], order[len(labelled)//2:]))
    def loss_at(log_t, images): # each labelled pixel counts the same
        sizes = [(y[n].sum(0) > 0).sum() if softmax else y[n].size for n in images]
        return np.average([cross_entropy(kind, z[n]/np.exp(log_t), y[n]) for n in images], weights=sizes)
    best = minimize_scalar(lambda t: loss_at(t, fit), bounds=np.log([.01, 100]), method='bounded', options=dict(xatol=1e-6))
    assert report.temperature['after'] == pytest.approx(np.exp(best.x), rel=2e-3)
    assert report.soft_cross_entropy.tolist() == pytest.approx([loss_at(0, judge), loss_at(np.log(report.temperature['after']), judge)], rel=1e-4)
    assert report.n.tolist() == [len(judge)]*2 and report.gain_low['after'] <= report.gain['after'] <= report.gain_high['after']
    after = torch.tensor(z)/report.temperature['after']
    with learn.no_bar(): p, _ = learn.get_preds()
    torch.testing.assert_close(p.double(), after.softmax(1) if softmax else after.sigmoid(), atol=1e-5, rtol=0)


def test_a_large_set_is_sampled(monkeypatch):
    from fastai_softlabels import calibrate
    monkeypatch.setattr(calibrate, '_MOST_LOGITS', 200)
    learn = learner()
    report = temperature_scale(learn, force=True)
    assert report.pixels['after'] <= 100 and report.n['after'] == 4


def test_groups_stay_together():
    learn = learner()
    report = temperature_scale(learn, groups=list('aabbccdd'), force=True)
    assert report.n['after'] == 4
    refused(lambda: temperature_scale(learn, groups=list('aabb')), '4 values for 8 items')


def test_a_sample_has_the_same_share_of_each_image(monkeypatch):
    from fastai_softlabels import calibrate
    monkeypatch.setattr(calibrate, '_MOST_LOGITS', 1000)
    sample = calibrate._PixelSample(seed=0)
    for i, size in enumerate((400, 100, 3000, 1, 800)): sample.add((torch.full((1, size), float(i)),), torch.ones(1, size, dtype=bool))
    values, image = sample.rows()
    assert torch.equal(values.long(), image) and len(values) <= 1000
    assert sample.sizes == [math.ceil(n/sample.step) for n in (400, 100, 3000, 1, 800)]


@pytest.mark.parametrize('pixels', [False, True])
def test_kept_in_files(pixels, tmp_path):
    learn = learner(loss=SoftDiceLoss(activation='sigmoid'))
    temperature_scale(learn, force=True)
    abstain(learn, keep=.6, pixels=pixels)
    with pytest.warns(UserWarning, match='the model .Conv2d. is not what'): save_soft_learner(learn, tmp_path/'l.safetensors')
    again = load_soft_learner(tmp_path/'l.safetensors', model=nn.Conv2d(3, 1, 1))
    assert again.loss_func.pixels is pixels and again.loss_func.thresh == pytest.approx(learn.loss_func.thresh)
    assert temperature_of(again.loss_func) == pytest.approx(temperature_of(learn.loss_func))


# --- don't know

@pytest.mark.parametrize('kind', KINDS)
def test_images_without_an_answer(kind):
    learn = learner(kind)
    confidence = SoftInterpretation.from_learner(learn).by_image().confidence.to_numpy()
    kept = abstain(learn, keep=.5)
    with learn.no_bar():
        probs, _, decided = learn.get_preds(with_decoded=True)
        shown, of_one, _ = learn.predict(int(confidence.argmin()))
    unsure = confidence < kept.thresh
    assert kept.kept == pytest.approx((~unsure).mean()) and unsure.sum() == 4 and decided.unsure.tolist() == unsure.tolist()
    plain = decided.as_subclass(torch.Tensor)
    if kind == 'exclusive': assert ((plain == 3).all((1, 2)) == torch.tensor(unsure)).all() and ((plain[~unsure] == probs[~unsure].argmax(1)).all())
    else: assert not plain[unsure].any() and (plain[~unsure] == (probs[~unsure] > .5)).all()
    ax = shown.show()
    assert bool(shown.unsure) and bool(of_one.unsure) and ax.get_title() == "don't know" and len(ax.images) == 2


@pytest.mark.parametrize('kind', KINDS)
def test_pixels_without_an_answer(kind):
    learn = learner(kind)
    p, _ = predicted(learn)
    confidence = p.max(1) if kind == 'exclusive' else np.maximum(p, 1 - p).min(1)
    kept = abstain(learn, keep=.7, pixels=True)
    with learn.no_bar(): _, _, decided = learn.get_preds(with_decoded=True)
    unsure = decided.unsure.numpy()
    assert unsure.mean() == pytest.approx(.3, abs=.002) and kept.kept == pytest.approx(.7, abs=.002) and kept.kept_low < .7 < kept.kept_high
    assert confidence[unsure].max() < kept.thresh <= confidence[~unsure].min()
    with learn.no_bar(): shown, *_ = learn.predict(3)
    np.testing.assert_array_equal(shown.unsure, unsure[3])
    veil = np.asarray(shown.show(legend=True).images[-1].get_array())[..., 3]
    np.testing.assert_array_equal(veil > 0, unsure[3])
    assert "don't know" in [t.get_text() for legend in [plt.gca().get_legend(), *plt.gcf().legends] if legend for t in legend.texts]


def test_what_abstaining_refuses():
    learn = learner()
    refused(lambda: abstain(learn, risk=.2, pixels=True), 'promised for images', 'Say `keep=` for pixels')
    refused(lambda: abstain(learn, pixels='yes'), "pixels is 'yes'", error=ValueError)
    refused(lambda: abstain(learn, risk=.5, dl=learn.dls.test_dl([1, 2])), 'no labels to say what is wrong')


def test_a_model_that_knows_nothing_may_abstain():
    learn = learner()
    nn.init.zeros_(learn.model.weight), nn.init.zeros_(learn.model.bias)
    assert abstain(learn, keep=.5).kept == 1 and abstain(learn, keep=.5, pixels=True).kept == 1


# --- images of another kind

@pytest.mark.parametrize('kind', ['one class', 'exclusive', 'independent'])
def test_confidence_out_of_domain(kind):
    learn = learner(kind)
    learn.loss_func = TemperatureScaled(learn.loss_func, 2.)
    strange = [4, 5, 6]
    watch = OODConfidence({'far': strange})
    with learn.no_bar(): learn.fit(1, 1e-3, cbs=watch)
    columns = learn.recorder.values[-1][2:]
    confidence = torch.tensor(SoftInterpretation.from_learner(learn).by_image().confidence.to_numpy())
    rows = watch.history.set_index('set')
    assert rows.score.unique().tolist() == ['foreground_entropy'] and rows.n.tolist() == [8, 3]
    assert rows['mean'].tolist() == pytest.approx([confidence.mean().item(), confidence[strange].mean().item()], rel=1e-4)
    assert rows.auroc['far'] == pytest.approx(ood_metrics(confidence, confidence[strange])['auroc'], abs=1e-3)
    assert list(columns) == pytest.approx([rows['median']['valid'], rows['median']['far'], rows.auroc['far']])
    watch.plot_history(), watch.plot_histograms(), watch.show_surest()
    table = compare_confidence({'one': learn}, strange, plot=False)
    assert table['mean'].tolist() == pytest.approx(rows['mean'].tolist(), rel=1e-5)
    with learn.no_bar(): refused(lambda: learn.fit(1, cbs=OODConfidence(strange, scores=['softmax'])), 'of masks there is one score for each image')
    refused(lambda: compare_confidence({'one': learn}, strange, scores=['energy']), 'one score for each image')


# --- memory

MANY = """
import resource, torch
from fastai.vision.all import *
from fastai_softlabels.all import *
from fastai_softlabels.mask_interpret import SoftMaskInterpretation
torch.set_num_threads(1)
class Images:
    "images that are made when they are read"
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def __getitem__(self, i):
        x = torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(i))
        return x, (x > .5).float()
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
dls = DataLoaders(*(DataLoader(Images(n), bs=8, num_workers=0) for n in (16, 2000)))
learn = Learner(dls, nn.Conv2d(1, 1, 3, padding=1), loss_func=SoftDiceBCELoss())
SoftMaskInterpretation(learn, dls.train)
before = peak()
interp = SoftMaskInterpretation(learn, dls.valid)
print(len(interp.losses), peak() - before)
"""

def test_memory_does_not_grow_with_the_images():
    out = subprocess.run([sys.executable, '-W', 'ignore', '-c', MANY], capture_output=True, text=True, check=True, timeout=600).stdout
    n, megabytes = out.splitlines()[-1].split()
    assert int(n) == 2000 and float(megabytes) < 200
