"Everything that fastai does with masks, for SoftMaskBlock with one class, exclusive and independent ones, and raters apart: one test a line, and the table at the end."
from pathlib import Path

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from PIL import Image
from torch import nn, Tensor
from fastai.vision.all import (CutMix, DataBlock, EndSplitter, ImageBlock, ImageDataLoaders, Interpretation, Learner, MixUp, Normalize, Resize, get_image_files, noop, resnet18,
                               unet_learner)

from fastai_softlabels.all import (DiceAt, OODConfidence, SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftDice, SoftDiceLoss, SoftECE, SoftInterpretation, SoftMaskBlock,
                                   SoftMaskCutMix, TensorSoftMask, abstain, brier_score, ellipses_masks, kl_divergence, mask_overlay, soft_cross_entropy, temperature_scale)
from conftest import check_line, check_matrix, predicted_afresh
from test_matrix import Mixed, assert_finite, finds_lr, fits, fits_one_cycle, loader_workers, mixed_precision, titles

COLUMNS = {'one class': dict(codes=['ellipse']), 'exclusive': dict(codes=['out', 'core', 'rim', 'void'], ignore=['void']), 'independent': dict(codes=['seen', 'sure'], exclusive=False),
           'raters apart': dict(codes=['ellipse'], raters=True)}
OUTCOMES = {}


def drawings(f): return [f.parents[1]/f'masks/{f.stem}_{a}.png' for a in range(5)]

def agreement(f): return np.mean([np.asarray(Image.open(d), dtype=float)/255 for d in drawings(f)], axis=0)

def planes(f, column):
    "The mask of image `f`: one plane; four that sum to 1, of which the last is void in a corner; or two that need not"
    m = agreement(f)
    if column == 'one class': return m
    if column == 'independent': return np.stack([m, m > .9])
    void = np.zeros_like(m)
    void[:16, :16] = 1
    return np.stack([*(np.stack([1 - m, m*m, m - m*m])*(1 - void)), void])


class Case:
    "One kind of mask with its data; `trained` is a U-Net that is fitted once"
    def __init__(self, column, folder):
        self.column, self.kw, self.files = column, COLUMNS[column], get_image_files(ellipses_masks()/'images').sorted()[:20]
        self.softmax, self.k, self._trained = column == 'exclusive', len(self.kw['codes']) - len(self.kw.get('ignore', [])), None
        self.apart = 'raters' in self.kw
        self.shape = (5, 1, 32, 32) if self.apart else (self.k, 32, 32) # of a target
        masks = {f: drawings(f) if self.apart else folder/f'{column} {f.stem}.npy' for f in self.files}
        if not self.apart:
            for f, mask in masks.items(): np.save(mask, planes(f, column))
        self.get_y = masks.get

    def dls(self, block=None, files=None, bs=8, **kwargs):
        kw = {**dict(blocks=(ImageBlock, block or SoftMaskBlock(**self.kw)), get_y=self.get_y, splitter=EndSplitter(.3), item_tfms=Resize(32), batch_tfms=Normalize()), **kwargs}
        return DataBlock(**kw).dataloaders(self.files if files is None else files, bs=bs, num_workers=0)

    def learner(self, dls=None, **kwargs):
        dls = dls or self.dls()
        return Learner(dls, nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, dls.c, 3, padding=1)), **kwargs)

    @property
    def trained(self):
        if self._trained is None:
            self._trained = unet_learner(self.dls(), resnet18, pretrained=False, metrics=[SoftDice(), DiceAt(.5)])
            with self._trained.no_bar(): self._trained.fit(2, 1e-3)
        return self._trained

    def oracle(self, logits, y):
        "The Dice semimetric, image by image and class by class, in NumPy"
        if self.apart: y = y.nanmean(1)
        z, y = logits.double().numpy(), y.double().numpy()
        p = np.exp(z)/np.exp(z).sum(1, keepdims=True) if self.softmax else 1/(1 + np.exp(-z))
        w = y.sum(1, keepdims=True) if self.softmax else np.ones_like(y)
        res = []
        for pi, yi, wi in zip(p, y, w):
            each = []
            for c in range(self.k):
                a, b, n = (wi[0 if self.softmax else c]*pi[c]), yi[c], wi[0 if self.softmax else c].sum()
                each.append(abs(a - b).sum()/(a.sum() + b.sum() + 1 if b.sum() > 0 else a.sum() + n))
            res.append(np.mean(each))
        return np.array(res)


@pytest.fixture(scope='module')
def cases(tmp_path_factory): return {c: Case(c, tmp_path_factory.mktemp('masks')) for c in COLUMNS}


def loss_inferred(c):
    dls = c.dls()
    loss = c.learner(dls).loss_func
    assert type(loss) is SoftDiceLoss and loss.is_softmax(torch.rand(1, c.k, 2, 2)) == c.softmax and c.learner(dls).loss_func is not loss

def no_n_out_needed(c): assert c.trained.model(torch.rand(2, 3, 32, 32)).shape == (2, c.k, 32, 32)

def vocab_and_c(c):
    dls = c.dls()
    assert list(dls.vocab) == c.kw['codes'][:c.k] and dls.c == c.k
    x, y = dls.one_batch()
    assert type(y) is TensorSoftMask and y.shape == (8, *c.shape) and y.dtype == torch.float32

def overlays(ax): return [im for im in ax.images if np.asarray(im.get_array()).shape[-1] == 4]

def legends(): return [[t.get_text() for t in l.texts] for l in plt.gcf().legends]

def heat_bars(): return [ax.get_ylabel() for ax in plt.gcf().axes if ax.get_label() == '<colorbar>']

def one_key(c, heat: bool): # a colour bar for one class, a legend for several
    if c.k == 1: return heat_bars() == (['ellipse'] if heat else [])
    return legends() == [c.kw['codes'][:c.k]] and not heat_bars()

def shows_batch(c):
    dls = c.dls()
    b = dls.train.one_batch()
    dls.show_batch(b, max_n=4)
    axs = [ax for ax in plt.gcf().axes if ax.images]
    assert len(axs) == 4 and all(len(overlays(ax)) == 1 for ax in axs) and one_key(c, not c.apart)
    alpha = np.asarray(overlays(axs[0])[0].get_array())[..., 3]
    if c.apart: assert alpha.max() == 0 and [len(ax.collections) for ax in axs] == [5]*4 and legends()[0] == [f'rater {i}' for i in range(1, 6)]
    elif c.k == 1: np.testing.assert_allclose(alpha, .5*np.sqrt(b[1][0, 0].numpy()), atol=1e-6)
    if c.softmax: assert (alpha[b[1][0].sum(0).numpy() < 1e-6] == 0).all() # void stays bare

def fine_tunes(c):
    learn = unet_learner(c.dls(), resnet18, pretrained=False)
    with learn.no_bar(): learn.fine_tune(1)
    assert_finite(learn)

def metrics(c):
    with c.trained.no_bar():
        logits, targets = c.trained.get_preds(act=noop)
        _, soft, hard = c.trained.validate()
    assert soft == pytest.approx(1 - c.oracle(logits, targets).mean(), rel=1e-4) and 0 <= hard <= 1

def shows_results(c):
    with c.trained.no_bar():
        c.trained.show_results(max_n=3, shuffle=False)
        preds, targets = c.trained.get_preds()
    axs = [ax for ax in plt.gcf().axes if ax.images]
    assert len(axs) == 6 and plt.gcf()._suptitle.get_text() == 'Target/Prediction' and one_key(c, True)
    shown = [np.asarray(overlays(ax)[0].get_array()) for ax in axs]
    if c.apart: # outlines on the left, heat on the right
        assert [len(ax.collections) for ax in axs] == [5, 0]*3 and legends() == [[f'rater {i}' for i in range(1, 6)]]
        np.testing.assert_allclose(shown[1], mask_overlay(preds[0], False), atol=1e-5)
        return
    if c.k == 1:
        np.testing.assert_allclose(shown[0][..., 3], .5*np.sqrt(targets[0, 0].numpy()), atol=1e-5)
        np.testing.assert_allclose(shown[1][..., 3], .5*np.sqrt(preds[0, 0].numpy()), atol=1e-5)
    else: np.testing.assert_allclose(shown[1], mask_overlay(preds[0], c.softmax), atol=1e-5)
    np.testing.assert_allclose(shown[0], mask_overlay(targets[0], c.softmax), atol=1e-5)

def validates(c):
    with c.trained.no_bar():
        loss = c.trained.validate()[0]
        logits, targets = c.trained.get_preds(act=noop)
    assert loss == pytest.approx(c.oracle(logits, targets).mean(), rel=1e-4)

def gets_preds(c):
    with c.trained.no_bar():
        logits, _ = c.trained.get_preds(act=noop)
        probs, targets, losses = c.trained.get_preds(with_loss=True)
        *_, decided = c.trained.get_preds(with_decoded=True)
    torch.testing.assert_close(probs, logits.softmax(1) if c.softmax else logits.sigmoid())
    np.testing.assert_allclose(losses, c.oracle(logits, targets), rtol=1e-4)
    assert torch.equal(decided.as_subclass(Tensor), probs.argmax(1) if c.softmax else probs > .5)

def augments_at_test_time(c):
    "without transforms that move, the mean of equals"
    with c.trained.no_bar(): probs, targets = c.trained.tta(n=2)
    assert probs.shape == (6, c.k, 32, 32) and targets.shape == (6, *c.shape)
    if c.softmax: torch.testing.assert_close(probs.sum(1), torch.ones(6, 32, 32))
    return 'for transforms that leave geometry alone'

def predicts(c):
    with c.trained.no_bar():
        pred, decided, probs = c.trained.predict(c.files[-1])
        all_probs = c.trained.get_preds()[0]
    torch.testing.assert_close(probs, all_probs[-1], rtol=1e-4, atol=1e-5)
    assert isinstance(pred, TensorSoftMask) and list(pred.codes) == c.kw['codes'][:c.k]
    torch.testing.assert_close(pred.as_subclass(Tensor), probs.as_subclass(Tensor))
    assert torch.equal(decided.as_subclass(Tensor), probs.argmax(0) if c.softmax else probs > .5)
    ax = pred.show(legend=True)
    assert len(overlays(ax)) == 1

def dl_from_files(c):
    with c.trained.no_bar():
        expected = c.trained.get_preds()
        probs, none = c.trained.get_preds(dl=c.trained.dls.test_dl(c.files[-6:]))
        labelled = c.trained.get_preds(dl=c.trained.dls.test_dl(c.files[-6:], with_labels=True))
    torch.testing.assert_close(probs, expected[0])
    assert none is None
    for got, want in zip(labelled, expected): torch.testing.assert_close(got, want)

def interprets(c):
    with c.trained.no_bar():
        interp = Interpretation.from_learner(c.trained)
        logits, targets = c.trained.get_preds(act=noop)
        values, idx = interp.top_losses(3)
        interp.plot_top_losses(2)
    expected = np.sort(c.oracle(logits, targets))[::-1][:3]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert one_key(c, True)
    assert titles()[1:6:3] == ['target', 'target'] and titles()[2] == f'loss {expected[0]:.3f}'

def mixed_targets(c, mix):
    learn = c.learner(cbs=[mix, Mixed()])
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)
    assert learn.mixed.loss_type is SoftDiceLoss and learn.mixed.mixed_y.shape == (8, *c.shape)
    return learn.mixed.mixed_y.as_subclass(Tensor), torch.cat([y.as_subclass(Tensor) for _, y in c.dls().train.new(shuffle=False, drop_last=False)])

def mixes_up(c):
    y, originals = mixed_targets(c, MixUp(.4))
    assert sum((originals - t).abs().flatten(1).mean(1).min() > .001 for t in y) > 3 and 0 <= y.min() and y.max() <= 1

def cuts_and_mixes(c):
    mixed_targets(c, CutMix())
    return "fastai's mixes whole masks by area"

def cuts_and_pastes(c):
    "each pixel of a mixed mask is that of one of two masks"
    y, originals = mixed_targets(c, SoftMaskCutMix())
    y, originals = y.flatten(1, -3), originals.flatten(1, -3)
    nearest = torch.stack([(originals - t).abs().amax(1).flatten(1).kthvalue(1, 0).values for t in y]) # for each pixel the nearest original
    assert nearest.max() < 1e-6 and (y[:, None] - originals[None]).abs().amax((2, 3, 4)).min(1).values.max() > .05

def summarises(c): assert 'SoftDiceLoss' in c.trained.summary()

def exports_and_loads(c):
    _, decided, probs = predicted_afresh(c.trained, c.files[0])
    with c.trained.no_bar(): _, here, expected = c.trained.predict(c.files[0])
    torch.testing.assert_close(probs, expected.as_subclass(Tensor))
    assert decided == here.tolist()

class TwoInputs(nn.Module):
    def __init__(self, n_out):
        super().__init__()
        self.net = nn.Conv2d(6, n_out, 3, padding=1)
    def forward(self, a, b): return self.net(torch.cat([a, b], 1))

def two_inputs(c):
    dls = c.dls(blocks=(ImageBlock, ImageBlock, SoftMaskBlock(**c.kw)), n_inp=2, get_x=[noop, noop])
    learn = Learner(dls, TwoInputs(dls.c))
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)

class MaskAndClass(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.mask, self.label = nn.Conv2d(3, k, 3, padding=1), nn.Linear(3, 2)
    def forward(self, x): return self.mask(x), self.label(x.mean((2, 3)))

def two_targets(c):
    size = lambda f: 'large' if agreement(Path(f)).mean() > .15 else 'small'
    dls = c.dls(blocks=(ImageBlock, SoftMaskBlock(**c.kw), SoftCategoryBlock(vocab=['large', 'small'])), n_inp=1, get_y=[c.get_y, size])
    learn = Learner(dls, MaskAndClass(c.k))
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)
    x, y, label = dls.valid.one_batch()
    with torch.no_grad(): z, s = learn.model(x.as_subclass(Tensor))
    expected = c.oracle(z, y).mean() + torch.nn.functional.cross_entropy(s, label.as_subclass(Tensor)).item()
    assert learn.loss_func((z, s), y, label).item() == pytest.approx(expected, rel=1e-4)
    return 'for models that return one prediction a target'

def from_df(c):
    df = pd.DataFrame(dict(image=[f'images/{f.name}' for f in c.files], mask=[str(drawings(f)[0] if c.apart else c.get_y(f)) for f in c.files]))
    dls = ImageDataLoaders.from_df(df, path=c.files[0].parents[1], label_col='mask', y_block=SoftMaskBlock(**c.kw), valid_pct=.3, seed=42, item_tfms=Resize(32), bs=8, num_workers=0)
    x, y = dls.valid.one_batch()
    learn = c.learner(dls)
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)
    assert y.shape[1:] == ((1, 1, 32, 32) if c.apart else c.shape) and y.sum() > 0

def pixel_metrics(c):
    "in training, beside the mean loss of a pixel"
    loss = SoftCrossEntropyLossFlat(axis=1) if c.softmax else SoftBCEWithLogitsLossFlat(axis=1)
    learn = c.learner(c.dls(SoftMaskBlock(**c.kw, loss_func=loss)), metrics=[soft_cross_entropy, kl_divergence, brier_score, SoftECE()])
    with learn.no_bar():
        loss, cross_entropy, *others = learn.validate()
        probs, targets = learn.get_preds()
    assert cross_entropy == pytest.approx(loss, rel=1e-5)
    assert others == pytest.approx([m(probs, targets, multi=not c.softmax, axis=1).item() for m in (kl_divergence, brier_score, SoftECE())], rel=1e-4)

def looks_inside(c):
    interp = SoftInterpretation.from_learner(c.trained)
    with c.trained.no_bar(): probs, targets = c.trained.get_preds()
    assert interp.losses.mean().item() == pytest.approx(kl_divergence(probs, targets, multi=not c.softmax, axis=1).item(), rel=.1 if c.softmax else 1e-4) # void is not as large in all images
    worst = interp.top_losses(2)[1].tolist()
    fig = interp.plot_top_losses(2)
    assert [fig.axes[j].texts[0].get_text().split()[0] for j in (0, 5 if c.apart else 4)] == [c.files[14 + i].name for i in worst]
    assert len(interp.by_image()) == 6 and len(interp.by_image(by_class=True)) == 6*c.k
    if c.apart: assert len(interp.suspicious_labels(4, raters=True)) == 4

def scales(c):
    learn = c.learner(c.dls())
    with learn.no_bar():
        logits, _ = learn.get_preds(act=noop)
        report = temperature_scale(learn, force=True)
        probs, _ = learn.get_preds()
        *_, of_one = learn.predict(c.files[-1])
    softer = logits/report.temperature['after']
    torch.testing.assert_close(probs, softer.softmax(1) if c.softmax else softer.sigmoid())
    torch.testing.assert_close(of_one, probs[-1], rtol=1e-4, atol=1e-5)
    _, _, afresh = predicted_afresh(learn, c.files[-1])
    torch.testing.assert_close(afresh, of_one.as_subclass(Tensor), rtol=1e-4, atol=1e-5)

def abstains(c):
    learn = c.learner(c.dls())
    for pixels, shape in ((False, (6,)), (True, (6, 32, 32))):
        kept = abstain(learn, keep=.5, pixels=pixels)
        with learn.no_bar(): *_, decided = learn.get_preds(with_decoded=True)
        assert decided.unsure.shape == shape and (~decided.unsure).float().mean().item() == pytest.approx(kept.kept, abs=.01)
        learn.show_results(max_n=2)

def watches_strangers(c):
    watch = OODConfidence(c.files[:5])
    learn = c.learner(c.dls(), cbs=watch)
    with learn.no_bar(): learn.fit(1)
    assert watch.history.n.tolist() == [6, 5] and watch.history['median'].between(0, 1).all() and 0 <= watch.history.auroc.iloc[1] <= 1

LINES = {'loss inferred': loss_inferred, 'unet_learner without n_out': no_n_out_needed, 'dls.vocab, dls.c': vocab_and_c, 'show_batch': shows_batch, 'fit': fits, 'fit_one_cycle': fits_one_cycle,
         'fine_tune': fine_tunes, 'lr_find': finds_lr, 'SoftDice, DiceAt': metrics, 'show_results': shows_results, 'validate': validates, 'get_preds': gets_preds, 'tta': augments_at_test_time,
         'predict': predicts, 'test_dl(files, with_labels)': dl_from_files, 'Interpretation, top losses': interprets, 'MixUp': mixes_up, 'CutMix': cuts_and_mixes, 'SoftMaskCutMix': cuts_and_pastes,
         'mixed precision': mixed_precision, 'learn.summary()': summarises, 'export, load in a fresh process': exports_and_loads, 'two input blocks': two_inputs, 'two target blocks': two_targets,
         'ImageDataLoaders.from_df': from_df, 'DataLoader workers': loader_workers, 'metrics of pixels': pixel_metrics,
         'SoftInterpretation': looks_inside, 'temperature_scale': scales, 'abstain, images and pixels': abstains, 'OODConfidence': watches_strangers}


@pytest.mark.parametrize('column', COLUMNS)
@pytest.mark.parametrize('line', LINES)
def test_line(line, column, cases, request): check_line(line, column, LINES, cases[column], OUTCOMES, request)

def test_table(): check_matrix('SoftMaskBlock', LINES, COLUMNS, OUTCOMES)
