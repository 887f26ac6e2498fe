"Metrics against loops, over uneven batches, with ties and unlabelled items."
from types import SimpleNamespace

import numpy as np, pytest, torch
from fastai.metrics import accuracy

from fastai_softlabels.all import top1_agreement


def loop(preds, targets): return np.mean([p.argmax() in np.flatnonzero(t == t.max()) for p, t in zip(preds.numpy(), targets.numpy()) if t.sum() > 0])


def in_batches(preds, targets, cuts):
    top1_agreement.reset()
    for i, j in zip(cuts, cuts[1:]): top1_agreement.accumulate(SimpleNamespace(pred=preds[i:j], yb=(targets[i:j],), to_detach=lambda t: t.detach()))
    return top1_agreement.value.item()


@pytest.fixture
def preds(): return torch.randn(50, 4, generator=torch.Generator().manual_seed(0))

@pytest.fixture
def targets(): return torch.randint(3, (50, 4), generator=torch.Generator().manual_seed(1)).float() # many ties, some rows of zeros


@pytest.mark.parametrize('cuts', [[0, 50], [0, 1, 50], [0, 13, 26, 49, 50]])
def test_top1_agreement(preds, targets, cuts):
    targets[::7] = 0
    assert in_batches(preds, targets, cuts) == pytest.approx(loop(preds, targets)) == top1_agreement(preds, targets).item()


def test_hard_targets(preds):
    index = torch.arange(50) % 4
    assert top1_agreement(preds, index).item() == pytest.approx(accuracy(preds, index).item())
    assert in_batches(preds, index, [0, 7, 50]) == pytest.approx(accuracy(preds, index).item())


def test_unlabelled_and_nothing_labelled(preds, targets):
    targets[3] = torch.nan
    keep = torch.arange(50) != 3
    assert top1_agreement(preds, targets).item() == pytest.approx(top1_agreement(preds[keep], targets[keep]).item())
    top1_agreement.reset()
    assert top1_agreement.value is None


def test_half_precision_targets_tie_alike(preds, targets):
    assert top1_agreement(preds.half(), targets.half()).item() == pytest.approx(loop(preds.half().float(), targets))
