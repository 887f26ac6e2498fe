"What a reader of the code found: each was read as something else before."
import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import CrossEntropyLossFlat, DataBlock, DataLoaders, ImageBlock, IndexSplitter, Learner, RandomSplitter, TransformBlock
from PIL import Image
from torch import nn

from fastai_softlabels.all import *
from fastai_softlabels.mask_files import mask_planes
from fastai_softlabels.metrics import calibration_error
from conftest import refused


@pytest.mark.parametrize('dtype, rel', [(torch.float16, 1e-3), (torch.bfloat16, 1e-3)])
def test_class_weights_in_half_precision(dtype, rel):
    "fastai computes the loss inside of autocast, where a product of matrices would be one of halves: the mass of a class exceeds them"
    z, y = torch.randn(2, 3, 256, 256), torch.rand(2, 3, 256, 256).softmax(1)
    for loss in (SoftCrossEntropyLossFlat(axis=1, weight=[1., 2., 3.]), SoftDiceCELoss(weight=[1., 2., 3.])):
        plain = loss(z, y).item()
        with torch.autocast('cpu', dtype=dtype): assert loss(z, y).item() == pytest.approx(plain, rel=rel)


def test_two_patients_have_slices_of_one_name(tmp_path):
    for folder in ('images/p1', 'images/p2', 'masks/p1', 'masks/p2', 'other/p1'):
        (tmp_path/folder).mkdir(parents=True)
        Image.new('1', (4, 4)).save(tmp_path/folder/'001.png')
    images = [tmp_path/f'images/{p}/001.png' for p in ('p1', 'p2')]
    get_y = RaterMasks(tmp_path/'masks', '*/{stem}.png')
    assert len(get_y(images[0])) == 2 and len(get_y('001.png')) == 2, 'as far as it can be told'
    refused(lambda: get_y(images[1]), 'p1/001.png may be a mask of', 'p2/001.png, which have one name', 'Rename the images, or make a `RaterMasks` for each')


@pytest.mark.parametrize('order', '<>')
def test_masks_of_either_byte_order(order, tmp_path):
    mask = np.array([[0, 255], [255, 0]], f'{order}u2')
    np.save(tmp_path/'mask.npy', mask)
    for given in (mask, tmp_path/'mask.npy'): refused(lambda: mask_planes(given, ['cell'], False), 'has 16 bits, but no value above 255')


def test_losses_of_fastai_move_the_class_axis():
    refused(lambda: SoftMaskBlock(['a', 'b'], loss_func=CrossEntropyLossFlat(axis=1, flatten=False)), 'CrossEntropyLossFlat moves the class axis', '`SoftDiceCELoss()`')


def test_weights_in_the_order_of_their_numbers():
    counts = pd.Series([2, 2, 0, 0, 0, 1]).value_counts()
    refused(lambda: SoftCrossEntropyLossFlat(weight=1/counts), '`weight` is a Series with the index [0, 2, 1], and weights go by position', '.reindex(vocab)')
    assert SoftCrossEntropyLossFlat(weight=(1/counts).sort_index()).weight.tolist() == pytest.approx([1/3, 1, 1/2])


def halves(n_classes: int = 1):
    "Of two raters one labelled the upper half, the other the lower; the third all"
    masks = torch.full((1, 3, n_classes, 4, 4), torch.nan)
    masks[0, 0, :, :2], masks[0, 1, :, 2:], masks[0, 2] = 1, 0, 1
    return masks

def test_raters_who_labelled_no_pixel_in_common():
    two = rater_agreement(halves()[:, :2])
    assert two[['dice', 'iou', 'dice_to_others']].isna().all(axis=None)
    three = rater_agreement(halves())
    assert three.dice.item() == pytest.approx(.5) and three.iou.item() == pytest.approx(.5), 'of 1 and 3 all, of 2 and 3 nothing'
    assert ged2(torch.ones(1, 1, 4, 4), halves(), pairs='distinct').item() == pytest.approx(2/3 - .5)


def test_a_pixel_at_the_border_of_what_is_ignored_is_labelled():
    masks = torch.zeros(1, 2, 2, 4, 4)
    masks[:, :, 1] = .4 # the rest is void
    probs = torch.zeros(1, 2, 4, 4)
    probs[:, 1] = 1
    for score in (threshold_dice, best_rater_dice, consensus_dice): assert score(probs, masks).item() == pytest.approx(1)
    assert ged2(probs, masks).item() == pytest.approx(0)


def test_calibration_of_each_independent_class():
    probs, y = torch.rand(200, 3), (torch.rand(200, 3) < torch.tensor([.9, .5, .1])).float()
    y[::7, 1] = torch.nan
    there = ~y.isnan()
    each = [calibration_error(probs[there[:, k], k], y[there[:, k], k]).item() for k in range(3)]
    assert SoftECE(classwise=True)(probs, y, multi=True).item() == pytest.approx(np.mean(each), rel=1e-5)
    assert SoftECE()(probs, y, multi=True).item() == pytest.approx(calibration_error(probs[there], y[there]).item(), rel=1e-5)
    dls = DataBlock(blocks=(TransformBlock, SoftMultiCategoryBlock(['a', 'b', 'c'], ignore=True)), get_x=lambda i: probs[i].logit(), get_y=lambda i: y[i], splitter=IndexSplitter(range(100, 200))).dataloaders(list(range(200)), bs=30)
    same = nn.Linear(3, 3, bias=False)
    nn.init.eye_(same.weight)
    learn = Learner(dls, same, metrics=SoftECE(classwise=True))
    with learn.no_bar(): value = learn.validate()[1]
    assert value == pytest.approx(SoftECE(classwise=True)(probs[100:], y[100:], multi=True).item(), rel=1e-4)


def test_raters_masks_of_bytes_are_no_probabilities():
    probs, raters = torch.rand(2, 1, 4, 4), (torch.rand(2, 3, 1, 4, 4) > .5).float()
    for metric in (SoftDice(), DiceAt()):
        metric(probs, raters)
        refused(lambda: metric(probs, 255*raters), "The raters' masks hold 255; expected shares in [0,1]")


def test_a_model_may_have_a_target(digits):
    class Net(nn.Linear):
        target = nn.Linear(2, 2)
    dls = DataBlock(blocks=(TransformBlock, SoftCategoryBlock(['a', 'b'])), get_x=lambda i: torch.tensor([float(i)]), get_y=lambda i: [.3, .7], splitter=RandomSplitter()).dataloaders(list(range(9)), bs=3)
    learn = Learner(dls, Net(1, 2), metrics=top1_agreement)
    with learn.no_bar(): assert 0 <= learn.validate()[1] <= 1


def test_an_image_of_which_nothing_is_labelled():
    from fastai_softlabels.masks import drawn_raters
    masks = TensorSoftMask(torch.rand(2, 3, 2, 4, 4))
    masks[1] = torch.nan
    drawn = drawn_raters(masks)
    assert drawn.shape == (2, 2, 4, 4) and drawn[1].isnan().all() and not drawn[0].isnan().any()


@pytest.mark.parametrize('other', [dict(ignore=['bg']), dict(ignore=['Void'], exclusive=False)], ids=str)
def test_masks_mean_what_they_meant_when_the_learner_was_saved(tmp_path, other):
    def learner(**kw):
        block = SoftMaskBlock(['bg', 'road', 'Void'], **kw)
        Image.new('RGB', (8, 8)).save(tmp_path/'0.png')
        dls = DataBlock(blocks=(ImageBlock, block), get_y=lambda f: np.zeros((8, 8), np.uint8), splitter=lambda o: ([0], [0])).dataloaders([tmp_path/'0.png'], bs=1, num_workers=0)
        return Learner(dls, nn.Conv2d(3, 2, 1))
    saved = learner(ignore=['Void'])
    with pytest.warns(UserWarning, match='the model .Conv2d. is not what'): save_soft_learner(saved, tmp_path/'l.safetensors')
    load_soft_learner(tmp_path/'l.safetensors', model=nn.Conv2d(3, 2, 1), dls=learner(ignore=['Void']).dls)
    refused(lambda: load_soft_learner(tmp_path/'l.safetensors', model=nn.Conv2d(3, 2, 1), dls=learner(**other).dls), f'`{"exclusive" if "exclusive" in other else "ignore"}` of these DataLoaders')
