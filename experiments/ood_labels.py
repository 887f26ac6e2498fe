"""What do models say about images of no class that they know, if they learned from labels, or from votes?

    FASTAI_SOFTLABELS_DATA=/folder/with/both/zips python experiments/ood_labels.py

The same network on CIFAR-10H's animals, once with the label column as target and once with the shares of the votes; near
and far images as in ood.py. The runs on shares are the softmax ones of results/ood.csv, to the last digit (same network,
seeds and batches), so only those on labels are made here: a row for each seed and set of images in results/ood_labels.csv.
`compare_labels` works on any table of items with votes, so the tutorial runs the same code on the embedded digits.
"""
from pathlib import Path

import pandas as pd
from fastai.vision.all import *

from fastai_softlabels.all import *
from ood import ANIMALS, animals
from runs import arguments, plain_net, write_runs


def compare_labels(path: Path, known: pd.DataFrame, classes: list, ood: dict, kinds=('hard', 'soft'), seeds=(0, 1, 2), epochs: int = 10, bs: int = 64, width: int = 32, lr: float = 3e-3,
                   flip: bool = True, valid_pct: float = .2, size: int = 32, verbose: bool = False) -> pd.DataFrame:
    "One row for each seed, kind of label and set: confidence, and how well it tells the set from in-domain images"
    readers, rows = {'hard': ColReader('label'), 'soft': SoftLabelReader(known, 'fname', classes)}, []
    for seed in seeds:
        learners = {}
        for labels in kinds:
            block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(vocab=classes)), get_x=ColReader('fname', pref=path), get_y=readers[labels], splitter=EndSplitter(valid_pct),
                              item_tfms=Resize(size), batch_tfms=[*aug_transforms(do_flip=flip, max_rotate=5, max_warp=0, max_lighting=.1), Normalize()])
            set_seed(seed, reproducible=True)
            dls = block.dataloaders(known, bs=bs, num_workers=0)
            learners[labels] = learn = Learner(dls, plain_net(dls.c, width))
            with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
        table = compare_confidence(learners, ood, plot=False).reset_index().rename(columns={'learner': 'labels'})
        rows.append(table.assign(seed=seed, n_train=len(dls.train_ds), epochs=epochs))
        if verbose: print(rows[-1].round(3).to_string(), flush=True)
    return pd.concat(rows, ignore_index=True)


if __name__ == '__main__':
    args, (path, known, ood, sources) = arguments(__doc__, 'ood_labels.csv'), animals()
    write_runs(compare_labels(path, known, ANIMALS, ood, ['hard'], args.seeds, args.epochs, verbose=True), args.out, **sources)
