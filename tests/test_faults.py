"What goes wrong outside of the code: Ctrl-C, a full disk, a folder that may not be written to, a broken image. Nothing is lost, and the fault is named."
import subprocess, sys, textwrap
from pathlib import Path

import numpy as np, pytest, torch
from fastai.data.load import SkipItemException
from fastai.vision.all import (Callback, DataBlock, EndSplitter, ImageBlock, Learner, MixUp, PILImage, Resize, SaveModelCallback, TensorBase, Transform, TransformBlock, get_image_files,
                               set_seed, verify_images)
from PIL import Image
from torch import nn

from fastai_softlabels.all import (OODConfidence, SoftCategoryBlock, SoftECE, SoftLabelError, SoftLabelReader, SoftMaskBlock, SoftMultiCategoryBlock,
                                   UnreadableImageError, photo_squares, soft_cross_entropy, top1_agreement)
from fastai_softlabels.files import whole_file
from fastai_softlabels.blocks import OpenImage
from conftest import DIGITS

ROOT = Path(__file__).parents[1]


class Seeds(Callback):
    "Makes an epoch depend on its number, and on nothing else that is random"
    order = -100
    def before_epoch(self):
        set_seed(self.epoch)
        self.dls.train.rng.seed(self.epoch) # fastai's loaders shuffle by a generator of their own


class Interrupt(Callback):
    "Ctrl-C at one event of one epoch"
    order = 200
    def __init__(self, event, epoch): self.at, self.when = event, epoch
    def __call__(self, event):
        if event == self.at and getattr(self.learn, 'epoch', None) == self.when and not self.learn.lock.locked(): raise KeyboardInterrupt


@pytest.fixture
def dls(digits, votes):
    return DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=lambda r: digits/r.fname, get_y=SoftLabelReader(votes, 'fname', DIGITS), splitter=EndSplitter(),
                     item_tfms=Resize(32)).dataloaders(votes, bs=16, num_workers=0, device='cpu')


def learner(dls, folder, *cbs):
    set_seed(7, reproducible=True)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(.2), nn.Linear(128, dls.c))
    ood = OODConfidence({'photos': sorted(get_image_files(photo_squares()))[:10]})
    return Learner(dls, net, metrics=[top1_agreement, soft_cross_entropy, SoftECE()], cbs=[ood, Seeds(), *cbs], path=folder)


def fit(learn, *args, **kwargs):
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(*args, **kwargs)


def numbers(learn): return [list(row) for row in learn.recorder.values]


EVENTS = {'after_epoch': 'between epochs', 'before_epoch': 'before an epoch', 'after_backward': 'in a training batch', 'after_pred': 'in a prediction', 'before_validate': 'before validation', 'after_validate': 'after validation'}

@pytest.mark.parametrize('event', EVENTS, ids=EVENTS.values())
def test_interrupted_fit_keeps_history_and_model(dls, tmp_path, event):
    whole = learner(dls, tmp_path)
    fit(whole, 3, 1e-3)
    learn = learner(dls, tmp_path)
    loss, cbs = learn.loss_func, set(learn.cbs.map(type))
    before = [p.clone() for p in learn.model.parameters()]
    stop = Interrupt(event, 1)
    with pytest.raises(KeyboardInterrupt): fit(learn, 3, 1e-3, cbs=stop)
    done = 2 if event == 'after_epoch' else 1
    assert numbers(learn)[:done] == numbers(whole)[:done] and len(learn.recorder.values) in (1, done)
    history, full = learn.ood_confidence.history, whole.ood_confidence.history
    measured = history.epoch.max() + 1
    assert measured in (1, 2) and history.equals(full[full.epoch < measured].reset_index(drop=True))
    assert learn.loss_func is loss and set(learn.cbs.map(type)) == cbs, 'as it was before'
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters())) and all(p.isfinite().all() for p in learn.model.parameters())
    with learn.no_bar(): preds, _ = learn.get_preds()
    assert preds.isfinite().all()
    fit(learn, 1, 1e-3)
    assert learn.ood_confidence.history.fit.nunique() == 2 and len(learn.recorder.values) == 1, 'it goes on'


def test_weights_after_an_interruption_are_those_of_the_last_step(dls, tmp_path):
    class Keep(Callback):
        order = 300
        def after_step(self): self.last = [p.detach().clone() for p in self.learn.model.parameters()]
    keep = Keep()
    learn = learner(dls, tmp_path, keep)
    with pytest.raises(KeyboardInterrupt): fit(learn, 2, 1e-3, cbs=Interrupt('before_validate', 1))
    assert all(torch.equal(a, b) for a, b in zip(keep.last, learn.model.parameters()))


@pytest.mark.parametrize('cbs', [lambda: [], lambda: [MixUp()]], ids=['plain', 'MixUp'])
def test_resumed_training_gives_the_numbers_of_an_uninterrupted_one(dls, tmp_path, cbs):
    whole = learner(dls, tmp_path, *cbs())
    fit(whole, 3, 1e-3)
    first = learner(dls, tmp_path, *cbs())
    with pytest.raises(KeyboardInterrupt): fit(first, 3, 1e-3, cbs=[SaveModelCallback(every_epoch=True, with_opt=True), Interrupt('after_backward', 2)])
    second = learner(dls, tmp_path, *cbs())
    second.load('model_1', with_opt=True)
    fit(second, 3, 1e-3, start_epoch=2)
    assert numbers(second)[-1][1:] == numbers(whole)[-1][1:] # the first is fastai's moving average over all batches so far
    a, b = (l.ood_confidence.history.query('epoch == 2').reset_index(drop=True) for l in (second, whole))
    assert a.drop(columns='fit').equals(b.drop(columns='fit'))
    assert all(torch.equal(p, q) for p, q in zip(second.model.parameters(), whole.model.parameters()))


FULL = """
import resource, signal, sys
from fastai.vision.all import *
from fastai_softlabels.all import *
from fastai_softlabels.files import whole_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN) # a write beyond the limit fails, as on a full disk
out = Path(sys.argv[1])
def at(limit): resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""

def on_a_full_disk(code: str, out: Path) -> str:
    res = subprocess.run([sys.executable, '-c', FULL + textwrap.dedent(code), out], capture_output=True, text=True, timeout=200)
    assert res.returncode == 0, res.stderr
    return res.stdout


def test_full_disk_keeps_the_learner_that_was_there(tmp_path):
    out = on_a_full_disk("""
        learn = vision_learner(DataBlock(blocks=(ImageBlock, SoftCategoryBlock(['a', 'b'])), get_y=lambda f: 'a').dataloaders(get_image_files(photo_squares()), num_workers=0, device='cpu'), squeezenet1_1, pretrained=False)
        def export():
            with whole_file(out/'learner.pkl') as part: learn.export(part.absolute())
        saves = {'learner.safetensors': lambda: save_soft_learner(learn, out/'learner.safetensors'), 'learner.pkl': export}
        save_soft_learner(learn, out/'learner.safetensors')
        (out/'learner.pkl').write_text('an earlier one')
        at(200_000)
        for name, save in saves.items():
            try: save()
            except OSError as e: print(name, '|', e)
        at(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        print(sorted(o.name for o in out.iterdir()), (out/'learner.pkl').read_text(), len(load_soft_learner(out/'learner.safetensors').dls.vocab))
        """, tmp_path)
    for name in ('learner.safetensors', 'learner.pkl'): assert f'{name} | Cannot write {tmp_path}/{name}: ' in out
    assert 'what was there before is untouched' in out and out.splitlines()[-1] == "['learner.pkl', 'learner.safetensors'] an earlier one 2"


def test_full_disk_leaves_no_half_data_set(tmp_path):
    out = on_a_full_disk("""
        from fastai_softlabels import datasets
        datasets.cache_path = lambda name: out/name
        datasets.committee_votes = lambda images, labels: np.full((len(images), 10), 3) # who votes takes seconds
        at(20_000)
        for make in (digits_votes, photo_squares, ellipses_masks):
            at({digits_votes: 20_000, photo_squares: 3_000, ellipses_masks: 1_000}[make])
            try: make()
            except OSError as e: print(e)
        print(list(out.iterdir()))
        """, tmp_path)
    assert out.count(f'Cannot write the data set to {tmp_path}: File too large') == 3 and out.splitlines()[-1] == '[]'


def test_full_disk_in_the_demo(tmp_path):
    "Neither the report nor a learner is left half-written; what costs time is left out"
    code = f"""
        sys.path.insert(0, {str(ROOT/'examples')!r})
        import demo
        learn = Learner(demo.load_data(), nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 300), nn.Linear(300, 10)))
        demo.train, demo.results, demo.figures = lambda dls, epochs: (learn, pd.DataFrame()), lambda learn: (pd.DataFrame(), None), lambda learn, floor: [('a picture', 'x'*60_000)]
        for limit in (50_000, 100_000):
            at(limit)
            try: demo.main(out, 1)
            except SystemExit as e: print('|', e)
        print([o.name for o in out.iterdir()])
        """
    out = on_a_full_disk(code, tmp_path)
    for name in ('report.html', 'learner.pkl'): assert f'| Cannot write {tmp_path}/{name}: ' in out
    assert 'Free some space' in out and '--out' in out and out.splitlines()[-1] == "['report.html']"


def test_folders_that_cannot_be_written_to(tmp_path):
    (tmp_path/'file').touch()
    for dest in (tmp_path/'file'/'a.txt', tmp_path/'none'/'a.txt', Path('/proc/a.txt')):
        with pytest.raises(OSError, match=f'Cannot write {dest}: .*choose another folder'):
            with whole_file(dest) as part: part.write_text('x')
    (tmp_path/'folder').mkdir()
    with pytest.raises(OSError, match='Cannot write .*folder: it is a folder. Give the name of a file in it'):
        with whole_file(tmp_path/'folder') as part: part.write_text('x')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'folder']


def test_other_errors_pass_through_whole_file(tmp_path):
    for error in (RuntimeError('of the model'), ValueError('of the text'), KeyboardInterrupt()):
        with pytest.raises(type(error)) as e:
            with whole_file(tmp_path/'a.txt') as part:
                part.write_text('x')
                raise error
        assert e.value is error and list(tmp_path.iterdir()) == []
    with whole_file(tmp_path/'a.txt') as part: part.write_text('x')
    assert (tmp_path/'a.txt').read_text() == 'x' and len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def broken(tmp_path):
    "An image of which the end is missing, among whole ones"
    rng = np.random.default_rng(0)
    for i in range(4): Image.fromarray(rng.integers(256, size=(64, 64, 3), dtype=np.uint8)).save(tmp_path/f'{i}.png')
    (tmp_path/'2.png').write_bytes((tmp_path/'2.png').read_bytes()[:-900])
    return sorted(tmp_path.iterdir())


def test_a_broken_mask_is_named(tmp_path):
    whole, cut = tmp_path/'whole.png', tmp_path/'cut.png'
    for f in (whole, cut): Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)).save(f)
    cut.write_bytes(cut.read_bytes()[:-900])
    tfm, = SoftMaskBlock().type_tfms
    assert tfm.encode([whole, whole]).tensor().shape == (1, 64, 64)
    for masks in (cut, [whole, cut]):
        with pytest.raises(SoftLabelError, match=r'cut\.png cannot be read as a mask .*truncated'): tfm.encode(masks)


def test_a_broken_ood_image_is_named(dls, broken):
    learn = Learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10)), cbs=OODConfidence({'strange': broken}))
    with pytest.raises(SoftLabelError, match=r"1 of 4 items of the OOD set 'strange' cannot be read: .*2\.png .*truncated.*Remove them"): fit(learn, 1)


NAMED = r'2\.png cannot be read as an image \(OSError: image file is truncated.*Make the file anew, or leave it out.*`verify_images`'


MASK = np.zeros((64, 64), np.uint8)


@pytest.mark.parametrize('blocks', [[SoftCategoryBlock], [SoftMultiCategoryBlock], [SoftMaskBlock], [SoftCategoryBlock, SoftMultiCategoryBlock]], ids=lambda b: ' '.join(f.__name__ for f in b))
@pytest.mark.parametrize('n_images', [1, 2])
def test_a_broken_training_image_is_named(broken, blocks, n_images):
    "Of one or two images for each item, the last one is broken: of the second training item and of the second validation item"
    items, label = [[broken[0], broken[i]] for i in (0, 2, 1, 2)], MASK if SoftMaskBlock in blocks else {'a': 1, 'b': 0}
    getters = [lambda o: o[0], lambda o: o[1]][-n_images:] + [lambda o: label]*len(blocks)
    dls = DataBlock(blocks=[ImageBlock]*n_images + blocks, n_inp=n_images, getters=getters, splitter=EndSplitter(.5)).dataloaders(items, bs=2, num_workers=0, device='cpu')
    for dl in (dls.train, dls.valid, dls.test_dl(items), dls.new_empty().test_dl(items)):
        with pytest.raises(UnreadableImageError, match=NAMED) as e: list(dl)
        assert isinstance(e.value, OSError) and isinstance(e.value.__cause__, OSError)


def test_a_broken_training_image_is_named_by_the_learner(broken, tmp_path):
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=lambda f: {'a': 1, 'b': 3}, splitter=EndSplitter(.25)).dataloaders(broken, bs=3, num_workers=0, device='cpu')
    learn = Learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)), path=tmp_path)
    with pytest.raises(UnreadableImageError, match=NAMED): fit(learn, 1)
    with pytest.raises(UnreadableImageError, match=NAMED): learn.predict(broken[2])
    assert learn.predict(broken[1])[1].item() in (0, 1)
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*none\.png'$"): learn.predict(tmp_path/'none.png')
    with pytest.raises(OSError, match='truncated') as e: learn.predict(broken[2].read_bytes()) # has no name
    assert type(e.value) is OSError


@pytest.mark.parametrize('error', [SkipItemException(), MemoryError('all of it')])
def test_what_is_no_fault_of_an_image_is_left_alone(error):
    def create(o): raise error
    with pytest.raises(type(error)) as e: OpenImage(create)('a.png')
    assert e.value is error


def test_other_inputs_are_opened_as_before():
    class Own(Transform):
        def encodes(self, o: str): return PILImage.create(np.zeros((8, 8, 3), np.uint8))
    kw = dict(get_y=lambda o: {'a': 1, 'b': 3}, splitter=EndSplitter(.5))
    own, numbers = Own(), TransformBlock(type_tfms=[lambda o: TensorBase([float(o)])])
    dls = DataBlock(blocks=(TransformBlock(type_tfms=own), SoftCategoryBlock), **kw).dataloaders(['1', '2'], bs=1, num_workers=0)
    assert dls.train_ds.tls[0].tfms.fs[-1] is own and dls.one_batch()[0].shape == (1, 3, 8, 8)
    dls = DataBlock(blocks=(numbers, SoftCategoryBlock), **kw).dataloaders(['1', '2'], bs=1, num_workers=0)
    assert type(dls.train_ds.tls[0].tfms.fs[-1]) is Transform and dls.one_batch()[0].tolist() == [[1.]]


def test_broken_training_images_are_found_by_fastai(broken):
    assert list(verify_images(broken)) == [broken[2]]
