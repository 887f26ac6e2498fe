"What README.md says of others and soft labels. It names the versions of constraints.txt; others may have changed their ways, and are not asked."
import inspect, re
from importlib.metadata import version
from pathlib import Path

import numpy as np, pytest, torch, torch.nn.functional as F
from fastai.vision.all import (BCEWithLogitsLossFlat, DataBlock, DiceLoss, ImageBlock, LabelSmoothingCrossEntropy, MaskBlock, MultiCategoryBlock, RandomSplitter,
                               accuracy, get_image_files)
from monai.losses import DiceCELoss, DiceLoss as MonaiDice
from timm.loss import SoftTargetCrossEntropy
from torchmetrics.functional import kl_divergence
from torchmetrics.functional.classification import multiclass_accuracy

from conftest import DIGITS
from fastai_softlabels.losses import SoftCrossEntropyLossFlat

ROOT = Path(__file__).parents[1]
PINNED = dict(l.split('==') for l in (ROOT/'constraints.txt').read_text().split('\n') if '==' in l)
PEERS = {'fastai': 'fastai', 'PyTorch': 'torch', 'timm': 'timm', 'MONAI': 'monai', 'torchmetrics': 'torchmetrics'}
asked = pytest.mark.skipif(any(version(p).split('+')[0] != PINNED[p] for p in PEERS.values()), reason='the README speaks of other versions than these')


@pytest.mark.parametrize('name', PEERS)
def test_the_readme_names_the_pinned_versions(name):
    assert re.search(rf'\b{name} {re.escape(PINNED[PEERS[name]])}\b', (ROOT/'README.md').read_text())


def soft(n=6, c=4): return torch.randn(n, c), torch.rand(n, c).softmax(-1)


@asked
def test_fastai_infers_bce_for_a_distribution(votes, digits):
    share = lambda row: (row[DIGITS]/row[DIGITS].sum()).astype(float).tolist()
    block = DataBlock(blocks=(ImageBlock, MultiCategoryBlock(encoded=True, vocab=DIGITS)), get_x=lambda r: digits/r.fname, get_y=share, splitter=RandomSplitter(seed=1))
    dls = block.dataloaders(votes, bs=8, num_workers=0)
    assert isinstance(dls.train_ds.loss_func, BCEWithLogitsLossFlat)
    assert torch.allclose(dls.one_batch()[1].sum(-1), torch.ones(8), atol=1e-4) # the labels are distributions


@asked
def test_fastai_stops_at_distributions():
    logits, y = soft()
    with pytest.raises(AssertionError): accuracy(logits, y)
    with pytest.raises(RuntimeError): LabelSmoothingCrossEntropy()(logits, y)


@asked
def test_fastai_empties_a_soft_mask(digits):
    files, mask = get_image_files(digits).sorted()[:8], np.full((8, 8), .7, dtype=np.float32)
    dls = DataBlock(blocks=(ImageBlock, MaskBlock), get_y=lambda f: mask, splitter=RandomSplitter(seed=1)).dataloaders(files, bs=2, num_workers=0)
    assert dls.one_batch()[1].unique().tolist() == [0]


@asked
def test_fastai_dice_loss_has_no_gradient_for_soft_masks():
    z = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = DiceLoss()(z, torch.full((1, 4, 4), .7))
    assert loss > 1 and torch.autograd.grad(loss, z)[0].abs().max() < 1e-6


@asked
def test_timm_is_right_for_rows_and_silent_about_masks():
    logits, y = soft()
    assert torch.allclose(SoftTargetCrossEntropy()(logits, y), F.cross_entropy(logits, y))
    z, m = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5).softmax(1)
    assert torch.allclose(SoftTargetCrossEntropy()(z, m), -(m*z.log_softmax(-1)).sum(-1).mean()) # over the width
    assert not torch.isclose(SoftTargetCrossEntropy()(z, m), F.cross_entropy(z, m))
    assert torch.isfinite(SoftTargetCrossEntropy()(logits, y[:1])) # one label for all rows, without a word


@asked
def test_torch_divides_weights_in_two_ways():
    logits, index = torch.randn(50, 3), torch.randint(3, (50,))
    w, one_hot = torch.tensor([1., 2., 5.]), F.one_hot(index, 3).float()
    assert not torch.isclose(F.cross_entropy(logits, index, w), F.cross_entropy(logits, one_hot, w), rtol=.1)
    assert torch.isclose(F.cross_entropy(logits, index, w), SoftCrossEntropyLossFlat(weight=w)(logits, one_hot))


def least(loss, y) -> torch.Tensor:
    "Where gradient descent takes free pixels"
    z = torch.zeros_like(y, requires_grad=True)
    opt = torch.optim.Adam([z], lr=.1)
    for _ in range(600):
        opt.zero_grad()
        loss(z, y).backward()
        opt.step()
    return z.detach().sigmoid()


@asked
def test_monai_dice_drives_soft_masks_to_the_ends_unless_told():
    y = torch.rand(1, 1, 16, 16)*.8 + .1
    plain, told = least(MonaiDice(sigmoid=True), y), least(MonaiDice(sigmoid=True, soft_label=True), y)
    assert ((plain < .02) | (plain > .98)).float().mean() > .98
    assert (told - y).abs().mean() < .02
    assert 'soft_label' not in inspect.signature(DiceCELoss).parameters


@asked
def test_torchmetrics_accuracy_is_one_where_nothing_agrees():
    p, y = torch.tensor([[.9, .1]]*3), torch.tensor([[.2, .8]]*3)
    assert multiclass_accuracy(p, y, num_classes=2) == 1
    assert torch.isclose(kl_divergence(y, p), (y*(y/p).log()).sum(-1).mean())
    import torchmetrics
    assert [n for n in dir(torchmetrics) if re.search('brier', n, re.I)] == []
