"What holds for any labels and any predictions: searched by hypothesis, in the profiles of conftest.py."
from contextlib import contextmanager, ExitStack
from itertools import zip_longest
from types import SimpleNamespace
from unittest import mock

import numpy as np, pandas as pd, pytest, torch, torch.nn.functional as F
from hypothesis import assume, given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from torch import nn

from fastai_softlabels import dice, formulas, losses
from fastai_softlabels.all import *
from fastai_softlabels.losses import TemperatureScaled

# ---- what is drawn

SOFTMAX = {'CE': SoftCrossEntropyLossFlat, 'CE of masks': SoftCrossEntropyLossFlat, 'Dice, softmax': SoftDiceLoss, 'Dice + CE': SoftDiceCELoss}
SIGMOID = {'BCE': SoftBCEWithLogitsLossFlat, 'BCE of masks': SoftBCEWithLogitsLossFlat, 'Dice, sigmoid': SoftDiceLoss, 'Dice + BCE': SoftDiceBCELoss}
LOSSES = {**SOFTMAX, **SIGMOID}
CROSS_ENTROPIES = ['CE', 'CE of masks', 'BCE', 'BCE of masks']

def eighths(shape, largest=8): return arrays(np.int64, shape, elements=st.integers(-8*largest, 8*largest)).map(lambda a: torch.from_numpy(a).float()/8)
def weights(k): return arrays(np.int64, k, elements=st.integers(1, 16)).map(lambda a: torch.from_numpy(a).float()/4)

@st.composite
def distributions(draw, shape, unlabelled=True, axis=1):
    "Shares of at most five votes for each class, many of them hard; none: unlabelled, where that may be"
    votes = torch.from_numpy(draw(arrays(np.int64, shape, elements=st.integers(0, 5)))).float()
    if not unlabelled: votes = torch.where(votes.sum(axis, keepdim=True) == 0, 1., votes)
    return votes/votes.sum(axis, keepdim=True).clamp_min(1)

def independent(shape, unlabelled=True):
    "Shares of six annotators; NaN: unlabelled, where that may be"
    return arrays(np.int64, shape, elements=st.integers(0, 7 if unlabelled else 6)).map(lambda a: torch.where(torch.from_numpy(a) > 6, torch.nan, torch.from_numpy(a)/6).float())

class Case(SimpleNamespace):
    "A loss by its name and options, with logits and labels for it"
    @property
    def exclusive(self): return self.name in SOFTMAX
    def loss(self, **kw): return LOSSES[self.name](**{**self.options, **kw})

@st.composite
def cases(draw, names=tuple(LOSSES), weighted=True, unlabelled=True, smoothed=True, aggregates=('image', 'class', 'batch')):
    name = draw(st.sampled_from(names))
    n, k = draw(st.integers(1, 4)), draw(st.integers(2 if name in SOFTMAX else 1, 4))
    shape = (n, k) if name in ('CE', 'BCE') else (n, k, draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    options = {'axis': -1 if len(shape) == 2 else 1}
    if weighted: options.update({w: draw(st.none() | weights(k)) for w in {'CE': ['weight'], 'CE of masks': ['weight'], 'Dice + CE': ['weight'], 'BCE': ['weight', 'pos_weight'],
                                                                          'BCE of masks': ['weight', 'pos_weight'], 'Dice + BCE': ['pos_weight', 'neg_weight']}.get(name, [])})
    if smoothed and name in ('CE', 'CE of masks'): options['label_smoothing'] = draw(st.sampled_from([0., .1, 1.]))
    if 'Dice' in name: options.update(smooth=draw(st.sampled_from([.01, 1., 10.])), aggregate=draw(st.sampled_from(aggregates)), classes=draw(st.sampled_from(['all', 'present'])))
    if '+' in name: options['dice_weight'] = draw(st.sampled_from([0., .3, 1.]))
    elif 'Dice' in name: options['activation'] = name[6:]
    return Case(name=name, options=options, z=draw(eighths(shape)), y=draw((distributions if name in SOFTMAX else independent)(shape, unlabelled)))

@contextmanager
def taking(lean: bool):
    "The lean forms, a few items at a time, or the plain formulas"
    if lean: patches = [mock.patch.object(formulas, '_CHUNK', 9)]
    else: patches = [mock.patch.object(room, 'is_leanable', lambda *_: False) for room in (losses, dice)]
    with ExitStack() as stack:
        for p in patches: stack.enter_context(p)
        yield


def in_float64(loss, z, y): return [t.float() for t in value_and_grad(loss.double(), z.double(), y.double() if y.is_floating_point() else y)] # torch's BCE in float32 is off by 1e-4 of its value at a logit of 6

def value_and_grad(loss, z, y):
    z = z.detach().clone().requires_grad_()
    value = loss(z, y)
    return value.detach(), torch.autograd.grad(value.sum(), z)[0]

def close(a, b, rtol=1e-5, atol=1e-6, msg=''): torch.testing.assert_close(a, b, rtol=rtol, atol=atol, equal_nan=True, msg=lambda m: f'{msg}: {m}' if msg else m)


# ---- labels

vocabs = st.lists(st.text(min_size=1, max_size=6) | st.integers(100, 200), min_size=2, max_size=6, unique=True)

@st.composite
def labels(draw, vocab, multi):
    "One label in one of the forms that a block takes"
    k = len(vocab)
    names = st.sampled_from(vocab)
    texts = [c for c in vocab if isinstance(c, str)]
    votes = st.lists(st.integers(0, 9), min_size=k, max_size=k)
    if multi:
        shares = votes.map(lambda v: [x/9 for x in v])
        forms = [shares, shares.map(torch.tensor), shares.map(np.array), shares.map(lambda v: dict(zip(vocab, v))), names]
        if texts: forms += [st.sets(st.sampled_from(texts)), st.lists(st.sets(st.sampled_from(texts)).map(list), min_size=1)]
    else:
        votes = votes.filter(any)
        shares = votes.map(lambda v: [x/sum(v) for x in v])
        forms = [votes, votes.map(np.array), votes.map(lambda v: dict(zip(vocab, v))), shares, shares.map(torch.tensor), shares.map(lambda v: pd.Series(v, index=pd.Index(vocab, dtype=object))), names]
        if texts: forms.append(st.lists(st.sampled_from(texts), min_size=1))
    return draw(st.one_of(forms))


@pytest.mark.parametrize('cls', [SoftCategorize, SoftMultiCategorize])
@given(data=st.data())
def test_a_label_survives_its_display(cls, data):
    "encoded, shown, and encoded again it is the same, as a tensor and as the display type"
    vocab = data.draw(vocabs)
    tfm = cls(vocab)
    t = tfm.encode(data.draw(labels(vocab, tfm.multi)))
    shown = tfm.decode(t)
    assert shown.vocab == vocab and shown.probs.tolist() == t.tolist()
    for again in (tfm.encode(t), tfm.encode(shown)):
        assert type(again) is type(t)
        close(again, t, rtol=0, atol=2e-7)
    assert tfm.decode(tfm.encode(shown)).label == shown.label


@pytest.mark.parametrize('cls', [SoftCategorize, SoftMultiCategorize])
@given(data=st.data())
def test_a_prediction_can_be_a_label(cls, data):
    "what a model said, as the display type, is encoded as its probabilities"
    vocab = data.draw(vocabs)
    tfm = cls(vocab)
    loss = tfm.loss_func
    probs = loss.activation(data.draw(eighths((3, len(vocab)))))
    for shown, p in zip(map(tfm.decode, loss.decodes(probs)), probs): close(tfm.encode(shown).as_subclass(torch.Tensor), p)


@pytest.mark.parametrize('exclusive', [True, False])
@given(data=st.data())
def test_a_mask_survives_its_display(exclusive, data):
    codes = data.draw(st.lists(st.text(min_size=1, max_size=6), min_size=2 if exclusive else 1, max_size=4, unique=True))
    h, w, k = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)), len(codes)
    votes = arrays(np.int64, (k, h, w), elements=st.integers(0, 5))
    if exclusive: forms = [votes.map(lambda v: k*(v + (v.sum(0) == 0))), # more than an index can be
                          votes.map(lambda v: ((v + .5)/(v + .5).sum(0)).astype(np.float32)), arrays(np.int64, (h, w), elements=st.integers(0, k - 1))]
    else: forms = [votes.map(lambda v: v/5.), votes.map(lambda v: torch.from_numpy(v/5.)), votes.map(lambda v: v > 2)]
    one = st.one_of(forms)
    tfm = OpenSoftMask(codes, exclusive=exclusive)
    t = tfm.encode(data.draw(one | st.lists(one, min_size=2, max_size=3).filter(lambda ms: not _looks_one_hot(ms, k)))).tensor()
    assert t.shape == (k, h, w)
    for again in (tfm.encode(t), tfm.encode(tfm.decode(t)), tfm.encode(tfm.encode(t))): close(again.tensor(), t, rtol=0, atol=2e-7)

def _looks_one_hot(masks, k): return len(masks) == k and all(getattr(m, 'ndim', 0) == 2 for m in masks) # several index masks may look like planes, and are refused


# ---- permuting the vocab permutes everything

@pytest.mark.parametrize('cls', [SoftCategorize, SoftMultiCategorize])
@given(data=st.data())
def test_permuting_the_vocab_permutes_labels(cls, data):
    vocab = data.draw(vocabs)
    order = data.draw(st.permutations(range(len(vocab))))
    there, here = cls([vocab[i] for i in order]), cls(vocab)
    o = data.draw(labels(vocab, here.multi))
    if isinstance(o, (list, torch.Tensor, np.ndarray)) and not isinstance(o[0], (str, list)): o = dict(zip(vocab, map(float, o) if here.multi else o)) # by name, as numbers are in the order of their vocab
    close(there.encode(o), here.encode(o)[order], rtol=0, atol=1e-7)


@pytest.mark.parametrize('multi', [False, True])
@given(data=st.data())
def test_permuting_columns_and_vocab_of_a_reader(multi, data):
    n, k = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 5))
    counts = data.draw(arrays(np.int64, (n, k), elements=st.integers(1, 5)))
    names = [f'c{i}' for i in range(k)]
    df = pd.DataFrame(counts, columns=names).assign(item=[f'{i}.png' for i in range(n)])
    columns, vocab = data.draw(st.permutations(names)), data.draw(st.permutations(names))
    reader, tfm = SoftLabelReader(df, 'item', columns, multi=multi, n_votes=5 if multi else None), (SoftMultiCategorize if multi else SoftCategorize)(vocab)
    for i in range(n):
        expected = df.loc[i, vocab].to_numpy(float)
        close(tfm(reader(f'{i}.png')).as_subclass(torch.Tensor), torch.tensor(expected/(5 if multi else expected.sum())).float())


@given(case=cases(), lean=st.booleans(), data=st.data())
def test_permuting_the_vocab_permutes_losses(case, lean, data):
    k = case.z.shape[1]
    order = data.draw(st.permutations(range(k)))
    moved = {o: v[order] if torch.is_tensor(v) and v.ndim else v for o, v in case.options.items()}
    with taking(lean):
        value, grad = value_and_grad(case.loss(), case.z, case.y)
        there, there_grad = value_and_grad(case.loss(**moved), case.z[:, order], case.y[:, order])
    close(there, value)
    close(there_grad, grad[:, order])


# ---- a batch of one is a row of a batch

@given(case=cases(), data=st.data())
def test_a_batch_of_one_is_a_row(case, data):
    loss, i = case.loss(reduction='none'), data.draw(st.integers(0, len(case.z) - 1))
    value, grad = value_and_grad(loss, case.z, case.y)
    alone, alone_grad = value_and_grad(loss, case.z[i:i+1], case.y[i:i+1])
    close(alone[0], value[i])
    close(alone_grad[0], grad[i])
    close(loss.activation(case.z[i:i+1])[0], loss.activation(case.z)[i])
    assert loss.decodes(loss.activation(case.z[i:i+1]))[0].tolist() == loss.decodes(loss.activation(case.z))[i].tolist()


# ---- sum, mean and none agree

@given(case=cases(), lean=st.booleans())
def test_reductions_agree(case, lean):
    "'mean' is 'sum' over what counts: mass, labelled elements, classes of images, images; 'none' adds up to 'sum' where its parts are the whole's"
    with taking(lean): (total, total_grad), (mean, mean_grad), none = value_and_grad(case.loss(reduction='sum'), case.z, case.y), value_and_grad(case.loss(), case.z, case.y), case.loss(reduction='none')(case.z, case.y)
    labelled = case.y.sum(1, keepdim=True) > 0 if case.exclusive else ~case.y.isnan()
    n = len(case.z)
    if case.name in ('CE', 'CE of masks'):
        w = case.options.get('weight')
        count = (case.y if w is None else w.view(-1, *[1]*(case.y.ndim - 2))*case.y).sum()
    elif 'BCE' in case.name and 'Dice' not in case.name: count = labelled.sum()
    elif '+' in case.name: count = torch.tensor(n)
    else:
        over = {'image': [2, 3], 'class': [0, 2, 3], 'batch': [0, 1, 2, 3]}[case.options['aggregate']]
        present = case.y.nan_to_num().sum(over) > 0
        count = (labelled.expand_as(case.y).any(-1).any(-1) if len(over) == 2 else labelled.expand_as(case.y).amax(over).bool())
        count = (count & present if case.options['classes'] == 'present' else count).sum()
    close(mean*count.clamp_min(1) if count.dtype == torch.int64 else mean*torch.where(count == 0, 1., count), total, rtol=1e-4, atol=1e-5)
    close(mean_grad*(count if count > 0 else 1), total_grad, rtol=1e-4, atol=1e-5)
    if 'Dice' not in case.name: close(none.sum(), total, rtol=1e-4, atol=1e-5)
    elif case.options['aggregate'] == 'image' and case.options['classes'] == 'all' and labelled.all(): close(none.mean(), mean, rtol=1e-4, atol=1e-5)


# ---- the floor

@given(case=cases(CROSS_ENTROPIES, weighted=False, smoothed=False))
def test_cross_entropy_less_kl_is_the_entropy(case):
    gap = case.loss(reduction='none')(case.z, case.y) - case.loss(reduction='none', kl=True)(case.z, case.y)
    expected = entropy(case.y, 1) if case.exclusive else entropy(case.y, multi=True).nan_to_num(0)
    close(gap, expected, atol=1e-5)


@given(case=cases(CROSS_ENTROPIES), lean=st.booleans())
def test_kl_is_never_below_its_floor(case, lean):
    "with weights and smoothing, too"
    with taking(lean): assert (case.loss(reduction='none', kl=True)(case.z, case.y) >= -2e-5).all()


@given(case=cases(weighted=False, smoothed=False), lean=st.booleans())
def test_least_at_the_label(case, lean):
    "without weights or smoothing no prediction is better than the labels themselves"
    at_y = (case.y.log() if case.exclusive else case.y.logit()).nan_to_num(0, 200, -200)
    with taking(lean): best, other = case.loss()(at_y, case.y), case.loss()(case.z, case.y)
    assert other >= best - 1e-5
    if 'Dice' in case.name and '+' not in case.name: assert best <= 1e-5


# ---- hard labels

@given(data=st.data(), lean=st.booleans())
def test_one_hot_is_hard(data, lean):
    "value and gradient of torch's losses on indices, weighted, smoothed, some unlabelled"
    n, k = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 70))
    z, index = data.draw(eighths((n, k))), torch.from_numpy(data.draw(arrays(np.int64, n, elements=st.integers(-1, k - 1))))
    index[index < 0] = -100
    assume((index >= 0).any())
    one_hot = F.one_hot(index.clamp(min=0), k).float()*(index >= 0)[:, None]
    options = dict(weight=data.draw(st.none() | weights(k)), label_smoothing=data.draw(st.sampled_from([0., .1, .9])), reduction=data.draw(st.sampled_from(['mean', 'sum'])))
    expected = in_float64(nn.CrossEntropyLoss(**options), z, index)
    with taking(lean):
        for y in (index, one_hot):
            for ours, torchs in zip(value_and_grad(SoftCrossEntropyLossFlat(**options), z, y), expected): close(ours, torchs)


@given(data=st.data(), lean=st.booleans())
def test_presence_is_hard(data, lean):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    z, y = data.draw(eighths(shape)), torch.from_numpy(data.draw(arrays(np.int64, shape, elements=st.integers(0, 1)))).float()
    options = dict(weight=data.draw(st.none() | weights(shape[1])), pos_weight=data.draw(st.none() | weights(shape[1])), reduction=data.draw(st.sampled_from(['mean', 'sum', 'none'])))
    with taking(lean):
        for ours, torchs in zip(value_and_grad(SoftBCEWithLogitsLossFlat(**options), z, y), in_float64(nn.BCEWithLogitsLoss(**options), z, y)): close(ours, torchs)


@given(data=st.data(), lean=st.booleans())
def test_dice_of_hard_masks_is_the_usual_one(data, lean):
    "1 − 2Σp·y/(Σp + Σy) where a class is present, in NumPy; also for indices"
    n, k, s = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4)), data.draw(st.integers(1, 6))
    z, index = data.draw(eighths((n, k, s, 1))), torch.from_numpy(data.draw(arrays(np.int64, (n, s, 1), elements=st.integers(0, k - 1))))
    y = np.moveaxis(np.eye(k)[index.numpy()], -1, 1)
    p = softmax(z.double().numpy(), axis=1)
    present = y.sum((2, 3)) > 0
    expected = (1 - 2*(p*y).sum((2, 3))/(p + y).sum((2, 3)))[present].mean()
    with taking(lean):
        for target in (index, torch.from_numpy(y).float()): assert SoftDiceLoss(smooth=0, classes='present')(z, target).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


# ---- any finite logits

def finite(shape, dtype):
    largest = torch.finfo(dtype).max
    numbers = st.floats(-largest, largest, width=16 if dtype == torch.float16 else 32) | st.sampled_from([largest, -largest, largest/2, -largest/2, 0., 1e-38, 1e4, -1e4])
    return arrays(np.float64, shape, elements=numbers).map(lambda a: torch.from_numpy(a).clamp(-largest, largest).to(dtype))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
@given(case=cases(), lean=st.booleans(), data=st.data())
def test_any_finite_logits(dtype, case, lean, data):
    """The gradient is finite for any finite logits; the value, too, unless float32 cannot hold it

    That takes logits above 1e36: of two that differ by more than the largest float32, none has a log-probability."""
    z = data.draw(finite(case.z.shape, dtype))
    with taking(lean): value, grad = value_and_grad(case.loss(), z, case.y.to(dtype))
    assert value.dtype == torch.float32 and grad.dtype == dtype and grad.isfinite().all()
    if z.abs().max() < 1e36: assert value.isfinite()
    assert value >= -1e-6 # so it is not NaN


# ---- gradients

@pytest.mark.parametrize('lean', [False, True], ids=['plain', 'lean'])
@given(case=cases(), seed=st.integers(0, 2**32 - 1))
def test_gradients_by_finite_differences(lean, case, seed):
    z = torch.randn(case.z.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).mul_(2).requires_grad_()
    loss = case.loss().double()
    p = z.softmax(1) if case.exclusive else z.sigmoid()
    assume(not 'Dice' in case.name or ((p - case.y).abs().nan_to_num(1) > 1e-4).all()) # |p − y| has a kink
    with taking(lean): assert torch.autograd.gradcheck(lambda z: loss(z, case.y.double()), z)


# ---- metrics

ITEM_METRICS = [top1_agreement, soft_accuracy, soft_cross_entropy, kl_divergence, js_divergence, total_variation, brier_score]
METRICS = [*ITEM_METRICS, entropy_correlation, SoftECE(), SoftECE(4), SoftECE(4, equal_mass=True), SoftECE(5, classwise=True), SoftECE(3, equal_mass=True, classwise=True)]
MASK_METRICS = [SoftDice(), SoftDice(0.), DiceAt(), DiceAt(.2)]
of_items_or_masks = pytest.mark.parametrize('masks', [False, True], ids=['items', 'masks'])


def over(metric, p, order, cuts):
    "What `metric` says of batches of the items in this order, as a `Learner` hands them to it"
    metric.reset()
    for i, j in zip(cuts, cuts[1:]): metric.accumulate(SimpleNamespace(pred=p.z[order][i:j], yb=(p.y[order][i:j],), loss_func=p.loss, to_detach=lambda t: t))
    return torch.as_tensor(torch.nan if metric.value is None else metric.value)


@st.composite
def predicted(draw, masks, ties=True):
    "Logits, labels for softmax or sigmoid, and a loss; without `ties` no two logits of an item are the same"
    multi, n = draw(st.booleans()), draw(st.integers(1, 4 if masks else 7))
    k = draw(st.integers(1 if multi else 2, 4))
    shape = (n, k, 2, 2) if masks else (n, k)
    loss = (SoftDiceLoss(activation='sigmoid' if multi else 'softmax') if masks else (SoftBCEWithLogitsLossFlat if multi else SoftCrossEntropyLossFlat)())
    z = draw(eighths(shape, 4))
    if not ties: z = z + (torch.arange(k)*(1 + torch.arange(n)[:, None]/n)/100).view(n, k, *[1]*(z.ndim - 2))
    return SimpleNamespace(multi=multi, z=z, y=draw((independent if multi else distributions)(shape)), loss=loss, metrics=MASK_METRICS if masks else METRICS)

def cuts(n): return st.sets(st.integers(1, n - 1) if n > 1 else st.nothing()).map(lambda inner: [0, *sorted(inner), n])


@of_items_or_masks
@given(data=st.data())
def test_batches_and_order_do_not_matter(masks, data):
    p = data.draw(predicted(masks))
    n = len(p.z)
    order, at = data.draw(st.permutations(range(n))), data.draw(cuts(n))
    for m in p.metrics: close(over(m, p, order, at), over(m, p, list(range(n)), [0, n]), msg=m.name)


def _rounding_may_decide(metric, p) -> bool:
    "Is a probability next to the edge of a bin, or to a threshold, are two nearly the same that are ranked, or do entropies hardly vary?"
    probs = p.loss.activation(p.z)
    if metric is entropy_correlation: return any(1e-6*h.max() < h.max() - h.min() < .05 for h in _entropies(probs, p))
    if isinstance(metric, DiceAt): return bool(((probs - metric.thresh).abs() < 1e-5).any())
    if not isinstance(metric, SoftECE): return False
    conf = probs.flatten() if p.multi else probs.T if metric.classwise else probs.amax(-1)
    if metric.equal_mass: return bool((conf.sort().values.diff() < 1e-5).any())
    return bool(((conf*metric.n_bins - (conf*metric.n_bins).round()).abs() < 1e-4).any())

def _entropies(probs, p):
    "Of what is labelled: predictions and labels"
    if p.multi: return [entropy(t, multi=True)[labelled] for labelled in [~p.y.isnan()] if labelled.any() for t in (probs, p.y)]
    return [entropy(t)[labelled] for labelled in [p.y.sum(1) > 0] if labelled.any() for t in (probs, p.y)]

@of_items_or_masks
@given(data=st.data())
def test_permuting_the_vocab_leaves_metrics(masks, data):
    p = data.draw(predicted(masks, ties=False))
    n, k = p.z.shape[:2]
    order = data.draw(st.permutations(range(k)))
    there = SimpleNamespace(z=p.z[:, order], y=p.y[:, order], loss=p.loss)
    for m in p.metrics:
        if not _rounding_may_decide(m, p): close(over(m, there, list(range(n)), [0, n]), over(m, p, list(range(n)), [0, n]), atol=1e-5, msg=m.name)


@of_items_or_masks
@given(data=st.data())
def test_a_row_of_a_metric_is_a_batch_of_one(masks, data):
    p = data.draw(predicted(masks))
    probs, i = p.loss.activation(p.z), data.draw(st.integers(0, len(p.z) - 1))
    for m in MASK_METRICS if masks else ITEM_METRICS:
        (values, labelled), (alone, alone_labelled) = m.items(probs, p.y, p.multi), m.items(probs[i:i+1], p.y[i:i+1], p.multi)
        close(alone[0], values[i], msg=m.name)
        assert alone_labelled[0].tolist() == labelled[i].tolist(), m.name


# ---- votes

@st.composite
def vote_tables(draw):
    "A long table: up to six items, up to four classes, a whole weight for each vote"
    n_items, classes = draw(st.integers(1, 6)), draw(st.lists(st.text('abcxyz', min_size=1, max_size=3), min_size=2, max_size=4, unique=True))
    votes = draw(st.lists(st.tuples(st.integers(0, n_items - 1), st.sampled_from(classes)), min_size=1, max_size=30))
    return classes, pd.DataFrame(votes, columns=['item', 'label'])

def _frames_equal(a, b): pd.testing.assert_frame_equal(a.sort_index(), b.sort_index(), check_dtype=False, check_names=False, check_column_type=False, check_index_type=False, rtol=1e-9, atol=1e-12)

@given(table=vote_tables(), data=st.data(), prior=st.sampled_from([0., .5, 2.]))
def test_votes(table, data, prior):
    "rows sum to 1; the order of rows does not matter; all forms are one; the vocab's order is the columns'"
    classes, long = table
    soft = votes_to_soft(long, 'item', label='label', vocab=classes, prior=prior)
    np.testing.assert_allclose(soft[classes].sum(axis=1), 1, rtol=1e-12)
    assert list(soft.columns) == [*classes, 'n_votes', 'entropy', 'agreement']
    shuffled = long.iloc[data.draw(st.permutations(range(len(long))))]
    _frames_equal(votes_to_soft(shuffled, 'item', label='label', vocab=classes, prior=prior), soft)
    counts = pd.crosstab(long['item'], long['label']).reindex(columns=classes, fill_value=0)
    _frames_equal(votes_to_soft(counts, None, counts=classes, prior=prior), soft)
    lists = long.groupby('item')['label'].agg(list).to_frame('votes')
    _frames_equal(votes_to_soft(lists, None, lists='votes', vocab=classes, prior=prior), soft)
    wide = pd.DataFrame(list(zip(*zip_longest(*lists['votes']))), index=lists.index).add_prefix('by_')
    _frames_equal(votes_to_soft(wide, None, annotators=list(wide), vocab=classes, prior=prior), soft)
    order = data.draw(st.permutations(classes))
    _frames_equal(votes_to_soft(long, 'item', label='label', vocab=order, prior=prior)[soft.columns], soft)
    weighted = long.value_counts().rename('w').reset_index()
    _frames_equal(votes_to_soft(weighted, 'item', label='label', weight='w', vocab=classes, prior=prior), soft)


# ---- OOD

whole = st.lists(st.integers(-40, 40), min_size=1, max_size=30)
MAPS = {'line': lambda s: 3*s - 7, 'cube': lambda s: s**3, 'exp': lambda s: np.exp(s/8), 'sigmoid': lambda s: expit(s/8)}

@given(inn=whole, out=whole, f=st.sampled_from(list(MAPS)))
def test_ranking_metrics_see_ranks_alone(inn, out, f):
    inn, out = np.array(inn, float), np.array(out, float)
    here, there = ood_metrics(inn, out), ood_metrics(MAPS[f](inn), MAPS[f](out))
    assert there == pytest.approx(here, abs=1e-12)


@given(inn=whole, out=whole)
def test_reversed_sets_give_the_rest(inn, out):
    inn, out = np.array(inn, float), np.array(out, float)
    here = ood_metrics(inn, out)
    assert ood_metrics(out, inn)['auroc'] == pytest.approx(1 - here['auroc'], abs=1e-12) and ood_metrics(-inn, -out)['auroc'] == pytest.approx(1 - here['auroc'], abs=1e-12)
    both = ood_metrics(-out, -inn) # each set is the other, and the ranking turned round
    assert (both['auroc'], both['aupr_in'], both['aupr_out']) == pytest.approx((here['auroc'], here['aupr_out'], here['aupr_in']), abs=1e-12)
    assert here['auroc'] == pytest.approx(np.mean([(i > o) + (i == o)/2 for i in inn for o in out]), abs=1e-12)


scores = st.lists(st.floats(allow_nan=False, width=32) | st.floats(-1, 1, width=32) | st.sampled_from([1., 1.0001, 1.0002, -0., 2.**-14, 2.**17]), min_size=1, max_size=30)

@given(inn=scores, out=scores, data=st.data())
def test_streamed_equals_exact_within_its_bound(inn, out, data):
    "for any float32, infinities too; whatever the batches"
    inn, out = torch.tensor(inn), torch.tensor(out)
    streamed = []
    for s in (inn, out):
        h, at = ScoreHistogram(), data.draw(cuts(len(s)))
        for i, j in zip(at, at[1:]): h.add(s[i:j])
        streamed.append(h)
    res = streamed_ood_metrics(*streamed)
    assert abs(res['auroc'] - ood_metrics(inn, out)['auroc']) <= res['bound'] + 1e-12


@given(z=st.integers(2, 5).flatmap(lambda k: eighths((6, k), 100)), data=st.data())
def test_scores_of_rows_and_permutations(z, data):
    order, i = data.draw(st.permutations(range(z.shape[1]))), data.draw(st.integers(0, 5))
    for score in (softmax_score, sigmoid_score, softmax_confidence, sigmoid_confidence, energy_score, entropy_score):
        close(score(z[:, order]), score(z), atol=1e-5)
        close(score(z[i:i+1]), score(z)[i:i+1])


@given(z=st.tuples(st.integers(1, 20), st.integers(2, 5)).flatmap(eighths), data=st.data())
def test_the_meter_does_not_see_batches(z, data):
    a, b, at = ConfidenceMeter(k=3), ConfidenceMeter(k=3), data.draw(cuts(len(z)))
    for i, j in zip(at, at[1:]): a.add(z[i:j])
    b.add(z)
    for head, here in a.read().items():
        there = b.read()[head]
        assert (here.counts == there.counts).all() and (here.n, here.min, here.max, here.above) == (there.n, there.min, there.max, there.above)
        assert here.mean == pytest.approx(there.mean, abs=1e-9) and [c for _, c in here.surest] == [c for _, c in there.surest]


# ---- temperature

@given(z=st.tuples(st.integers(1, 6), st.integers(2, 6)).flatmap(eighths), t=st.floats(.01, 100))
def test_temperature_leaves_the_decision(z, t):
    softmaxed, sigmoided = TemperatureScaled(SoftCrossEntropyLossFlat(), t), TemperatureScaled(SoftBCEWithLogitsLossFlat(), t)
    assert softmaxed.decodes(softmaxed.activation(z)).tolist() == z.argmax(-1).tolist()
    assert sigmoided.decodes(sigmoided.activation(z)).tolist() == (z > 0).tolist()
