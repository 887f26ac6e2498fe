"Run under torchrun by test_processes.py: what two processes measure, written as JSON by the first of them"
import json, sys
import torch
from torch import nn
from fastai.vision.all import Callback, DataLoader, DataLoaders, Learner, rank_distrib, set_seed
from fastai.distributed import DistributedDL
from fastai_softlabels.losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat
from fastai_softlabels.metrics import *

METRICS = [top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, entropy_correlation, SoftECE(5),
           SoftECE(5, equal_mass=True)]


def _broadcast(self, t, rank):
    "fastai's own calls `.cuda()`; this one works on a CPU"
    t = torch.tensor(t) if not isinstance(t, torch.Tensor) else t
    torch.distributed.broadcast(t, rank)
    return t.tolist()


def measured(n_valid: int, loss) -> list:
    "All metrics of a fixed linear model on `n_valid` items in batches of 4"
    set_seed(0)
    x, logits = torch.randn(16 + n_valid, 5), 2*torch.randn(16 + n_valid, 3)
    y = logits.sigmoid() if is_multi(loss) else logits.softmax(-1)
    y[-3] = torch.nan if is_multi(loss) else 0 # an unlabelled one
    items = list(zip(x, y))
    dls = DataLoaders(DataLoader(items[:16], bs=4), DataLoader(items[16:], bs=4))
    learn = Learner(dls, nn.Linear(5, 3), loss_func=loss, metrics=METRICS)
    context = learn.distrib_ctx(sync_bn=False, cpu=True) if torch.distributed.is_torchelastic_launched() else learn.no_bar()
    with learn.no_bar(), learn.no_logging(), context: return learn.validate()[1:] # without fastai's own loss, which counts padding twice


if __name__ == '__main__':
    DistributedDL._broadcast = _broadcast
    torch.set_num_threads(1)
    res = {f'{type(loss).__name__} {n}': list(map(float, measured(n, loss))) for loss in (SoftCrossEntropyLossFlat(), SoftBCEWithLogitsLossFlat()) for n in (9, 16, 21)}
    if rank_distrib() == 0: open(sys.argv[1], 'w').write(json.dumps(res))
