"Run under torchrun by test_processes.py: the second of two processes is lost in the second batch"
import os, signal, sys, time
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import InitProcessGroupKwargs
from torch import nn
from fastai.vision.all import Callback, DataLoader, DataLoaders, Learner, rank_distrib
from fastai.distributed import DistributedDL
from fastai_softlabels.all import OODConfidence, SoftCrossEntropyLossFlat, kl_divergence
from two_processes import _broadcast

WAYS = {'exit': lambda: os._exit(3), 'kill': lambda: os.kill(os.getpid(), signal.SIGKILL), 'hang': lambda: time.sleep(3600)}


class Lost(Callback):
    def before_batch(self):
        if rank_distrib() == 1 and self.iter == 1: WAYS[sys.argv[2]]()


if __name__ == '__main__':
    folder = Path(sys.argv[1])
    (folder/f'{rank_distrib()}.pid').write_text(str(os.getpid()))
    DistributedDL._broadcast = _broadcast
    torch.set_num_threads(1)
    items = list(zip(torch.randn(32, 5), torch.randn(32, 3).softmax(-1)))
    learn = Learner(DataLoaders(*(DataLoader(items, bs=4) for _ in range(2))), nn.Linear(5, 3), loss_func=SoftCrossEntropyLossFlat(), metrics=kl_divergence, cbs=[Lost(), OODConfidence({'noise': DataLoader([(o,) for o in torch.randn(8, 5)], bs=4)})])
    patience = InitProcessGroupKwargs(timeout=timedelta(seconds=10))
    with learn.no_bar(), learn.no_logging(), learn.distrib_ctx(sync_bn=False, cpu=True, kwargs_handlers=[patience]): learn.fit(2)
    (folder/'finished').touch()
