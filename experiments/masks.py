"""Which loss should a block infer for soft masks? Dice alone, cross-entropy alone, or both by halves, on three sets.

    FASTAI_SOFTLABELS_DATA=/folder/with/camvid_small.zip python experiments/masks.py

Cells that five people outlined, ellipses with simulated annotators (both embedded), and CamVid's street scenes, whose masks are
the shares of the classes in blocks of pixels. The rule was fixed before the runs: `SoftMaskBlock` infers the mixture if on each set
its cross-entropy to the annotators is lower than that of Dice alone for every seed, and its hard Dice, paired by seed, is not
lower by more than two standard errors. Writes a row for each set, loss and seed to results/masks.csv.
"""
import argparse, functools, os
from pathlib import Path

import numpy as np
from fastai.vision.all import *
from PIL import Image

from fastai_softlabels.all import *
from fastai_softlabels.files import file_checksum
from camvid import compare_losses, shares_of_blocks
from runs import PlainUNet, write_runs

BINARY = ['Dice', 'BCE', 'Dice + BCE']
EXCLUSIVE = ['Dice', 'cross-entropy', 'Dice + cross-entropy']


def mean_of(masks: list) -> np.ndarray:
    "The share of the drawings that mark each pixel (H,W)"
    return np.mean([np.asarray(Image.open(m).convert('1')) for m in masks], 0)


def cells() -> dict:
    "Files, how they are labelled, and how many of the last are for validation: runs of neighbouring numbers stay together"
    path = cells_masks()
    def is_late(f): return int(f.stem[3:]) >= (27 if f.stem.startswith('1') else 29)
    files = sorted(get_image_files(path/'images'), key=lambda f: (is_late(f), f.stem))
    @functools.cache
    def share(f): return mean_of(sorted((path/'masks').glob(f'{f.stem}_*.png')))
    return dict(files=files, get_y=share, codes=['cell'], n_valid=sum(map(is_late, files)), epochs=100, item_tfms=Resize(64))


def ellipses() -> dict:
    path = ellipses_masks()
    files = get_image_files(path/'images').sorted()
    @functools.cache
    def share(f): return mean_of([path/f'masks/{f.stem}_{a}.png' for a in range(5)])
    return dict(files=files, get_y=share, codes=['ellipse'], n_valid=50, epochs=30)


def camvid() -> dict:
    files, codes = shares_of_blocks(camvid_archive())
    def shares(f): return np.load(f.with_suffix('.npy'))/16
    return dict(files=files, get_y=shares, codes=codes, ignore=['Void'], n_valid=50, epochs=30)

def camvid_archive() -> Path: return Path(os.environ['FASTAI_SOFTLABELS_DATA'])/'camvid_small.zip'

def u_net(dls) -> Learner: return Learner(dls, PlainUNet(dls.c))

SETS = {'cells': (cells, BINARY, 5), 'ellipses': (ellipses, BINARY, 5), 'CamVid': (camvid, EXCLUSIVE, 3)} # with the number of seeds


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sets', nargs='+', choices=list(SETS), default=list(SETS))
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'masks.csv')
    parser.add_argument('--seeds', type=int, nargs='+', help='only these; their rows take the place of those in the table')
    args = parser.parse_args()
    for name in args.sets:
        make, losses, n_seeds = SETS[name]
        about = dict(camvid_sha256=file_checksum(camvid_archive())) if name == 'CamVid' else {}
        for seed in args.seeds or range(n_seeds): # a seed at a time, so that what is done is kept
            runs = compare_losses(**make(), seeds=[seed], only=losses, make=u_net, bs=4, lr=3e-3, verbose=True)
            write_runs(runs.assign(set=name), args.out, replace=['set', 'loss', 'seed'], **about)
