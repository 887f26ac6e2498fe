"""One epoch of a resnet18 on images of 32×32: what share of it is our code's?

    FASTAI_SOFTLABELS_DATA=/folder/with/cifar10h.zip python benchmarks/epoch.py [--rounds 15] [--tiny] [--json FILE]

Without the variable the embedded digits stand in for CIFAR-10H. 2,000 images, read in the main process, so that the profile sees
it all. Our code is what the package's functions take with all that they call: reading labels, encoding them, the loss; for
`CategoryBlock` it is `fastai/data/transforms.py` and `fastai/losses.py`. The backward pass is in neither."""
import os

import numpy as np, pandas as pd
from fastai.vision.all import CategoryBlock, ColReader, DataBlock, EndSplitter, ImageBlock, Learner, Resize, resnet18, set_seed, vision_learner

from fastai_softlabels.all import SoftCategoryBlock, SoftLabelReader, cifar10h, digits_votes
from measured import crossing, in_files, measured, profiled, report
from timing import arguments

OURS = in_files('/fastai_softlabels/')                            # our readers, transforms and losses
THEIRS = in_files('/fastai/data/transforms.py', '/fastai/losses.py') # fastai's


def learners(n: int) -> dict:
    "One for soft labels, one for hard ones, all else equal"
    path = cifar10h() if os.environ.get('FASTAI_SOFTLABELS_DATA') else digits_votes()
    df = pd.read_csv(path/'votes.csv', dtype={'label': str}).head(n)
    classes = list(df.columns[2:])
    def learner(block, get_y) -> Learner:
        set_seed(0)
        dls = DataBlock(blocks=(ImageBlock, block), get_x=lambda row: path/row.fname, get_y=get_y, splitter=EndSplitter(.2), item_tfms=Resize(32)).dataloaders(df, bs=64, num_workers=0, drop_last=False)
        return vision_learner(dls, resnet18, pretrained=False, normalize=False, n_out=len(classes))
    return dict(soft=learner(SoftCategoryBlock(vocab=classes), SoftLabelReader(df, 'fname', classes)), hard=learner(CategoryBlock(vocab=classes), ColReader('label')))


def epoch(learn: Learner):
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)


def main(args):
    shares, seconds = dict(soft=[], hard=[]), dict(soft=[], hard=[])
    both = learners(64 if args.tiny else 2000)
    for learn in both.values(): epoch(learn)
    for i in range(2 if args.tiny else args.rounds):
        for name in list(both)[::1 if i % 2 == 0 else -1]:
            stats = profiled(lambda: epoch(both[name]))
            shares[name].append(100*crossing(stats, OURS if name == 'soft' else THEIRS)/stats.total_tt)
            seconds[name].append(stats.total_tt)
    report(args, [measured('our share of an epoch', 'beyond CategoryBlock\'s', np.subtract(shares['soft'], shares['hard']), '%', '≤ 1'),
                  measured('our code', 'its epoch', shares['soft'], '%'),
                  measured('CategoryBlock and its loss', 'its epoch', shares['hard'], '%'),
                  measured('the whole epoch, profiled', 'CategoryBlock\'s', np.divide(seconds['soft'], seconds['hard']), '× as long')])


if __name__ == '__main__': main(arguments(__doc__).parse_args())
