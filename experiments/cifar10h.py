"""Hard labels against soft labels on CIFAR-10H: the same network, data and schedule, several seeds.

    FASTAI_SOFTLABELS_DATA=/folder/with/cifar10h.zip python experiments/cifar10h.py

writes one row for each run to results/cifar10h.csv. `compare` works on any folder with images and a `votes.csv`
(columns fname, label, and one of counts for each class), so the tutorial runs the same code on the embedded digits.
"""
from pathlib import Path

import pandas as pd, torch
from fastai.vision.all import *

from fastai_softlabels.all import *
from fastai_softlabels.files import file_checksum
from runs import arguments, plain_net, write_runs


def dataloaders(path: Path, df: pd.DataFrame, classes: list, labels: str, valid_pct: float, bs: int, flip: bool) -> DataLoaders:
    "DataLoaders with `labels` 'soft' (shares of votes) or 'hard' (the label column); the last rows are for validation"
    get_y = SoftLabelReader(df, 'fname', classes) if labels == 'soft' else ColReader('label')
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(vocab=classes)), get_x=ColReader('fname', pref=path), get_y=get_y,
                      splitter=EndSplitter(valid_pct), item_tfms=Resize(32),
                      batch_tfms=[*aug_transforms(do_flip=flip, max_rotate=5, max_warp=0, max_lighting=.1), Normalize()])
    return block.dataloaders(df, bs=bs, num_workers=0)


METRICS = [top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score, entropy_correlation, SoftECE()]


def measure(learn: Learner, votes_dl, classes: list) -> dict:
    "Accuracy on the label column, all metrics against the votes, an interval over images, and what one temperature changes"
    with learn.no_bar(): probs, votes = learn.get_preds(dl=votes_dl)
    right = probs.argmax(-1) == torch.tensor([classes.index(str(l)) for l in votes_dl.items.label])
    low, high = bootstrap_interval(kl_divergence, probs, votes)
    scaled = temperature_scale(learn, dl=votes_dl, force=True)
    return dict(accuracy=right.float().mean().item(), **{m.name: m(probs, votes).item() for m in METRICS}, floor=entropy(votes).mean().item(),
                kl_low=low, kl_high=high, temperature=scaled.temperature['after'],
                **{f'{m}_{when}': scaled.loc[when, m] for m in ('kl_divergence', 'soft_ece') for when in ('before', 'after')})


def compare(path: Path, seeds=(0, 1, 2), epochs: int = 10, valid_pct: float = .2, bs: int = 64, width: int = 32, lr: float = 3e-3, flip: bool = True,
            verbose: bool = False) -> pd.DataFrame:
    "One row for each kind of label and seed; `flip`: does a mirrored image keep its label?"
    df = pd.read_csv(path/'votes.csv', dtype={'label': str})
    classes, runs = list(df.columns[2:]), []
    for seed in seeds:
        for labels in ('hard', 'soft'):
            votes = dataloaders(path, df, classes, 'soft', valid_pct, bs, flip).valid_ds
            set_seed(seed, reproducible=True)
            dls = dataloaders(path, df, classes, labels, valid_pct, bs, flip)
            learn = Learner(dls, plain_net(dls.c, width))
            with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
            runs.append(dict(labels=labels, seed=seed, **measure(learn, dls.valid.new(votes), classes), n_train=len(dls.train_ds), n_valid=len(dls.valid_ds), epochs=epochs))
            if verbose: print(runs[-1], flush=True)
    return pd.DataFrame(runs)


if __name__ == '__main__':
    args, path = arguments(__doc__, 'cifar10h.csv'), cifar10h()
    res = compare(path, args.seeds, args.epochs, verbose=True)
    write_runs(res, args.out, data='CIFAR-10H', votes_sha256=file_checksum(path/'votes.csv'))
