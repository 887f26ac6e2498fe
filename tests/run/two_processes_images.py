"Run under torchrun by test_processes.py, which also calls it in one process: image files, tables and masks by DataBlocks, as people have them; each process writes what it finds as JSON"
import json, sys
from datetime import timedelta
from pathlib import Path

import numpy as np, pandas as pd, torch
from accelerate import InitProcessGroupKwargs
from fastai.vision.all import *
from fastai.distributed import DistributedDL
from PIL import Image
from fastai_softlabels.all import *
from two_processes import METRICS, _broadcast, is_split

ANIMALS = ['cat', 'dog', 'fox']
N_TRAIN, N_VALID, STRANGE = 13, 9, {'files': 7, 'table': 1, 'loader': 11}
VALID = IndexSplitter(range(N_TRAIN, N_TRAIN + N_VALID))
FASTAIS = ('epoch', 'train_loss', 'valid_loss', 'time') # of the columns; its `valid_loss` counts a padded item twice


def photo(path, rng):
    "Noise on a colour, so that no two images are as sure; where the noise is bright, the mask says so"
    noise = rng.integers(0, 120, (18, 22, 3)) + rng.integers(0, 136, 3)
    Image.fromarray(noise.astype(np.uint8)).save(path)
    for a in range(2): Image.fromarray((noise[..., a] > 110).astype(np.uint8)).save(path.with_name(f'{path.stem}_{a}.mask'), 'PNG')


def draw(folder: Path):
    "Write the images, and the table of votes on those of the training and the validation set"
    rng = np.random.default_rng(0)
    for n, name in ((N_TRAIN + N_VALID, 'animal'), *((n, name) for name, n in STRANGE.items())):
        for i in range(n): photo(folder/f'{name}_{i:02}.png', rng)
    votes = rng.multinomial(5, [.5, .3, .2], N_TRAIN + N_VALID)
    pd.DataFrame(votes, columns=ANIMALS).assign(file=[f'animal_{i:02}.png' for i in range(len(votes))]).to_csv(folder/'votes.csv', index=False)


class Calls(nn.Module):
    "A model without batch norm, whose statistics would be of each process's items; it notes the sizes of the batches that it is evaluated on"
    def __init__(self, c: int, masks: bool = False):
        super().__init__()
        set_seed(1)
        body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*body, *([nn.Conv2d(8, c, 1)] if masks else [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, c)]))
        self.layers[-1].weight.data.mul_(8)
        self.sizes = []

    def forward(self, x):
        if not self.training: self.sizes.append(len(x))
        return self.layers(x)


class Seen(Callback):
    "Notes whether the work is split between processes: that of the last validation"
    def after_validate(self): self.split = [isinstance(self.learn.dl, DistributedDL), isinstance(getattr(self.learn.model, '_orig_mod', self.learn.model), nn.parallel.DistributedDataParallel), num_distrib()]

class Compiled(Callback):
    "Compiles the model after fastai has wrapped it, as `dynamo_backend=` of Accelerate does"
    order = 12
    def before_fit(self): self.learn.model = torch.compile(self.learn.model, backend='eager')


def in_two(learn):
    "The context in which people train; a process that is waited for in vain ends the run after a minute"
    return learn.distrib_ctx(sync_bn=False, cpu=True, kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=60))])

def learner(folder: Path, multi: bool = False) -> Learner:
    "A table of files and votes as source, of which `get_x` takes rows, and files too; three sets of other images"
    table = pd.read_csv(folder/'votes.csv')
    if multi: table[ANIMALS] /= 5
    block = DataBlock(blocks=(ImageBlock, SoftMultiCategoryBlock(thresh=.1) if multi else SoftCategoryBlock), get_x=lambda o: o if isinstance(o, Path) else folder/o.file,
                      get_y=SoftLabelReader(table, 'file', ANIMALS, multi=multi), splitter=VALID, item_tfms=Resize(16), batch_tfms=aug_transforms())
    dls = block.dataloaders(table, bs=4, num_workers=0)
    files = {name: [folder/f'{name}_{i:02}.png' for i in range(n)] for name, n in STRANGE.items()}
    strange = dict(files=files['files'], table=pd.DataFrame({'file': [f.name for f in files['table']]}, index=[77]), loader=dls.test_dl(files['loader']))
    return Learner(dls, Calls(3), metrics=[*METRICS, SoftECE(3, equal_mass=True), SoftECE(4, equal_mass=True)], cbs=[OODConfidence(strange, k=3), Seen()], wd=0.)

def masks(folder: Path) -> Learner:
    block = DataBlock(blocks=(ImageBlock, SoftMaskBlock(['dark', 'bright'])), splitter=VALID,
                      get_y=lambda f: [f.with_name(f'{f.stem}_{a}.mask') for a in range(2)], item_tfms=Resize(16), batch_tfms=aug_transforms())
    return Learner(block.dataloaders(sorted(folder.glob('animal_*.png')), bs=4, num_workers=0), Calls(2, masks=True), metrics=[SoftDice(), DiceAt(.4)], cbs=Seen(), wd=0.)


def numbers(table) -> list:
    "All numbers of a table"
    return pd.DataFrame(table).select_dtypes('number').astype(float).fillna(-1).to_numpy().ravel().tolist()

def trained(learn) -> dict:
    "Of one epoch at a learning rate of 0: the table's columns, the batches that the model was evaluated on, and what the callback has"
    model = learn.model # which is inside of another one while it is trained
    model.sizes = []
    learn.fit(1, 0.)
    res = dict(columns=[v for name, v in zip(learn.recorder.metric_names, learn.recorder.log) if name not in FASTAIS], sizes=model.sizes, split=learn.seen.split)
    if not hasattr(learn, 'ood_confidence'): return res
    cb = learn.ood_confidence
    return {**res, 'history': numbers(cb.history), 'surest': [pair for name in STRANGE for pair in cb.surest[name]]}

def compiled(learn) -> dict:
    "As `trained`, of a compiled model"
    if is_split(): learn.add_cb(Compiled()) # fastai takes the wrappers off again, but in one process there are none
    return trained(learn)

def validated(learn) -> dict:
    "The metrics of `validate`, of which the callback does not hear"
    return dict(columns=list(learn.validate()[1:]), split=learn.seen.split, rows=len(learn.ood_confidence.rows))

def answering(learn) -> dict:
    "What `abstain` finds, on the validation set and on the training items"
    everything = learn.dls.test_dl(learn.dls.train_ds.items, with_labels=True)
    found = [numbers(abstain(learn, keep, dl)) for keep, dl in ((.8, None), (.3, None), (.7, everything))]
    return dict(found=sum(found, []), split=learn.seen.split)

def compared(learn) -> list:
    "The table of `compare_confidence`"
    return numbers(compare_confidence({'it': learn}, learn.ood_confidence.ood, plot=False))

def interpreted(learn) -> dict:
    "What names items: in their order, each once"
    interp = SoftInterpretation.from_learner(learn)
    return dict(losses=interp.losses.tolist(), names=interp.suspicious_labels(4).item.tolist(), shown=interp[[7, 2]][1].flatten().tolist())

def softened(learn) -> list:
    "The table of `preds_to_soft`"
    return numbers(preds_to_soft(learn, learn.ood_confidence.ood['files']))

def scaled(learn) -> list:
    "The report of `temperature_scale`"
    return numbers(temperature_scale(learn, force=True))

def masked(learn) -> dict:
    "The metrics of masks, while training, and of each class"
    return {**trained(learn), 'classes': learn.metrics[0].by_class.tolist()}

def metered(learn) -> list:
    "What a meter reads of several batches, of which each process has some; asked twice"
    set_seed(2)
    meter, n = ConfidenceMeter(k=4), max(num_distrib(), 1)
    for i, batch in enumerate(torch.randn(5, 6, 3)):
        if i % n == rank_distrib(): meter.add(batch, 6*i)
    readings = [meter.read(everywhere=is_split())['softmax'] for _ in range(2)]
    return [[r.n, r.mean, r.median, r.min, r.max, *sum(r.surest, ())] for r in readings]


def outcome(f, learn):
    "What `f` finds, or what it raises"
    with learn.no_logging(), learn.no_bar():
        try: return f(learn)
        except Exception as e: return f'{type(e).__name__}: {e}'

def inside(f, learn):
    with in_two(learn): return outcome(f, learn)

def after(f, learn):
    with in_two(learn): pass
    return outcome(f, learn)


NAMING = [interpreted, softened, scaled]
MEASURING = [trained, validated, answering, compared]
LATER = [validated, interpreted] # after the context, of both kinds; the others are tried on one

def find(folder: Path, write):
    """Write each function's answer, in one process, or of two inside of the context, after it, and of the first of them alone

    Those come last, since a process that waits for another then hears that it is gone."""
    kinds = {'category': partial(learner, folder), 'multi-category': partial(learner, folder, multi=True)}
    cases = [(f'{kind}, {f.__name__}', f, new) for kind, new in kinds.items() for f in MEASURING + NAMING]
    once = [('masked', masked, partial(masks, folder)), ('metered', metered, kinds['category']), ('compiled', compiled, kinds['category'])]
    if not is_split(): return write({name: outcome(f, new()) for name, f, new in cases + once})
    res = {f'{name}, inside': inside(f, new()) for name, f, new in cases + once}
    later = [(name, f, new) for name, f, new in cases if name.startswith('category') or f in LATER]
    res.update({f'{name}, after': after(f, new()) for name, f, new in later})
    write(res)
    for name, f, new in later:
        if f in (trained, validated): continue # fastai's own mean of losses asks all processes
        learn = new()
        with in_two(learn): pass
        if rank_distrib() == 0: res[f'{name}, alone'] = outcome(f, learn)
    write(res)


if __name__ == '__main__':
    DistributedDL._broadcast = _broadcast
    torch.set_num_threads(1)
    find(Path(sys.argv[1]), lambda res: Path(f'{sys.argv[2]}.{rank_distrib()}').write_text(json.dumps(res)))
