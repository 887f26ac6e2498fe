"The losses against independent oracles: torch, NumPy loops, finite differences."
import copy, pickle
from functools import partial

import numpy as np, pytest, torch, torch.nn.functional as F
from torch import nn
from fastai.losses import CrossEntropyLossFlat, BCEWithLogitsLossFlat

from fastai_softlabels import formulas
from fastai_softlabels.all import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, SoftLabelError, SumOfLosses, TensorSoftCategory, TensorSoftMask, TensorSoftMultiCategory
from fastai_softlabels.losses import keep_probs

LOSSES = [SoftCrossEntropyLossFlat, SoftBCEWithLogitsLossFlat]
WEIGHTS = [.5, 2., 1.5, .1]


@pytest.fixture(autouse=True, params=['lean', 'lean, in chunks', 'plain'])
def path(request, monkeypatch):
    "Everything here holds for the lean forms and for the plain formulas"
    if request.param == 'lean, in chunks': monkeypatch.setattr(formulas, '_chunks', lambda t: [slice(0, len(t)//3), slice(len(t)//3, len(t))])
    if request.param == 'plain': [monkeypatch.setattr(f'fastai_softlabels.{room}.is_leanable', lambda *_: False) for room in ('losses', 'dice')]


@pytest.fixture
def logits(): return torch.randn(32, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

@pytest.fixture
def soft(): return torch.randn(32, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).softmax(-1)


def double(v): return torch.tensor(v, dtype=torch.float64)


def softmax_loop(logits, targets, weight, smoothing):
    "The formula of soft cross-entropy, item by item and class by class: (value, floor)"
    total = floor = mass = 0.
    for z, y in zip(logits.numpy(), targets.numpy()):
        m = y.sum()
        a = np.array([w*((1-smoothing)*v + smoothing*m/len(y)) for w, v in zip(weight, y)])
        log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
        total -= sum(ai*l for ai, l in zip(a, log_p))
        floor -= sum(ai*np.log(ai/a.sum()) for ai in a if ai > 0)
        mass += sum(w*v for w, v in zip(weight, y))
    return total/mass, floor/mass


def sigmoid_loop(logits, targets, weight, pos_weight):
    "The formula of soft BCE, element by element: (value, floor)"
    total = floor = n = 0.
    for z, y in zip(logits.numpy(), targets.numpy()):
        for c in range(len(y)):
            if np.isnan(y[c]): continue
            a, b, p = pos_weight[c]*y[c], 1 - y[c], 1/(1 + np.exp(-z[c]))
            total -= weight[c]*(a*np.log(p) + b*np.log(1-p))
            q = a/(a+b)
            floor -= weight[c]*((a*np.log(q) if a else 0) + (b*np.log(1-q) if b else 0))
            n += 1
    return total/n, floor/n


@pytest.mark.parametrize('weight', [None, WEIGHTS])
@pytest.mark.parametrize('smoothing', [0., .1, 1.])
def test_softmax_against_loop(logits, soft, weight, smoothing):
    soft[::5] = 0
    soft[1] = F.one_hot(torch.tensor(2), 4)
    value, floor = softmax_loop(logits, soft, weight or [1.]*4, smoothing)
    assert SoftCrossEntropyLossFlat(weight=weight and double(weight), label_smoothing=smoothing)(logits, soft).item() == pytest.approx(value, rel=1e-9)
    assert SoftCrossEntropyLossFlat(weight=weight and double(weight), label_smoothing=smoothing, kl=True)(logits, soft).item() == pytest.approx(value-floor, rel=1e-9)


@pytest.mark.parametrize('weight', [None, WEIGHTS])
@pytest.mark.parametrize('pos_weight', [None, WEIGHTS[::-1]])
def test_sigmoid_against_loop(logits, soft, weight, pos_weight):
    soft[::5, 1] = torch.nan
    soft[1], soft[2] = 0, 1
    kw = {k: double(w) for k, w in (('weight', weight), ('pos_weight', pos_weight)) if w}
    value, floor = sigmoid_loop(logits, soft, weight or [1.]*4, pos_weight or [1.]*4)
    assert SoftBCEWithLogitsLossFlat(**kw)(logits, soft).item() == pytest.approx(value, rel=1e-9)
    assert SoftBCEWithLogitsLossFlat(**kw, kl=True)(logits, soft).item() == pytest.approx(value-floor, rel=1e-9)


@pytest.mark.parametrize('kw', [{}, dict(weight=WEIGHTS), dict(label_smoothing=.2), dict(weight=WEIGHTS, label_smoothing=.2)])
@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
def test_hard_is_a_special_case(logits, kw, reduction):
    index = torch.arange(32) % 4
    kw = {k: double(v) if k == 'weight' else v for k, v in kw.items()}
    expected = nn.CrossEntropyLoss(reduction=reduction, **kw)(logits, index)
    loss = SoftCrossEntropyLossFlat(reduction=reduction, **kw)
    for targets in (index, index.int(), F.one_hot(index, 4), F.one_hot(index, 4).double()):
        torch.testing.assert_close(loss(logits, targets), expected, rtol=1e-9, atol=1e-9)


def test_hard_equals_fastai(logits):
    index = torch.arange(32) % 4
    fastais = CrossEntropyLossFlat(weight=torch.tensor(WEIGHTS))(logits.float(), index)
    torch.testing.assert_close(SoftCrossEntropyLossFlat(weight=WEIGHTS)(logits.float(), index), fastais.as_subclass(torch.Tensor))


def test_ignored_index_is_unlabelled(logits):
    index = torch.arange(32) % 4
    index[::3] = -100
    for weight in (None, double(WEIGHTS)):
        torch.testing.assert_close(SoftCrossEntropyLossFlat(weight=weight)(logits, index), F.cross_entropy(logits, index, weight=weight))
    one_hot = F.one_hot(index.clamp(min=0), 4).double()
    labelled = index >= 0
    torch.testing.assert_close(SoftBCEWithLogitsLossFlat()(logits, index), F.binary_cross_entropy_with_logits(logits[labelled], one_hot[labelled]))


def test_bce_equals_fastai_and_torch(logits, soft):
    fastais = BCEWithLogitsLossFlat()(logits.float(), soft.float())
    torch.testing.assert_close(SoftBCEWithLogitsLossFlat()(logits.float(), soft.float()), fastais.as_subclass(torch.Tensor))
    torch.testing.assert_close(SoftBCEWithLogitsLossFlat()(logits[:, :1], soft[:, :1]), F.binary_cross_entropy_with_logits(logits[:, :1], soft[:, :1]))


@pytest.mark.parametrize('cls', LOSSES)
@pytest.mark.parametrize('kl', [False, True])
def test_gradients_by_finite_differences(cls, kl, soft):
    z = torch.randn(6, 4, dtype=torch.float64).requires_grad_()
    y = soft[:6].clone()
    y[0] = 0 if cls is SoftCrossEntropyLossFlat else torch.nan
    kw = dict(label_smoothing=.1) if cls is SoftCrossEntropyLossFlat else dict(pos_weight=double(WEIGHTS))
    assert torch.autograd.gradcheck(lambda z: cls(weight=double(WEIGHTS), kl=kl, **kw)(z, y), z)
    assert torch.autograd.gradgradcheck(lambda z: cls(kl=kl)(z, y), z)


@pytest.mark.parametrize('cls', LOSSES)
@pytest.mark.parametrize('kl', [False, True])
def test_maps_equal_rows(cls, kl):
    z, y = torch.randn(2, 4, 3, 5), torch.rand(2, 4, 3, 5).softmax(1)
    rows = lambda t: t.movedim(1, -1).reshape(-1, 4)
    torch.testing.assert_close(cls(axis=1, weight=WEIGHTS, kl=kl)(z, y), cls(weight=WEIGHTS, kl=kl)(rows(z), rows(y)))
    none = cls(axis=1, reduction='none', kl=kl)(z, y)
    assert none.shape == ((2, 3, 5) if cls is SoftCrossEntropyLossFlat else z.shape)
    torch.testing.assert_close(none.mean(), cls(axis=1, kl=kl)(z, y))


@pytest.mark.parametrize('cls', LOSSES)
def test_hard_maps(cls):
    z, index = torch.randn(2, 4, 3, 5), torch.randint(4, (2, 3, 5))
    expected = F.cross_entropy(z, index) if cls is SoftCrossEntropyLossFlat else F.binary_cross_entropy_with_logits(z, F.one_hot(index, 4).movedim(-1, 1).float())
    torch.testing.assert_close(cls(axis=1)(z, index), expected)


@pytest.mark.parametrize('cls', LOSSES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_finite_for_any_finite_logits(cls, dtype):
    top = min(1e4, torch.finfo(dtype).max)
    z = torch.tensor([[top, -top, 0., 1.], [-top]*4, [top]*4], dtype=dtype).requires_grad_()
    y = torch.tensor([[.1, .2, .3, .4], [1., 0., 0., 0.], [.25]*4], dtype=dtype)
    for kl in (False, True):
        value = cls(kl=kl)(z, y)
        grad, = torch.autograd.grad(value, z)
        assert value.isfinite() and value.dtype == torch.float32 and grad.isfinite().all() and value >= 0


def test_ruled_out_classes():
    z = torch.tensor([[0., 1., -torch.inf], [2., -torch.inf, -torch.inf]]).requires_grad_()
    y = torch.tensor([[.3, .7, 0.], [1., 0., 0.]])
    value = SoftCrossEntropyLossFlat(reduction='none')(z, y)
    torch.testing.assert_close(value[0], F.cross_entropy(z[:1, :2], y[:1, :2]))
    assert value[1].item() == 0 and torch.autograd.grad(value.sum(), z)[0].isfinite().all()
    z = torch.tensor([[-torch.inf, torch.inf]]).requires_grad_()
    value = SoftBCEWithLogitsLossFlat()(z, torch.tensor([[0., 1.]]))
    assert value.item() == 0 and torch.autograd.grad(value, z)[0].isfinite().all()
    assert SoftCrossEntropyLossFlat()(torch.tensor([[0., -torch.inf]]), torch.tensor([[.5, .5]])) == torch.inf, 'a wrong certainty costs infinitely much'


@pytest.mark.parametrize('cls', LOSSES)
@pytest.mark.parametrize('kw', [{}, dict(kl=True), dict(weight=WEIGHTS)])
def test_nothing_labelled(cls, kw):
    z = torch.randn(3, 4).requires_grad_()
    y = torch.zeros(3, 4) if cls is SoftCrossEntropyLossFlat else torch.full((3, 4), torch.nan)
    for reduction in ('mean', 'sum'):
        value = cls(reduction=reduction, **kw)(z, y)
        assert value.item() == 0 and torch.autograd.grad(value, z)[0].abs().sum() == 0
    assert (cls(reduction='none', **kw)(z, y) == 0).all()


@pytest.mark.parametrize('cls', LOSSES)
@pytest.mark.parametrize('shape, dtype', [((32, 1), torch.float32), ((1, 4), torch.float32), ((32,), torch.float32), ((4, 32), torch.float32), ((32, 5), torch.float32),
                                          ((31, 4), torch.float32), ((31,), torch.int64), ((32, 1), torch.int64), ((32,), torch.bool), ((), torch.float32)])
def test_other_shapes_raise(cls, shape, dtype, logits):
    with pytest.raises(SoftLabelError, match=r'\(32, 4\).*Nothing is broadcast') as e: cls()(logits, torch.zeros(shape, dtype=dtype))
    assert str(tuple(shape)) in str(e.value)


@pytest.mark.parametrize('cls', LOSSES)
def test_copies_and_moves(cls, logits, soft):
    loss = cls(weight=WEIGHTS, kl=True)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), copy.deepcopy(loss).to(torch.float64)):
        assert twin is not loss
        torch.testing.assert_close(twin(logits, soft), loss(logits, soft), rtol=1e-6, atol=0)
    twin.reduction = 'sum'
    assert loss.reduction == 'mean'


@pytest.mark.parametrize('cls', LOSSES)
def test_compiles(cls, logits, soft):
    loss = cls(weight=WEIGHTS, kl=True)
    compiled = torch.compile(loss)
    (a, b), (c, d) = [(v := f(z := logits.float().requires_grad_(), soft.float()), torch.autograd.grad(v, z)[0]) for f in (loss, compiled)]
    torch.testing.assert_close(c, a)
    torch.testing.assert_close(d, b)


def test_sum_of_losses(logits, soft):
    both = SumOfLosses([SoftCrossEntropyLossFlat(), CrossEntropyLossFlat()], [3, 1 + 1])
    z, index = torch.randn(32, 5, dtype=torch.float64), torch.arange(32) % 2
    y = soft[:, :3]/soft[:, :3].sum(-1, keepdim=True)
    expected = F.cross_entropy(z[:, :3], y) + F.cross_entropy(z[:, 3:], index)
    torch.testing.assert_close(both(z, y, index), expected)
    probs = both.activation(z)
    torch.testing.assert_close(probs[0], z[:, :3].softmax(-1))
    torch.testing.assert_close(probs[1], z[:, 3:].softmax(-1))
    assert both.decodes(probs)[1].tolist() == z[:, 3:].argmax(-1).tolist()
    both.reduction = 'none'
    torch.testing.assert_close(both(z, y, index).as_subclass(torch.Tensor).mean(), expected)


def test_sum_of_losses_of_each_item(logits, soft):
    "a loss for each class, or each pixel, is averaged over the item first"
    both = SumOfLosses([SoftCrossEntropyLossFlat(reduction='none'), SoftBCEWithLogitsLossFlat(reduction='none'), SoftCrossEntropyLossFlat(axis=1, reduction='none')], [3, 2, 4])
    z, classes, maps = torch.randn(6, 3), torch.randn(6, 2), torch.randn(6, 4, 5, 7)
    y, present, mask = torch.randn(6, 3).softmax(-1), torch.rand(6, 2), torch.randint(4, (6, 5, 7))
    expected = F.cross_entropy(z, y, reduction='none') + F.binary_cross_entropy_with_logits(classes, present, reduction='none').mean(1) + F.cross_entropy(maps, mask, reduction='none').mean((1, 2))
    torch.testing.assert_close(both((z, classes, maps), y, present, mask).as_subclass(torch.Tensor), expected)


@pytest.mark.parametrize('loss, cls', [(SoftCrossEntropyLossFlat(), TensorSoftCategory), (SoftBCEWithLogitsLossFlat(), TensorSoftMultiCategory),
                                       (SoftCrossEntropyLossFlat(axis=1), TensorSoftMask), (SoftBCEWithLogitsLossFlat(axis=1), TensorSoftMask)])
def test_decisions_have_the_type_that_remembers(loss, cls):
    probs = torch.rand(2, 3, 4, 4).softmax(1) if cls is TensorSoftMask else torch.rand(5, 3).softmax(1)
    decided = loss.decodes(probs)
    assert type(decided) is cls and torch.equal(decided.probs, probs)
    assert not hasattr(loss.decodes(probs[0]), 'probs'), 'a single item is no batch'


@pytest.mark.parametrize('loss, act', [(nn.BCEWithLogitsLoss(), torch.sigmoid), (nn.CrossEntropyLoss(), partial(torch.softmax, dim=1))])
def test_a_loss_of_pytorch_has_the_activation_that_it_reads(loss, act):
    z = torch.randn(5, 3)
    torch.testing.assert_close(keep_probs(loss).activation(z), act(z))
