"""How many bytes a loss moves, and holds at its worst: counted, so the same on every machine, with or without a GPU.

    python benchmarks/traffic.py [--tiny] [--json FILE]

Forward and backward run on PyTorch's meta device, which knows shapes and computes nothing. Each operation that is no view
moves its inputs and outputs once (what it only writes, once); the peak is the most that is alive at once, the gradient
included, beside logits and labels. T is a tensor of the logits; labels are float32 throughout."""
from __future__ import annotations
from functools import partial

import torch, torch.nn.functional as F
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from timing import about, arguments, write_json
from fastai_softlabels.dice import SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss
from fastai_softlabels.losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat

# at most, of maps without weights: traffic and peak for float32 logits, peak for bfloat16
GOALS = {'CE': (18, 1.2, 4.2), 'BCE': (20.5, 1.4, 4.2), 'Dice, sigmoid': (24, 2.2, 5.5), 'Dice, softmax': (28, 3.1, 6.2), 'CE + Dice': (36, 3.2, 7.2), 'BCE + Dice': (39, 3.1, 7.2)}


def tensors(o) -> list: return [t for t in tree_leaves(o) if isinstance(t, torch.Tensor)]

def size(t: torch.Tensor) -> int:
    "Bytes behind a tensor; of an expanded one those that there are"
    return min(t.numel()*t.element_size(), t.untyped_storage().nbytes())


class Traffic(TorchDispatchMode):
    "Counts the bytes that operations move, and the most that were alive at once of what they made"
    def __init__(self):
        super().__init__()
        self.moved, self.peak, self.alive = 0, 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        res = func(*args, **kwargs)
        name, written = func._schema.name, [kwargs[k] for k in ('out', 'grad_input') if k in kwargs]
        given = tensors((args, {k: v for k, v in kwargs.items() if k not in ('out', 'grad_input')}))
        moves_nothing = func.is_view or name.startswith('aten::empty') or name.startswith('aten::new_empty') or name in ('aten::detach', 'aten::_unsafe_view')
        makes = name.startswith(('aten::zeros', 'aten::ones', 'aten::full', 'aten::new_'))
        if not moves_nothing: self.moved += sum(map(size, tensors(res))) + (0 if makes else sum(map(size, given)))
        known = {t.untyped_storage()._cdata for t in given + written}
        for t in tensors(res):
            storage = t.untyped_storage()
            if storage._cdata not in known: self.alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.alive = {k: v for k, v in self.alive.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(n for _, n in self.alive.values()))
        return res


def count(
    loss,                # A loss function
    shape: tuple,        # Of the logits
    dtype: torch.dtype,  # Of the logits
) -> tuple:              # Traffic and peak, in T
    "Count what a forward and a backward pass move and hold"
    z = torch.empty(shape, dtype=dtype, device='meta', requires_grad=True)
    y = torch.empty(shape, device='meta')
    with Traffic() as t: loss(z, y).backward()
    unit = z.numel()*z.element_size()
    return t.moved/unit, t.peak/unit


def losses() -> dict:
    "Name → our loss, its peer's name, and the peer"
    bce = F.binary_cross_entropy_with_logits
    res = {'CE': [SoftCrossEntropyLossFlat(axis=1), 'torch', F.cross_entropy], 'BCE': [SoftBCEWithLogitsLossFlat(axis=1), 'torch', bce]}
    try: from monai.losses import DiceCELoss, DiceLoss
    except ImportError: return res
    sigmoid, softmax = DiceLoss(sigmoid=True, soft_label=True), DiceLoss(softmax=True, soft_label=True)
    return {**res, 'Dice, sigmoid': [SoftDiceLoss(activation='sigmoid'), 'MONAI', sigmoid], 'Dice, softmax': [SoftDiceLoss(), 'MONAI', softmax],
            'CE + Dice': [SoftDiceCELoss(), 'MONAI', DiceCELoss(softmax=True)], 'BCE + Dice': [SoftDiceBCELoss(), 'MONAI + torch', lambda z, y: sigmoid(z, y) + bce(z, y)]}


def main():
    args = arguments(__doc__).parse_args()
    shape = (4, 3, 32, 32) if args.tiny else (4, 21, 256, 256)
    print(', '.join(f'{k} {v}' for k, v in about().items()))
    rows = []
    for name, (ours, peer, theirs) in losses().items():
        for who, loss in (('ours', ours), (peer, theirs)):
            for dtype in (torch.float32, torch.bfloat16):
                moved, peak = count(loss, shape, dtype)
                rows.append(dict(case=name, who=who, logits=str(dtype).split('.')[1], traffic=round(moved, 2), peak=round(peak, 2)))
                print(f'{name:<16} {who:<14} {rows[-1]["logits"]:<9} traffic {moved:>6.2f} T   peak {peak:>5.2f} T', flush=True)
    write_json(rows, args.json)


if __name__ == '__main__': main()
