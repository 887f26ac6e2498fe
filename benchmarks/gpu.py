"""What the package does on a GPU, beside a CPU: values, trainings, transfers, times and memory. Under eight minutes.

    python benchmarks/gpu.py [--compile] [--tiny] [--device cpu] [--json FILE]

Needs the package's own requirements; MONAI's lines stand in the table where it is installed. Each check prints a line, and what
fails does not stop the others. On a machine without a GPU it says so; `--device cpu` rehearses everything but times and memory."""
from __future__ import annotations
import argparse, json, sys, tempfile, time, warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np, pandas as pd, torch, torch.nn.functional as F
from fastai.vision.all import (ColReader, ConvLayer, DataBlock, EndSplitter, ImageBlock, Learner, Normalize, Tensor, aug_transforms,
                               get_image_files, imagenet_stats, nn, noop, set_seed)

from timing import ROOT, about, alternate, peak, quartiles
from fastai_softlabels.all import *
from fastai_softlabels.formulas import plain_bce, plain_cross_entropy, plain_dice
from fastai_softlabels.scores import ConfidenceMeter, mask_score, SCORES
sys.path.insert(0, str(ROOT))
from experiments.runs import plain_net

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3} # of a gradient, relative to the largest
PRECISIONS = {'float32': None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


# --- values

def both_dice(pixel, exclusive: bool):
    "Half Dice, half a loss for each pixel, by the plain formulas"
    return lambda z, y: .5*plain_dice(z, y, exclusive=exclusive) + .5*pixel(z, y)

def losses(**kwargs) -> dict:
    "Name → do classes exclude each other?, our loss, the plain formula"
    ce = partial(plain_cross_entropy, axis=1)
    return {'CE': (True, SoftCrossEntropyLossFlat(axis=1, **kwargs), ce),
            'BCE': (False, SoftBCEWithLogitsLossFlat(axis=1, **kwargs), plain_bce),
            'Dice, sigmoid': (False, SoftDiceLoss(activation='sigmoid', **kwargs), partial(plain_dice, exclusive=False)),
            'Dice, softmax': (True, SoftDiceLoss(**kwargs), partial(plain_dice, exclusive=True)),
            'CE + Dice': (True, SoftDiceCELoss(**kwargs), both_dice(ce, True)),
            'BCE + Dice': (False, SoftDiceBCELoss(**kwargs), both_dice(plain_bce, False))}

def labels_for(shape: tuple, exclusive: bool, device='cpu') -> tuple:
    "Logits and soft labels"
    gen = torch.Generator().manual_seed(0)
    z, y = torch.randn(shape, generator=gen), torch.randn(shape, generator=gen)
    return z.to(device), (y.softmax(1) if exclusive else y.sigmoid()).to(device)

def gradient(loss, z: Tensor, y: Tensor) -> tuple:
    "Value and gradient"
    z = z.detach().clone().requires_grad_()
    value = loss(z, y)
    value.backward()
    return value.detach(), z.grad

def check_losses(device: str) -> str:
    "Each loss in each precision, against the plain formula in float64 on the CPU"
    worst = {}
    for name, (exclusive, ours, plain) in losses().items():
        z, y = labels_for((3, 5, 32, 32), exclusive)
        for dtype, tolerance in TOLERANCE.items():
            rounded = z.to(dtype)
            value, grad = gradient(ours, rounded.to(device), y.to(device))
            right, right_grad = gradient(plain, rounded.double(), y.double())
            off = (grad.cpu().double() - right_grad).abs().max().item()/right_grad.abs().max().item()
            assert abs(value.item() - right.item()) <= 1e-5*abs(right.item()), f'{name} in {dtype}: {value.item()} instead of {right.item()}'
            assert off <= tolerance, f'{name} in {dtype}: the gradient is off by {off:.2g} of its largest value'
            worst[dtype] = max(off, worst.get(dtype, 0))
    return ', '.join(f'{str(dtype)[6:]} gradients to {off:.1g}' for dtype, off in worst.items())

def check_metrics(device: str) -> str:
    "Each metric on the device and on the CPU"
    probs, targets = (t.softmax(1) for t in labels_for((500, 10), True))
    off = {}
    for metric in (top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, entropy_correlation):
        there, here = metric(probs.to(device), targets.to(device)), metric(probs, targets)
        off[metric.name] = abs(float(there) - float(here))
    masks = [t.sigmoid() for t in labels_for((20, 3, 32, 32), False)]
    for metric in (soft_cross_entropy, kl_divergence, brier_score, total_variation, soft_accuracy, SoftECE(), SoftECE(classwise=True)):
        there, here = (metric(*(t.to(d) for t in masks), multi=True, axis=1) for d in (device, 'cpu'))
        off[f'{metric.name} of pixels'] = abs(float(there) - float(here))
    assert max(off.values()) <= 1e-5, off
    return f'{len(off)} metrics to {max(off.values()):.1g}'

def check_grades_and_counts(device: str) -> str:
    "Losses of grades and of counts, against the same in float64 on the CPU"
    logits, shares = labels_for((64, 9), True)
    votes, off = (30*shares).round(), {}
    for name, loss, y in (('grades', SoftOrdinalLossFlat(ce=.5), shares), ('counts', DirichletMultinomialLossFlat(), votes)):
        value, grad = gradient(loss, logits.to(device), y.to(device))
        right, right_grad = gradient(loss, logits.double(), y.double())
        off[name] = max(abs(value.item() - right.item())/abs(right.item()), (grad.cpu().double() - right_grad).abs().max().item()/right_grad.abs().max().item())
    assert max(off.values()) <= 1e-5, off
    return ', '.join(f'{name} to {v:.1g}' for name, v in off.items())


# --- the device does not wait

@contextmanager
def no_synchronisation(device: str):
    "Raise where the CPU waits for the GPU"
    if device != 'cuda':
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try: yield
    finally: torch.cuda.set_sync_debug_mode('default')

def synchronising(device: str) -> dict:
    "Name → what must not make the CPU wait, ready to be called"
    res = {}
    for name, (exclusive, ours, _) in losses().items():
        for dtype in TOLERANCE:
            z, y = labels_for((2, 3, 16, 16), exclusive, device)
            res[f'{name}, {str(dtype)[6:]}'] = partial(gradient, ours, z.to(dtype), y)
    logits, targets = labels_for((64, 10), True, device)
    res['grades'] = partial(gradient, SoftOrdinalLossFlat(ce=.5), logits, targets)
    res['counts'] = partial(gradient, DirichletMultinomialLossFlat(), logits, (30*targets).round())
    meter = ConfidenceMeter(logits.device, (*SCORES, 'knn'), 9)
    res['confidence meter'] = partial(meter.add, logits, knn=logits[:, 0])
    for metric in (kl_divergence, brier_score, top1_agreement): res[f'{metric.name}.items'] = partial(metric.items, logits.softmax(1), targets)
    maps, masks = labels_for((2, 3, 16, 16), True, device)
    res['SoftDice.items'] = partial(SoftDice().items, maps.softmax(1), masks)
    res['kl_divergence of pixels'] = partial(kl_divergence.items, maps.softmax(1), masks, axis=1)
    res['SoftECE of pixels'] = partial(SoftECE().image_bins, maps.softmax(1), masks, False)
    res['the score of masks'] = partial(mask_score, maps.softmax(1))
    return res

def check_waiting(device: str) -> str:
    "Losses, meter and metrics, warmed up, do not make the CPU wait"
    faults, steps = [], synchronising(device)
    for name, step in steps.items():
        step()
        try:
            with no_synchronisation(device): step()
        except RuntimeError as e: faults.append(f'{name} ({str(e).splitlines()[0]})')
    assert not faults, '; '.join(faults)
    return f'{len(steps)} calls'


# --- trainings

def digits(device: str, n: int) -> tuple:
    "DataLoaders of digits with soft labels, without 7, 8 and 9, and the files of those"
    path = digits_votes()
    df = pd.read_csv(path/'votes.csv').head(n)
    classes = [str(k) for k in range(10)]
    known = df[df.label < 7]
    strange = [path/f for f in df[df.label >= 7].fname]
    block = DataBlock((ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=path), get_y=SoftLabelReader(known, 'fname', classes), splitter=EndSplitter(.2))
    return block.dataloaders(known, bs=64, num_workers=0, device=device), strange

def in_precision(learn: Learner, precision: str) -> Learner:
    "The learner, training in this precision"
    if precision == 'float16': return learn.to_fp16()
    if precision == 'bfloat16': return learn.to_bf16()
    return learn

def moved(learn: Learner, device: str) -> Learner:
    "The learner and its loaders on another device"
    learn.dls.to(device)
    learn.model.to(device)
    return learn

def answers(learn: Learner, dl) -> tuple:
    "Logits and targets"
    with learn.no_bar(): return learn.get_preds(dl=dl, act=noop)

def check_digits(device: str, precision: str, tiny: bool) -> str:
    "A training with `OODConfidence`; what it measured last, against the CPU with the same weights"
    set_seed(0, reproducible=True)
    dls, strange = digits(device, 200 if tiny else 1797)
    watch = OODConfidence(strange)
    learn = Learner(dls, plain_net(10, 16), metrics=[kl_divergence, brier_score], cbs=watch)
    learn = in_precision(learn, precision)
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1 if tiny else 5, 3e-3)
    seconds = time.perf_counter() - start
    there = watch.history.query('score == "softmax"').set_index('set').groupby(level=0).last().loc['ood']
    kl = learn.recorder.values[-1][2]
    learn = moved(learn.to_fp32(), 'cpu')
    logits, targets = answers(learn, learn.dls.valid)
    ood_logits, _ = answers(learn, learn.dls.test_dl(strange))
    auroc = ood_metrics(softmax_score(logits), softmax_score(ood_logits))['auroc']
    median = softmax_confidence(ood_logits).median().item()
    off = {'kl': abs(kl - kl_divergence(logits.softmax(1), targets).item()), 'auroc': abs(there.auroc - auroc), 'median': abs(there['median'] - median)}
    return off, kl, there.auroc, seconds

def masks(device: str, n: int):
    "DataLoaders of ellipses with five annotators' masks"
    path = ellipses_masks()
    block = DataBlock((ImageBlock, SoftMaskBlock), get_items=lambda p: get_image_files(p/'images')[:n], splitter=EndSplitter(.2),
                      get_y=lambda f: [path/'masks'/f'{f.stem}_{a}.png' for a in range(5)], batch_tfms=[*aug_transforms(size=64), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(path, bs=16, num_workers=0, device=device)

def check_masks(device: str, precision: str, tiny: bool):
    "A network of five convolutions with augmented masks; its Dice, against the CPU with the same weights"
    set_seed(0, reproducible=True)
    layers = [ConvLayer(i, o, ks=5) for i, o in [(3, 16), (16, 32), (32, 32), (32, 16)]]
    learn = Learner(masks(device, 32 if tiny else 160), nn.Sequential(*layers, nn.Conv2d(16, 1, 1)), metrics=SoftDice())
    learn = in_precision(learn, precision)
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1 if tiny else 12, 5e-3)
    seconds = time.perf_counter() - start
    dice = learn.recorder.values[-1][2]
    learn = moved(learn.to_fp32(), 'cpu')
    with learn.no_bar(), learn.no_logging(): here = learn.validate()[1]
    return {'dice': abs(dice - here)}, dice, float('nan'), seconds

def inside(learn: Learner, strange: list) -> dict:
    "What interpretation, temperature, doubt and strangers say of a learner of masks"
    learn.loss_func = SoftDiceBCELoss()
    interp = SoftInterpretation.from_learner(learn)
    res = {'KL by image': interp.by_image().kl_divergence, 'Dice of raters': interp.suspicious_labels(20, raters=True).to_others, 'ECE': interp.scores(n=0).value.soft_ece}
    res['strangers'] = compare_confidence({'one': learn}, strange, plot=False)[['mean', 'median', 'max']].to_numpy()
    res['temperature'] = temperature_scale(learn, force=True).temperature['after']
    res['threshold'] = abstain(learn, keep=.9, pixels=True).thresh
    return res

def check_inside(device: str, tiny: bool) -> str:
    "What is said of a segmentation on the device, and on the CPU with the same weights"
    set_seed(0, reproducible=True)
    path = ellipses_masks()
    block = DataBlock((ImageBlock, SoftMaskBlock(raters=True, loss_func=SoftDiceBCELoss)), get_items=lambda p: get_image_files(p/'images').sorted()[:32 if tiny else 160], splitter=EndSplitter(.4),
                      get_y=lambda f: [path/'masks'/f'{f.stem}_{a}.png' for a in range(5)], batch_tfms=Normalize.from_stats(*imagenet_stats))
    layers = [ConvLayer(i, o, ks=5) for i, o in [(3, 16), (16, 16)]]
    learn = Learner(block.dataloaders(path, bs=16, num_workers=0, device=device), nn.Sequential(*layers, nn.Conv2d(16, 1, 1)))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2 if tiny else 6, 1e-2)
    strange = get_image_files(photo_squares()).sorted()[:40]
    start = time.perf_counter()
    there = inside(learn, strange)
    seconds = time.perf_counter() - start
    here = inside(moved(learn, 'cpu'), strange)
    off = {name: float(np.abs(np.asarray(there[name]) - np.asarray(here[name])).max()) for name in here}
    assert max(off.values()) <= 2e-3, off
    return f'{", ".join(f"{name} to {v:.1g}" for name, v in off.items())}; {seconds:.1f} s'

def check_batch_tfms(device: str) -> str:
    "Masks that are augmented in batches stay on the device, and within [0,1]"
    set_seed(0)
    x, y = masks(device, 32).one_batch()
    assert y.device.type == device and y.min() >= 0 and y.max() <= 1, (y.device, y.min(), y.max())
    return f'{type(y).__name__} {tuple(y.shape)} on {y.device}'

def check_loading(device: str) -> str:
    "A saved learner, loaded onto the default device, predicts as before"
    dls, _ = digits(device, 200)
    learn = Learner(dls, plain_net(10, 16))
    with tempfile.TemporaryDirectory() as folder:
        save_soft_learner(learn, Path(folder)/'digits.safetensors')
        again = load_soft_learner(Path(folder)/'digits.safetensors', model=plain_net(10, 16), cpu=device == 'cpu')
    where = next(again.model.parameters()).device
    files = get_image_files(digits_votes())[:20]
    with learn.no_bar(), again.no_bar():
        before, after = learn.get_preds(dl=learn.dls.test_dl(files))[0], again.get_preds(dl=again.dls.test_dl(files))[0]
    off = (before - after).abs().max().item()
    assert where.type == device and off <= 1e-5, (where, off)
    return f'on {where}, probabilities to {off:.1g}'

def check_transfers(device: str) -> str:
    "`OODConfidence` asks the GPU once for each set, however many batches it has"
    counts = {}
    for bs in (16, 64):
        dls, strange = digits(device, 400)
        learn = Learner(dls, plain_net(10, 16))
        watch = OODConfidence(strange)
        with learn.no_bar(), learn.no_logging(): learn.fit(1, cbs=watch)
        counts[bs] = transfers(learn, watch, strange, bs, device)
    assert len(set(counts.values())) == 1, f'waits by batch size: {counts}'
    return f'waits for a set, whatever its number of batches: {counts}'

def transfers(learn, watch, strange, bs: int, device: str) -> int:
    "How often the CPU waits for the GPU while one OOD set goes by; its batches are on the device already"
    from fastai_softlabels.ood import _stream
    dl = list(learn.dls.test_dl(strange, bs=bs))
    learn.add_cb(watch)
    watch.learn, watch.trained_with = learn, learn.loss_func
    learn.model.to(device)
    if device != 'cuda': return 0
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        meter = watch.new_meter()
        try:
            _stream(learn, dl, meter.add, 'ood')
            meter.read(False)
        finally: torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(w.message) for w in caught)


# --- times and memory

SHAPES = {'rows 64×10': (64, 10), 'rows 256×1000': (256, 1000), 'maps 16×2×256×256': (16, 2, 256, 256), 'maps 16×21×512×512': (16, 21, 512, 512)}

def peers() -> dict:
    "Name of a loss → name of the peer, and the peer"
    res = {'CE': ('torch', F.cross_entropy), 'BCE': ('torch', F.binary_cross_entropy_with_logits)}
    try: from monai.losses import DiceCELoss, DiceLoss
    except ImportError: return res
    sigmoid = DiceLoss(sigmoid=True, soft_label=True)
    return {**res, 'Dice, sigmoid': ('MONAI', sigmoid), 'Dice, softmax': ('MONAI', DiceLoss(softmax=True, soft_label=True)), 'CE + Dice': ('MONAI', DiceCELoss(softmax=True)),
            'BCE + Dice': ('MONAI + torch', lambda z, y: sigmoid(z, y) + F.binary_cross_entropy_with_logits(z, y))}

def bandwidth() -> float:
    "Bytes a second that a copy on the GPU moves, read and written"
    a = torch.empty(2**28, device='cuda')
    b = torch.empty_like(a)
    times = alternate({'copy': lambda: b.copy_(a)}, 10, 'cuda')['copy']
    return 2*a.numel()*a.element_size()/quartiles(times)[1]

def step(loss, z: Tensor, y: Tensor):
    "Forward and backward"
    z.grad = None
    loss(z, y).backward()

def floor_of(z: Tensor, y: Tensor) -> int:
    "Bytes that any loss has to move: logits and labels read, the gradient written"
    return 2*z.numel()*z.element_size() + y.numel()*y.element_size()

def timed(name: str, shape_name: str, dtype, rounds: int, speed: float, compiled: bool) -> list:
    "A line of the table for ours, compiled, and the peer"
    exclusive, ours, _ = losses()[name]
    z, y = labels_for(SHAPES[shape_name], exclusive, 'cuda')
    z = z.to(dtype).requires_grad_()
    contestants = {'ours': ours}
    if compiled: contestants['ours, compiled'] = losses(compile=True)[name][1]
    if name in peers(): contestants[peers()[name][0]] = peers()[name][1]
    steps = {who: partial(step, loss, z, y) for who, loss in contestants.items()}
    times = alternate(steps, rounds, 'cuda')
    rows = []
    for who, f in steps.items():
        z.grad = None
        seconds = quartiles(times[who])[1]
        rows.append({'loss': name, 'shape': shape_name, 'logits': str(dtype)[6:], 'who': who, 'ms': 1e3*seconds, 'peak': peak(f, 'cuda')/(z.numel()*4),
                     'floors': seconds*speed/floor_of(z, y)})
    return rows

def times_table(args) -> tuple:
    "All losses, shapes and precisions; T is a float32 tensor of the logits' size"
    speed = bandwidth()
    print(f'copies move {speed/1e12:.2f} TB/s, read and written\n{"":52}{"ms":>10}{"peak":>9}{"× the least time that the memory needs":>42}')
    rows = []
    for shape_name, shape in list(SHAPES.items())[:1 if args.tiny else None]:
        for name in losses():
            if len(shape) == 2 and 'Dice' in name: continue
            for dtype in (torch.float32, torch.bfloat16):
                for r in timed(name, shape_name, dtype, 2 if args.tiny else 10, speed, args.compile and 'maps' in shape_name):
                    rows.append(r)
                    print(f"{r['loss']:14} {r['shape']:19} {r['logits']:9} {r['who']:15}{r['ms']:9.3f}{r['peak']:7.2f} T{r['floors']:12.2f}", flush=True)
    return rows, speed


# --- all of it

def tried(name: str, check) -> dict:
    "Run one check and say in a line how it went"
    try: res = {'check': name, 'ok': True, 'said': check()}
    except Exception as e: res = {'check': name, 'ok': False, 'said': f'{type(e).__name__}: {" ".join(str(e).split())[:600]}'}
    print('ok    ' if res['ok'] else 'FAILED', name, '–', res['said'], flush=True)
    return res

def trained(check, device: str, precision: str, tiny: bool, limits: dict) -> str:
    "Train on the device, compare with the CPU"
    off, score, auroc, seconds = check(device, precision, tiny)
    limit = limits[precision]
    assert max(off.values()) <= limit, f'off by {off}, more than {limit}'
    ranked = '' if np.isnan(auroc) else f', AUROC {auroc:.3f}'
    return f'{score:.4f}{ranked} in {seconds:.1f} s; the CPU, same weights, differs by at most {max(off.values()):.1g}'

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tiny', action='store_true', help='small sizes, to see that it works')
    parser.add_argument('--device', default='cuda', choices=['cuda', 'cpu'])
    parser.add_argument('--compile', action='store_true', help='time compiled losses over maps, too: two minutes more')
    parser.add_argument('--json', type=Path, help='write checks, times and what is known of the machine to this file')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('There is no GPU that torch can use here, so nothing was checked. `--device cpu` rehearses the checks.')
        return
    device, start = args.device, time.perf_counter()
    print(', '.join(f'{k} {v}' for k, v in about().items()))
    checks = [tried('losses', partial(check_losses, device)),
              tried('metrics', partial(check_metrics, device)),
              tried('grades and counts', partial(check_grades_and_counts, device)),
              tried('nothing waits', partial(check_waiting, device)),
              tried('batch transforms of masks', partial(check_batch_tfms, device)),
              tried('a saved learner', partial(check_loading, device)),
              tried('transfers', partial(check_transfers, device)),
              tried('inside a segmentation', partial(check_inside, device, args.tiny))]
    limits = {'float32': 1e-3, 'float16': 2e-2, 'bfloat16': 5e-2}
    for precision in PRECISIONS:
        if device == 'cpu' and precision != 'float32': continue
        checks.append(tried(f'digits, {precision}: KL', partial(trained, check_digits, device, precision, args.tiny, limits)))
        checks.append(tried(f'masks, {precision}: soft Dice', partial(trained, check_masks, device, precision, args.tiny, limits)))
    rows, speed = times_table(args) if device == 'cuda' else ([], None)
    print(f'{sum(not c["ok"] for c in checks)} of {len(checks)} checks failed; {time.perf_counter() - start:.0f} s')
    if args.json: args.json.write_text(json.dumps({**about(), 'copy bytes per second': speed, 'checks': checks, 'rows': rows}, indent=1, ensure_ascii=False) + '\n')
    sys.exit(any(not c['ok'] for c in checks))


if __name__ == '__main__': main()
