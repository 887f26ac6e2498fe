"Run under torchrun by test_processes.py: what two processes measure, written as JSON by the first of them"
import json, sys
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from fastai.vision.all import Callback, DataLoader, DataLoaders, Learner, num_distrib, rank_distrib, set_seed
from fastai.distributed import DistributedDL
from fastai_softlabels.dice import SoftDiceCELoss, SoftDiceLoss
from fastai_softlabels.losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, reads_of
from fastai_softlabels.all import OODConfidence
from fastai_softlabels.metrics import *

METRICS = [top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, entropy_correlation, SoftECE(5),
           SoftECE(5, equal_mass=True)]


def _broadcast(self, t, rank):
    "fastai's own calls `.cuda()`; this one works on a CPU"
    t = torch.tensor(t) if not isinstance(t, torch.Tensor) else t
    torch.distributed.broadcast(t, rank)
    return t.tolist()


def is_split() -> bool: return torch.distributed.is_torchelastic_launched()

class Split(Callback):
    "Sees that the work is really split between the processes"
    order = 20
    def before_validate(self): self.look()
    def before_train(self): self.look()
    def look(self):
        if is_split(): assert isinstance(self.learn.dl, DistributedDL) and isinstance(self.learn.model, DistributedDataParallel) and num_distrib() == 2


def ctx(learn): return learn.distrib_ctx(sync_bn=False, cpu=True) if is_split() else learn.no_bar()

def linear(n_valid: int, loss, **kw) -> Learner:
    "A fixed linear model, with `n_valid` items in batches of 4, the third last of which is unlabelled"
    set_seed(0)
    x, logits = torch.randn(16 + n_valid, 5), 2*torch.randn(16 + n_valid, 3)
    y = logits.sigmoid() if (reads_of(loss) == 'sigmoid') else logits.softmax(-1)
    y[-3] = torch.nan if (reads_of(loss) == 'sigmoid') else 0
    items = list(zip(x, y))
    return Learner(DataLoaders(DataLoader(items[:16], bs=4), DataLoader(items[16:], bs=4)), nn.Linear(5, 3), loss_func=loss, cbs=Split(), **kw)


def measured(n_valid: int, loss) -> list:
    "All metrics"
    learn = linear(n_valid, loss, metrics=METRICS)
    with learn.no_bar(), learn.no_logging(), ctx(learn): return learn.validate()[1:] # without fastai's own loss, which counts padding twice


def predicted(n_valid: int, loss) -> list:
    "Predictions beside their targets, sorted, as fastai gives them in another order where they come from several processes"
    learn = linear(n_valid, loss)
    with learn.no_bar(), learn.no_logging(), ctx(learn): preds, targets = learn.get_preds()
    return sum(sorted(torch.cat([preds, targets.nan_to_num(-1)], 1).tolist()), [])


def listened(n_valid: int) -> list:
    "What the callback hears of a fixed model, in one epoch at a learning rate of 0"
    set_seed(0)
    x, y = torch.randn(16 + n_valid, 5), torch.randn(16 + n_valid, 3).softmax(-1)
    items = list(zip(x, y))
    dls = DataLoaders(DataLoader(items[:16], bs=4), DataLoader(items[16:], bs=4))
    strange = {f'of_{n}': DataLoader([(3*o,) for o in torch.randn(n, 5)], bs=4) for n in (1, 8, 23)}
    cb = OODConfidence(strange, k=3)
    learn = Learner(dls, nn.Linear(5, 3), loss_func=SoftCrossEntropyLossFlat(), cbs=[cb, Split()], wd=0.)
    with learn.no_bar(), learn.no_logging(), ctx(learn): learn.fit(1, 0.)
    return [*cb.history.drop(columns=['set', 'score']).fillna(-1).to_numpy().ravel(), *(number for name in strange for pair in cb.surest[name] for number in pair)]


LOSSES = {'cross-entropy': SoftCrossEntropyLossFlat(), 'cross-entropy, sum': SoftCrossEntropyLossFlat(reduction='sum'), 'BCE': SoftBCEWithLogitsLossFlat(), 'BCE, sum': SoftBCEWithLogitsLossFlat(reduction='sum'),
          'Dice': SoftDiceLoss(activation='softmax'), 'Dice, sum': SoftDiceLoss(activation='softmax', reduction='sum'), 'Dice, sigmoid': SoftDiceLoss(activation='sigmoid'),
          'Dice of the batch': SoftDiceLoss(activation='softmax', aggregate='batch'), 'Dice and cross-entropy': SoftDiceCELoss()}

class Gradients(Callback):
    "Keeps those of the first step"
    def before_step(self): self.kept = [o.item() for p in self.model.parameters() for o in p.grad.flatten()]


def gradients(name: str, unlabelled: tuple, half: int = None) -> list:
    "Of one step on 12 items, or on one half of them; the first half has `unlabelled[0]` unlabelled items, the second `unlabelled[1]`"
    set_seed(0)
    loss, shape = LOSSES[name], (12, 3, 4, 4) if 'Dice' in name else (12, 3)
    x, logits = torch.randn(12, 5, *shape[2:]), 2*torch.randn(shape)
    y = logits.sigmoid() if (reads_of(loss) == 'sigmoid') else logits.softmax(1)
    for first, n in zip((0, 6), unlabelled): y[first:first + n] = torch.nan if (reads_of(loss) == 'sigmoid') else 0
    model, cb = nn.Conv2d(5, 3, 1) if 'Dice' in name else nn.Linear(5, 3), Gradients()
    items = list(zip(x, y))[slice(None) if half is None else slice(6*half, 6*half + 6)]
    learn = Learner(DataLoaders(DataLoader(items, bs=6 if is_split() else 12), DataLoader(items, bs=6)), model, loss_func=loss, cbs=[cb, Split()])
    with learn.no_bar(), learn.no_logging(), ctx(learn): learn.fit(1, 0.)
    return cb.kept


def mean_of_halves(name, unlabelled): return [(a + b)/2 for a, b in zip(*(gradients(name, unlabelled, half) for half in (0, 1)))]


if __name__ == '__main__':
    DistributedDL._broadcast = _broadcast
    torch.set_num_threads(1)
    cases = [(n, loss) for loss in (SoftCrossEntropyLossFlat(), SoftBCEWithLogitsLossFlat()) for n in (9, 16, 21)]
    res = {f'metrics, {type(loss).__name__} {n}': measured(n, loss) for n, loss in cases}
    res.update({f'get_preds, {type(loss).__name__} {n}': predicted(n, loss) for n, loss in cases})
    res.update({f'OODConfidence {n}': listened(n) for n in (9, 16, 21)})
    res = {case: list(map(float, values)) for case, values in res.items()}
    for name in LOSSES:
        for unlabelled in ((0, 0), (2, 2), (1, 4), (0, 6)):
            res[f'gradients, {name} {unlabelled}'] = gradients(name, unlabelled)
            if not is_split(): res[f'halves, {name} {unlabelled}'] = mean_of_halves(name, unlabelled)
    if rank_distrib() == 0: open(sys.argv[1], 'w').write(json.dumps(res))
