"OODConfidence in every way in which fastai runs a model: it measures in trainings, is silent elsewhere, and leaves nothing behind."
import signal
from contextlib import contextmanager

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from fastai.callback.fp16 import MixedPrecision
from fastai.torch_core import default_device
from fastai.vision.all import (BCEWithLogitsLossFlat, Callback, CancelValidException, CategoryBlock, ColReader, CrossEntropyLossFlat, CSVLogger, DataBlock, EarlyStoppingCallback, EndSplitter,
                               FetchPredsCallback, ImageBlock, Learner, MixUp, MSELossFlat, RandomResizedCrop, Resize, Flip, Rotate, SaveModelCallback, load_learner, noop, params, set_seed)
from torch import nn
from torch.overrides import TorchFunctionMode

from fastai_softlabels.all import (OODConfidence, SoftCategoryBlock, SoftLabelError, SoftLabelReader, SoftMultiCategoryBlock, ood_metrics, sigmoid_confidence,
                                   sigmoid_score, softmax_confidence, softmax_score, temperature_scale)
from fastai_softlabels.scores import score_bins
from conftest import DIGITS

COLUMNS = ['valid_confidence', 'ood_confidence', 'ood_auroc']


@contextmanager
def deadline(seconds=60):
    "Raise where something hangs"
    def late(*_): raise TimeoutError(f'not done in {seconds} s')
    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try: yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture(autouse=True)
def in_time():
    with deadline(): yield


@pytest.fixture
def known(votes): return votes[votes.label < 5].copy()

@pytest.fixture
def strange(digits, votes): return [digits/f for f in votes[votes.label >= 5].fname]


def learner(digits, known, block=SoftCategoryBlock, get_y=None, net=None, splitter=EndSplitter(.4), **kw):
    options = dict(multi=True, n_votes=30) if block is SoftMultiCategoryBlock else {}
    reader = SoftLabelReader(known, 'fname', DIGITS, **options)
    dls = DataBlock(blocks=(ImageBlock, block()), get_x=ColReader('fname', pref=digits), get_y=reader if get_y is None else get_y, splitter=splitter, item_tfms=Resize(8)).dataloaders(known, **{'bs': 8, 'num_workers': 0, **kw})
    learn = Learner(dls, net or nn.Sequential(nn.Flatten(), nn.Linear(192, 10 if block is not CategoryBlock else dls.c)))
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.logger = noop
    return learn


def expected(learn, files):
    "what the model says, by get_preds and the public scores; items in one bin tie"
    inn, out = learn.get_preds(act=noop)[0], learn.get_preds(dl=learn.dls.test_dl(files), act=noop)[0]
    res = {}
    for head, conf, score in (('softmax', softmax_confidence, softmax_score), ('sigmoid', sigmoid_confidence, sigmoid_score)):
        metrics = ood_metrics(score_bins(score(inn)), score_bins(score(out)))
        for name, z in (('valid', inn), ('ood', out)):
            p = conf(z).double().numpy()
            res[name, head] = [len(p), p.mean(), np.median(p), p.min(), p.max(), *([np.nan]*2 if name == 'valid' else [metrics['auroc'], metrics['fpr95']])]
    return res


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
@pytest.mark.parametrize('bs', [8, 64])
def test_measures_what_the_model_says(block, bs, digits, known, strange):
    learn, cb = learner(digits, known, block, bs=bs), OODConfidence(strange)
    learn.fit(2, 1e-2, cbs=cb)
    assert list(cb.history.columns) == ['fit', 'epoch', 'set', 'score', 'n', 'mean', 'median', 'min', 'max', 'auroc', 'fpr95'] and len(cb.history) == 2*2*2
    last = cb.history[cb.history.epoch == 1].set_index(['set', 'score'])
    for key, values in expected(learn, strange).items():
        assert last.loc[key].tolist()[2:] == pytest.approx(values, abs=1e-4, nan_ok=True), key
    own = 'softmax' if block is SoftCategoryBlock else 'sigmoid'
    learn, cb = learner(digits, known, block, bs=bs), OODConfidence(strange)
    learn.fit(1, 1e-2, cbs=cb)
    assert list(learn.recorder.metric_names) == ['epoch', 'train_loss', 'valid_loss', *COLUMNS, 'time']
    row = cb.history.set_index(['set', 'score'])
    assert learn.recorder.values[-1][2:] == [row.loc[('valid', own), 'median'], row.loc[('ood', own), 'median'], row.loc[('ood', own), 'auroc']]


def test_a_list_a_table_and_a_loader(digits, known, votes, strange):
    learn = learner(digits, known)
    table = votes[votes.label >= 5]
    sets = {'list': strange, 'table': table, 'loader': learn.dls.test_dl(strange), 'shuffled': learn.dls.test_dl(strange, shuffle=True, drop_last=True), 'labelled': learner(digits, table).dls.valid,
            'torch': torch.utils.data.DataLoader([learn.dls.test_dl([f]).one_batch()[0][0] for f in strange], batch_size=5)}
    cb = OODConfidence(sets)
    learn.fit(1, 1e-2, cbs=cb)
    rows = cb.history[cb.history['score'] == 'softmax'].set_index('set').drop(index=['valid', 'labelled'])
    assert (rows.n == len(strange)).all() and len(rows) == 5
    for name in rows.index: assert rows.loc[name, 'mean':].tolist() == pytest.approx(rows.loc['list', 'mean':].tolist(), abs=1e-6), name
    assert cb.history.set_index('set').n['labelled'].tolist() == [int(.4*len(table))]*2
    assert [n for n in learn.recorder.metric_names if 'auroc' in n] == [f'{s}_auroc' for s in sets]


def test_fits_are_told_apart(digits, known, strange):
    cb = OODConfidence(strange)
    learn = learner(digits, known, net=nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU()), nn.Linear(16, 10)))
    learn.splitter = lambda m: [params(m[0]), params(m[1])]
    learn.add_cb(cb)
    learn.fine_tune(2)
    learn.fit_one_cycle(1)
    assert cb.history.drop_duplicates(['fit', 'epoch'])[['fit', 'epoch']].to_numpy().tolist() == [[0, 0], [1, 0], [1, 1], [2, 0]]


SILENT = {'validate': lambda l: l.validate(), 'get_preds': lambda l: l.get_preds(), 'get_preds of a loader': lambda l: l.get_preds(dl=l.dls.test_dl(l.dls.valid.items)), 'with_loss': lambda l: l.get_preds(with_loss=True),
          'predict': lambda l: l.predict(l.dls.valid.items.iloc[0]), 'tta': lambda l: l.tta(n=2), 'lr_find': lambda l: l.lr_find(num_it=12, show_plot=False), 'show_results': lambda l: l.show_results(max_n=2),
          'validate on the training set': lambda l: l.validate(0)}

@pytest.mark.parametrize('what', SILENT)
def test_silent_where_nobody_trains(what, digits, known, strange):
    plain = learner(digits, known)
    plain.fit(1, 1e-2)
    learn, cb = learner(digits, known), OODConfidence(strange)
    learn.model.load_state_dict(plain.model.state_dict())
    learn.add_cb(cb)
    learn.fit(1, 1e-2)
    learn.model.load_state_dict(plain.model.state_dict())
    history = cb.history
    torch.manual_seed(0)
    a = SILENT[what](plain)
    torch.manual_seed(0)
    b = SILENT[what](learn)
    pd.testing.assert_frame_equal(cb.history, history)
    if what == 'validate': assert list(a) == pytest.approx(list(b), rel=1e-4)
    if what.startswith('validate'): assert len(a) == 1
    if what.startswith('get_preds') or what == 'tta': torch.testing.assert_close(a[0], b[0])
    learn.fit(1, 1e-2)
    assert cb.history.fit.max() == 1, 'and it listens again'


def test_silent_without_a_training_at_all(digits, known, strange):
    for f in SILENT.values():
        learn, cb = learner(digits, known), OODConfidence(strange)
        learn.add_cb(cb)
        f(learn)
        assert cb.history.empty and cb.loaders is None


def test_training_is_the_same_with_it(digits, known, strange):
    def trained(*cbs, **kw):
        set_seed(0)
        learn = learner(digits, known, net=nn.Sequential(nn.Flatten(), nn.Dropout(.5), nn.Linear(192, 10)), **kw)
        learn.fit(3, 1e-2, cbs=cbs)
        return torch.cat([p.flatten() for p in learn.model.parameters()]), [v[:2] for v in learn.recorder.values]
    for kw in (dict(), dict(num_workers=2)):
        (a, x), (b, y) = trained(**kw), trained(OODConfidence(strange), **kw)
        assert torch.equal(a, b) and x == y


def test_training_with_random_transforms_is_the_same_with_it(digits, known, strange):
    "which draw from Python's and NumPy's generators, too"
    def trained(*cbs):
        set_seed(0)
        learn = learner(digits, known)
        learn.dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=digits), get_y=SoftLabelReader(known, 'fname', DIGITS), splitter=EndSplitter(.4),
                              item_tfms=RandomResizedCrop(8, min_scale=.1), batch_tfms=[Flip(), Rotate(30, p=.5)]).dataloaders(known, bs=8, num_workers=0)
        learn.fit(2, 1e-2, cbs=cbs)
        return [v[:2] for v in learn.recorder.values]
    assert trained() == trained(OODConfidence(strange))


def test_other_data_other_loaders(digits, known, strange):
    "after progressive resizing, in another learner, and with other sets"
    cb, learn = OODConfidence(strange), learner(digits, known, net=nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 10)))
    learn.fit(1, 1e-2, cbs=cb)
    learn.dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=digits), get_y=SoftLabelReader(known, 'fname', DIGITS), splitter=EndSplitter(.4), item_tfms=Resize(20)).dataloaders(known, bs=8, num_workers=0)
    cb.ood['few'] = strange[:3]
    learn.fit(1, 1e-2, cbs=cb)
    assert cb.loaders['ood'].one_batch()[0].shape[-1] == 20
    assert cb.history.query('fit == 1')['set'].unique().tolist() == ['valid', 'ood', 'few']
    row = cb.history.query("fit == 1 and set == 'ood' and score == 'softmax'").iloc[0]
    assert row['mean'] == pytest.approx(expected(learn, strange)['ood', 'softmax'][1], abs=1e-5)
    cb.ood['few'] = []
    with pytest.raises(SoftLabelError, match="'few' is empty"): learn.fit(1, 1e-2, cbs=cb)


def test_whether_images_open_is_asked_once(digits, known, strange, monkeypatch):
    from fastai_softlabels import ood
    asked, opens = [], ood._opens
    monkeypatch.setattr(ood, '_opens', lambda dataset, i: asked.append(i) or opens(dataset, i))
    cb, learn = OODConfidence(strange), learner(digits, known)
    for _ in range(2): learn.fit(1, 1e-2, cbs=cb)
    assert len(asked) == len(strange)
    n = len(strange)
    strange.append(strange[0])
    learn.fit(1, 1e-2, cbs=cb)
    assert len(asked) == n + (n + 1), 'a list that has grown is asked about anew'
    assert cb.history.query('fit == 2').set_index('set').n['ood'].tolist() == [len(strange)]*2


def test_a_training_loader_is_read_without_augmentation(digits, known, strange, votes):
    other = votes[votes.label >= 5]
    augmented = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=digits), get_y=SoftLabelReader(other, 'fname', DIGITS), splitter=EndSplitter(.1),
                          item_tfms=RandomResizedCrop(8, min_scale=.1), batch_tfms=[Rotate(90, p=1.)]).dataloaders(other, bs=8, num_workers=0)
    cb, learn = OODConfidence({'train': augmented.train, 'plain': augmented.test_dl(augmented.train.items)}), learner(digits, known)
    learn.fit(1, 1e-2, cbs=cb)
    train, plain = (cb.history.query(f"set == '{s}' and score == 'softmax'").iloc[0] for s in ('train', 'plain'))
    assert train['mean'] == pytest.approx(plain['mean'], abs=1e-6) and augmented.train_ds.split_idx == 0


def test_mixup_that_swaps_the_loss(digits, known, strange):
    "as fastai's does for losses of class indices"
    learn = learner(digits, known.assign(label=known.label.astype(str)), CategoryBlock, get_y=ColReader('label'))
    cb, loss = OODConfidence(strange), learn.loss_func
    learn.fit(2, 1e-2, cbs=[MixUp(), cb])
    assert learn.loss_func is loss and cb.history.epoch.unique().tolist() == [0, 1] and learn.recorder.values[-1][-1] == cb.history.query("epoch == 1 and set == 'ood' and score == 'softmax'").auroc.item()


def test_every(digits, known, strange):
    cb = OODConfidence(strange, every=2)
    learn = learner(digits, known)
    learn.fit(5, 1e-2, cbs=cb)
    assert cb.history.epoch.unique().tolist() == [1, 3, 4], 'every second, and the last'
    assert [np.isnan(v[2:]).all() for v in learn.recorder.values] == [True, False, True, False, False]


def test_trackers_and_logs_read_the_columns(digits, known, strange, tmp_path):
    learn = learner(digits, known)
    learn.path = tmp_path
    cb = OODConfidence(strange)
    learn.fit(4, 1e-2, cbs=[SaveModelCallback(monitor='ood_auroc', fname='best'), cb, CSVLogger()])
    best = cb.history.query("set == 'ood' and score == 'softmax'").auroc
    assert expected(learn, strange)['ood', 'softmax'][5] == pytest.approx(best.max(), abs=1e-4), 'the best model is loaded at the end'
    logged = pd.read_csv(tmp_path/'history.csv')
    assert list(logged.columns) == ['epoch', 'train_loss', 'valid_loss', *COLUMNS, 'time'] and logged.ood_auroc.tolist() == pytest.approx(best.tolist(), abs=1e-6)
    learn.fit(20, 0., cbs=[EarlyStoppingCallback(monitor='ood_auroc', patience=2), cb])
    assert len(learn.recorder.values) == 3 and cb.history.fit.max() == 1


def test_a_tracker_that_stays_follows_a_column(digits, known, strange, tmp_path):
    "also where nothing is measured, as in predictions and the learning rate finder"
    learn = learner(digits, known)
    learn.path = tmp_path
    learn.add_cbs([OODConfidence(strange), SaveModelCallback(monitor='ood_auroc')])
    learn.fit(1, 1e-2)
    before = learn.get_preds()[0]
    assert learn.lr_find(num_it=12, show_plot=False) and len(learn.predict(strange[0])[2]) == 10
    torch.testing.assert_close(learn.get_preds()[0], before)
    learn.fit(1, 1e-2)
    assert learn.ood_confidence.history.fit.max() == 1


@pytest.mark.parametrize('cbs', [lambda: MixUp(), lambda: MixedPrecision(amp_mode='bf16'), lambda: MixedPrecision(), lambda: FetchPredsCallback(), lambda: CSVLogger()], ids=['MixUp', 'bf16', 'fp16', 'FetchPreds', 'CSVLogger'])
def test_beside_other_callbacks(cbs, digits, known, strange, tmp_path):
    learn, cb = learner(digits, known), OODConfidence(strange)
    learn.path = tmp_path
    learn.fit(2, 1e-2, cbs=[cb, cbs()])
    last = cb.history[cb.history.epoch == 1].set_index(['set', 'score'])
    for key, values in expected(learn, strange).items(): assert last.loc[key].tolist()[2:] == pytest.approx(values, abs=1e-4, nan_ok=True)


def test_in_the_precision_of_the_training(digits, known, strange):
    "under autocast, here the CPU's, the numbers are those of bfloat16"
    class Bfloat16(Callback):
        name, order = 'mixed_precision', 10
        def before_fit(self): self.autocast = torch.autocast('cpu', dtype=torch.bfloat16)
        def before_batch(self): self.autocast.__enter__()
        def after_loss(self): self.autocast.__exit__(None, None, None)
    learn, cb = learner(digits, known), OODConfidence(strange)
    learn.fit(1, 1e-2, cbs=[cb, Bfloat16()])
    row = cb.history.set_index(['set', 'score']).loc[('ood', 'softmax')]
    x = torch.cat([b[0] for b in learn.dls.test_dl(strange)])
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16): half = softmax_confidence(learn.model(x))
    with torch.no_grad(): single = softmax_confidence(learn.model(x))
    assert row['mean'] == pytest.approx(half.double().mean().item(), abs=1e-6) and row['mean'] != pytest.approx(single.double().mean().item(), abs=1e-6)


class Interrupt(Callback):
    "A keyboard interrupt, once, at an event of an epoch"
    def __init__(self, event, epoch):
        setattr(self, event, self.stop)
        self.at = epoch
    def stop(self):
        if self.learn.epoch == self.at: raise KeyboardInterrupt

@pytest.mark.parametrize('event', ['before_epoch', 'after_batch', 'before_validate', 'after_pred', 'after_epoch'])
def test_an_interrupted_fit(event, digits, known, strange):
    learn, cb = learner(digits, known), OODConfidence(strange)
    learn.add_cb(cb)
    with pytest.raises(KeyboardInterrupt): learn.fit(3, 1e-2, cbs=Interrupt(event, 1))
    assert cb.history.epoch.unique().tolist() == ([0, 1] if event == 'after_epoch' else [0]), 'what was measured stays'
    assert len(learn.validate()) == 1 and len(learn.metrics) == 0, 'no column is left behind'
    learn.fit(1, 1e-2)
    assert cb.history.fit.unique().tolist() == [0, 1] and len(learn.recorder.values[-1]) == 5


def test_interrupted_in_its_own_work(digits, known, strange, monkeypatch):
    learn, cb = learner(digits, known), OODConfidence({'a': strange, 'b': strange})
    learn.add_cb(cb)
    learn.fit(1, 1e-2)
    class Broken(nn.Module):
        def forward(self, x): raise KeyboardInterrupt
    def stop(self): self.learn.model[1].forward = lambda x: Broken()(x)
    with pytest.raises(KeyboardInterrupt): learn.fit(1, 1e-2, cbs=type('Stop', (Callback,), dict(after_validate=stop))())
    del learn.model[1].forward
    assert cb.history.fit.unique().tolist() == [0] and cb.history['set'].unique().tolist() == ['valid', 'a', 'b'], 'all of a measurement or nothing'
    learn.fit(1, 1e-2)
    assert cb.history.fit.unique().tolist() == [0, 1]


def test_cancelled_validation_and_skipped_epochs(digits, known, strange):
    class NoValidation(Callback):
        def before_validate(self): raise CancelValidException
    class HalfAValidation(Callback):
        order = 60
        def after_batch(self):
            if not self.training: raise CancelValidException
    cb = OODConfidence(strange)
    for stop in (NoValidation(), HalfAValidation()):
        learn = learner(digits, known)
        learn.fit(1, 1e-2, cbs=[cb, stop])
        assert cb.history.empty and len(learn.recorder.values[-1]) == 1
    learn = learner(digits, known)
    learn.fit(3, 1e-2, cbs=cb, start_epoch=2)
    assert cb.history.epoch.unique().tolist() == [2]


def test_without_a_recorder(digits, known, strange):
    learn, cb = learner(digits, known), OODConfidence(strange)
    learn.remove_cb(learn.recorder)
    for _ in range(2): learn.fit(1, 1e-2, cbs=cb)
    assert cb.history['set'].tolist() == ['valid', 'valid', 'ood', 'ood']*2 and cb.history.fit.tolist() == [0]*4 + [1]*4


def test_export_and_load(digits, known, strange, tmp_path):
    learn = learner(digits, known)
    cb = OODConfidence({'files': strange, 'loader': learn.dls.test_dl(strange)})
    learn.add_cb(cb)
    learn.fit(1, 1e-2)
    learn.export(tmp_path/'learn.pkl')
    assert cb.loaders is not None and cb.ood['loader'] is not None, 'the one at hand is as it was'
    loaded = load_learner(tmp_path/'learn.pkl')
    pd.testing.assert_frame_equal(loaded.ood_confidence.history, cb.history)
    loaded.ood_confidence.plot_history(), loaded.ood_confidence.plot_histograms()
    with pytest.raises(SoftLabelError, match='not at hand after loading'): loaded.ood_confidence.show_surest()
    torch.testing.assert_close(loaded.predict(known.iloc[-1])[2], learn.predict(known.iloc[-1])[2])
    loaded.dls = learn.dls
    loaded.logger = noop
    with pytest.raises(SoftLabelError, match="'files' was left out when the learner was exported"): loaded.fit(1, 1e-2)
    loaded.ood_confidence.ood['files'], loaded.ood_confidence.ood['loader'] = strange, learn.dls.test_dl(strange)
    loaded.fit(1, 1e-2)
    assert loaded.ood_confidence.history.fit.unique().tolist() == [0, 1]


def test_reads_through_a_temperature(digits, known, strange):
    learn = learner(digits, known)
    learn.fit(3, 1e-2)
    t = temperature_scale(learn, force=True).temperature['after']
    cb = OODConfidence(strange)
    learn.fit(1, 0., cbs=cb)
    out = learn.get_preds(dl=learn.dls.test_dl(strange), act=noop)[0]
    row = cb.history.set_index(['set', 'score']).loc[('ood', 'softmax')]
    assert [row['mean'], row['median']] == pytest.approx([softmax_confidence(out/t).double().mean().item(), np.median(softmax_confidence(out/t))], abs=1e-4)


def test_fastais_own_losses(digits, known, strange):
    for block, loss, own in ((CategoryBlock, CrossEntropyLossFlat, 'softmax'), (SoftMultiCategoryBlock, BCEWithLogitsLossFlat, 'sigmoid')):
        learn = learner(digits, known.assign(label=known.label.astype(str)), block, get_y=ColReader('label') if block is CategoryBlock else None)
        learn.loss_func, cb = loss(), OODConfidence(strange)
        learn.fit(1, 1e-2, cbs=cb)
        assert learn.recorder.values[-1][-1] == cb.history.set_index(['set', 'score']).auroc['ood', own]


def test_one_class(digits, known, strange):
    from fastai_softlabels.all import SoftMultiCategoryBlock
    dls = DataBlock(blocks=(ImageBlock, SoftMultiCategoryBlock(vocab=['three'])), get_x=ColReader('fname', pref=digits), get_y=lambda r: [float(r.label == 3)], splitter=EndSplitter(.4), item_tfms=Resize(8)).dataloaders(known, bs=8, num_workers=0)
    learn, cb = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 1))), OODConfidence(strange)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2, cbs=cb)
    assert cb.history['score'].unique().tolist() == ['sigmoid'] and cb.history['min'].min() >= .5
    cb.plot_histograms(), cb.plot_history()


def test_a_validation_set_of_one_class(digits, votes, strange):
    learn = learner(digits, votes, splitter=lambda items: (list(range(60)), [i for i in range(60, 120) if votes.label.iloc[i] == 3]))
    cb = OODConfidence(strange)
    learn.fit(1, 1e-2, cbs=cb)
    assert cb.history.set_index(['set', 'score']).loc[('ood', 'softmax'), 'auroc'] == pytest.approx(expected(learn, strange)['ood', 'softmax'][5])


class Transfers(TorchFunctionMode):
    "Counts what makes the host wait for the device"
    names = {'cpu', 'item', 'tolist', 'numpy', '__float__', '__bool__', '__int__', '__array__', 'nonzero'}
    def __init__(self):
        super().__init__()
        self.seen = []
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, '__name__', '') in self.names: self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('n, bs', [(8, 8), (50, 8), (50, 1)])
def test_one_transfer_a_set_and_none_a_batch(n, bs, digits, known, strange):
    learn, cb = learner(digits, known, bs=bs), OODConfidence({'a': strange[:n], 'b': strange[:n]})
    learn.add_cb(cb)
    learn.fit(1, 1e-2)
    class Counting(OODConfidence):
        def after_validate(self):
            with Transfers() as t: super().after_validate()
            self.transfers = t.seen
        def after_batch(self):
            with Transfers() as t: super().after_batch()
            assert t.seen == []
    cb = Counting({'a': [*strange, *strange][:n], 'b': strange[:n]})
    batches = list(learn.dls.test_dl(strange[:n], bs=bs))
    cb.ood = {'a': batches_of(batches), 'b': batches_of(batches)}
    learn = learner(digits, known, bs=bs)
    learn.fit(1, 1e-2, cbs=cb)
    assert cb.transfers == ['cpu', 'numpy']*3, 'for the validation set and for each OOD set'


class batches_of:
    "A loader of batches that are there already, so that only our own transfers are seen"
    def __init__(self, batches): self.batches, self.dataset = batches, batches
    def __iter__(self): return iter(self.batches)
    def __len__(self): return len(self.batches)


def test_pictures(digits, known, strange):
    learn, cb = learner(digits, known), OODConfidence({'near': strange, 'twice': strange*2}, k=4)
    learn.fit(2, 1e-2, cbs=cb)
    assert {l.get_label() for l in cb.plot_history()[0].get_lines()} == {'valid, softmax', 'near, softmax', 'twice, softmax'}, "the model's own reading"
    left, right = cb.plot_history(['sigmoid', 'softmax'])
    by = cb.history.set_index(['set', 'score'])
    lines = {l.get_label(): l.get_ydata() for l in right.get_lines()[:-1]}
    titles = {'softmax': 'softmax', 'sigmoid': 'same model, read as sigmoid'}
    assert set(lines) == {f'{s}, {title}' for s in ('near', 'twice') for title in titles.values()}
    for s in ('near', 'twice'):
        for score, title in titles.items(): assert list(lines[f'{s}, {title}']) == by.auroc[s, score].tolist()
    assert {l.get_label() for l in left.get_lines()} == {*lines, *(f'valid, {title}' for title in titles.values())}
    assert [ax.get_title() for ax in cb.plot_histograms()] == ['softmax']
    assert [ax.get_title() for ax in cb.plot_histograms(['sigmoid', 'softmax'])] == [*titles.values()]
    for ax in cb.plot_histograms(['softmax', 'sigmoid']): assert all(sum(p.get_data().values) == pytest.approx(1) for p in ax.patches)
    import matplotlib.pyplot as plt
    plt.close('all')
    cb.show_surest('near')
    p = softmax_confidence(learn.get_preds(dl=learn.dls.test_dl(strange), act=noop)[0]).sort(descending=True).values[:4]
    assert [ax.get_title() for ax in plt.gcf().axes] == [f'{v:.3f}' for v in p] and all(len(ax.images) for ax in plt.gcf().axes)


def test_says_before_training_what_is_wrong(digits, known, strange, tmp_path):
    (tmp_path/'text.png').write_text('no image')
    Image.new('RGB', (64, 64), 'red').save(tmp_path/'cut.png')
    (tmp_path/'cut.png').write_bytes((tmp_path/'cut.png').read_bytes()[:60])
    faulty = [strange[0], tmp_path/'text.png', strange[1], tmp_path/'cut.png', tmp_path/'gone.png']
    trained = []
    def refused(cb, words, learn=None):
        learn = learn or learner(digits, known)
        with pytest.raises(SoftLabelError, match=words): learn.fit(1, 1e-2, cbs=[cb, type('Seen', (Callback,), dict(before_batch=lambda self: trained.append(1)))()])
    refused(OODConfidence(faulty), r"3 of 5 items of the OOD set 'ood' cannot be read: .*text\.png, .*cut\.png, .*gone\.png .*Remove them, or say `skip_unreadable=True`")
    learn = learner(digits, known)
    learn.loss_func = MSELossFlat()
    refused(OODConfidence(strange), 'neither a softmax nor a sigmoid loss', learn)
    refused(OODConfidence(strange), 'no validation images', learner(digits, known, splitter=lambda items: (range(len(items)), [])))
    assert trained == []
    cb, learn = OODConfidence(faulty, skip_unreadable=True), learner(digits, known)
    with pytest.warns(UserWarning, match='3 of 5 items .*text.png.* They are left out'): learn.fit(1, 1e-2, cbs=cb)
    assert cb.history.set_index('set').n['ood'].tolist() == [2, 2]


def test_a_column_that_is_there_already(digits, known, strange):
    learn = learner(digits, known)
    def ood_auroc(preds, targs): return 0.
    learn.metrics = [ood_auroc]
    with pytest.raises(SoftLabelError, match="column 'ood_auroc' already. Give the OOD set another name"): learn.fit(1, 1e-2, cbs=OODConfidence(strange))
    learn.fit(1, 1e-2, cbs=OODConfidence({'strange': strange}))


def test_a_model_that_gives_nan_is_named_and_the_training_goes_on(digits, known, strange):
    learn, cb = learner(digits, known), OODConfidence(strange)
    class Spoil(Callback):
        def before_validate(self):
            if self.epoch == 1: self.learn.model[1].bias.data[:] = torch.nan
        def after_epoch(self): self.learn.model[1].bias.data[:] = 0
    with pytest.warns(UserWarning, match="gives NaN for .* images of 'valid': no confidence in epoch 1"): learn.fit(3, 1e-2, cbs=[cb, Spoil()])
    assert cb.history.groupby('epoch')['mean'].agg(lambda s: s.isna().any()).tolist() == [False, True, False]
    assert [np.isnan(v[2:]).any() for v in learn.recorder.values] == [False, True, False]
    assert cb.history.query("set == 'ood'").groupby('epoch').auroc.agg(lambda s: s.isna().all()).tolist() == [False, True, False]
    cb.plot_history(), cb.plot_histograms()
    learn.model[1].bias.data[:] = torch.nan
    with pytest.warns(UserWarning, match='gives NaN'): learn.fit(1, 0., cbs=cb)
    with pytest.raises(SoftLabelError, match="NaN for all images of 'ood'"): cb.show_surest()


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu(digits, known, strange):
    default_device(use=True)
    try: listens_on_the_gpu(digits, known, strange)
    finally: default_device(use=False)


def listens_on_the_gpu(digits, known, strange):
    learn, cb = learner(digits, known, device='cuda'), OODConfidence(strange)
    learn.to_fp16()
    learn.fit(2, 1e-2, cbs=cb)
    assert next(learn.model.parameters()).is_cuda
    last = cb.history[cb.history.epoch == 1].set_index(['set', 'score'])
    for key, values in expected(learn.to_fp32(), strange).items(): assert last.loc[key].tolist()[2:] == pytest.approx(values, abs=2e-2, nan_ok=True)
