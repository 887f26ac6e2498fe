"Masks of several raters, kept apart: what wants one mask gets their mean, and nobody is lost on the way."
import warnings
from pathlib import Path

import matplotlib.pyplot as plt, numpy as np, pytest, torch
from matplotlib.colors import to_rgb
from PIL import Image
from torch import nn, Tensor
from fastai.vision.all import (Callback, DataBlock, EndSplitter, ImageBlock, Interpretation, Learner, MixUp, PadMode, Resize, RandomCrop, aug_transforms, set_seed)

from fastai_softlabels.all import (DiceAt, OpenSoftMask, RaterMasks, SoftDice, SoftDiceBCELoss, SoftDiceCELoss, SoftMaskBlock, SoftMaskCutMix, TensorSoftMask, mean_of_raters)
from conftest import refused

KINDS = {'one class': dict(codes=['cell']), 'exclusive': dict(codes=['out', 'core', 'rim']), 'independent': dict(codes=['seen', 'sure'], exclusive=False),
         'exclusive, some void': dict(codes=['out', 'core', 'void'], ignore=['void']), 'independent, some void': dict(codes=['seen', 'sure', 'void'], ignore=['void'], exclusive=False)}
SIDE = 24


def drawing(kind: str, image: int, rater: int) -> np.ndarray:
    "One rater's mask as files hold it: an index mask, or planes of independent codes"
    rng = np.random.default_rng([image, rater, list(KINDS).index(kind)])
    blob = np.hypot(*(np.mgrid[:SIDE, :SIDE] - rng.uniform(8, 16, (2, 1, 1)))) < rng.uniform(5, 9)
    corner = np.add.outer(np.arange(SIDE), np.arange(SIDE)) < rng.integers(4, 16)
    if kind == 'one class': return blob
    if kind.startswith('exclusive'): return np.where(corner, 2, blob).astype(np.uint8)
    if 'void' in kind: blob = blob & ~corner
    planes = np.stack([blob, blob & rng.integers(0, 2, blob.shape).astype(bool), corner])
    return planes[:len(KINDS[kind]['codes'])].astype(np.float32)


def n_raters(image: int) -> int: return 1 + image % 3

def block(kind, raters=True, n=12, **kwargs):
    "DataLoaders of images with one to three raters"
    def get_y(i): return [drawing(kind, i, r) for r in range(n_raters(i))]
    def get_x(i): return Image.fromarray(np.random.default_rng(i).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))
    given = dict(blocks=(ImageBlock, SoftMaskBlock(**KINDS[kind], raters=raters)), get_x=get_x, get_y=get_y, splitter=EndSplitter(.5))
    return DataBlock(**{**given, **kwargs}).dataloaders(range(n), bs=6, num_workers=0)

def net(dls): return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, dls.c, 3, padding=1))

def by_hand(y: Tensor) -> Tensor:
    "The mean of raters' masks (N,R,K,H,W), image by image"
    res = []
    for masks in y.as_subclass(Tensor):
        there = masks[[not m.isnan().all() for m in masks]]
        known = ~there.isnan()
        mean = there.nanmean(0)
        mean[2*known.sum(0) < len(there)] = torch.nan
        res.append(mean)
    return torch.stack(res)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('item_tfms', [None, Resize(16), RandomCrop(20)], ids=['as they are', 'resized', 'cropped'])
@pytest.mark.parametrize('split', [0, 1], ids=['train', 'valid'])
def test_their_mean_is_the_mask_without_them(kind, item_tfms, split):
    set_seed(0)
    apart = block(kind, item_tfms=item_tfms)[split].one_batch()[1] if split else first(block(kind, item_tfms=item_tfms))
    set_seed(0)
    mean = block(kind, raters=False, item_tfms=item_tfms)[split].one_batch()[1] if split else first(block(kind, raters=False, item_tfms=item_tfms))
    assert apart.shape[:2] == (6, 3) and mean.ndim == 4
    resampled = isinstance(item_tfms, Resize) and kind == 'independent, some void' # a pixel half void counts for a rater or not, in a mean by half
    if not resampled: np.testing.assert_allclose(by_hand(apart), mean.as_subclass(Tensor), atol=2e-6)
    np.testing.assert_allclose(mean_of_raters(apart.as_subclass(Tensor)), by_hand(apart), atol=1e-6)
    counts = [int((~o.isnan()).flatten(1).any(1).sum()) for o in apart.as_subclass(Tensor)]
    assert set(counts) == {1, 2, 3}, 'nobody is lost, and nobody invented'

def first(dls):
    "The training items in their order, without shuffling"
    return dls.train.new(shuffle=False, drop_last=False).one_batch()[1]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('pad_mode', [PadMode.Reflection, PadMode.Zeros])
def test_a_batch_moves_each_rater(kind, pad_mode):
    "As it would be moved as a mask of its own"
    tfms = aug_transforms(max_lighting=0, pad_mode=pad_mode)
    dls = block(kind)
    y = first(dls)
    alone = [TensorSoftMask(o) for o in y.as_subclass(Tensor).unbind(1)]
    for o in alone: o.codes, o.exclusive, o.labelled = y.codes, y.exclusive, y.labelled
    affine = next(t for t in tfms if hasattr(t, 'aff_fs'))
    set_seed(3)
    again = y.clone()
    again.codes, again.exclusive, again.labelled = y.codes, y.exclusive, y.labelled
    moved = affine(again, split_idx=0)
    for r, o in enumerate(alone):
        there = ~y.as_subclass(Tensor)[:, r].isnan().flatten(1).all(1)
        set_seed(3)
        expected = affine(o, split_idx=0).as_subclass(Tensor)
        np.testing.assert_allclose(moved.as_subclass(Tensor)[there, r], expected[there], atol=1e-6)
        assert moved.as_subclass(Tensor)[~there, r].isnan().all(), 'who is missing stays missing'


@pytest.mark.parametrize('kind', KINDS)
def test_losses_and_metrics_take_the_mean(kind):
    dls = block(kind)
    x, y = dls.valid.one_batch()
    logits = torch.randn(6, dls.c, SIDE, SIDE, requires_grad=True)
    mean = mean_of_raters(y.as_subclass(Tensor))
    exclusive = kind.startswith('exclusive')
    if exclusive: mean = mean.nan_to_num()
    for loss in (dls.loss_func, SoftDiceCELoss() if exclusive else SoftDiceBCELoss()):
        grads = [torch.autograd.grad(loss(logits, o), logits)[0] for o in (y, mean)]
        assert loss(logits, y).item() == pytest.approx(loss(logits, mean).item(), rel=1e-6)
        np.testing.assert_allclose(*grads, atol=1e-7)
    learn = Learner(dls, net(dls), metrics=[SoftDice(), DiceAt(.5)])
    with learn.no_bar():
        _, dice, dice_at = learn.validate()
        probs, targets = learn.get_preds()
    mean = mean_of_raters(targets.as_subclass(Tensor))
    if exclusive: mean = mean.nan_to_num()
    assert targets.shape == (6, 3, dls.c, SIDE, SIDE)
    assert dice == pytest.approx(SoftDice()(probs, mean, multi=not exclusive).item(), rel=1e-5)
    assert dice_at == pytest.approx(DiceAt(.5)(probs, mean, multi=not exclusive).item(), rel=1e-5)


class KeepBatch(Callback):
    order, run_valid = 95, False
    def after_pred(self): self.kept = self.x.clone(), self.y.clone()

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('mix', [MixUp, SoftMaskCutMix])
def test_mixed_images(kind, mix):
    "The mean of the mixed masks is the mix of the means, whoever is missing"
    mixed = []
    for raters in (True, False):
        dls = block(kind, raters=raters)
        dls.train = dls.train.new(shuffle=False)
        learn = Learner(dls, net(dls), cbs=[mix(), keep := KeepBatch()])
        set_seed(5)
        with learn.no_bar(), learn.no_logging(): learn.fit(1)
        mixed.append(keep.kept)
    (x, apart), (x1, mean) = mixed
    assert torch.equal(x, x1) and apart.ndim == 5 and mean.ndim == 4
    if mix is MixUp and 'some void' in kind and not kind.startswith('exclusive'): mean = torch.where(mean.isnan(), mean_of_raters(apart.as_subclass(Tensor)), mean.as_subclass(Tensor))
    np.testing.assert_allclose(mean_of_raters(apart.as_subclass(Tensor)), mean.as_subclass(Tensor), atol=2e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_a_sample_is_of_one_rater(kind):
    dls = block(kind, raters='sample')
    dls.train = dls.train.new(shuffle=False)
    drawn, seen = block(kind).train_ds, set()
    for _ in range(12):
        y = dls.one_batch()[1].as_subclass(Tensor)
        assert y.shape == (6, dls.c, SIDE, SIDE)
        for i, mask in enumerate(y):
            masks = drawn[i][1].tensor().as_subclass(Tensor)
            matches = [r for r in range(n_raters(i)) if torch.equal(masks[r].nan_to_num(-1), mask.nan_to_num(-1))]
            assert matches, 'one of the raters there are'
            seen.add((i, matches[0]))
    assert len(seen) == sum(map(n_raters, range(6))), 'each of them some time'
    assert dls.valid.one_batch()[1].shape == (6, 3, dls.c, SIDE, SIDE)


@pytest.mark.parametrize('kind', KINDS)
def test_all_that_a_learner_does(kind, tmp_path):
    dls = block(kind)
    learn = Learner(dls, net(dls), metrics=SoftDice(), path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-3)
        dls.show_batch(max_n=3)
        dls.valid.show_batch(max_n=3)
        learn.show_results(max_n=3)
        Interpretation.from_learner(learn).plot_top_losses(2)
        shown, decided, probs = learn.predict(0)
        assert probs.shape == (dls.c, SIDE, SIDE) and shown.ndim == 3
        probs, y = learn.get_preds(dl=dls.test_dl([0, 5, 8], with_labels=True))
        assert y.shape == (3, 3, dls.c, SIDE, SIDE)
        learn.export(tmp_path/'apart.pkl')
        plt.close('all')


def test_more_raters_than_there_were():
    dls = block('one class', get_y=lambda i: [drawing('one class', i, r) for r in range(5 if i == 40 else 3)])
    refused(lambda: dls.test_dl([40], with_labels=True).one_batch(), 'is one of 5 masks of an image, but no image of the `DataLoaders` had more than 3 raters')


def test_raters_whose_masks_are_of_different_kinds(tmp_path):
    "0 and 1, 0 and 255, booleans, floats, a file of one bit: all mean the same"
    mask = drawing('one class', 0, 0)
    Image.fromarray(mask).save(tmp_path/'bits.png')
    kinds = [mask, mask.astype(np.uint8)*255, mask.astype(float), torch.tensor(mask), tmp_path/'bits.png', mask.astype(np.uint8)]
    with pytest.warns(UserWarning, match='read as an index mask'): y = OpenSoftMask(raters=True)(kinds).tensor()
    assert y.shape == (6, 1, SIDE, SIDE) and all(torch.equal(m, y[0]) for m in y)
    counts = [mask, mask.astype(np.uint8)*3]
    refused(lambda: OpenSoftMask(raters=True)(counts), 'no values but small ones, up to 3', 'divide it by the number of readers')


@pytest.mark.parametrize('get_y, words', [
    (lambda i: [drawing('one class', i, 0), drawing('one class', i, 1)[:, 1:]], ["another annotator's mask of the same image", 'one size']),
    (lambda i: [drawing('one class', i, 0), None], ['the mask of one annotator is missing', 'Leave it out of the list']),
    (lambda i: [], ['the mask is an empty list']),
], ids=['sizes', 'gap', 'none'])
def test_what_raters_cannot_give(get_y, words): refused(lambda: block('one class', get_y=get_y).one_batch(), *words)

def test_options(): refused(lambda: SoftMaskBlock(raters='mean'), "raters is 'mean'; expected False, True or 'sample'")

def test_a_batch_is_no_mask_of_raters():
    "Only what a block made of raters' masks is shown as such"
    y = block('one class', raters=False).valid.one_batch()[1]
    refused(lambda: y.show(), 'Can show one mask (K,H,W)')


def test_outlines_and_their_legend():
    dls = block('one class')
    dls.valid.show_batch(max_n=3)
    fig = plt.gcf()
    assert [t.get_text() for t in fig.legends[0].texts] == ['rater 1', 'rater 2', 'rater 3']
    assert [len(ax.collections) for ax in fig.axes[:3]] == [n_raters(i) for i in (6, 7, 8)]
    drawn = [tuple(c.get_edgecolor()[0][:3]) for c in fig.axes[2].collections]
    assert drawn == [to_rgb(line.get_color()) for line in fig.legends[0].get_lines()] and len(set(drawn)) == 3, 'each rater in the colour that the legend says'
    dls = block('independent, some void')
    dls.valid.show_batch(max_n=3)
    assert all(len(ax.collections) >= n_raters(i) for ax, i in zip(plt.gcf().axes, (6, 7, 8))), 'void pixels hide no outline'
    dls = block('exclusive')
    dls.valid.show_batch(max_n=3)
    assert [t.get_text() for t in plt.gcf().legends[0].texts] == ['out', 'core', 'rim']
    plt.close('all')


@pytest.fixture
def folder(tmp_path):
    for name in ('1_anna', '1_ben', '2_ben', '3_b_anna'): Image.new('1', (4, 4)).save(tmp_path/f'{name}.png')
    for rater in ('zoe', 'carl'):
        (tmp_path/rater).mkdir()
        Image.new('1', (4, 4)).save(tmp_path/rater/'7[a].png')
    return tmp_path

def test_files_of_raters(folder):
    get_y = RaterMasks(folder, '{stem}_*.png')
    assert [f.name for f in get_y(Path('x/1.jpg'))] == ['1_anna.png', '1_ben.png'] and [f.name for f in get_y('2')] == ['2_ben.png']
    assert [get_y.rater_of(f, '3') for f in get_y('3.png')] == ['b_anna']
    by_folder = RaterMasks(folder, '*/{stem}.png')
    assert [by_folder.rater_of(f, '7[a]') for f in by_folder('7[a].jpg')] == ['carl', 'zoe'], "brackets of a name are no pattern"
    assert get_y.__getstate__()['owners'] == get_y.__getstate__()['listed'] == {} != get_y.owners
    Image.new('1', (4, 4)).save(folder/'1_carl.png')
    assert len(get_y('2')) == 1 and len(get_y('1.jpg')) == 2, 'files are listed once'
    get_y.forget()
    assert len(get_y('1.jpg')) == 3
    Image.new('1', (4, 4)).save(folder/'9_carl.png')
    assert len(get_y('9.jpg')) == 1, 'again where none were seen'

@pytest.mark.parametrize('pattern', ['{stem}.png', '*.png', '{stem}_*_*.png', '{stem}_{stem}_*.png', '{name}_*.png'])
def test_patterns_that_say_too_little(folder, pattern): refused(lambda: RaterMasks(folder, pattern), 'does not say where the names of image and rater are', "'{stem}_*.png'")

def test_files_that_are_not_there(folder):
    with pytest.raises(FileNotFoundError, match='does not exist'): RaterMasks(folder/'no', '{stem}_*.png')
    with pytest.raises(FileNotFoundError, match="9.jpg: no mask in .* is named '{stem}_[*].png'; there is '1_anna.png'"): RaterMasks(folder, '{stem}_*.png')('9.jpg')

def test_an_image_is_no_mask_of_its_own(tmp_path):
    "The folder of images lies beside those of the raters, and so do hidden ones"
    for name in ('images', 'anna', 'ben', '.Trash-1000', '.ipynb_checkpoints'):
        (tmp_path/name).mkdir()
        Image.new('L', (4, 4), 90).save(tmp_path/name/'1.png')
    image = tmp_path/'images/1.png'
    get_y = RaterMasks(tmp_path, '*/{stem}.png')
    with warnings.catch_warnings(action='error'): assert [f.parent.name for f in get_y(image)] == ['anna', 'ben']
    with pytest.warns(UserWarning, match="1.png is taken as the mask of a rater 'images'. If it is the image"): assert len(get_y('1')) == 3
    with warnings.catch_warnings(action='error'): get_y('1') # once
    for mask in ('1_anna', '1_ben'): Image.new('L', (4, 4)).save(tmp_path/f'images/{mask}.png')
    assert [f.name for f in RaterMasks(tmp_path/'images', '{stem}*.png')(image)] == ['1_anna.png', '1_ben.png']


def test_a_mask_that_two_images_could_have(folder):
    get_y = RaterMasks(folder, '{stem}_*.png')
    get_y('3.png')
    refused(lambda: get_y('3_b.png'), "may be a mask of image '3' by 'b_anna', or of image '3_b' by 'anna'", 'give each rater a folder')


@pytest.mark.parametrize('pattern', ['{stem}_*.png', 'drawn/{stem}_*.png'])
def test_masks_of_an_image_that_is_not_among_the_items(tmp_path, pattern):
    "Beside image p1 lies p1_2, whose masks look like those of p1 by raters called 2_…"
    (tmp_path/'images').mkdir()
    for stem in ('p1', 'p1_2', 'p3'):
        Image.new('L', (4, 4)).save(tmp_path/f'images/{stem}.png')
        for rater in 'xy':
            mask = tmp_path/'masks'/pattern.format(stem=stem).replace('*', rater)
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.new('1', (4, 4)).save(mask)
    get_y = RaterMasks(tmp_path/'masks', pattern)
    assert len(get_y(tmp_path/'images/p3.png')) == 2
    refused(lambda: get_y(tmp_path/'images/p1.png'), "may be a mask of image 'p1_2' by 'x', or of image 'p1' by '2_x'")
    assert len(RaterMasks(tmp_path/'masks', pattern)(tmp_path/'images/p1_2.png')) == 2


@pytest.mark.parametrize('loss', [lambda p, y: ((p.sigmoid() - y)**2).mean(), nn.BCEWithLogitsLoss()], ids=['a function', 'a module'])
def test_a_loss_of_ones_own_takes_the_mean(loss):
    def get_y(i): return [drawing('one class', i, r) for r in range(3)]
    dls, plain = (block('one class', get_y=get_y, n=6, raters=raters) for raters in (True, False))
    learn = Learner(dls, net(dls), loss_func=lambda p, y: loss(p, mean_of_raters(y)))
    with learn.no_bar(): assert learn.validate()[0] == pytest.approx(Learner(plain, learn.model, loss_func=loss).validate()[0], rel=1e-5)
