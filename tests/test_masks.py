"Masks in every form, moved, refused, announced: against NumPy, PIL and torch."
import copy, pickle, warnings
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from matplotlib.collections import QuadMesh
from PIL import Image
from torch import Tensor
from fastai.losses import BCEWithLogitsLossFlat
from fastai.vision.all import (Brightness, Contrast, CropPad, DataBlock, Dihedral, DihedralItem, EndSplitter, Flip, FlipItem, ImageBlock, Normalize, PadMode, PILImage, RandomCrop,
                               RandomResizedCrop, RandomResizedCropGPU, Resize, ResizeMethod, Rotate, TensorImage, ToTensor, Warp, Zoom, aug_transforms)

from fastai_softlabels.all import (OpenSoftMask, PILSoftMask, SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss,
                                   SoftLabelError, SoftMaskBlock, SoftMaskCutMix, SumOfLosses, TensorSoftMask, mask_legend, mask_overlay)
from fastai_softlabels.losses import innermost
from fastai_softlabels.masks import class_colors, heat_of

LAND = ['meadow', 'forest', 'unknown']
GREY = np.array([[0, 51, 255, 128], [0, 0, 3, 200]], np.uint8)
INDEX = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], np.uint8)


def opened(o, *args, **kwargs): return OpenSoftMask(*args, **kwargs)(o).tensor().as_subclass(Tensor).numpy()

def saved(tmp_path, image, name='mask.png', **kw):
    "Path of a PIL image that was written to disk"
    image.save(tmp_path/name, **kw)
    return tmp_path/name


def one_class_forms(tmp_path):
    "Each form of one class, and its probabilities by plain arithmetic"
    wide, soft = GREY.astype(np.uint16)*257, (GREY/255).astype(np.float32)
    np.save(tmp_path/'m.npy', soft)
    np.savez(tmp_path/'m.npz', GREY)
    return {'8-bit PNG': (saved(tmp_path, Image.fromarray(GREY)), GREY/255), '8-bit PNG, path as text': (str(saved(tmp_path, Image.fromarray(GREY))), GREY/255),
            '16-bit PNG': (saved(tmp_path, Image.fromarray(wide), 'w.png'), wide/65535), 'float TIFF': (saved(tmp_path, Image.fromarray(soft), 'f.tif'), soft),
            '1-bit PNG': (saved(tmp_path, Image.fromarray(GREY > 100), 'b.png'), GREY > 100), 'binary 0, 255': (np.where(GREY > 100, 255, 0).astype(np.uint8), GREY > 100),
            'PIL image': (Image.fromarray(GREY), GREY/255), 'palette of two': (Image.fromarray((GREY > 100).astype(np.uint8)).convert('P'), GREY > 100),
            '.npy of floats': (tmp_path/'m.npy', soft), '.npz of bytes': (tmp_path/'m.npz', GREY/255), 'array': (soft, soft), 'double': (soft.astype(np.float64), soft),
            'tensor': (torch.tensor(soft), soft), 'half': (torch.tensor(soft).half(), torch.tensor(soft).half().numpy()), '(1,H,W)': (soft[None], soft), 'bool': (GREY > 100, GREY > 100),
            'bytes': (torch.tensor(GREY), GREY/255), 'all zero': (np.zeros((2, 4), np.uint8), np.zeros((2, 4))), 'integers 0, 1': ((GREY > 100).astype(int), GREY > 100)}

FORMS = ['8-bit PNG', '8-bit PNG, path as text', '16-bit PNG', 'float TIFF', '1-bit PNG', 'binary 0, 255', 'PIL image', 'palette of two', '.npy of floats', '.npz of bytes', 'array', 'double', 'tensor',
         'half', '(1,H,W)', 'bool', 'bytes', 'all zero', 'integers 0, 1']

@pytest.mark.parametrize('form', FORMS)
def test_one_class(form, tmp_path):
    o, expected = one_class_forms(tmp_path)[form]
    with pytest.warns(UserWarning, match='index mask') if form in ('palette of two', 'integers 0, 1') else nullcontext(): planes = opened(o)
    np.testing.assert_allclose(planes, np.asarray(expected)[None], atol=1e-6)


def test_all_forms_are_tried(tmp_path): assert list(one_class_forms(tmp_path)) == FORMS


def test_several_classes(tmp_path):
    one_hot = np.stack([INDEX == k for k in range(3)]).astype(np.float32)
    for form in (INDEX, Image.fromarray(INDEX), saved(tmp_path, Image.fromarray(INDEX)), saved(tmp_path, Image.fromarray(INDEX).convert('P'), 'p.png'), torch.tensor(INDEX).long(), INDEX.astype(np.int32),
                 one_hot, one_hot.astype(bool), one_hot.astype(np.uint8)*255, one_hot*1., torch.tensor(one_hot)):
        np.testing.assert_allclose(opened(form, LAND), one_hot)
        np.testing.assert_allclose(opened(form, LAND, exclusive=False), one_hot)
    votes = np.random.default_rng(0).integers(1, 6, (3, 2, 4))
    np.testing.assert_allclose(opened(votes, LAND), votes/votes.sum(0), atol=1e-6)
    shares = votes/votes.sum(0)
    np.testing.assert_allclose(opened(shares + 2e-4, LAND).sum(0), 1, atol=1e-6) # rounding of a text file
    apart = np.random.default_rng(0).random((3, 2, 4))
    np.testing.assert_allclose(opened(apart, LAND, exclusive=False), apart, atol=1e-6)
    np.testing.assert_allclose(opened((apart*255).astype(np.uint8), LAND, exclusive=False), (apart*255).astype(np.uint8)/255, atol=1e-6)


def test_several_annotators(tmp_path):
    drawn = np.random.default_rng(0).integers(0, 2, (5, 4, 6)).astype(np.uint8)*255
    files = [saved(tmp_path, Image.fromarray(m), f'{a}.png') for a, m in enumerate(drawn)]
    for form in (files, tuple(files), list(drawn), [files[0], *drawn[1:]]): np.testing.assert_allclose(opened(form)[0], drawn.mean(0)/255, atol=1e-6)
    indices = np.random.default_rng(0).integers(0, 3, (5, 4, 6))
    np.testing.assert_allclose(opened(list(indices), LAND), np.stack([(indices == k).mean(0) for k in range(3)]), atol=1e-6)


def test_ignored_codes_are_no_classes():
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4)).transpose(2, 0, 1)
    tfm = OpenSoftMask(LAND, ignore=['unknown'])
    assert list(tfm.vocab) == LAND[:2] and tfm.c == 2
    np.testing.assert_allclose(opened(shares, LAND, ignore=['unknown']), shares[:2], atol=1e-6)
    np.testing.assert_allclose(opened(shares, LAND, ignore=['meadow']), shares[1:], atol=1e-6)
    left = 1 - shares[2]
    np.testing.assert_allclose(opened(shares, LAND, exclusive=False, ignore=['unknown']), np.where(left >= .5, shares[:2]/left, np.nan), atol=1e-6)
    assert np.isnan(opened(np.full((2, 4), 2), LAND, exclusive=False, ignore=['unknown'])).all() and (opened(np.full((2, 4), 2), LAND, ignore=['unknown']) == 0).all()


@pytest.mark.parametrize('kw', [dict(codes=['a', 'b']), dict(codes=['a', 'b'], exclusive=False), dict(codes=['a', 'b', 'Void'], ignore=['Void']), dict(codes=['a', 'b', 'Void'], ignore=['Void'], exclusive=False), dict(codes=['a'])], ids=str)
def test_a_soft_mask_is_a_mask(kw):
    "opened already, it stays as it is; a list of them is averaged; one of other classes is refused"
    tfm, k = OpenSoftMask(**kw), len(kw['codes'])
    votes = np.random.default_rng(0).integers(1, 5, (2, k, k, k)) # height and width could be taken for planes
    one, two = map(tfm.encode, votes/votes.sum(1, keepdims=True))
    torch.testing.assert_close(tfm.encode(one).tensor(), one.tensor())
    if 'ignore' not in kw:
        torch.testing.assert_close(tfm.encode([one, two]).tensor().as_subclass(Tensor), (one.tensor() + two.tensor()).as_subclass(Tensor)/2)
        with pytest.raises(SoftLabelError, match=f'has {k} planes'): OpenSoftMask(['x', 'y', 'z']).encode(one)


def test_weight_of_a_partly_void_pixel():
    "its mass; a wholly void one has no value, no gradient, no count: against cross-entropy by pixel"
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4)).transpose(2, 0, 1)
    shares[:, 0, 0] = 0, 0, 1
    y = torch.tensor(opened(shares, LAND, ignore=['unknown']))[None]
    z = torch.randn(1, 2, 2, 4, requires_grad=True)
    loss = SoftCrossEntropyLossFlat(axis=1)(z, y)
    left = torch.tensor(1 - shares[2]).float()
    target = torch.tensor(shares[:2]).float()/left.clamp_min(1e-9)
    each = -(target*z[0].log_softmax(0)).sum(0)
    torch.testing.assert_close(loss, (left*each).sum()/left.sum())
    for f in (SoftCrossEntropyLossFlat(axis=1), SoftDiceLoss(), SoftDiceCELoss()): assert torch.autograd.grad(f(z, y), z)[0][0, :, 0, 0].abs().max() == 0


def test_a_batch_holds_the_masks_as_they_are(tmp_path):
    "nothing on the way to the loss changes them, also with all of fastai's default batch transforms"
    masks = np.random.default_rng(0).integers(0, 256, (4, 6, 8)).astype(np.uint8)
    for i, m in enumerate(masks):
        Image.new('RGB', (8, 6), (i, 9, 99)).save(tmp_path/f'i{i}.png')
        Image.fromarray(m).save(tmp_path/f'm{i}.png')
    block = DataBlock(blocks=(ImageBlock, SoftMaskBlock), get_y=lambda f: f.parent/f.name.replace('i', 'm'), splitter=EndSplitter(.5), batch_tfms=Normalize())
    files = [tmp_path/f'i{i}.png' for i in range(4)]
    dls = block.dataloaders(files, bs=2, num_workers=0, shuffle=False)
    for dl, part in ((dls.train, masks[:2]), (dls.valid, masks[2:]), (dls.test_dl(files, with_labels=True, bs=4), masks)):
        np.testing.assert_allclose(dl.one_batch()[1].as_subclass(Tensor), part[:, None]/255, atol=1e-6)


# ---- geometry: image and mask together, and only geometry

def twins(size=(40, 56), n=1, exclusive=False):
    "A smooth image and a mask that is a known function of it: red is the first plane, green the second; and the datasets' form"
    h, w = size
    y, x = np.mgrid[:h, :w]
    rng = np.random.default_rng(1)
    first = np.mean([np.cos(x*a + y*b + c) for a, b, c in rng.uniform(-.3, .3, (4, 3))], axis=0)*.5 + .5
    second = 1 - first if exclusive else np.mean([np.cos(x*a + y*b + c) for a, b, c in rng.uniform(-.3, .3, (4, 3))], axis=0)*.5 + .5
    planes = np.stack([first, second]).astype(np.float32)
    image = np.stack([first, second, np.zeros_like(first)], -1)
    return PILImage.create((image*255).round().astype(np.uint8)), PILSoftMask(planes, ['a', 'b'], exclusive)

ITEM = {'Resize': Resize((24, 30)), 'Resize, squish': Resize((24, 30), ResizeMethod.Squish), 'Resize, pad': Resize((50, 30), ResizeMethod.Pad, pad_mode=PadMode.Zeros), 'Resize, reflect': Resize((50, 30), ResizeMethod.Pad),
        'Resize, border': Resize((50, 30), ResizeMethod.Pad, pad_mode=PadMode.Border), 'CropPad': CropPad((30, 60)), 'RandomCrop': RandomCrop((20, 30)), 'RandomResizedCrop': RandomResizedCrop((24, 30), min_scale=.3),
        'FlipItem': FlipItem(1.), 'DihedralItem': DihedralItem(1.), 'bicubic images': Resize((24, 30), resamples=(Image.Resampling.BICUBIC, Image.Resampling.NEAREST))}

@pytest.mark.parametrize('name', ITEM)
@pytest.mark.parametrize('split_idx', [0, 1])
@pytest.mark.parametrize('exclusive', [False, True])
def test_items_move_together(name, split_idx, exclusive):
    for _ in range(4): # random ones several times
        image, mask = ToTensor()(ITEM[name](twins(exclusive=exclusive), split_idx=split_idx))
        assert type(mask) is TensorSoftMask and image.shape[1:] == mask.shape[1:] and 0 <= mask.min() and mask.max() <= 1
        assert (image[:2]/255 - mask.as_subclass(Tensor)).abs().mean() < (.02 if name == 'bicubic images' else .006)
        if exclusive and name not in ('CropPad', 'Resize, pad'): assert (mask.sum(0) - 1).abs().max() < 1e-3
    if name == 'Resize, pad': assert (mask[:, 0] == 0).all() and (image[:, 0] == 0).all() # zeros: unlabelled where classes exclude each other, else background

BATCH = {'Flip': Flip(1.), 'Dihedral': Dihedral(1.), 'Rotate': Rotate(30, 1.), 'Rotate, zeros': Rotate(30, 1., pad_mode=PadMode.Zeros), 'Zoom': Zoom(.8, 1.5, p=1.), 'Warp': Warp(.3, p=1.), 'RandomResizedCropGPU': RandomResizedCropGPU((20, 30)),
         'size': aug_transforms(size=24, max_lighting=0)[0], 'all together': aug_transforms(mult=2, flip_vert=True, max_lighting=0, p_affine=1.)[0], 'bicubic images': Rotate(20, 1., mode='bicubic')}

@pytest.mark.parametrize('name', BATCH)
@pytest.mark.parametrize('exclusive', [False, True])
def test_batches_move_together(name, exclusive):
    image, mask = ToTensor()(twins(exclusive=exclusive))
    batch = TensorImage(image[None].repeat(3, 1, 1, 1).float()/255), TensorSoftMask(mask[None].repeat(3, 1, 1, 1))
    batch[1].exclusive, batch[1].codes = mask.exclusive, mask.codes
    x, y = BATCH[name](batch, split_idx=0)
    assert type(y) is TensorSoftMask and x.shape[-2:] == y.shape[-2:] and 0 <= y.min() and y.max() <= 1
    assert (x[:, :2].as_subclass(Tensor) - y.as_subclass(Tensor)).abs().mean() < (.02 if name == 'bicubic images' else .004)
    if name != 'size': assert (y.as_subclass(Tensor)[0, :, 10:12, 10:12] - batch[1].as_subclass(Tensor)[0, :, 10:12, 10:12]).abs().max() > 1e-3
    if exclusive and name != 'Rotate, zeros': assert (y.sum(1) - 1).abs().max() < 1e-3
    if name == 'Rotate, zeros': assert (y.sum(1) == 0).any()


def test_light_never_touches_the_mask():
    image, mask = ToTensor()(twins())
    x, y = TensorImage(image[None].float()/255), TensorSoftMask(mask[None])
    for tfm in (Brightness(.6, p=1.), Contrast(.6, p=1.), Normalize.from_stats([.5]*3, [.2]*3, cuda=False)):
        x2, y2 = tfm((x.clone(), y.clone()), split_idx=0)
        assert torch.equal(y2.as_subclass(Tensor), y.as_subclass(Tensor)) and not torch.equal(x2.as_subclass(Tensor), x.as_subclass(Tensor))


def test_what_nobody_labelled_moves_too():
    "independent classes: NaN follows the geometry, and does not spread into its neighbours' values"
    shares = np.full((3, 24, 24), .3)
    shares[2] = 0
    shares[:, 4:12, 14:22] = np.array([0, 0, 1]).reshape(3, 1, 1)
    mask = OpenSoftMask(LAND, exclusive=False, ignore=['unknown'])(shares)
    flipped = ToTensor()(FlipItem(1.)(mask, split_idx=0)).as_subclass(Tensor)
    assert torch.equal(flipped.isnan(), mask.tensor().as_subclass(Tensor).flip(-1).isnan())
    small = ToTensor()(Resize(12)(mask, split_idx=1)).as_subclass(Tensor)
    assert small.isnan()[0].sum() == 16 and small[~small.isnan()].sub(.3).abs().max() < 1e-5
    turned = Rotate(p=1., draw=30.)(mask.tensor()[None], split_idx=0).as_subclass(Tensor)
    assert 55 < turned.isnan()[0, 0].sum() < 75 and turned[~turned.isnan()].sub(.3).abs().max() < 1e-5


def test_cutmix_pastes_the_same_patch():
    "of images and masks that hold their item's number"
    number = torch.arange(6.).view(6, 1, 1, 1)
    x, y = number.expand(6, 3, 20, 32).clone(), number.expand(6, 2, 20, 32)/10
    mix, torn = SoftMaskCutMix(), 0
    for _ in range(20):
        mix.learn = SimpleNamespace(xb=(x.clone(),), yb=(y.clone(),), x=x.clone(), y=y.clone(), loss_func=SoftDiceLoss())
        mix.learn.xb = (mix.learn.x,)
        mix.before_train()
        mix.before_batch()
        images, masks = mix.learn.xb[0], mix.learn.yb[0]
        assert torch.equal(images[:, :2]/10, masks)
        torn += len(masks.unique()) > 1 and masks[0].unique().numel() > 1
    assert torn > 3 and torch.equal(y, number.expand(6, 2, 20, 32)/10)


def test_transforms_of_your_own():
    "by way of arrays (H,W,K)"
    mask = OpenSoftMask(LAND, ignore=['unknown'])(np.random.default_rng(0).dirichlet(np.ones(3), (4, 6)).transpose(2, 0, 1))
    a = np.array(mask)
    assert a.shape == (4, 6, 2)
    moved = mask.like(np.roll(a, 1, axis=1)).tensor()
    assert torch.equal(moved.as_subclass(Tensor), mask.tensor().as_subclass(Tensor).roll(1, -1)) and moved.codes == LAND[:2]
    for twin in (copy.copy(mask), copy.deepcopy(mask), pickle.loads(pickle.dumps(mask)), mask.copy()):
        assert twin is not mask and torch.equal(twin.tensor(), mask.tensor()) and twin.about == mask.about


def test_zeros_from_outside():
    "by item and by batch: background for one class, unlabelled where codes are ignored"
    for ignore, outside in (([], 0.), (['unknown'], np.nan)):
        tfm = OpenSoftMask(['seen', 'unknown'][:1 + len(ignore)], exclusive=False, ignore=ignore)
        mask = tfm(np.stack([np.full((24, 24), .6), np.zeros((24, 24))][:1 + len(ignore)]))
        padded = ToTensor()(Resize((24, 40), ResizeMethod.Pad, pad_mode=PadMode.Zeros)(mask, split_idx=1)).as_subclass(Tensor)
        small = Zoom(.5, .5, p=1., draw=.5, pad_mode=PadMode.Zeros)(mask.tensor()[None], split_idx=0).as_subclass(Tensor)
        for corner, middle in ((padded[0, 12, 1], padded[0, 12, 20]), (small[0, 0, 1, 1], small[0, 0, 12, 12])):
            np.testing.assert_allclose([corner, middle], [outside, .6], atol=1e-6)


def test_a_batch_may_forget_its_codes():
    "as targets and predictions do that come from `get_preds`: the block names them again"
    *_, f = SoftMaskBlock(LAND, exclusive=False).batch_tfms
    for y in (torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4) > .5):
        x, named = f.decode((torch.rand(2), TensorSoftMask(y)))
        assert named.codes == LAND and named.exclusive is False and named[0].codes == LAND
        x, other = f.decode((torch.rand(2), TensorSoftMask(y[:, :2])))
        assert not hasattr(other, 'codes'), 'those of another block'


# ---- what is said

def test_an_index_mask_is_announced_once():
    tfm = OpenSoftMask()
    with pytest.warns(UserWarning, match='m.png holds integers up to 1, so it is read as an index mask: 0 is background, 1 foreground'): tfm.encode((GREY > 100).astype(np.uint8), 'm.png')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        tfm.encode((GREY > 100).astype(np.uint8), 'm.png')
        OpenSoftMask()(GREY)
        OpenSoftMask()(GREY > 100)
        OpenSoftMask()(np.zeros((2, 2), np.uint8))
        OpenSoftMask(LAND)(INDEX)
    with pytest.warns(UserWarning, match='has 16 bits, but no value above .* of 65535'): OpenSoftMask()(GREY.astype(np.uint16)*16)


def shape(*s): return np.full(s, .5, np.float32)


def test_rounding_errors_pass():
    a = shape(2, 3)
    a[0, 0], a[0, 1] = 1 + 1e-6, -1e-7
    assert opened(a).min() == 0 and opened(a).max() == 1
    assert opened(GREY.astype('>u2')*257).max() == 1, 'big-endian'


def test_more_containers(tmp_path):
    files = [str(saved(tmp_path, Image.fromarray(np.full((2, 4), v, np.uint8)), f'{v}.png')) for v in (51, 153)]
    for o in (np.array(files), pd.Series(files), np.array(files, dtype=object)): np.testing.assert_allclose(opened(o), .4, atol=1e-6)
    assert opened(INDEX, (c for c in LAND), ignore={'unknown'}).shape == (2, 2, 4)


def test_losses_of_the_learner_are_looked_at_too():
    "what the block would refuse"
    for loss in (SoftDiceCELoss(), SoftCrossEntropyLossFlat(axis=1), SoftDiceLoss(activation='softmax')):
        for size in (4, 256): # with the plain formulas, and with the kernels
            with pytest.raises(SoftLabelError, match='softmax over one class is 1'): loss(torch.randn(2, 1, size, size), torch.rand(2, 1, size, size))
    with pytest.raises(SoftLabelError, match=r'`axis=-1` the columns .* Say `axis=1` for'): SoftCrossEntropyLossFlat()(torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4).softmax(1))
    z = torch.randn(1, 2, 4, 4, requires_grad=True)
    unlabelled = torch.rand(1, 2, 4, 4).softmax(1)
    unlabelled[..., 0] = torch.nan
    loss = SoftDiceLoss()(z, unlabelled)
    loss.backward()
    assert z.grad.isfinite().all() and (z.grad[..., 0] == 0).all()
    torch.testing.assert_close(loss, SoftDiceLoss()(z[..., 1:], unlabelled[..., 1:]))


def test_losses_that_fit():
    for kw, losses in ((dict(codes=LAND), (SoftCrossEntropyLossFlat(axis=1), SoftDiceCELoss(), SoftDiceLoss())), (dict(), (SoftDiceLoss(), SoftDiceBCELoss(), SoftBCEWithLogitsLossFlat(axis=1), BCEWithLogitsLossFlat())),
                       (dict(codes=LAND, exclusive=False), (SoftDiceLoss(activation='sigmoid'), SoftDiceBCELoss(pos_weight=[1., 2., 3.])))):
        for loss in losses: assert type(innermost(OpenSoftMask(loss_func=loss, **kw).loss_func)) is type(loss)
    assert type(OpenSoftMask(loss_func=SoftDiceBCELoss).loss_func) is SoftDiceBCELoss and OpenSoftMask(loss_func=partial(SoftDiceLoss, smooth=2.)).loss_func.smooth == 2
    loss = OpenSoftMask(LAND)
    assert loss.loss_func is not loss.loss_func and loss.loss_func.kind == 'softmax' and OpenSoftMask().loss_func.kind == 'sigmoid'


# ---- what is shown

def test_overlay():
    p = torch.tensor([0., .25, 1.]).view(1, 1, 3)
    assert np.allclose(mask_overlay(p, False)[0, :, 3], .5*np.sqrt(p[0, 0].numpy()))
    certain, torn, void = torch.tensor([[1., 0., 0.], [.34, .33, .33], [0., 0., 0.]]).T.view(3, 1, 3).unbind(-1)
    alpha = mask_overlay(torch.stack([certain, torn, void], -1), True)[0, :, 3]
    assert alpha[0] == pytest.approx(.5) and .1 < alpha[1] < .14 and alpha[2] == 0
    assert np.allclose(mask_overlay(torch.tensor([[[1., .5]], [[0., .5]]]), False)[0, :, 3], [.5, .25])
    assert mask_overlay(torch.full((1, 1, 2), torch.nan), False)[..., 3].max() == 0


def test_a_decided_mask_shows_how_sure_it_was():
    "also where no block names its classes, as from `get_preds(with_decoded=True)`"
    for loss, exclusive in ((SoftDiceLoss(), True), (SoftDiceBCELoss(), False), (SoftCrossEntropyLossFlat(axis=1), True), (SoftBCEWithLogitsLossFlat(axis=1), False)):
        probs = loss.activation(torch.randn(2, 3, 4, 4))
        shown = loss.decodes(probs)[1].show().images[0].get_array()
        np.testing.assert_allclose(shown, mask_overlay(probs[1], exclusive), atol=1e-6)


@pytest.mark.parametrize('n', [1, 2, 3])
def test_a_mask_of_which_nothing_is_known(n):
    "several planes exclude each other"
    probs = torch.rand(n, 4, 4).softmax(0) if n > 1 else torch.rand(1, 4, 4)
    np.testing.assert_allclose(TensorSoftMask(probs).show().images[0].get_array(), mask_overlay(probs, n > 1), atol=1e-6)


def test_results_are_drawn_on_their_images():
    from fastai.vision.core import TensorImage
    from fastai_softlabels.masks import show_results
    images, masks = TensorImage(torch.rand(2, 3, 6, 6)), TensorSoftMask(torch.rand(2, 1, 6, 6))
    ctxs = show_results(images, masks, list(zip(images, masks)), [(m,) for m in masks.flip(0)])
    for i, ax in enumerate(ctxs): np.testing.assert_allclose(ax.images[0].get_array(), images[i//2].permute(1, 2, 0), atol=1e-6)


def test_many_classes_have_colours_of_their_own():
    assert len(set(class_colors(10))) == 10 and len(set(class_colors(21))) == 21 and len(set(class_colors(150))) == 150


def test_legend_names_the_codes():
    mask = OpenSoftMask(LAND, ignore=['unknown'])(INDEX).tensor()
    ax = mask.show(legend=True, title='a mask')
    assert [t.get_text() for t in ax.get_legend().texts] == LAND[:2] and ax.get_title() == 'a mask'


def test_heat_has_a_colour_bar():
    ax = OpenSoftMask()(GREY).tensor().show(legend=True, cmap='viridis')
    image, bar = ax.figure.axes
    colours = next(c for c in bar.collections if isinstance(c, QuadMesh)).cmap
    assert bar.get_ylabel() == 'foreground' and ax.get_legend() is None and bar.get_ylim() == (0, 1)
    for p in (0., .3, 1.): np.testing.assert_allclose(colours(p)[:3], mask_overlay(torch.full((1, 1, 1), p), False, cmap='viridis')[0, 0, :3], atol=.01)
    pair = plt.subplots(1, 2)[0]
    for _ in range(2): mask_legend(pair, ['lesion'])
    assert [a.get_ylabel() for a in pair.axes] == ['', '', 'lesion', 'lesion']
    plt.close('all')


def test_two_masks_from_one_net():
    "its channels are split, not its columns"
    z, lesion, land = torch.randn(2, 4, 8, 4), torch.rand(2, 1, 8, 4), torch.rand(2, 3, 8, 4).softmax(1)
    loss = SumOfLosses([SoftDiceLoss(), SoftDiceCELoss()], [1, 3])
    torch.testing.assert_close(loss(z, lesion, land), SoftDiceLoss()(z[:, :1], lesion) + SoftDiceCELoss()(z[:, 1:], land))
    with pytest.raises(SoftLabelError, match=r'gives 5 channels, but the targets need 1 \+ 3 = 4.*return a tuple'): loss(torch.randn(2, 5, 8, 4), lesion, land)


@pytest.mark.parametrize('size', [4, 16, 64, 500])
@pytest.mark.parametrize('k', [1, 3])
def test_an_array_of_a_mask_outlives_it(size, k):
    "what NumPy makes of a mask is its own, also when the memory of all that was in between is used again"
    planes = np.random.default_rng(0).random((k, size, size)).astype(np.float32)
    for _ in range(20):
        a = np.asarray(PILSoftMask(list(planes), list('abc')[:k], False))
        others = [np.full((size, size, k), -1., np.float32) for _ in range(5)]
        b = np.array(PILSoftMask(list(planes), list('abc')[:k], False))
        np.testing.assert_array_equal(a, planes.transpose(1, 2, 0))
        np.testing.assert_array_equal(b, planes.transpose(1, 2, 0))
        assert a.flags.writeable and b.flags.writeable and len(others) == 5


@pytest.mark.parametrize('n_raters', [1, 3])
@pytest.mark.parametrize('tfm', [Resize((24, 30)), Resize((13, 50), ResizeMethod.Squish), Resize((50, 30), ResizeMethod.Pad), Resize((90, 100)), RandomCrop((20, 30)),
                                 RandomResizedCrop((24, 30), min_scale=.3), CropPad((60, 44), pad_mode=PadMode.Reflection)], ids=lambda t: f'{type(t).__name__} {t.size}')
def test_few_of_many_codes_move_as_all_do(tfm, n_raters):
    "what is not computed where a plane is 0 is 0: each plane as an image of floats of its own, resized by Pillow"
    codes, rng = [f'code {i}' for i in range(12)], np.random.default_rng(0)
    raters = [np.full((40, 50), 3, np.uint8) for _ in range(n_raters)]
    for a, code in zip(raters*4, (0, 7, 5, 11)*n_raters):
        top, left = rng.integers(0, (40, 50))
        a[top:top + rng.integers(1, 20), left:left + rng.integers(1, 20)] = code
    mask = OpenSoftMask(codes)(raters)
    if hasattr(tfm, 'before_call'): tfm.before_call(mask, 1)
    found = tfm.encodes(mask).tensor().as_subclass(Tensor).numpy()
    planes = np.mean([[a == k for k in range(12)] for a in raters], axis=0).astype(np.float32)
    expected = np.stack([np.asarray(tfm.encodes(Image.fromarray(p))) for p in planes])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(p is None for p in mask.planes) >= 6, 'most codes are nowhere'
    if not isinstance(tfm, CropPad): np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize('seed', range(5))
def test_a_plane_resized_where_it_is_not_zero(seed):
    "any size, place and scale, against Pillow's resize of the whole"
    rng = np.random.default_rng(seed)
    for _ in range(60):
        a = np.zeros(rng.integers(1, 60, 2), np.float32)
        (top, left), (height, width) = rng.integers(0, a.shape), rng.integers(1, 30, 2)
        a[top:top + height, left:left + width] = rng.random(a[top:top + height, left:left + width].shape)
        size = tuple(rng.integers(1, 90, 2).tolist())
        found = PILSoftMask([np.ones_like(a), a], ['rest', 'spot'], False).resize(size).stacked()[1]
        np.testing.assert_allclose(found, Image.fromarray(a).resize(size, Image.Resampling.BILINEAR), atol=1e-5)


def test_a_code_that_is_nowhere_costs_no_plane():
    mask = OpenSoftMask(LAND)(np.zeros((40, 50), np.uint8))
    assert [p is None for p in mask.planes] == [False, True, True] and [p is None for p in mask.resize((20, 20)).planes] == [False, True, True]
    again = pickle.loads(pickle.dumps(mask))
    np.testing.assert_array_equal(again.stacked(), mask.stacked())
    everywhere = OpenSoftMask(LAND, ignore=['unknown'])(np.full((40, 50), 2, np.uint8))
    assert everywhere.resize((20, 30)).tensor().shape == (2, 30, 20) and everywhere.tensor().sum() == 0


@pytest.mark.parametrize('axis, takes', [(1, True), (-3, True), (-4, False), (-1, False), (2, False)])
def test_a_loss_of_ones_own_says_its_axis(axis, takes):
    class Own(torch.nn.Module):
        reads = 'softmax'
        def forward(self, z, y): return (z - y).abs().mean()
    loss = Own()
    loss.axis = axis
    with nullcontext() if takes else pytest.raises(SoftLabelError, match=f'Own has its classes along axis {axis}; .* are along 1: say `axis=1`'): OpenSoftMask(LAND, loss_func=loss)


@pytest.mark.parametrize('top, words', [(64, 'counts the readers'), (65, 'percentages by 100'), (101, 'Divide it by 255'), (1.5, 'Did an interpolation overshoot'), (255, 'Divide it by 255')])
def test_floats_above_one(top, words):
    mask = np.zeros((2, 2))
    mask[0] = 1, top
    with pytest.raises(SoftLabelError, match=words): OpenSoftMask()(mask)


def test_heat_leaves_out_the_darkest_colours():
    cmap = plt.get_cmap('inferno')
    for p, at in ((0., .15), (.5, .575), (1., 1.)): assert heat_of(p, 'inferno') == pytest.approx(cmap(at))
