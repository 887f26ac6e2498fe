"Much of it, and little of it: a million rows, a thousand classes, ten gigabytes of images; one item, one class that nobody has, a batch of one."
import tracemalloc
from contextlib import contextmanager

import matplotlib.pyplot as plt, numpy as np, pandas as pd, psutil, pytest, torch
from fastai.vision.all import Callback, DataBlock, EndSplitter, ImageBlock, IndexSplitter, Learner, noop
from torch import nn

from fastai_softlabels.all import (OODConfidence, SoftBCEWithLogitsLossFlat, SoftCategory, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftECE, SoftInterpretation,
                                   SoftLabelError, SoftLabelReader, SoftMultiCategoryBlock, abstain, brier_score, class_weights, compare_confidence, entropy_correlation, js_divergence, kl_divergence, soft_accuracy, soft_cross_entropy, temperature_scale, top1_agreement, total_variation, votes_to_soft)
from conftest import DIGITS

METRICS = [top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, entropy_correlation, SoftECE()]


@contextmanager
def traced(result):
    "Fill `result` with the peak and with what is kept of Python's and NumPy's memory, in bytes"
    tracemalloc.start()
    try:
        yield
        result['kept'], result['peak'] = tracemalloc.get_traced_memory()
    finally: tracemalloc.stop()


# a million rows

N = 1_000_000

@pytest.fixture(scope='module')
def names(): return pd.Series([f'images/{i:07d}.png' for i in range(N)])

def size(df): return df.memory_usage(deep=True).sum()


def test_reader_of_a_million_rows(names):
    rng, memory = np.random.default_rng(0), {}
    df = pd.DataFrame(rng.integers(1, 5, (N, 10)), columns=DIGITS).assign(fname=names)
    with traced(memory): reader = SoftLabelReader(df, 'fname', DIGITS)
    assert memory['peak'] < 4*size(df) and memory['kept'] < size(df)
    for i in (0, 1, 499_999, N - 1): assert reader(f'/data/{names[i]}').tolist() == pytest.approx((df.loc[i, DIGITS]/df.loc[i, DIGITS].sum()).tolist())


def test_a_million_rows_of_counts(names):
    rng, memory = np.random.default_rng(0), {}
    df = pd.DataFrame(rng.integers(1, 5, (N, 10)), columns=DIGITS).assign(fname=names)
    with traced(memory): soft = votes_to_soft(df, 'fname', counts=DIGITS)
    assert memory['peak'] < 4*size(df)
    n = df[DIGITS].to_numpy()
    np.testing.assert_allclose(soft[DIGITS], n/n.sum(1, keepdims=True))


def test_a_million_single_votes(names):
    rng, memory = np.random.default_rng(0), {}
    item, vote = np.sort(rng.integers(0, N//10, N)), rng.integers(0, 10, N)
    df = pd.DataFrame(dict(f=names.iloc[item].reset_index(drop=True), v=pd.Series(DIGITS).iloc[vote].reset_index(drop=True)))
    with traced(memory): soft = votes_to_soft(df, 'f', label='v')
    assert memory['peak'] < 4*size(df)
    n = np.bincount(item*10 + vote, minlength=N).reshape(-1, 10)
    n = n[n.sum(1) > 0]
    np.testing.assert_allclose(soft[DIGITS], n/n.sum(1, keepdims=True))


def test_a_million_rows_with_a_column_for_each_annotator(names):
    rng, memory = np.random.default_rng(0), {}
    votes = rng.integers(0, 10, (N, 2))
    df = pd.DataFrame({a: pd.Series(DIGITS).iloc[votes[:, a]].reset_index(drop=True) for a in range(2)}).assign(f=names)
    with traced(memory): soft = votes_to_soft(df, 'f', annotators=[0, 1])
    assert memory['peak'] < 4*(size(df) + size(soft)), 'the result alone is larger than such a table'
    np.testing.assert_allclose(soft[DIGITS], (votes[:, :1] == np.arange(10))/2 + (votes[:, 1:] == np.arange(10))/2)


# a thousand classes, a class that nobody has, one item, a batch of one

def noise(o): return np.random.default_rng(int(o)).integers(0, 255, (8, 8, 3), dtype=np.uint8)

def loaders(labels, block=SoftCategoryBlock, splitter=EndSplitter(.25), bs=16, classes=None, **kw):
    "DataLoaders of images of noise with these labels"
    classes = classes or [f'c{i:04}' for i in range(np.shape(labels)[1])]
    reader = SoftLabelReader(pd.DataFrame(labels, columns=classes), None, classes, multi=block is SoftMultiCategoryBlock)
    return DataBlock(blocks=(ImageBlock, block), get_x=noise, get_y=reader, splitter=splitter).dataloaders(list(range(len(labels))), bs=bs, num_workers=0, **kw)

def learner(dls, model=None, **kw):
    learn = Learner(dls, model or nn.Sequential(nn.Flatten(), nn.Linear(192, dls.c)), **{'metrics': METRICS, **kw})
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.logger = noop
    return learn

def soft_rows(n, k, alpha=.05): return np.random.default_rng(1).dirichlet(np.full(k, alpha), n)

def last_row(learn): return dict(zip(learn.recorder.metric_names[1:-1], learn.recorder.values[-1]))


@pytest.mark.parametrize('block, loss', [(SoftCategoryBlock, SoftCrossEntropyLossFlat), (SoftMultiCategoryBlock, SoftBCEWithLogitsLossFlat)])
def test_a_thousand_classes(block, loss):
    y = soft_rows(120, 1000)
    learn = learner(loaders(y, block))
    learn.fit(1, 1e-2)
    row, multi = last_row(learn), block is SoftMultiCategoryBlock
    probs, targets = learn.get_preds()
    assert type(learn.loss_func) is loss and probs.shape == (30, 1000)
    np.testing.assert_allclose(targets, y[90:], atol=1e-6)
    for m in METRICS: assert row[m.name] == pytest.approx(m(probs, targets, multi).item(), rel=1e-3, abs=1e-5) and np.isfinite(row[m.name])
    ours = SoftInterpretation.from_learner(learn)
    assert ours.scores(METRICS, n=5).notna().all(axis=None) and len(ours.suspicious_labels(3)) == 3 and ours.plot_reliability().n.sum() == (30_000 if multi else 30)
    learn.show_results(max_n=2, bars=True)
    assert multi or str(learn.predict(3)[0]).endswith(' · …')
    if multi: return
    cm = ours.confusion_matrix()
    assert cm.shape == (1000, 1000) and cm.sum() == pytest.approx(30, rel=1e-4) and len(ours.classification_report()) == 1000
    ax = ours.plot_confusion_matrix()
    plt.gcf().canvas.draw()
    assert max(plt.gcf().get_size_inches()) < 20 and len(ax.get_xticks()) <= 30 and not len(ax.texts)


def test_of_a_thousand_classes_the_largest_are_named():
    "also where each has next to nothing, or the three that have more are not all"
    names, p = [f'c{i}' for i in range(1000)], torch.full((1000,), .001)
    assert str(SoftCategory(p, names)) == 'c0 .00 · c1 .00 · c2 .00 · …' and str(SoftCategory(p, names, multi=True)) == 'none of these'
    p[5:8] = torch.tensor([.01, .03, .02])
    assert str(SoftCategory(p/p.sum(), names)) == 'c6 .03 · c7 .02 · c5 .01 · …'


def test_a_class_that_nobody_has_in_training():
    "the vocab has it: training goes on, its probability falls, `class_weights` names it"
    y = soft_rows(80, 4, 1.)
    y[:60, 2] = 0
    y /= y.sum(1, keepdims=True)
    dls = loaders(y, classes=['a', 'b', 'unseen', 'd'])
    learn = learner(dls)
    before = learn.get_preds(ds_idx=0)[0][:, 2].mean()
    learn.fit(4, 5e-2)
    assert len(last_row(learn)) == 2 + len(METRICS) and all(np.isfinite(v) for v in last_row(learn).values())
    probs, targets = learn.get_preds(ds_idx=0)
    assert probs[:, 2].mean() < before/2 and targets[:, 2].sum() == 0
    ours = SoftInterpretation.from_learner(learn)
    assert ours.confusion_matrix()[2].sum() == pytest.approx(y[60:, 2].sum(), rel=1e-4) and ours.classification_report().loc['unseen'].notna().all()
    with pytest.raises(SoftLabelError, match="The class 'unseen' has no mass in the 60 training labels"): class_weights(dls)


def test_one_item_in_the_validation_set():
    learn = learner(loaders(soft_rows(20, 3, 1.), splitter=IndexSplitter([4])))
    learn.fit(2, 1e-2, cbs=OODConfidence(list(range(50, 60))))
    row = last_row(learn)
    assert {k for k, v in row.items() if not np.isfinite(v)} == {'entropy_correlation'}, 'one item does not vary'
    assert row['valid_confidence'] == pytest.approx(learn.get_preds()[0].max().item(), abs=1e-3)
    ours = SoftInterpretation.from_learner(learn)
    assert ours.confusion_matrix().sum() == pytest.approx(1) and ours.plot_reliability().n.tolist() == [1] and len(ours.suspicious_labels()) == 1
    scores = ours.scores([kl_divergence, brier_score], n=20)
    assert (scores.value == scores.low).all() and (scores.value == scores.high).all()
    ours.plot_ambiguity(), ours.show_disagreements(), ours.plot_top_losses(1)
    with pytest.raises(SoftLabelError, match='1 labelled items are too few to fit to one half of them'): temperature_scale(learn)
    assert abstain(learn).n == 1 and compare_confidence({'it': learn}, list(range(50, 60)), plot=False).loc[('it', 'valid'), 'n'] == 1


class WithBatchNorm(nn.Sequential):
    def __init__(self, k): super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 8), nn.BatchNorm1d(8), nn.Linear(8, k))

def test_batches_of_one():
    "of `predict` and of loaders; the last training batch, of one, is left out by fastai, as a BatchNorm has nothing to normalise it by"
    dls, sizes = loaders(soft_rows(44, 3, 1.), bs=16, splitter=EndSplitter(11/44)), []
    learn = learner(dls, WithBatchNorm(3))
    assert len(dls.train_ds) % 16 == 1 and len(dls.valid_ds) == 11
    learn.fit(2, 1e-2, cbs=type('Sizes', (Callback,), dict(before_batch=lambda self: sizes.append(len(self.x)) if self.training else None))())
    assert sizes == [16, 16]*2
    probs, targets = learn.get_preds()
    ones = learn.get_preds(dl=dls.test_dl(list(range(33, 44)), with_labels=True, bs=1))
    torch.testing.assert_close(ones[0], probs)
    torch.testing.assert_close(ones[1], targets)
    pred, index, p = learn.predict(33)
    torch.testing.assert_close(p, probs[0])
    assert index == probs[0].argmax() and pred.label in dls.vocab
    metrics = learn.validate(dl=dls.test_dl(list(range(33, 44)), with_labels=True, bs=1))
    assert list(metrics[1:]) == pytest.approx([m(probs, targets).item() for m in METRICS], rel=1e-4, abs=1e-6)


# memory that does not grow

def resident(): return psutil.Process().memory_info().rss

class Grows(Callback):
    "What Python keeps and what the process holds, in bytes, after each epoch"
    order = 90
    def __init__(self): self.python, self.process = [], []
    def after_epoch(self):
        self.python.append(tracemalloc.get_traced_memory()[0])
        self.process.append(resident())

class Generated:
    "A loader of images that are made when they are asked for"
    def __init__(self, n_batches, bs): self.n_batches, self.bs, self.given, self.dataset = n_batches, bs, 0, range(n_batches*bs)
    def __len__(self): return self.n_batches
    def __iter__(self):
        for i in range(self.n_batches):
            x = torch.full((self.bs, 3, 224, 224), i/self.n_batches)
            self.given += x.numel()*x.element_size()
            yield (x,)

class Few(nn.Module):
    "A network that looks at few pixels of an image of any size"
    def __init__(self, k):
        super().__init__()
        self.linear = nn.Linear(48, k)
    def forward(self, x): return self.linear(x[:, :, ::x.shape[2]//4, ::x.shape[3]//4].flatten(1))


def test_ten_gigabytes_of_images():
    "through `OODConfidence`, epoch by epoch: they are seen in batches and forgotten"
    ood, grows, epochs = Generated(n_batches=11, bs=256), Grows(), 7
    cb = OODConfidence({'generated': ood})
    learn = learner(loaders(soft_rows(32, 3, 1.)), Few(3), metrics=[])
    tracemalloc.start()
    try: learn.fit(epochs, 1e-2, cbs=[cb, grows])
    finally: tracemalloc.stop()
    batch = 256*3*224*224*4
    assert ood.given == epochs*11*batch >= 10e9 and cb.history.query("set == 'generated'").n.tolist() == [11*256]*2*epochs
    assert max(grows.python[2:]) - grows.python[1] < 1e6 and max(grows.process[1:]) - grows.process[0] < batch/2


def test_metrics_and_history_do_not_pile_up():
    "over five epochs nothing is kept but a row each"
    learn, grows = learner(loaders(soft_rows(160, 10, 1.))), Grows()
    cb = OODConfidence(list(range(500, 540)))
    learn.fit(1, 1e-2, cbs=cb) # what is made once
    tracemalloc.start()
    try: learn.fit(5, 1e-2, cbs=[cb, grows])
    finally: tracemalloc.stop()
    assert len(learn.recorder.values) == 5 and len(cb.history) == 6*2*2
    assert len(METRICS[-1].kept) == len(entropy_correlation.kept) == len(learn.dls.valid), 'the batches of the last validation alone'
    assert max(grows.python[2:]) - grows.python[1] < 3e5 and max(grows.process[1:]) - grows.process[0] < 30e6
