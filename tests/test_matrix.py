"Everything that fastai does with `CategoryBlock`, for each of our blocks: one test a line, and the table at the end."
from pathlib import Path

import matplotlib.pyplot as plt, numpy as np, pytest, torch, torch.nn.functional as F
from torch import nn, Tensor
from fastai.vision.all import (AdaptiveAvgPool, Callback, ColReader, ConvLayer, CutMix, DataBlock, EndSplitter, Flatten, ImageBlock, ImageDataLoaders,
                               Interpretation, Learner, MixUp, Resize, noop, resnet18, vision_learner)

from fastai_softlabels.all import (DirichletMultinomialLossFlat, SoftBCEWithLogitsLossFlat, SoftCategory, SoftCategoryBlock, SoftCountBlock, SoftCrossEntropyLossFlat,
                                   SoftLabelReader, SoftMultiCategoryBlock, SoftOrdinalBlock, top1_agreement)
from conftest import activated, by_scipy, by_torch, check_line, check_matrix, DIGITS, predicted_afresh

BLOCKS = {b.__name__: b for b in (SoftCategoryBlock, SoftMultiCategoryBlock, SoftOrdinalBlock, SoftCountBlock)}
OUTCOMES = {}


class Case:
    "One block with its data; `learner()` is new and small, `trained` a residual network that is fitted once"
    def __init__(self, name, path, df):
        self.name, self.block, self.multi, self.path, self.df = name, BLOCKS[name], name == 'SoftMultiCategoryBlock', path, df
        self.counts = name == 'SoftCountBlock'
        self.loss_type = SoftBCEWithLogitsLossFlat if self.multi else DirichletMultinomialLossFlat if self.counts else SoftCrossEntropyLossFlat
        self.reader = SoftLabelReader(df, 'fname', DIGITS, multi=self.multi, n_votes=30 if self.multi else None, counts=self.counts)
        self.n_votes = 30 if self.counts else 1 # the sum of a target
        self.files = [path/f for f in df.fname]
        self._trained = None

    def dls(self, block=None, **kwargs):
        kw = {**dict(blocks=(ImageBlock, block or self.block), get_y=self.reader, splitter=EndSplitter(.2), item_tfms=Resize(32)), **kwargs}
        return DataBlock(**kw).dataloaders(self.files, bs=16, num_workers=0)

    def learner(self, dls=None, **kwargs):
        dls = dls or self.dls()
        return Learner(dls, small_net(dls.c), **kwargs)

    @property
    def trained(self):
        if self._trained is None:
            self._trained = vision_learner(self.dls(), resnet18, pretrained=False, metrics=top1_agreement)
            with self._trained.no_bar(): self._trained.fit(1)
        return self._trained

    def oracle(self, logits, targets):
        "The loss by torch's own functions or by SciPy, one value an item"
        return by_scipy(logits, targets) if self.counts else by_torch(logits, targets, self.multi)

    def shares(self, logits): return activated(logits, self.multi, self.counts)

    def shown(self, target):
        "The text that a target has"
        return str(self.dls().tfms[-1][-1].decode(target))


def small_net(n_out, n_in=3): return nn.Sequential(ConvLayer(n_in, 8, stride=2), ConvLayer(8, 16, stride=2), AdaptiveAvgPool(), Flatten(), nn.Linear(16, n_out))


@pytest.fixture(scope='module')
def cases(digits, votes): return {name: Case(name, digits, votes) for name in BLOCKS}


def loss_inferred(c):
    dls = c.dls()
    assert type(c.learner(dls).loss_func) is c.loss_type
    assert c.learner(c.dls()).loss_func is not c.learner(dls).loss_func

def no_n_out_needed(c): assert c.trained.model[1][-1].out_features == 10

def vocab_and_c(c):
    dls = c.dls()
    assert list(dls.vocab) == DIGITS and dls.c == 10

def titles(): return [ax.get_title() for ax in plt.gcf().axes]

def shows_batch(c):
    dls = c.dls()
    b = dls.train.one_batch()
    dls.show_batch(b, max_n=4)
    expected = [c.shown(y) for y in b[1][:4]]
    assert titles()[:4] == expected and '.' in expected[0]
    known = {'SoftOrdinalBlock': '±', 'SoftCountBlock': '(n = 30)'}
    assert known.get(c.name, ' · ') in ''.join(expected)
    plt.close('all')
    dls.show_batch(b, max_n=4, bars=True)
    charts = [ax for ax in plt.gcf().axes if len(ax.patches)]
    assert len(charts) == 4 and [p.get_width() for p in charts[0].patches] == pytest.approx((b[1][0]/c.n_votes).tolist())

def fits(c):
    learn = c.learner()
    with learn.no_bar(): learn.fit(5, 1e-2)
    assert learn.recorder.values[-1][0] < learn.recorder.values[0][0]

def fits_one_cycle(c):
    learn = c.learner()
    with learn.no_bar(): learn.fit_one_cycle(4, 2e-2)
    assert len(learn.recorder.values) == 4 and learn.recorder.values[-1][0] < learn.recorder.values[0][0]

def fine_tunes(c):
    learn = vision_learner(c.dls(), resnet18, pretrained=False)
    with learn.no_bar(): learn.fine_tune(1)
    assert np.isfinite(learn.recorder.values[-1]).all()

def finds_lr(c):
    learn = c.learner()
    with learn.no_bar(): found = learn.lr_find(num_it=30, show_plot=False).valley
    assert 1e-7 <= found < 10 and len(learn.recorder.losses) > 10 and np.isfinite(learn.recorder.losses[:5]).all()

def top1_metric(c):
    with c.trained.no_bar():
        preds, targets = c.trained.get_preds()
        value = c.trained.validate()[1]
    expected = np.mean([t[p.argmax()] == t.max() for p, t in zip(preds.numpy(), targets.numpy())])
    assert value == pytest.approx(expected)

def shows_results(c):
    with c.trained.no_bar():
        c.trained.show_results(max_n=4, shuffle=False)
        preds, targets = c.trained.get_preds()
        predicted = [c.trained.predict(f)[0] for f in c.files[-24:-20]]
    expected = [f'{c.shown(t)}\n{p}' for p, t in zip(predicted, targets)]
    assert [''.join(t.split()) for t in titles()[:4]] == [''.join(t.split()) for t in expected] # lines are broken where they are long
    plt.close('all')
    with c.trained.no_bar(): c.trained.show_results(max_n=2, bars=True, shuffle=False)
    chart = next(ax for ax in plt.gcf().axes if len(ax.patches))
    assert [t.get_text() for t in chart.get_legend().texts] == ['label', 'prediction']
    assert sorted(p.get_width() for p in chart.patches) == pytest.approx(sorted(torch.cat([preds[0], targets[0]/c.n_votes]).tolist()), abs=1e-5)

def validates(c):
    with c.trained.no_bar():
        loss = c.trained.validate()[0]
        logits, targets = c.trained.get_preds(act=noop)
    assert loss == pytest.approx(c.oracle(logits, targets).mean().item(), rel=1e-4)

def gets_preds(c):
    with c.trained.no_bar():
        logits, _ = c.trained.get_preds(act=noop)
        probs, targets, losses = c.trained.get_preds(with_loss=True)
    torch.testing.assert_close(probs.as_subclass(Tensor), c.shares(logits))
    if not c.multi: torch.testing.assert_close(probs.as_subclass(Tensor).sum(-1), torch.ones(len(probs)))
    torch.testing.assert_close(losses, c.oracle(logits, targets).to(losses), rtol=1e-4, atol=1e-4)

def augments_at_test_time(c):
    with c.trained.no_bar():
        probs, targets = c.trained.tta(n=2)
    assert probs.shape == targets.shape == (24, 10) and 0 <= probs.min() and probs.max() <= 1
    if not c.multi: torch.testing.assert_close(probs.as_subclass(Tensor).sum(-1), torch.ones(24))

def predicts(c):
    with c.trained.no_bar():
        pred, decoded, probs = c.trained.predict(c.files[-1])
        all_probs = c.trained.get_preds()[0]
    probs = probs.as_subclass(Tensor)
    torch.testing.assert_close(probs, all_probs[-1].as_subclass(Tensor))
    assert isinstance(pred, SoftCategory)
    torch.testing.assert_close(pred.probs, probs)
    if c.multi: assert decoded.tolist() == (probs > .5).tolist() and pred.label == [v for v, p in zip(DIGITS, probs) if p > .5]
    else: assert decoded.item() == probs.argmax().item() and pred == DIGITS[decoded]

def dl_from_files(c):
    with c.trained.no_bar():
        probs, none = c.trained.get_preds(dl=c.trained.dls.test_dl(c.files[-24:]))
        torch.testing.assert_close(probs, c.trained.get_preds()[0])
    assert none is None

def dl_from_table(c):
    learn = c.learner(DataBlock(blocks=(ImageBlock, c.block), get_x=ColReader('fname', pref=c.path), get_y=c.reader, splitter=EndSplitter(.2),
                                item_tfms=Resize(32)).dataloaders(c.df, bs=16, num_workers=0))
    with learn.no_bar():
        expected = learn.get_preds()
        for o in (c.df.tail(24), c.df.tail(24).reset_index(drop=True)):
            for got, want in zip(learn.get_preds(dl=learn.dls.test_dl(o, with_labels=True)), expected): torch.testing.assert_close(got, want)
        files = learn.get_preds(dl=learn.dls.test_dl(c.files[-24:]))[0]
    torch.testing.assert_close(files, expected[0])

def interprets(c):
    with c.trained.no_bar():
        interp = Interpretation.from_learner(c.trained)
        logits, targets = c.trained.get_preds(act=noop)
        expected = c.oracle(logits, targets).topk(3)
        values, idx = interp.top_losses(3)
        torch.testing.assert_close(values, expected.values.to(values), rtol=1e-4, atol=1e-4)
        interp.plot_top_losses(3)
        assert titles()[0].endswith(f'{values[0]:.2f}') and len(titles()[0].split('\n')) >= 3
        interp.plot_top_losses(2, bars=True)

class Mixed(Callback):
    "Keeps the first training batch after it was mixed"
    order, run_valid = 70, False
    def before_fit(self): self.mixed_y = None
    def after_pred(self):
        if self.mixed_y is None: self.mixed_y, self.loss_type = self.learn.yb[0].clone(), type(self.learn.loss_func)

def mixed_targets(c, mix):
    learn = c.learner(cbs=[mix, Mixed()])
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)
    y, rows = learn.mixed.mixed_y, c.reader.table.as_subclass(Tensor)
    assert learn.mixed.loss_type is c.loss_type, 'targets are mixed, not losses'
    if not c.multi: torch.testing.assert_close(y.sum(-1), torch.full((16,), float(c.n_votes)))
    return torch.stack([(rows - t).abs().sum(-1).min() for t in y]) # how far each is from any label

def mixes_up(c): assert (mixed_targets(c, MixUp(.4)) > .01).sum() > 4

def cuts_and_mixes(c): assert (mixed_targets(c, CutMix()) > .001).sum() > 4

def smooths_labels(c):
    if c.multi: return 'binary cross-entropy has no label smoothing'
    dls = c.dls(block=c.block(loss_func=SoftCrossEntropyLossFlat(label_smoothing=.1)))
    learn = c.learner(dls)
    with learn.no_bar():
        loss = learn.validate()[0]
        logits, targets = learn.get_preds(act=noop)
    assert loss == pytest.approx(F.cross_entropy(logits, targets/c.n_votes, label_smoothing=.1).item(), rel=1e-5)

def mixed_precision(c):
    learn = c.learner()
    if torch.cuda.is_available():
        with learn.to_fp16().no_bar(): learn.fit(1)
        return assert_finite(learn)
    x, y = learn.dls.one_batch()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits = learn.model(x.as_subclass(Tensor))
        loss = learn.loss_func(logits, y)
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32 and loss.isfinite()
    return 'no GPU here: bfloat16 autocast on the CPU'

def assert_finite(learn): assert np.isfinite(learn.recorder.values[-1]).all()

def summarises(c): assert c.loss_type.__name__ in c.trained.summary()

def exports_and_loads(c):
    text, decoded, probs = predicted_afresh(c.trained, c.files[0])
    with c.trained.no_bar(): pred, index, expected = c.trained.predict(c.files[0])
    torch.testing.assert_close(probs, expected)
    assert (text, decoded) == (str(pred), index.tolist())

def timm_backbone(c):
    learn = vision_learner(c.dls(), 'resnet10t', pretrained=False)
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)
    assert type(learn.loss_func) is c.loss_type

class TwoInputs(nn.Module):
    def __init__(self, n_out):
        super().__init__()
        self.net = small_net(n_out, n_in=6)
    def forward(self, a, b): return self.net(torch.cat([a, b], 1))

def two_inputs(c):
    dls = DataBlock(blocks=(ImageBlock, ImageBlock, c.block), n_inp=2, get_x=[noop, noop], get_y=c.reader, splitter=EndSplitter(.2),
                    item_tfms=Resize(32)).dataloaders(c.files, bs=16, num_workers=0)
    learn = Learner(dls, TwoInputs(dls.c))
    with learn.no_bar(): learn.fit(1)
    assert_finite(learn)
    assert type(learn.loss_func) is c.loss_type

def two_targets(c):
    odd = lambda p: ['odd'] if int(p.stem) % 2 else ['even', 'odd']
    dls = DataBlock(blocks=(ImageBlock, c.block, SoftCategoryBlock), n_inp=1, get_y=[c.reader, odd], splitter=EndSplitter(.2),
                    item_tfms=Resize(32)).dataloaders(c.files, bs=16, num_workers=0)
    learn = vision_learner(dls, resnet18, pretrained=False)
    with learn.no_bar(): learn.fit(1)
    x, a, b = dls.valid.one_batch()
    with torch.no_grad(): logits = learn.model.eval()(x.as_subclass(Tensor))
    expected = c.oracle(logits[:, :10], a.as_subclass(Tensor)).mean() + F.cross_entropy(logits[:, 10:], b.as_subclass(Tensor))
    torch.testing.assert_close(learn.loss_func(logits, a, b), expected.to(logits), rtol=1e-4, atol=1e-4)
    with learn.no_bar():
        valid_loss = learn.validate()[0]
        probs, targets, losses = learn.get_preds(with_loss=True)
    assert [p.shape for p in probs] == [t.shape for t in targets] == [(24, 10), (24, 2)]
    torch.testing.assert_close(losses.mean().as_subclass(Tensor), torch.tensor(valid_loss), rtol=1e-4, atol=1e-4)

def from_df(c):
    df, kw = c.df.copy(), dict(path=c.path, valid_pct=.2, seed=42, item_tfms=Resize(32), bs=16, num_workers=0)
    if not c.counts: df[DIGITS] = df[DIGITS]/30
    dls = ImageDataLoaders.from_df(df, label_col=DIGITS, y_block=c.block(vocab=DIGITS), **kw)
    first = dls.valid_ds.items.iloc[0]
    torch.testing.assert_close(dls.valid_ds[0][1].as_subclass(Tensor), torch.tensor(first[DIGITS].astype(float).tolist()))
    learn = c.learner(dls)
    with learn.no_bar(): learn.fit(1)
    assert type(learn.loss_func) is c.loss_type

def loader_workers(c):
    batches = {w: c.dls(get_items=None).valid.new(num_workers=w) for w in (0, 2)}
    for (_, a), (_, b) in zip(*batches.values()): torch.testing.assert_close(a.as_subclass(Tensor), b.as_subclass(Tensor))


LINES = {'loss inferred': loss_inferred, 'no n_out needed': no_n_out_needed, 'dls.vocab, dls.c': vocab_and_c, 'show_batch': shows_batch, 'fit': fits,
         'fit_one_cycle': fits_one_cycle, 'fine_tune': fine_tunes, 'lr_find': finds_lr, 'top1_agreement': top1_metric, 'show_results': shows_results,
         'validate': validates, 'get_preds': gets_preds, 'tta': augments_at_test_time, 'predict': predicts, 'test_dl(files)': dl_from_files,
         'test_dl(df, with_labels=True)': dl_from_table, 'Interpretation, top losses': interprets, 'MixUp': mixes_up, 'CutMix': cuts_and_mixes,
         'label_smoothing': smooths_labels, 'mixed precision': mixed_precision, 'learn.summary()': summarises,
         'export, load in a fresh process': exports_and_loads, 'timm backbone by name': timm_backbone, 'two input blocks': two_inputs,
         'two target blocks': two_targets, 'ImageDataLoaders.from_df': from_df, 'DataLoader workers': loader_workers}


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('line', LINES)
def test_line(line, block, cases, request): check_line(line, block, LINES, cases[block], OUTCOMES, request)

def test_table(): check_matrix('Everything that fastai does with `CategoryBlock`', LINES, BLOCKS, OUTCOMES)
