"""What decides whether a model of fours and nines is sure of photographs? One factor at a time around one base setting.

    python experiments/strangers.py

Everything is embedded in the package. The base is the setting of the tutorial on labels and classes, without the one image for
which nobody voted four or nine; each other setting differs from it in one thing: normalisation, augmentation, the size to which
images are scaled, the network, the epochs, the learning rate, or votes in the place of labels. Each is trained with softmax and
with sigmoid, for each seed. Writes a row for each setting, seed, training, set of unknown images and score (the training's own
reading, and the distance to training items) to results/strangers.csv; `agreement` with the labels is the lower of both trainings'.
"""
import argparse
from dataclasses import dataclass, replace
from typing import Callable

import pandas as pd
from fastai.vision.all import *

from fastai_softlabels.all import *
from runs import plain_net, write_runs

NINES = ['4', '9']


def small_net(n_out: int) -> nn.Module:
    return nn.Sequential(ConvLayer(3, 16), ConvLayer(16, 32, stride=2), ConvLayer(32, 32), AdaptiveAvgPool(), Flatten(), nn.Linear(32, n_out))

def one_layer(n_out: int) -> nn.Module: return nn.Sequential(Flatten(), nn.Linear(3*8*8, n_out))

def plain(n_out: int) -> nn.Module: return plain_net(n_out, 16)

def residual(n_out: int) -> nn.Module: return resnet18(num_classes=n_out)


@dataclass(frozen=True)
class Setting:
    "How a model is trained"
    normalised: bool = False
    augmented: bool = False
    size: int = 8
    net: Callable = small_net
    epochs: int = 8
    lr: float = 1e-2
    votes: bool = False

BASE = Setting()
SETTINGS = {('base', ''): BASE, ('normalisation', 'yes'): replace(BASE, normalised=True), ('augmentation', 'yes'): replace(BASE, augmented=True),
            **{('size', str(s)): replace(BASE, size=s) for s in (16, 32)},
            **{('network', f.__name__): replace(BASE, net=f) for f in (one_layer, plain, residual)},
            **{('epochs', str(n)): replace(BASE, epochs=n) for n in (4, 16)},
            ('learning rate', '0.003'): replace(BASE, lr=3e-3), ('labels', 'votes'): replace(BASE, votes=True)}


def strangers(path: Path, df: pd.DataFrame) -> dict:
    "Sets of images that are neither four nor nine"
    digits = {name: [path/f for f in df[df.label == label].fname] for name, label in (('twos', '2'), ('sevens', '7'))}
    return {**digits, 'photos': get_image_files(photo_squares()).sorted()}


def train(setting: Setting, path: Path, known: pd.DataFrame, seed: int) -> dict:
    "Two learners, one for each loss"
    get_y = SoftLabelReader(known, 'fname', NINES) if setting.votes else ColReader('label')
    augmentation = aug_transforms(do_flip=False, max_rotate=5, max_warp=0, max_lighting=.1) if setting.augmented else []
    batch_tfms = [*augmentation, *([Normalize()] if setting.normalised else [])]
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=ColReader('fname', pref=path), get_y=get_y, splitter=EndSplitter(.25),
                      item_tfms=Resize(setting.size), batch_tfms=batch_tfms)
    def fit(learn):
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(setting.epochs, setting.lr)
    heads = train_two_heads(block, known, lambda dls: Learner(dls, setting.net(dls.c)), fit, seed=seed, bs=32, num_workers=0)
    for learn in heads.values(): learn.remove_cbs(learn.cbs.filter(lambda cb: isinstance(cb, ProgressCallback)))
    return heads


def rows_of(heads: dict, ood: dict) -> pd.DataFrame:
    "A row for each training, unknown set, and score: how sure, and how well it tells"
    table = compare_confidence(heads, ood, plot=False, scores=['softmax', 'sigmoid', 'knn']).reset_index().rename(columns={'learner': 'head'})
    own = (table.score == table['head']) | (table.score == 'knn')
    return table[own & (table['set'] != 'valid')][['head', 'set', 'score', 'median', 'above .9', 'auroc']]


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, nargs='+', default=list(range(5)))
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'strangers.csv')
    args, path = parser.parse_args(), digits_votes()
    df = pd.read_csv(path/'votes.csv', dtype={'label': str}).sample(frac=1, random_state=0)
    known, ood, runs = df[df.label.isin(NINES) & (df[NINES].sum(axis=1) > 0)].reset_index(drop=True), strangers(path, df), []
    for (factor, level), setting in SETTINGS.items():
        for seed in args.seeds:
            heads = train(setting, path, known, seed)
            agreement = min(top1_agreement(*learn.get_preds(), multi=head == 'sigmoid').item() for head, learn in heads.items())
            runs.append(rows_of(heads, ood).assign(factor=factor, level=level, seed=seed, agreement=agreement))
        last = pd.concat(runs[-len(args.seeds):])
        print(factor, level, last[last.score != 'knn'].groupby(['set', 'head']).auroc.mean().unstack().round(2).to_dict('index'), flush=True)
    first = ['factor', 'level', 'seed', 'head', 'set', 'score']
    runs = pd.concat(runs, ignore_index=True).round(5)
    write_runs(runs[first + [c for c in runs if c not in first]], args.out)
