"""Which loss for soft masks? One U-Net, trained on the shares of CamVid's classes, and on the same masks hardened.

    FASTAI_SOFTLABELS_DATA=/folder/with/camvid_small.zip python experiments/camvid.py

A pixel of these masks stands for a block of 4×4 pixels of the original: its target is the share of each class in the block,
mixed pixels as they are; Void is unlabelled. Writes one row for each loss and seed to results/camvid.csv. `compare_losses`
works on any images with soft masks; experiments/masks.py runs it on the embedded ones.
"""
import io, os, time, zipfile
from pathlib import Path

import numpy as np, pandas as pd, torch
from PIL import Image
from fastai.vision.all import *

from fastai_softlabels.all import *
from fastai_softlabels.datasets import cache_path
from fastai_softlabels.files import build_folder, file_checksum
from runs import arguments, write_runs


def shares_of_blocks(archive: Path, side: int = 4) -> tuple: # The image files, train before valid; and the codes
    "Images scaled to the masks' size, and for each the counts of all codes in blocks of `side`×`side` pixels; made once"
    folder = cache_path(f'camvid_shares_{side}_{file_checksum(archive)[:12]}')
    with zipfile.ZipFile(archive) as z:
        codes = z.read('codes.txt').decode().split()
        if not folder.exists():
            with build_folder(folder) as tmp:
                for name in sorted(n for n in z.namelist() if n.endswith('.jpg')):
                    index = np.asarray(Image.open(io.BytesIO(z.read(name.replace('images', 'labels').replace('.jpg', '.png')))))
                    blocks = index[:index.shape[0]//side*side, :index.shape[1]//side*side].reshape(index.shape[0]//side, side, index.shape[1]//side, side)
                    counts = np.stack([(blocks == k).sum((1, 3)) for k in range(len(codes))]).astype(np.uint8)
                    out = tmp/f'{Path(name).parts[0]}_{Path(name).stem}.png'
                    Image.open(io.BytesIO(z.read(name))).convert('RGB').resize(counts.shape[:0:-1], Image.Resampling.BOX).save(out)
                    np.save(out.with_suffix('.npy'), counts)
    return get_image_files(folder).sorted(), codes


class UsualDice(SoftDiceLoss):
    "The usual soft Dice 1 − (2·Σpy + smooth)/(Σp + Σy + smooth), the mean over images and classes, without unlabelled pixels"
    def forward(self, logits, targets):
        p, y = self.activation(logits), targets.as_subclass(Tensor)
        if self.is_softmax(logits): p = p*y.sum(1, keepdim=True)
        return (1 - (2*(p*y).sum((2, 3)) + self.smooth)/(p.sum((2, 3)) + y.sum((2, 3)) + self.smooth)).mean()


def recipes(n_classes: int) -> dict:
    "Name → loss, whether classes count as exclusive, and whether the masks are hardened"
    if n_classes == 1:
        losses = {'Dice': SoftDiceLoss(), 'BCE': SoftDiceBCELoss(0.), 'Dice + BCE': SoftDiceBCELoss(.5), 'usual Dice': UsualDice()}
        return {**{k: (f, None, False) for k, f in losses.items()}, 'Dice + BCE, hardened': (SoftDiceBCELoss(.5), None, True)}
    losses = {'Dice': SoftDiceLoss(), 'cross-entropy': SoftDiceCELoss(0.), 'Dice + cross-entropy': SoftDiceCELoss(.5), 'usual Dice': UsualDice()}
    return {**{k: (f, True, False) for k, f in losses.items()}, 'BCE': (SoftDiceBCELoss(0.), False, False), 'Dice + cross-entropy, hardened': (SoftDiceCELoss(.5), True, True)}


def harden(planes: np.ndarray) -> np.ndarray: # Index mask (H,W); for one class a bool mask
    "The most frequent code of each pixel; for one class, where it is more probable than not"
    return planes > .5 if planes.ndim == 2 else planes.argmax(0).astype(np.uint8)


def scores(probs: Tensor, y: Tensor) -> dict:
    "How close are predictions (N,K,H,W) to soft masks, and how right is the most probable class?"
    soft_dice = SoftDice()(probs, y, multi=y.shape[1] == 1).item()
    n_scored = 1 if y.shape[1] == 1 else None # of one class the Dice is that of the foreground
    if y.shape[1] == 1: probs, y = torch.cat([probs, 1 - probs], 1), torch.cat([y, 1 - y], 1)
    probs = probs/probs.sum(1, keepdim=True).clamp_min(1e-12)
    mass, log_p = y.sum(), probs.clamp_min(1e-7).log()
    counted = y.sum(1) > .5
    confusion = torch.bincount(y.argmax(1)[counted]*y.shape[1] + probs.argmax(1)[counted], minlength=y.shape[1]**2).view(y.shape[1], -1).double()
    sizes = confusion.sum(0) + confusion.sum(1)
    union = sizes - confusion.diag()
    there = confusion.sum(1) > 0
    return dict(soft_dice=soft_dice, cross_entropy=(-(y*log_p).sum()/mass).item(), floor=(entropy(y/y.sum(1, keepdim=True).clamp_min(1e-12), axis=1)*y.sum(1)).sum().div(mass).item(),
                miou=(confusion.diag()/union)[there].mean().item(), hard_dice=(2*confusion.diag()/sizes)[:n_scored][there[:n_scored]].mean().item(), certain=(probs.amax(1)[counted] > .99).float().mean().item(), certain_target=(y.amax(1)[counted] > .99).float().mean().item())


def u_net(dls) -> Learner: return unet_learner(dls, resnet18, pretrained=False)

def compare_losses(files: list, get_y, codes: list, ignore: list = None, n_valid: int = 50, seeds=(0, 1, 2), epochs: int = 10, bs: int = 8, lr: float = 1e-3, item_tfms=None, make=u_net, only: list = None, verbose: bool = False, keep: dict = None) -> pd.DataFrame:
    "One row for each loss and seed; the last `n_valid` files are for validation, always against the soft masks. `make` makes a learner of DataLoaders; `keep` receives the learners of the last seed"
    def dataloaders(block, get_y): return DataBlock(blocks=(ImageBlock, block), get_y=get_y, splitter=IndexSplitter(range(len(files) - n_valid, len(files))), item_tfms=item_tfms,
                                                    batch_tfms=[*aug_transforms(max_rotate=5, max_warp=0, max_zoom=1.05), Normalize()]).dataloaders(files, bs=bs, num_workers=0)
    y = torch.cat([y.as_subclass(Tensor) for _, y in dataloaders(SoftMaskBlock(codes, ignore=ignore), get_y).valid])
    rows = []
    for seed in seeds:
        for name, (loss, exclusive, hard) in recipes(y.shape[1]).items():
            if only and name not in only: continue
            set_seed(seed, reproducible=True)
            dls = dataloaders(SoftMaskBlock(codes, exclusive=exclusive, ignore=ignore, loss_func=loss), (lambda f: harden(get_y(f))) if hard else get_y)
            learn, start = make(dls), time.perf_counter()
            with learn.no_bar(), learn.no_logging():
                learn.fit_one_cycle(epochs, lr)
                probs = learn.get_preds()[0].as_subclass(Tensor)
            rows.append(dict(loss=name, seed=seed, **scores(probs, y), n_train=len(dls.train_ds), n_valid=n_valid, epochs=epochs))
            if keep is not None: keep[name] = learn
            if verbose: print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, f'{time.perf_counter() - start:.0f} s', flush=True)
    return pd.DataFrame(rows)


if __name__ == '__main__':
    args, archive = arguments(__doc__, 'camvid.csv', seeds=[0, 1], epochs=6), Path(os.environ['FASTAI_SOFTLABELS_DATA'])/'camvid_small.zip'
    files, codes = shares_of_blocks(archive)
    def shares(f): return np.load(f.with_suffix('.npy'))/16
    res = compare_losses(files, shares, codes, ['Void'], seeds=args.seeds, epochs=args.epochs, only=args.only, verbose=True)
    write_runs(res, args.out, data='CamVid at 120×90, shares of 4×4 blocks', camvid_sha256=file_checksum(archive), replace=['loss', 'seed'] if args.only else None)
