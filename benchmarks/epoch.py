"""One epoch of a resnet18 on images of 32×32, and one of a U-Net on masks of 64×64: what share of it is our code's?

    FASTAI_SOFTLABELS_DATA=/folder/with/cifar10h.zip python benchmarks/epoch.py [--rounds 15] [--tiny] [--json FILE]

Without the variable the embedded digits stand in for CIFAR-10H. 2,000 images, and 160 with the masks of five annotators, of whom
hard masks know the first. All is read in the main process, so that the profile sees it. Our code is what the package's functions
take with all that they call: reading labels or masks, encoding and moving them, the loss with its gradient, two metrics. Theirs is
fastai's for the same, of which the gradient is not seen, as it is no Python."""
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np, pandas as pd
from fastai.vision.all import (CategoryBlock, ColReader, CrossEntropyLossFlat, DataBlock, Dice, EndSplitter, ImageBlock, IntToFloatTensor, Learner, PILMask, Resize,
                               TransformBlock, accuracy, aug_transforms, foreground_acc, get_image_files, resnet18, set_seed, top_k_accuracy, unet_learner, vision_learner)
from PIL import Image

from fastai_softlabels.all import DiceAt, SoftCategoryBlock, SoftDice, SoftLabelReader, SoftMaskBlock, cifar10h, digits_votes, ellipses_masks, kl_divergence, top1_agreement
from measured import crossing, in_files, measured, profiled, report
from timing import arguments

OURS = in_files('/fastai_softlabels/')
THEIRS = in_files('/fastai/data/transforms.py', '/fastai/losses.py', '/fastai/metrics.py', 'epoch.py') # `their_mask` is below


def classifiers(n: int) -> SimpleNamespace:
    "Learners on images: one for soft labels, one for hard ones, all else equal"
    path = cifar10h() if os.environ.get('FASTAI_SOFTLABELS_DATA') else digits_votes()
    df = pd.read_csv(path/'votes.csv', dtype={'label': str}).head(n)
    classes = list(df.columns[2:])
    def learner(block, get_y, metrics) -> Learner:
        set_seed(0)
        dls = DataBlock(blocks=(ImageBlock, block), get_x=lambda row: path/row.fname, get_y=get_y, splitter=EndSplitter(.2), item_tfms=Resize(32)).dataloaders(df, bs=64, num_workers=0, drop_last=False)
        return vision_learner(dls, resnet18, pretrained=False, normalize=False, n_out=len(classes), metrics=metrics)
    return SimpleNamespace(soft=learner(SoftCategoryBlock(vocab=classes), SoftLabelReader(df, 'fname', classes), [top1_agreement, kl_divergence]),
                           hard=learner(CategoryBlock(vocab=classes), ColReader('label'), [accuracy, top_k_accuracy]))


def their_mask(files: list) -> PILMask: return PILMask(Image.fromarray(np.asarray(Image.open(files[0]))//255))

def segmenters(n: int) -> SimpleNamespace:
    "Learners on masks: one for five annotators', one for the first one's, all else equal"
    path = ellipses_masks()
    images = get_image_files(path/'images').sorted()[:n]
    def masks(f: Path) -> list: return [path/'masks'/f'{f.stem}_{i}.png' for i in range(5)]
    def learner(block, metrics, **kwargs) -> Learner:
        set_seed(0)
        dls = DataBlock(blocks=(ImageBlock, block), get_y=masks, splitter=EndSplitter(.2), batch_tfms=aug_transforms(size=64)).dataloaders(images, bs=16, num_workers=0, drop_last=False)
        return unet_learner(dls, resnet18, pretrained=False, normalize=False, metrics=metrics, **kwargs)
    hard = TransformBlock(type_tfms=their_mask, batch_tfms=IntToFloatTensor) # what a `MaskBlock` is, with masks of 0 and 255
    return SimpleNamespace(soft=learner(SoftMaskBlock(), [SoftDice(), DiceAt(.5)], n_out=1),
                           hard=learner(hard, [Dice(), foreground_acc], n_out=2, loss_func=CrossEntropyLossFlat(axis=1)))


def epoch(learn: Learner):
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)


def lines(both: SimpleNamespace, block: str, rounds: int, prefix: str = '') -> list:
    "Lines for the shares of our code and of fastai's in an epoch"
    for learn in vars(both).values(): epoch(learn)
    shares, seconds = dict(soft=[], hard=[]), dict(soft=[], hard=[])
    for i in range(rounds):
        for name in ('soft', 'hard')[::1 if i % 2 == 0 else -1]:
            stats = profiled(lambda: epoch(getattr(both, name)))
            shares[name].append(100*crossing(stats, OURS if name == 'soft' else THEIRS)/stats.total_tt)
            seconds[name].append(stats.total_tt)
    return [measured(f'{prefix}our share of an epoch', f"beyond {block}'s", np.subtract(shares['soft'], shares['hard']), '%', '' if prefix else '≤ 1'),
            measured(f'{prefix}our code', 'its epoch', shares['soft'], '%'),
            measured(f'{prefix}{block}, its loss and metrics', 'its epoch', shares['hard'], '%'),
            measured(f'{prefix}the whole epoch, profiled', f"{block}'s", np.divide(seconds['soft'], seconds['hard']), '× as long')]


if __name__ == '__main__':
    args = arguments(__doc__).parse_args()
    rounds = 2 if args.tiny else args.rounds
    report(args, lines(classifiers(64 if args.tiny else 2000), 'CategoryBlock', rounds) + lines(segmenters(20 if args.tiny else 160), 'MaskBlock', rounds, 'U-Net: '))
