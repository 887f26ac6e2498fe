"""The losses beside those of torch, MONAI and SMP: forward and backward, one thread.

    python benchmarks/losses.py [--rounds 15] [--tiny] [--compile] [--device cuda] [--json FILE]

Columns: median time; how many times as fast ours is, as the median over the rounds (and its quartiles);
the most memory held at once, gradient included, where T is the size of the logits. Everything is done twice,
with the allocator as it is and without page faults, since these decide a good part of the time of large tensors."""
from __future__ import annotations
import json
from functools import partial

import torch, torch.nn.functional as F

from timing import about, alternate, arguments, in_regimes, peak, row, write_json
from fastai_softlabels.formulas import plain_bce, plain_cross_entropy, plain_dice
from fastai_softlabels.losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat
from fastai_softlabels.dice import SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss


def peers() -> dict:
    "Name → losses of the peers; a text where a package is missing"
    res = {'torch CE': F.cross_entropy, 'torch BCE': F.binary_cross_entropy_with_logits}
    try:
        from monai.losses import DiceCELoss, DiceLoss
        sigmoid = DiceLoss(sigmoid=True, soft_label=True)
        res.update({'MONAI Dice (sigmoid)': sigmoid, 'MONAI Dice (softmax)': DiceLoss(softmax=True, soft_label=True), 'MONAI DiceCE': DiceCELoss(softmax=True),
                    'MONAI Dice + torch BCE': lambda z, y: sigmoid(z, y) + F.binary_cross_entropy_with_logits(z, y)})
    except ImportError: res['MONAI'] = 'not installed'
    try:
        from segmentation_models_pytorch.losses import DiceLoss
        dice = DiceLoss('multilabel', from_logits=False)
        res['SMP Dice after softmax'] = lambda z, y: dice(z.softmax(1), y)
    except ImportError: res['SMP'] = 'not installed'
    return res


def cases(tiny: bool) -> list:
    "(name, shape, do classes exclude each other?, our loss, the plain formula, names of the peers)"
    maps, rows, wide = ((2, 3, 16, 16), (64, 10), (16, 100)) if tiny else ((4, 21, 256, 256), (4096, 10), (256, 1000))
    at = lambda name, shape: f'{name} {"×".join(map(str, shape))}'
    both = lambda dice, pixel: lambda z, y: .5*dice(z, y) + .5*pixel(z, y)
    ce, soft, hard = partial(plain_cross_entropy, axis=1), partial(plain_dice, exclusive=True), partial(plain_dice, exclusive=False)
    return [(at('CE', rows), rows, True, SoftCrossEntropyLossFlat, ce, ['torch CE']),
            (at('CE', wide), wide, True, SoftCrossEntropyLossFlat, ce, ['torch CE']),
            (at('CE', maps), maps, True, partial(SoftCrossEntropyLossFlat, axis=1), ce, ['torch CE']),
            (at('BCE', maps), maps, False, partial(SoftBCEWithLogitsLossFlat, axis=1), plain_bce, ['torch BCE']),
            (at('Dice, sigmoid', maps), maps, False, partial(SoftDiceLoss, activation='sigmoid'), hard, ['MONAI Dice (sigmoid)']),
            (at('Dice, softmax', maps), maps, True, SoftDiceLoss, soft, ['MONAI Dice (softmax)', 'SMP Dice after softmax']),
            (at('CE + Dice', maps), maps, True, SoftDiceCELoss, both(soft, ce), ['MONAI DiceCE']),
            (at('BCE + Dice', maps), maps, False, SoftDiceBCELoss, both(hard, plain_bce), ['MONAI Dice + torch BCE'])]


def step(loss, z, y):
    "Forward and backward"
    z.grad = None
    loss(z, y).backward()


def run(args):
    "Print a line of JSON for each line of the table"
    torch.set_num_threads(1)
    known = peers()
    for i, (name, shape, exclusive, ours, plain, names) in enumerate(cases(args.tiny)):
        if args.case not in (None, i): continue
        torch.manual_seed(0)
        z, y = torch.randn(shape), torch.randn(shape)
        z, y = z.to(args.device).requires_grad_(), (y.softmax(1) if exclusive else y.sigmoid()).to(args.device)
        losses = {'ours': ours(), **{n: known[n] for n in names if n in known}, 'the plain formula': plain}
        if args.compile: losses['the plain formula, compiled'] = ours(compile=True)
        steps = {who: partial(step, loss, z, y) for who, loss in losses.items()}
        times = alternate(steps, 2 if args.tiny else args.rounds, args.device)
        for who, f in steps.items():
            z.grad = None # what it frees must not count
            print(json.dumps(row(name, who, times, 'ours', peak=peak(f, args.device)/(z.numel()*z.element_size()))), flush=True)
        for n in names:
            if n not in known: print(json.dumps({'case': name, 'who': n, 'note': 'not installed'}), flush=True)


def main():
    parser = arguments(__doc__)
    parser.add_argument('--compile', action='store_true', help='a line for torch.compile of the plain formula, too')
    args = parser.parse_args()
    if args.regime: return run(args)
    print(', '.join(f'{k} {v}' for k, v in about().items()))
    write_json(in_regimes(__file__, args, len(cases(args.tiny))), args.json)


if __name__ == '__main__': main()
