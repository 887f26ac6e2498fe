"Run under torchrun by test_processes.py: what two processes measure, written as JSON by the first of them"
import json, sys
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from fastai.vision.all import Callback, DataLoader, DataLoaders, Learner, num_distrib, rank_distrib, set_seed
from fastai.distributed import DistributedDL
from fastai_softlabels.losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat
from fastai_softlabels.all import OODConfidence
from fastai_softlabels.metrics import *

METRICS = [top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, entropy_correlation, SoftECE(5),
           SoftECE(5, equal_mass=True)]


def _broadcast(self, t, rank):
    "fastai's own calls `.cuda()`; this one works on a CPU"
    t = torch.tensor(t) if not isinstance(t, torch.Tensor) else t
    torch.distributed.broadcast(t, rank)
    return t.tolist()


class Split(Callback):
    "Sees that the work is really split between the processes"
    order = 20
    def before_validate(self):
        if torch.distributed.is_torchelastic_launched(): assert isinstance(self.learn.dl, DistributedDL) and isinstance(self.learn.model, DistributedDataParallel) and num_distrib() == 2


def measured(n_valid: int, loss) -> list:
    "All metrics of a fixed linear model on `n_valid` items in batches of 4"
    set_seed(0)
    x, logits = torch.randn(16 + n_valid, 5), 2*torch.randn(16 + n_valid, 3)
    y = logits.sigmoid() if is_multi(loss) else logits.softmax(-1)
    y[-3] = torch.nan if is_multi(loss) else 0 # an unlabelled one
    items = list(zip(x, y))
    dls = DataLoaders(DataLoader(items[:16], bs=4), DataLoader(items[16:], bs=4))
    learn = Learner(dls, nn.Linear(5, 3), loss_func=loss, metrics=METRICS, cbs=Split())
    context = learn.distrib_ctx(sync_bn=False, cpu=True) if torch.distributed.is_torchelastic_launched() else learn.no_bar()
    with learn.no_bar(), learn.no_logging(), context: return learn.validate()[1:] # without fastai's own loss, which counts padding twice


def listened(n_valid: int) -> list:
    "What the callback hears of a fixed model, in one epoch at a learning rate of 0"
    set_seed(0)
    x, y = torch.randn(16 + n_valid, 5), torch.randn(16 + n_valid, 3).softmax(-1)
    items = list(zip(x, y))
    dls = DataLoaders(DataLoader(items[:16], bs=4), DataLoader(items[16:], bs=4))
    strange = {f'of_{n}': DataLoader([(3*o,) for o in torch.randn(n, 5)], bs=4) for n in (1, 8, 23)}
    cb = OODConfidence(strange, k=3)
    learn = Learner(dls, nn.Linear(5, 3), loss_func=SoftCrossEntropyLossFlat(), cbs=[cb, Split()], wd=0.)
    context = learn.distrib_ctx(sync_bn=False, cpu=True) if torch.distributed.is_torchelastic_launched() else learn.no_bar()
    with learn.no_bar(), learn.no_logging(), context: learn.fit(1, 0.)
    return [*cb.history.drop(columns=['set', 'head']).fillna(-1).to_numpy().ravel(), *(number for name in strange for pair in cb.surest[name] for number in pair)]


if __name__ == '__main__':
    DistributedDL._broadcast = _broadcast
    torch.set_num_threads(1)
    res = {f'{type(loss).__name__} {n}': list(map(float, measured(n, loss))) for loss in (SoftCrossEntropyLossFlat(), SoftBCEWithLogitsLossFlat()) for n in (9, 16, 21)}
    res.update({f'OODConfidence {n}': list(map(float, listened(n))) for n in (9, 16, 21)})
    if rank_distrib() == 0: open(sys.argv[1], 'w').write(json.dumps(res))
