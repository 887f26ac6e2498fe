"""Hard labels against soft labels on CIFAR-10H: the same network, data and schedule, several seeds.

    FASTAI_SOFTLABELS_DATA=/folder/with/cifar10h.zip python experiments/cifar10h.py

writes one row for each run to results/cifar10h.csv. `compare` works on any folder with images and a `votes.csv`
(columns fname, label, and one of counts for each class), so the tutorial runs the same code on the embedded digits.
"""
import argparse, os, platform
from pathlib import Path

import pandas as pd, torch
import fastai
from fastai.vision.all import *

from fastai_softlabels.all import *
from fastai_softlabels.datasets import file_checksum


def machine() -> str:
    "This machine in words: processor, cores, accelerator"
    try: cpu = next(l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name'))
    except (OSError, StopIteration): cpu = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{os.cpu_count()} cores of {cpu}, {gpu}'


def plain_net(n_out: int, width: int = 32) -> nn.Module:
    "Eight layers: seven 3×3 convolutions with batch norm, the resolution halved three times, and a linear layer"
    w = width
    sizes = [(3, w, 1), (w, w, 2), (w, 2*w, 1), (2*w, 2*w, 2), (2*w, 4*w, 1), (4*w, 4*w, 2), (4*w, 4*w, 1)]
    return nn.Sequential(*[ConvLayer(i, o, stride=s) for i, o, s in sizes], AdaptiveAvgPool(), Flatten(), nn.Linear(4*w, n_out))


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
    scaled = temperature_scale(learn, dl=votes_dl)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4])
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'results'/'cifar10h.csv')
    args = parser.parse_args()
    path = cifar10h()
    res = compare(path, args.seeds, args.epochs, verbose=True)
    res = res.assign(data='CIFAR-10H', votes_sha256=file_checksum(path/'votes.csv'), machine=machine(), torch=torch.__version__, fastai=fastai.__version__)
    args.out.parent.mkdir(exist_ok=True)
    tmp = args.out.with_suffix('.part')
    res.to_csv(tmp, index=False)
    tmp.rename(args.out)
