"Run by test_workers.py: what loaders give with two workers, started by `fork` or `spawn`, and without any; written as JSON"
import json, multiprocessing, sys
import numpy as np, pandas as pd, torch
from torch import nn
from fastai.vision.all import DataBlock, DataLoaders, EndSplitter, Flatten, ImageBlock, Learner, PILImageBW, get_image_files, set_seed
from fastai_softlabels.all import *

CLASSES = ['thin', 'round', 'flat']


def files(): return get_image_files(ellipses_masks()/'images').sorted()[:24]

def masks_of(f): return sorted((f.parents[1]/'masks').glob(f'{f.stem}_*.png')) # five annotators'

def block(*getters) -> DataBlock:
    "Images with one distribution, independent classes, and a mask, as far as there are `getters`"
    targets = (SoftCategoryBlock(CLASSES), SoftMultiCategoryBlock(CLASSES), SoftMaskBlock)[:len(getters)]
    return DataBlock(blocks=(ImageBlock(PILImageBW), *targets), get_y=list(getters), splitter=EndSplitter(.5), n_inp=1)

def readers() -> list:
    votes = pd.DataFrame(np.random.default_rng(0).integers(1, 6, (24, 3)), columns=CLASSES).assign(file=[f.name for f in files()])
    return [SoftLabelReader(votes, 'file', CLASSES), SoftLabelReader(votes, 'file', CLASSES, multi=True, n_votes=5)]


def batches(getters, num_workers) -> list:
    "Of the validation set"
    dl = block(*getters).dataloaders(files(), bs=5, num_workers=num_workers).valid
    assert dl.fake_l.num_workers == num_workers
    return list(dl)


def difference(*getters) -> str:
    "Of the batches with two workers from those without; nothing where types and values are the same"
    alone, helped = batches(getters, 0), batches(getters, 2)
    if [len(b) for b in alone] != [len(b) for b in helped] or len(alone) != 3: return f'{len(alone)} and {len(helped)} batches'
    for i, (a, b) in enumerate((x, y) for xs, ys in zip(alone, helped) for x, y in zip(xs, ys)):
        if type(a) is not type(b) or a.dtype != b.dtype: return f'{i}: {type(a)} {a.dtype} and {type(b)} {b.dtype}'
        if not torch.equal(a, b): return f'{i}: {a} and {b}'
    return ''


def heard(num_workers) -> list:
    "What `OODConfidence` hears of a fixed model; the training items take no workers"
    set_seed(0)
    dls = block(readers()[0]).dataloaders(files(), bs=5, num_workers=num_workers)
    cb = OODConfidence({'photos': sorted(photo_squares().glob('*.png'))[:7]}, k=3)
    learn = Learner(DataLoaders(dls.train.new(num_workers=0), dls.valid), nn.Sequential(nn.AdaptiveAvgPool2d(8), Flatten(), nn.Linear(64, 3)), cbs=cb)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 0.)
    assert set(cb.history.n) == {12, 7}
    return [*cb.history.select_dtypes('number').fillna(-1).to_numpy().ravel().tolist(), *(float(number) for pair in cb.surest['photos'] for number in pair)]


def complaint(*getters) -> str:
    try: batches(getters, 2)
    except Exception as e: return f'{type(e).__name__}: {e}'
    return ''


if __name__ == '__main__':
    multiprocessing.set_start_method(sys.argv[1])
    torch.set_num_threads(1)
    res = {'batches': difference(*readers(), masks_of), 'lambda': complaint(lambda f: {'thin': .8, 'flat': .2}), 'OODConfidence': [heard(0), heard(2)]}
    open(sys.argv[2], 'w').write(json.dumps(res))
