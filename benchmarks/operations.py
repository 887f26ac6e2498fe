"""Where the time of a loss on maps goes: the shares of PyTorch's operations, ours beside PyTorch's own.

    python benchmarks/operations.py [--rounds 15] [--tiny] [--json FILE]

A profile by torch.profiler of forward and backward, one thread; and what it costs to write as much as a gradient into
fresh memory, and into memory that is kept. It says what a loss is made of; how long it takes, losses.py says."""
import torch, torch.nn.functional as F

from measured import measured, report
from timing import alternate, arguments
from fastai_softlabels.losses import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat


def shares(loss, z, y, rounds: int) -> tuple:
    "The percentage of time in Python's and PyTorch's operations together that the largest takes, and the six largest in words"
    def step():
        z.grad = None
        loss(z, y).backward()
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as prof:
        for _ in range(rounds): step()
    times = sorted(((e.self_cpu_time_total, e.key.removeprefix('aten::')) for e in prof.key_averages()), reverse=True)
    total = sum(t for t, _ in times)
    return 100*times[0][0]/total, ', '.join(f'{name} {100*t/total:.0f} %' for t, name in times[:6])


def main():
    args = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape, rounds = ((2, 3, 64, 64), 2) if args.tiny else ((4, 21, 256, 256), args.rounds)
    z = torch.randn(shape, requires_grad=True)
    cases = {'BCE': (SoftBCEWithLogitsLossFlat(axis=1), F.binary_cross_entropy_with_logits, torch.rand(shape)),
             'CE': (SoftCrossEntropyLossFlat(axis=1), F.cross_entropy, torch.randn(shape).softmax(1))}
    rows = []
    for case, (ours, torchs, y) in cases.items():
        for who, loss in (('ours', ours), ("PyTorch's", torchs)):
            largest, words = shares(loss, z, y, rounds)
            rows.append({**measured(f'{case}, operations', who, [largest], '%'), 'note': words})
    kept = torch.empty(shape)
    times = alternate({'fresh memory': lambda: torch.empty(shape).fill_(1.), 'memory kept': lambda: kept.fill_(1.)}, rounds)
    rows += [measured('a write of one T', who, [1e3*t for t in ts], 'ms') for who, ts in times.items()]
    report(args, rows)


if __name__ == '__main__': main()
