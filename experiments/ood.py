"""What do models say about images of no class that they know? One network trained with softmax and one with sigmoid.

    FASTAI_SOFTLABELS_DATA=/folder/with/both/zips python experiments/ood.py

CIFAR-10H's six animals are the domain, its four vehicles are near it, squares cut from CamVid's street scenes
(camvid_small.zip) are far. Writes one row for each seed, training and set of images to results/ood.csv.
`compare_heads` works on any table of items with votes, so the tutorial runs the same code on the embedded digits.
"""
import os, zipfile
from pathlib import Path

import pandas as pd, torch
from PIL import Image
from fastai.vision.all import *

from fastai_softlabels.all import *
from fastai_softlabels.datasets import cache_path
from fastai_softlabels.files import build_folder, file_checksum
from runs import arguments, plain_net, write_runs

ANIMALS, VEHICLES = ['bird', 'cat', 'deer', 'dog', 'frog', 'horse'], ['airplane', 'automobile', 'ship', 'truck']


def squares(archive: Path, side: int = 96, to: int = 32) -> list:
    "Files of squares cut from the photographs in `archive`, three from each, scaled down; made once"
    folder = cache_path(f'camvid_squares_{file_checksum(archive)[:12]}')
    if not folder.exists():
        with build_folder(folder) as tmp, zipfile.ZipFile(archive) as z:
            for name in sorted(n for n in z.namelist() if '/images/' in n and n.endswith('.jpg')):
                with z.open(name) as f: image = Image.open(f).convert('RGB')
                side_here = min(side, image.height)
                for i, left in enumerate(torch.linspace(0, image.width - side_here, 3).int().tolist()):
                    image.crop((left, 0, left + side_here, side_here)).resize((to, to), Image.BILINEAR).save(tmp/f'{Path(name).stem}_{i}.png')
    return get_image_files(folder).sorted()


def compare_heads(path: Path, known: pd.DataFrame, classes: list, ood: dict, seeds=(0, 1, 2), epochs: int = 10, bs: int = 64, width: int = 32, lr: float = 3e-3, flip: bool = True,
                  valid_pct: float = .2, size: int = 32, verbose: bool = False) -> pd.DataFrame:
    "One row for each seed, training and set: confidence, and how well it tells the set from in-domain images"
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=path), get_y=SoftLabelReader(known, 'fname', classes), splitter=EndSplitter(valid_pct),
                      item_tfms=Resize(size), batch_tfms=[*aug_transforms(do_flip=flip, max_rotate=5, max_warp=0, max_lighting=.1), Normalize()])
    def fit(learn):
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    rows = []
    for seed in seeds:
        heads = train_two_heads(block, known, lambda dls: Learner(dls, plain_net(dls.c, width)), fit, seed=seed, bs=bs, num_workers=0)
        with heads['softmax'].no_bar(), heads['sigmoid'].no_bar():
            agreement = {head: top1_agreement(*learn.get_preds(), multi=head == 'sigmoid').item() for head, learn in heads.items()}
        table = compare_confidence(heads, ood, plot=False).reset_index().rename(columns={'learner': 'head'})
        rows.append(table.assign(seed=seed, agreement=table['head'].map(agreement), n_train=len(heads['softmax'].dls.train_ds), epochs=epochs))
        if verbose: print(rows[-1].round(3).to_string(), flush=True)
    return pd.concat(rows, ignore_index=True)


def animals() -> tuple:
    "CIFAR-10H's folder, the rows of its animals, the images near to them and far from them, and what all that was made of"
    path, archive = cifar10h(), Path(os.environ['FASTAI_SOFTLABELS_DATA'])/'camvid_small.zip'
    votes = pd.read_csv(path/'votes.csv')
    known = votes[votes.label.isin(ANIMALS) & (votes[ANIMALS].sum(axis=1) > 0)]
    near = [path/f for f in votes[votes.label.isin(VEHICLES)].fname]
    sources = dict(data='CIFAR-10H animals; near: vehicles, far: CamVid', votes_sha256=file_checksum(path/'votes.csv'), camvid_sha256=file_checksum(archive))
    return path, known, {'near': near, 'far': squares(archive)}, sources


if __name__ == '__main__':
    args, (path, known, ood, sources) = arguments(__doc__, 'ood.csv'), animals()
    write_runs(compare_heads(path, known, ANIMALS, ood, args.seeds, args.epochs, verbose=True), args.out, **sources)
