"What the suites of refusals share: small data, learners, and how a refusal is checked."
import inspect, json, os, runpy, signal, sys, tempfile, traceback, zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from fastai.vision.all import (CategoryBlock, ColReader, DataBlock, DataLoader, DataLoaders, EndSplitter, ImageBlock, ImageDataLoaders, Learner, RegressionBlock, Resize, accuracy, load_learner, noop)
from torch import nn

from fastai_softlabels.all import *
from fastai_softlabels.vote_files import read_label_studio
from fastai_softlabels.files import build_folder, safe_unzip
from fastai_softlabels.tables import check_distributions, check_probabilities
from fastai_softlabels.losses import Abstaining, TemperatureScaled, reads_of
from fastai_softlabels.mask_files import mask_planes, probabilities_of
from fastai_softlabels.datasets import committee_votes, write_cifar10h


# how a refusal is checked

class Case(NamedTuple):
    fault: str        # What is wrong
    do: Callable      # What the user does; it may take an empty folder
    words: tuple      # What the message says
    error: type       # What is raised


def case(fault: str, do: Callable, *words: str, error: type = SoftLabelError) -> Case:
    "A fault, what the user does, and words of the message"
    assert words, 'a message says something'
    return Case(fault, do, words, error)


def every(refused: dict) -> list:
    "Callable → cases, as pytest's parameters"
    params = [pytest.param(c, id=f'{name}: {c.fault}') for name, cases in refused.items() for c in cases]
    assert len({p.id for p in params}) == len(params), 'a fault stands twice'
    return params


def in_time(seconds: int = 20):
    "Raise where a case hangs"
    def late(*_): raise TimeoutError(f'not done in {seconds} s')
    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)


def check(c: Case, folder: Path):
    "A case raises from our own code, in one line that names item, value and remedy"
    previous = signal.getsignal(signal.SIGALRM)
    in_time()
    try:
        with pytest.raises(c.error) as e: c.do(*[folder][:len(inspect.signature(c.do).parameters)])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    message = str(e.value).removeprefix('Exception occured in ').split('\n\t')[-1] # fastai says first which callback it was
    assert [w for w in c.words if w not in message] == [], message
    assert '\n' not in message
    raised_in = Path(traceback.extract_tb(e.value.__traceback__)[-1].filename)
    assert raised_in.parent.name in ('fastai_softlabels', 'examples'), f'the last word is that of {raised_in}'


# small data

ROOT = Path(__file__).parents[1]

PETS, LAND = ['cat', 'dog'], ['meadow', 'forest', 'unknown']

FOLDER = tempfile.TemporaryDirectory()

FILES = [Path(FOLDER.name)/f'im{i}.png' for i in range(10)]

for f in FILES: Image.new('RGB', (8, 8)).save(f)

FIVE = FILES[:5]

GREY = np.array([[0, 51, 255, 128], [0, 0, 3, 200]], np.uint8)

INDEX = np.array([[0, 1, 2, 0], [2, 2, 1, 0]], np.uint8)

def table(**changes):
    "Four items with votes for cats and dogs"
    df = pd.DataFrame(dict(fname=[f'im{i}.png' for i in range(4)], cat=[3, 2, 1, 0], dog=[0, 1, 2, 3]))
    return df.assign(**changes)

def shares(**changes): return table(cat=[1., .5, .2, 0.], dog=[0., .5, .8, 1.]).assign(**changes)

def read(df=None, **kw): return SoftLabelReader(table() if df is None else df, 'fname', **{'classes': PETS, **kw})

def datasets(labels, block=SoftCategoryBlock, **kw):
    "Datasets of 4 training items and one validation item with these labels"
    return DataBlock(blocks=(ImageBlock, block(**kw)), get_y=dict(zip(FIVE, labels)).get, splitter=EndSplitter(.2)).datasets(FIVE)

def from_reader(reader, items): return DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=reader, splitter=EndSplitter(.2)).datasets(items)

def columns(df, block=SoftCategoryBlock, cols=PETS, **kw):
    "Datasets from a table by a ColReader of several columns"
    return DataBlock(blocks=(ImageBlock, block(**kw)), get_x=ColReader('fname', pref=Path(FOLDER.name)), get_y=ColReader(cols), splitter=EndSplitter(.25)).datasets(df)

def one(label, **kw): return SoftCategorize(vocab=PETS, **kw)(label)

def many(label, vocab=PETS, **kw): return SoftMultiCategorize(vocab=vocab, **kw)(label)

good = [{'cat': 1., 'dog': 0.}]*5

def spoilt(label, at): return [label if i == at else g for i, g in enumerate(good)]

long = pd.DataFrame(dict(f=['a', 'a', 'b'], v=['cat', 'dog', 'dog'], who=[1, 2, 1], cat=[1, 0, 2], dog=[1, 1, 0], w=[1., 1., 1.], l=[['cat'], ['dog'], []]))

wide = long.drop(index=1).reset_index(drop=True)

pairs = pd.DataFrame(dict(f=list('aabbcc'), v=['cat', 'dog']*3, who=[1, 2]*3))

def soft(df=pairs, **kw): return votes_to_soft(df, 'f', label='v', **kw)

def listed(*votes): return votes_to_soft(pd.DataFrame(dict(f=range(len(votes)), l=votes)), 'f', lists='l')

def counted(df=wide, counts=('cat', 'dog'), **kw): return votes_to_soft(df, 'f', counts=list(counts), **kw)

def exported(t, tasks):
    "A file with these tasks, or with this text"
    (t/'export.json').write_text(tasks if isinstance(tasks, str) else json.dumps(tasks))
    return t/'export.json'

def task(**kw): return dict(id=7, data=dict(image='a.png'), annotations=[dict(completed_by=1, result=[dict(type='choices', value=dict(choices=['cat']))], **kw)])

z, y = torch.randn(4, 2), torch.rand(4, 2).softmax(-1)

maps, masks = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4).softmax(1)

CE, BCE = SoftCrossEntropyLossFlat, SoftBCEWithLogitsLossFlat

half = torch.tensor([[.5, .5]])

ten = pd.DataFrame(dict(fname=[f.name for f in FILES], cat=[3, 2, 1, 0, 1]*2, dog=[0, 1, 2, 3, 1]*2))

nan = torch.tensor([1., np.nan, 2.])

def block(target=SoftCategoryBlock, get_y=None, splitter=EndSplitter(.4)):
    return DataBlock(blocks=(ImageBlock, target), get_x=ColReader('fname', pref=Path(FOLDER.name)), get_y=SoftLabelReader(ten, 'fname', PETS) if get_y is None else get_y, splitter=splitter)

def silent(learn):
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.logger = noop
    return learn

def linear(dls, n_out=None, **kw): return silent(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, n_out or dls.c)), **kw))

def learner(target=SoftCategoryBlock, n_out=None, get_y=None, splitter=EndSplitter(.4), **kw): return linear(block(target, get_y, splitter).dataloaders(ten, bs=2, num_workers=0), n_out, **kw)

def diverged():
    learn = learner()
    learn.model[1].bias.data[:] = torch.nan
    return learn

def hard(): return learner(CategoryBlock, get_y=lambda r: PETS[int(r['cat'] > 1)])

def of_masks(): return silent(Learner(DataBlock(blocks=(ImageBlock, SoftMaskBlock(['a'])), get_y=lambda f: np.zeros((8, 8)), splitter=EndSplitter(.4)).dataloaders(FILES, bs=2, num_workers=0), nn.Conv2d(3, 1, 1)))

def pairs_of_masks():
    "images and masks of a data set of one's own"
    pairs = [(torch.rand(3, 8, 8), torch.rand(1, 8, 8)) for _ in range(4)]
    return DataLoaders(DataLoader(pairs, bs=2), DataLoader(pairs, bs=4))

class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 2)
    def forward(self, x): return self.linear(x.flatten(1)), x

def tuples(): return silent(Learner(learner().dls, TwoOutputs(), loss_func=CE()))

def measured(ood, learn=None, **kw):
    "What comes of a training that measures these sets"
    cb = OODConfidence(ood, **kw)
    (learn or learner()).fit(1, 1e-2, cbs=cb)
    return cb

class Batches:
    "A loader of these batches"
    def __init__(self, *batches): self.batches, self.dataset = batches, batches
    def __iter__(self): return iter(self.batches)
    def __len__(self): return len(self.batches)

def unreadable(*names):
    "A table of ten of which the first have these names"
    (Path(FOLDER.name)/'text.png').write_text('no image')
    return ten.assign(fname=[*names, *ten.fname[len(names):]])

def loaded(t):
    learn = learner()
    learn.export(t/'learn.pkl')
    return load_learner(t/'learn.pkl')

def interpretation(target=SoftCategoryBlock, **kw): return SoftInterpretation.from_learner(learner(target, **kw))

def multi(): return interpretation(SoftMultiCategoryBlock(vocab=PETS), get_y=SoftLabelReader(ten, 'fname', PETS, multi=True, n_votes=3))

def unlabelled(learn): return learn.dls.test_dl(ten)

def loaders_of(labels, block):
    "DataLoaders whose training items have these labels; two more, which must not count, are for validation"
    items = [[i, o] for i, o in enumerate([*labels, labels[0], labels[0]])]
    return DataBlock(blocks=(ImageBlock, block), get_x=lambda o: np.zeros((8, 8), dtype=np.uint8), get_y=lambda o: o[1], splitter=EndSplitter(2/len(items))).dataloaders(items, bs=2, num_workers=0)

def two_targets():
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock, SoftCategoryBlock), get_x=lambda o: np.zeros((8, 8), dtype=np.uint8), get_y=[noop, noop], splitter=EndSplitter(.5), n_inp=1)
    return block.dataloaders(list('abab'), bs=1, num_workers=0)

ABC = list('abc')

def from_folder(folder):
    "CIFAR-10H from where the environment variable says"
    before = os.environ.get('FASTAI_SOFTLABELS_DATA')
    os.environ['FASTAI_SOFTLABELS_DATA'] = str(folder)
    try: return cifar10h()
    finally:
        del os.environ['FASTAI_SOFTLABELS_DATA']
        if before is not None: os.environ['FASTAI_SOFTLABELS_DATA'] = before

def zipped(t, *names, content=None):
    "An archive `cifar10h.zip` with these members"
    if content is not None: (t/'cifar10h.zip').write_bytes(content)
    else:
        with zipfile.ZipFile(t/'cifar10h.zip', 'w') as z:
            for name in names: z.writestr(name, 'x')
    return t/'cifar10h.zip'

def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path

def demo(*args):
    "Run the demo in this process, with these arguments"
    before, sys.argv = sys.argv, ['demo.py', *map(str, args)]
    try: runpy.run_path(str(ROOT/'examples/demo.py'), run_name='__main__')
    finally: sys.argv = before

def building(folder):
    with build_folder(folder): pass

def opened(o, *args, **kwargs): return OpenSoftMask(*args, **kwargs)(o).tensor()

def saved(t, image, name='mask.png'):
    "Path of a PIL image that was written to disk"
    image.save(t/name)
    return t/name

def bad_file(t, name, content):
    (t/name).write_bytes(content)
    return t/name

def full(*shape): return np.full(shape, .5)

def with_value(value):
    a = full(4, 6)
    a[1, 2] = value
    return a

def block_and_files(path, size=(8, 6), missing=None, codes=None):
    "Five images with a mask file each"
    for i in range(5):
        Image.new('RGB', (8, 6)).save(path/f'i{i}.png')
        if i != missing: Image.new('L', size, 90).save(path/f'm{i}.png')
    block = DataBlock(blocks=(ImageBlock, SoftMaskBlock(codes)), get_y=lambda f: f.parent/f.name.replace('i', 'm'), splitter=EndSplitter(.4), item_tfms=Resize(8))
    return block, [path/f'i{i}.png' for i in range(5)]

def mask_loaders(*args, **kwargs):
    block, files = block_and_files(*args, **kwargs)
    return block.dataloaders(files, bs=1, num_workers=0, shuffle=False)
