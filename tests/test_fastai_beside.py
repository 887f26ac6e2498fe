"""fastai beside the package: each row of the table in nbs/13_metrics.ipynb is asked of fastai again, and what `export` holds is looked for

Other versions than the pinned ones may have changed their ways, and are not asked."""
import json, re
from collections import namedtuple
from functools import cache, partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import fastai.losses as losses, fastai.metrics as theirs, numpy as np, pandas as pd, pytest, torch
from fastai.text.all import BaseTokenizer, TextDataLoaders
from fastai.vision.all import (Callback, CancelBatchException, ClassificationInterpretation, ColReader, CutMix, DataBlock, EndSplitter, ImageBlock,
                               ImageDataLoaders, Interpretation, Learner, MixUp, ProgressCallback, SegmentationDataLoaders, TransformBlock, noop, parent_label)
from PIL import Image
from scipy import stats
from torch import nn

import fastai_softlabels.all as ours
from fastai_softlabels.all import (OODConfidence, SoftCategoryBlock, SoftInterpretation, SoftLabelReader, SoftMaskBlock, SoftMultiCategoryBlock,
                                   save_soft_learner)

ROOT = Path(__file__).parents[1]
PINNED = dict(l.split('==') for l in (ROOT/'constraints.txt').read_text().split('\n') if '==' in l)
ASKED = {'fastai': 'fastai', 'scikit-learn': 'scikit-learn', 'PyTorch': 'torch'}
AS_PINNED = all(version(p).split('+')[0] == PINNED[p] for p in ASKED.values())
asked = pytest.mark.skipif(not AS_PINNED, reason='the table speaks of other versions than these')

Row = namedtuple('Row', 'names blocks happens instead')
Outcome = namedtuple('Outcome', 'verdict words value right', defaults=('', None, None))

# the eight items of the lesson below the table; as masks, two images of four pixels
LOGITS = np.array([[2., .5, -1], [1, .2, -.5], [.8, .3, -1.5], [-.5, .4, .9], [-1, -.3, 1.6], [.4, .9, -.8], [1.2, -.7, -.2], [-.4, .1, .6]])
SHARES = np.array([[5, 0, 0], [3, 2, 0], [1, 4, 0], [1, 1, 3], [0, 1, 4], [2, 3, 0], [4, 0, 1], [0, 4, 1]])/5
ABC = list('abc')
MADE = {'SoftCategoryBlock': partial(SoftCategoryBlock, ABC),
        'SoftMultiCategoryBlock': partial(SoftMultiCategoryBlock, ABC),
        "SoftMultiCategoryBlock(['yes'])": partial(SoftMultiCategoryBlock, ['yes']),
        'SoftMaskBlock': SoftMaskBlock,
        "SoftMaskBlock(['a', 'b', 'c'])": partial(SoftMaskBlock, ABC)}
BLOCKS = CAT, MULTI, YES, MASK, MASKS = list(MADE)


# the table

def spans(text: str) -> list: return re.findall(r'`([^`]+)`', text)

def sources() -> list: return [''.join(c['source']) for c in json.loads((ROOT/'nbs/13_metrics.ipynb').read_text())['cells']]

def section() -> str: return next(s for s in sources() if s.startswith('## Metrics and factories of fastai with soft labels'))

def rows() -> list:
    cells = [l.strip('| ').split(' | ') for l in section().split('\n') if l.startswith('| `')]
    return [Row(spans(names), BLOCKS if blocks == 'any block' else spans(blocks), happens, spans(instead)) for names, blocks, happens, instead in cells]


# a learner whose model gives the logits as they are

class Logits(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))
    def forward(self, x): return x + self.shift


def shaped(a, block) -> np.ndarray: # (8,K), of masks (2,K,2,2)
    a = a[:, :1] if block in (YES, MASK) else a
    return np.moveaxis(a.reshape(2, 2, 2, -1), -1, 1) if block in (MASK, MASKS) else a

def data_block(block, x, y):
    "Items are numbers; all are training and validation set"
    both = (range(len(x)), range(len(x)))
    return DataBlock(blocks=(TransformBlock, MADE[block]()), get_x=lambda i: torch.tensor(x[i]).float(),
                     get_y=lambda i: y[i].astype(np.float32), splitter=lambda o: both)

@cache
def loaders(block):
    x, y = shaped(LOGITS, block), shaped(SHARES, block)
    return data_block(block, x, y).dataloaders(range(len(x)), bs=1 if block in (MASK, MASKS) else 3, num_workers=0, device='cpu')

def quiet(learn) -> Learner:
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn

def learner(block, **kwargs) -> Learner: return quiet(Learner(loaders(block), Logits(), **kwargs))

def fitted(learn) -> float:
    "What a fit records for the metric; its learning rate is zero, so the logits stay"
    learn.fit(1, 0.)
    return float(learn.recorder.values[-1][-1])

def tried(get, right) -> Outcome:
    "What `get()` gives beside the right number"
    try: value = get()
    except Exception as e: return Outcome('refuses', f'{type(e).__name__}: {e}')
    return Outcome('works' if value == pytest.approx(right, abs=1e-4) else 'silently wrong', '', value, right)


# what is right, by NumPy

def label(block) -> np.ndarray: return shaped(SHARES, block)

def prob(block) -> np.ndarray:
    "Softmax over the classes where they exclude each other, else sigmoid"
    z = shaped(LOGITS, block)
    return np.exp(z)/np.exp(z).sum(1, keepdims=True) if block in (CAT, MASKS) else 1/(1 + np.exp(-z))

def items(block) -> list: return list(zip(prob(block), label(block)))

def agreement(block):
    if block == YES: return np.mean([(p > .5) == (y > .5) for p, y in items(block)])
    return np.mean([y[p.argmax()] == y.max() for p, y in items(block)])

def expected_accuracy(block):
    if block == CAT: return np.mean([y[p.argmax()] for p, y in items(block)])
    return np.mean([np.where(p > .5, y, 1 - y) for p, y in items(block)])

def cross_entropies(block):
    if block == CAT: return [-(y*np.log(p)).sum() for p, y in items(block)]
    if block == MASKS: return [-(y*np.log(p)).sum(0).mean() for p, y in items(block)]
    return [-(y*np.log(p) + (1 - y)*np.log(1 - p)).mean() for p, y in items(block)]

def cross_entropy(block): return np.mean(cross_entropies(block))

def brier(block): return np.mean([((p - y)**2).sum() if block == CAT else 2*((p - y)**2).mean() for p, y in items(block)])

def hard_dice(p, y):
    a, b = p > .5, y > .5
    return 2*(a & b).sum()/(a.sum() + b.sum()) if a.any() or b.any() else 1.

def dice_at(block): return np.mean([hard_dice(p, y) for image in items(block) for p, y in zip(*image)])

def dices(block): return [np.mean([1 - np.abs(p - y).sum()/(p.sum() + y.sum() + 1) for p, y in zip(*image)]) for image in items(block)]

def regression(name, block):
    p, y = prob(block).ravel(), label(block).ravel()
    return REGRESSIONS[name](p, y)

def correlation(p, y): return np.corrcoef(p, y)[0, 1]

REGRESSIONS = {'mse': lambda p, y: ((p - y)**2).mean(),
               'rmse': lambda p, y: ((p - y)**2).mean()**.5,
               'mae': lambda p, y: np.abs(p - y).mean(),
               'msle': lambda p, y: ((np.log(1 + p) - np.log(1 + y))**2).mean(),
               'exp_rmspe': lambda p, y: (((np.exp(y) - np.exp(p))/np.exp(y))**2).mean()**.5,
               'ExplainedVariance': lambda p, y: 1 - np.var(y - p)/np.var(y),
               'R2Score': lambda p, y: 1 - ((y - p)**2).sum()/((y - y.mean())**2).sum(),
               'PearsonCorrCoef': correlation,
               'SpearmanCorrCoef': lambda p, y: correlation(stats.rankdata(p), stats.rankdata(y))}


# fastai's metrics

OPTIONS = {'top_k_accuracy': dict(k=2), 'FBeta': dict(beta=2), 'FBetaMulti': dict(beta=2)}
FOR_MASKS = ['foreground_acc', 'Dice', 'DiceMulti', 'JaccardCoeff', 'JaccardCoeffMulti']
NO_METRICS = {'AccumMetric', 'skm_to_fastai', 'optim_metric', # they build some
              'perplexity',                                   # `Perplexity()`
              'CorpusBLEUMetric',                             # of sequences of tokens
              'LossMetric', 'LossMetrics'}                    # of parts of a loss
METRICS = [n for n in theirs.__all__ if n not in NO_METRICS]

def metric_named(name):
    f = getattr(theirs, name)
    if name in OPTIONS: return partial(f, **OPTIONS[name]) if name[0].islower() else f(**OPTIONS[name])
    return f() if name[0].isupper() else f

def right_number(name, block):
    "What the metric should say of soft labels; None where fastai's refuses"
    if name in REGRESSIONS: return regression(name, block)
    if name == 'Perplexity': return np.exp(cross_entropy(block))
    if name == 'error_rate': return 1 - agreement(block) if block == YES else None
    if block in (MASK, MASKS): return dice_at(block)
    return expected_accuracy(block) if name == 'accuracy_multi' and block != CAT else agreement(block)

def asks_metric(name, block, folder) -> Outcome:
    learn = learner(block, metrics=[metric_named(name)])
    found = tried(lambda: fitted(learn), right_number(name, block))
    assert learn.train_iter == len(learn.dls.train), 'an epoch was trained before'
    return found


# fastai's other parts

def asks_interpretation(name, block, folder):
    right = [1 - d for d in dices(block)] if block in (MASK, MASKS) else cross_entropies(block)
    return tried(lambda: Interpretation.from_learner(learner(block)).top_losses()[0].tolist(), sorted(right, reverse=True))

def asks_confusion(name, block, folder): # how many labels its matrix counts
    return tried(lambda: ClassificationInterpretation.from_learner(learner(block)).confusion_matrix().sum(), label(block).size)

def asks_loss(name, block, folder):
    loss = getattr(losses, name)()
    right = [1 - d for d in dices(block)] if name == 'DiceLoss' else cross_entropies(block)
    return tried(lambda: float(learner(block, loss_func=loss).validate()[0]), np.mean(right))

class Seen(Callback):
    "Keeps what a training batch became, and trains on nothing"
    order = 100
    def before_train(self): self.batches = []
    def before_batch(self):
        if self.training: self.batches.append((self.x.clone(), self.y.clone()))
        raise CancelBatchException

def mixed(block, x, y, cb) -> list:
    dls = data_block(block, x, y).dataloaders(range(len(x)), bs=4, num_workers=0, device='cpu')
    learn = quiet(Learner(dls, Logits(), cbs=[cb, seen := Seen()]))
    learn.fit(1, 0.)
    assert len(seen.batches) == 2
    return [torch.cat(t).as_subclass(torch.Tensor).numpy() for t in zip(*seen.batches)]

def squares(block, y) -> np.ndarray: # (8,K,8,8)
    k = 1 if block == MASK else 3
    return np.broadcast_to(y[:, :k, None, None], (8, k, 8, 8))

def asks_mixup(name, block, folder):
    "Where inputs are labels, mixed inputs must be mixed labels"
    y = squares(block, SHARES) if block in (MASK, MASKS) else label(block)
    got_x, got_y = mixed(block, y, y, MixUp())
    assert len(np.unique(got_x)) > len(np.unique(y)), 'they were mixed'
    return tried(lambda: got_y.ravel().tolist(), got_x.ravel().tolist())

class CornerCut(CutMix):
    "Cuts out the same corner, a quarter of the image"
    def rand_bbox(self, W, H, lam): return [torch.tensor([v]) for v in (0, 0, W//2, H//2)]

def asks_cutmix(name, block, folder):
    "Of plain images the colour says where a pixel came from"
    if block in (MASK, MASKS):
        hard = np.eye(3)[[0, 1]*4]
        x = squares(block, hard)
        got_x, got_y = mixed(block, x, x, CornerCut())
        corner, rest = got_x[:, 0, 0, 0], got_x[:, 0, 7, 7]
        i = int(((corner == 1) & (rest == 0)).argmax()) # a corner of the class in an image without it
        assert corner[i] == 1 and rest[i] == 0
        return tried(lambda: float(got_y[i, 0, 0, 0]), 1.)
    x = np.broadcast_to(np.arange(8.)[:, None, None, None], (8, 1, 8, 8))
    got_x, got_y = mixed(block, x, label(block), CornerCut())
    assert any(len(np.unique(image)) == 2 for image in got_x), 'they were mixed'
    right = np.stack([label(block)[image.astype(int).ravel()].mean(0) for image in got_x])
    return tried(lambda: got_y.ravel().tolist(), right.ravel().tolist())

def asks_weights(name, block, folder):
    "An item of weight 0 is never drawn, the others are, and validation has all"
    x, y = shaped(LOGITS, block), label(block)
    dls = data_block(block, x, y).weighted_dataloaders(range(len(x)), np.arange(len(x)) % 2, bs=1, num_workers=0, device='cpu')
    def drawn(dl, epochs): return {tuple(b[1].flatten().tolist()) for _ in range(epochs) for b in dl}
    def of(rows): return {tuple(r.astype(np.float32).ravel().tolist()) for r in rows}
    return tried(lambda: (drawn(dls.train, 8), drawn(dls.valid, 1)) == (of(y[1::2]), of(y)), True)


# factories: twelve images of their own grey, a table of their votes, their texts

VOTES = np.array([[3, 1, 1], [1, 3, 1], [2, 0, 3]])

@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('images')
    table = []
    for i in range(12):
        part = path/('train' if i < 9 else 'valid')/ABC[i % 3]
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 20*i, np.uint8)).save(part/f'{ABC[i % 3]}_{i}.png')
        Image.fromarray(np.full((8, 8), 51*(i % 6), np.uint8)).save(path/f'mask_{i}.png')
        (part/f'{i}.txt').write_text(f'this is text {i}')
        votes = dict(zip(ABC, VOTES[i % 3]))
        table.append(dict(f=f'{part.relative_to(path)}/{ABC[i % 3]}_{i}.png', mask=str(path/f'mask_{i}.png'), text=f'this is text {i}', valid=i >= 9, **votes))
    pd.DataFrame(table).to_csv(path/'labels.csv', index=False)
    return path

KW = dict(bs=4, num_workers=0, device='cpu')
IN_FACTORIES = {CAT: SoftCategoryBlock, MULTI: partial(SoftMultiCategoryBlock, ABC, n_votes=5), MASK: SoftMaskBlock}

def files(folder): return [folder/f for f in pd.read_csv(folder/'labels.csv').f]
def number_of(f) -> int: return int(Path(f).stem.split('_')[1])
def counts(f) -> dict: return dict(zip(ABC, VOTES[number_of(f) % 3].tolist()))
def masks_of(f) -> np.ndarray: return np.full((8, 8), .4, np.float32)

def made(name, folder, **block):
    "What a factory makes of the folder; `block` is `y_block=`, or nothing"
    cls, method = re.match(r'(\w+)\.(\w+)', name).groups()
    cls = {'ImageDataLoaders': ImageDataLoaders, 'TextDataLoaders': TextDataLoaders, 'SegmentationDataLoaders': SegmentationDataLoaders}[cls]
    make, masks, table = getattr(cls, method), block.get('y_block') is SoftMaskBlock, pd.read_csv(folder/'labels.csv')
    votes = dict(label_col='mask' if masks else ABC, valid_col='valid')
    columns = dict(text_col='text', tok_tfm=BaseTokenizer()) if cls is TextDataLoaders else dict(fn_col='f')
    if method == 'from_df': return make(table, folder, **columns, **votes, **block, **KW)
    if method == 'from_csv': return make(folder, delimiter=',', **columns, **votes, **block, **KW)
    if method == 'from_lists':
        labels = list(table['mask']) if masks else list(map(counts, files(folder))) if block else table[ABC].to_numpy().tolist()
        return make(folder, files(folder), labels, **block, **KW)
    if method == 'from_folder': return make(folder, **block, **KW)
    if cls is SegmentationDataLoaders: return make(folder, files(folder), masks_of, codes=['a'], **block, **KW)
    if method.endswith('_re'): return make(folder, files(folder), r'(\w)_\d+.png$', **block, **KW)
    label_func = counts if 'votes' in name else parent_label if method == 'from_path_func' else lambda n: n[0]
    return make(folder, files(folder), label_func, **block, **KW)

def labels_by_item(dls) -> dict: # Number of the item → its label
    found = {}
    for ds in (dls.train_ds, dls.valid_ds):
        for i in range(len(ds)):
            x, y = ds[i]
            n = int(ds.items.iloc[i].f.split('_')[1].split('.')[0]) if 'Text' in type(x).__name__ else int(np.asarray(x)[0, 0, 0])//20
            found[n] = np.asarray(y, dtype=float).ravel().round(4).tolist()
    return found

def right_labels(block) -> dict:
    if block == MASK: return {i: [round(51*(i % 6)/255, 4)]*64 for i in range(12)}
    return {i: (VOTES[i % 3]/5).round(4).tolist() for i in range(12)}

def asks_factory(name, block, folder):
    return tried(lambda: labels_by_item(made(name, folder, y_block=IN_FACTORIES[block])) == right_labels(block), True)

def asks_swallowed(name, block, folder): # how many numbers a label has
    return tried(lambda: made(name, folder, y_block=IN_FACTORIES[block]).one_batch()[1][0].numel(), 3)

def asks_masks(name, block, folder): # a pixel of a mask of .4
    return tried(lambda: float(made(name, folder, y_block=SoftMaskBlock).one_batch()[1].max()), .4)

def asks_guess(name, block, folder): return tried(lambda: made(name, folder).c, 3) # how many classes are guessed without a block


# each check by the row's name and block

FACTORIES = [f'ImageDataLoaders.from_{n}' for n in ('df', 'csv', 'lists')] + [f'TextDataLoaders.from_{n}' for n in ('df', 'csv')]
SWALLOW = [f'ImageDataLoaders.from_{n}' for n in ('folder', 'path_func', 'path_re', 'name_func', 'name_re')] + ['TextDataLoaders.from_folder']
CHECKS = {(n, b): asks_metric for n in METRICS for b in (BLOCKS[3:] if n in FOR_MASKS else BLOCKS)}
CHECKS |= {('Interpretation', b): asks_interpretation for b in BLOCKS} | {('ClassificationInterpretation', b): asks_confusion for b in BLOCKS}
CHECKS |= {(n, CAT): asks_loss for n in ('LabelSmoothingCrossEntropy', 'LabelSmoothingCrossEntropyFlat', 'FocalLossFlat', 'CrossEntropyLossFlat')}
CHECKS |= {('BCEWithLogitsLossFlat', b): asks_loss for b in (CAT, MULTI, YES, MASK)} | {('DiceLoss', b): asks_loss for b in (MASK, MASKS)}
CHECKS |= {('MixUp', b): asks_mixup for b in BLOCKS} | {('CutMix', b): asks_cutmix for b in BLOCKS}
CHECKS |= {('weighted_dataloaders', b): asks_weights for b in BLOCKS}
CHECKS |= {(n, b): asks_factory for n in FACTORIES for b in (CAT, MULTI)} | {(n, MASK): asks_factory for n in FACTORIES[:3]}
CHECKS |= {(n, 'y_block='): asks_guess for n in FACTORIES} | {(n, CAT): asks_swallowed for n in SWALLOW}
CHECKS |= {(f'ImageDataLoaders.from_{n}(…, label_func=votes)', CAT): asks_swallowed for n in ('path_func', 'name_func')}
CHECKS |= {('SegmentationDataLoaders.from_label_func', MASK): asks_masks}


# what the last column names: its value, and the right one

@cache
def recorded(code, block): return fitted(learner(block, metrics=[eval(code, {**vars(ours)})]))

@cache
def predicted(block): return learner(block).get_preds()

def metric_in_fit(code, right, name, block, folder): return recorded(code, block), right(block)

def on_predictions(code, right, name, block, folder):
    "What stands there is run, for the row's own metric where it names one of them"
    p, y = predicted(block)
    if name in REGRESSIONS: return float(metric_named(name)(p, y)), right(name, block)
    return float(eval(code, {**vars(theirs), **vars(ours), 'p': p, 'y': y})), right(block)

def loss_in_validation(loss, right, name, block, folder):
    if name == 'Perplexity': return fitted(learner(block, metrics=[theirs.Perplexity()], loss_func=loss)), np.exp(cross_entropy(block))
    return float(learner(block, loss_func=loss).validate()[0]), right(block)

def smoothed_cross_entropy(block): return np.mean([-((.9*y + .1/3)*np.log(p)).sum() for p, y in items(block)])

def soft_interpretation(name, block, folder):
    "How many labels it has; its losses are right as well, and for one distribution its confusion matrix and its report"
    found = SoftInterpretation.from_learner(learner(block))
    def entropy(y):
        parts = y if block == CAT else [*y, *(1 - y)]
        return -sum(v*np.log(v) for v in parts if v > 0)/(1 if block == CAT else len(y))
    divergences = [ce - entropy(y) for ce, (_, y) in zip(cross_entropies(block), items(block))]
    assert found.top_losses()[0].tolist() == pytest.approx(sorted(divergences, reverse=True), abs=1e-5)
    if block == CAT:
        expected = np.zeros((3, 3))
        for p, y in items(block): expected[:, p.argmax()] += y
        np.testing.assert_allclose(found.confusion_matrix(), expected, atol=1e-6)
        np.testing.assert_allclose(found.classification_report().recall, expected.diagonal()/expected.sum(1), rtol=1e-6)
    return found.targets.numel(), label(block).size

def plain_interpretation(name, block, folder):
    found = Interpretation.from_learner(learner(block))
    assert asks_interpretation(name, block, folder).verdict == 'works'
    return found[list(range(2))][2][:, :1 if block == MASKS else None].numel(), 8

def works(check, name, block, folder): return check(name, block, folder).verdict, 'works'

def plain_data_block(name, block, folder):
    if 'Segmentation' in name:
        dls = DataBlock(blocks=(ImageBlock, SoftMaskBlock), get_y=masks_of).dataloaders(files(folder), **KW)
        return float(dls.one_batch()[1].max()), .4
    table = pd.read_csv(folder/'labels.csv')
    get_y = counts if 'votes' in name else SoftLabelReader(table, 'f', ABC)
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_y=get_y).dataloaders(files(folder), **KW)
    return labels_by_item(dls), right_labels(CAT)

def top_two(block): return np.mean([y.argmax() in p.argsort()[-2:] for p, y in items(block)])

def f1(said, true): return 2*sum(a and b for a, b in zip(said, true))/(sum(said) + sum(true))

def f1_of_majority(block): return np.mean([f1([p.argmax() == k for p, _ in items(block)], [y.argmax() == k for _, y in items(block)]) for k in range(3)])

def f1_of_presence(block):
    said, true = prob(block) > .5, label(block) > .5
    return np.mean([f1(said[:, k], true[:, k]) for k in range(said.shape[1])])

def auroc(block):
    "Share of pairs, one with the class and one without, that are in order; the mean over classes"
    def of(k):
        inside, outside = ([p[k] for p, y in items(block) if (y[k] > .5) == present] for present in (True, False))
        return np.mean([(a > b) + (a == b)/2 for a, b in product(inside, outside)])
    return np.mean([of(k) for k in range(label(block).shape[1])])

ON_PREDICTIONS = {'1 - top1_agreement(p, y, multi=True)': lambda b: 1 - agreement(b),
                  'top_k_accuracy(p, y.argmax(1), k=2)': top_two,
                  'mse(p, y)': regression,
                  'SpearmanCorrCoef()(p, y)': regression,
                  "F1Score(average='macro')(p.argmax(1), y.argmax(1))": f1_of_majority,
                  'F1ScoreMulti()(p > 0.5, y > 0.5)': f1_of_presence,
                  'F1Score()(p > 0.5, y > 0.5)': f1_of_presence,
                  'RocAuc()(p, y.argmax(1))': auroc,
                  'RocAucMulti()(p, y > 0.5)': auroc,
                  'RocAucBinary()(p, y > 0.5)': auroc}
IN_FIT = {'top1_agreement': agreement, 'soft_accuracy': expected_accuracy, 'brier_score': brier,
          'DiceAt(0.5)': dice_at, 'SoftDice()': lambda b: np.mean(dices(b))}
AS_LOSS = {'SoftCrossEntropyLossFlat()': cross_entropy,
           'SoftCrossEntropyLossFlat(label_smoothing=0.1)': smoothed_cross_entropy,
           'SoftBCEWithLogitsLossFlat(axis=1)': cross_entropy,
           'SoftCrossEntropyLossFlat(axis=1)': cross_entropy,
           'SoftDiceLoss()': lambda b: np.mean([1 - d for d in dices(b)])}
INSTEAD = {'SoftInterpretation': soft_interpretation,
           'classification_report()': soft_interpretation,
           'Interpretation': plain_interpretation,
           'MixUp': partial(works, asks_mixup),
           'DataBlock': plain_data_block,
           'y_block=SoftCategoryBlock': lambda name, block, folder: works(asks_factory, name, CAT, folder)}
INSTEAD |= {code: partial(on_predictions, code, right) for code, right in ON_PREDICTIONS.items()}
INSTEAD |= {code: partial(metric_in_fit, code, right) for code, right in IN_FIT.items()}
INSTEAD |= {code: partial(loss_in_validation, eval(code, {**vars(ours)}), right) for code, right in AS_LOSS.items()}


@pytest.mark.parametrize('name', ASKED)
def test_the_section_names_the_pinned_versions(name): assert re.search(rf'\b{name} {re.escape(PINNED[ASKED[name]])}\b', section())


def test_every_row_has_a_check_and_every_check_a_row():
    in_table = [key for row in rows() for key in product(row.names, row.blocks)]
    assert len(in_table) == len(set(in_table)), 'nothing stands there twice'
    assert set(in_table) == set(CHECKS)
    assert {code for row in rows() for code in row.instead} == set(INSTEAD)


def test_every_metric_of_fastai_is_in_the_table():
    assert set(METRICS) <= {name for row in rows() for name in row.names} and NO_METRICS <= set(theirs.__all__)


@asked
@pytest.mark.parametrize('row', rows(), ids=lambda r: f'{r.names[0]}-{r.blocks[0]}')
def test_row(row, folder):
    keys = list(product(row.names, row.blocks))
    found = [CHECKS[key](*key, folder) for key in keys]
    verdict = next(v for v in ('works', 'refuses', 'silently wrong') if row.happens.startswith(v))
    assert {key: o.verdict for key, o in zip(keys, found)} == dict.fromkeys(keys, verdict), found
    if verdict == 'refuses':
        for words, o in product(spans(row.happens.split(': ', 1)[1]), found): assert words in o.words
    numbers = re.findall(r'(-?[\d.]+) for ([\d.]+)', row.happens)
    if verdict == 'silently wrong':
        same = len(numbers) == 1 and len({(o.value, o.right) for o in found}) == 1
        told = numbers*len(found) if same else numbers
        assert len(told) == len(found) or 'the first' in row.happens and len(told) == 1
        for (value, right), o in zip(told, found):
            assert float(value) == pytest.approx(o.value, abs=.0051) and float(right) == pytest.approx(o.right, abs=.0051)
    else: assert not numbers
    assert bool(row.instead) == (verdict != 'works')
    for code in row.instead:
        for key, o in zip(keys, found):
            value, right = INSTEAD[code](*key, folder)
            assert value == pytest.approx(right, abs=1e-4) if not isinstance(value, (str, dict)) else value == right
            if verdict == 'silently wrong' and isinstance(value, float): assert value == pytest.approx(o.right, abs=1e-4)


def test_names_in_the_last_column_are_ours_or_fastais():
    fastais = {'DataBlock', 'Interpretation', 'MixUp', 'y_block=SoftCategoryBlock', 'classification_report()', *ON_PREDICTIONS}
    for code in {code for row in rows() for code in row.instead} - fastais: assert code.split('(')[0] in vars(ours)
    assert hasattr(SoftInterpretation, 'classification_report')


def test_labels_that_are_certain_pass():
    "as the prose says: scikit-learn goes by the values"
    z, y = shaped(LOGITS, MULTI), np.eye(3)[SHARES.argmax(1)]
    dls = data_block(MULTI, z, y).dataloaders(range(8), bs=3, num_workers=0, device='cpu')
    learn = quiet(Learner(dls, Logits(), metrics=[theirs.F1ScoreMulti(), theirs.RocAucMulti()]))
    learn.fit(1, 0.)
    says = 1/(1 + np.exp(-z)) > .5
    assert list(learn.recorder.values[-1][2:]) == pytest.approx([np.mean([f1(says[:, k], y[:, k]) for k in range(3)]), auroc(MULTI)])


def test_the_lesson_has_the_eight_items():
    lesson = next(s for s in sources() if s.startswith('from fastai.metrics import accuracy_multi'))
    def numbers(name): return [*map(float, re.findall(r'-?[\d.]+', re.search(rf'^{name} = torch.tensor\((.*?)\)', lesson, re.M)[1]))]
    logits, votes = numbers('logits'), numbers('labels')
    assert logits == LOGITS.ravel().tolist() and votes == (SHARES*5).ravel().tolist()


# what saved learners hold of the labels

def closure(table): return lambda f: table.loc[f.name].tolist()
def look_up(table, f): return table.loc[f.name].tolist()

SOURCES = {'reader': lambda t: SoftLabelReader(t, None, ABC), 'closure': closure, 'partial': lambda t: partial(look_up, t)}

@pytest.mark.parametrize('source', SOURCES)
def test_what_a_saved_learner_holds(source, tmp_path):
    clinic = tmp_path/'Clinic'
    clinic.mkdir()
    patients, strangers = [clinic/f'{i}_Meier.png' for i in range(8)], [clinic/f'{i}_Huber.png' for i in range(3)]
    for f in patients + strangers: Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(f)
    table = pd.DataFrame([[7773, 7771, 7772]]*8, columns=ABC, index=pd.Index([f.name for f in patients], name='patient'))
    shares = (table.to_numpy()[:1]/23316).astype(np.float32).tobytes()
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(ABC)), get_y=SOURCES[source](table), splitter=EndSplitter()).dataloaders(patients, path=clinic, **KW)
    learn = quiet(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), cbs=OODConfidence({'strangers': strangers})))
    learn.fit(1)
    learn.export(tmp_path/'learn.pkl')
    with pytest.warns(UserWarning, match='model='): save_soft_learner(learn, tmp_path/'learn.safetensors')
    def held_by(name): return [w for w in (b'Meier', b'Huber', b'7773', shares, b'Clinic', b'strangers') if w in (tmp_path/name).read_bytes()]
    held = {name: held_by(name) for name in ('learn.pkl', 'learn.safetensors')}
    assert held == {'learn.pkl': [*[b'Meier']*(source != 'reader'), b'Clinic', b'strangers'], 'learn.safetensors': []}


def test_an_exported_learner_keeps_its_folder_and_no_rows(tmp_path):
    "of a table whose rows are the items"
    clinic = tmp_path/'Clinic'
    clinic.mkdir()
    table = pd.DataFrame([[f'{i}_Meier.png', 7773, 7771, 7772] for i in range(8)], columns=['patient', *ABC])
    for f in table.patient: Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(clinic/f)
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock(ABC)), get_x=ColReader('patient', pref=clinic), get_y=ColReader(ABC), splitter=EndSplitter())
    dls = block.dataloaders(table, **KW)
    Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 3))).export(tmp_path/'learn.pkl')
    held = (tmp_path/'learn.pkl').read_bytes()
    assert b'Meier' not in held and b'Clinic' in held and b'patient' in held
