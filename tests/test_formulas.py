"The lean forms of the losses: equal to the plain formulas in float64, to torch and to loops, in any chunks, and taken where they say so."
import ast, copy, json, os, pickle, subprocess, sys, warnings
from pathlib import Path

import numpy as np, pytest, torch, torch.nn.functional as F
from torch import nn

from fastai_softlabels import formulas
from fastai_softlabels.all import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss, SoftLabelError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'benchmarks'))
from timing import peak
SOFTMAX = {'CE': lambda **kw: SoftCrossEntropyLossFlat(axis=1, **kw), 'Dice, softmax': lambda **kw: SoftDiceLoss(activation='softmax', **kw), 'Dice + CE': lambda **kw: SoftDiceCELoss(.3, **kw)}
SIGMOID = {'BCE': lambda **kw: SoftBCEWithLogitsLossFlat(axis=1, **kw), 'Dice, sigmoid': lambda **kw: SoftDiceLoss(activation='sigmoid', **kw), 'Dice + BCE': lambda **kw: SoftDiceBCELoss(.3, **kw)}
LOSSES = {**SOFTMAX, **SIGMOID}
SHAPES = [(1, 2), (5, 3), (67, 10), (1, 2, 1), (3, 4, 5), (2, 3, 7, 5), (5, 1, 3, 3), (3, 21, 13, 11)] # one class, one pixel, odd remainders
CHUNKS = [1, 64, 2**20] # elements: item by item, some items with remainders, everything at once


def case(name, shape, seed=0):
    "Logits and soft labels in float32"
    g = torch.Generator().manual_seed(seed)
    if name in SOFTMAX and shape[1] == 1: shape = (shape[0], 2, *shape[2:]) # softmax over one class is refused
    z, y = 2*torch.randn(shape, generator=g), torch.rand(shape, generator=g)
    return z, y/y.sum(1, keepdim=True) if name in SOFTMAX else y


def value_and_grad(loss, z, y):
    z = z.detach().clone().requires_grad_()
    value = loss(z, y)
    return value.detach(), torch.autograd.grad(value, z)[0]


def is_lean(value) -> bool:
    "Does a lean node stand in the value's graph?"
    nodes = [value.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None: continue
        if node.name() == '_LeanBackward': return True
        nodes += [n for n, _ in node.next_functions]
    return False


def assert_equals_float64(loss, z, y, ulp=0., digits=0.):
    """Value to 1e-6, relative, or to `digits`; gradient to 1e-6 of its largest element; the oracle is the plain formula in float64

    Where digits cancel and the plain formula in float32 (labels that learn take it) loses more than that, so may the lean one."""
    plain, plain_grad = value_and_grad(loss, z, y.detach().clone().requires_grad_())
    (value, grad), (expected, exact) = value_and_grad(loss, z, y), value_and_grad(copy.deepcopy(loss).double(), z.double(), y.double())
    assert value.dtype == grad.dtype == torch.float32 and grad.shape == z.shape
    lost = [4*(a - b).abs().max().nan_to_num().item() for a, b in ((plain, expected), (plain_grad, exact))]
    assert value.item() == pytest.approx(expected.item(), rel=1e-6, abs=max(lost[0], digits))
    assert (grad - exact).abs().max() <= max(1e-6*exact.abs().max(), lost[1], ulp)


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('chunk', CHUNKS)
def test_equals_the_plain_formula(name, shape, chunk, monkeypatch):
    monkeypatch.setattr(formulas, '_CHUNK', chunk)
    z, y = case(name, shape)
    for reduction in ('mean', 'sum'):
        loss = LOSSES[name](reduction=reduction)
        assert is_lean(loss(z.clone().requires_grad_(), y))
        assert_equals_float64(loss, z, y)


@pytest.mark.parametrize('name', LOSSES)
def test_equals_the_plain_formula_at_full_size(name):
    z, y = case(name, (2, 21, 257, 129)) # an item is a chunk
    assert_equals_float64(LOSSES[name](), z, y)


@pytest.mark.parametrize('shape', [(1, 2), (4099, 10), (70_001, 10), (65, 63), (33, 64), (257, 1000), (3, 5, 7), (2, 3, 64, 5)], ids=str)
@pytest.mark.parametrize('kw', [{}, dict(label_smoothing=.1), dict(weight='random'), dict(weight='random', label_smoothing=.1)], ids=str)
def test_rows(shape, kw):
    z, y = 2*torch.randn(shape), torch.rand(shape)
    y = y/y.sum(-1, keepdim=True)
    y.view(-1, shape[-1])[1::3] = 0
    if 'weight' in kw: kw = {**kw, 'weight': torch.rand(shape[-1]) + .1}
    kw = {**kw, 'axis': 3} if len(shape) == 4 else kw
    assert_equals_float64(SoftCrossEntropyLossFlat(**kw), z, y)
    if len(shape) == 2 and not kw and shape[0] < 1000:
        shares = y[y.sum(1) > 0]
        torch.testing.assert_close(SoftCrossEntropyLossFlat()(z, y), F.cross_entropy(z[y.sum(1) > 0], shares))
    assert is_lean(SoftCrossEntropyLossFlat(**kw)(z.requires_grad_(), y))


@pytest.mark.parametrize('kind', ['softmax', 'sigmoid'])
@pytest.mark.parametrize('aggregate', ['image', 'class', 'batch'])
@pytest.mark.parametrize('classes', ['all', 'present'])
@pytest.mark.parametrize('smooth', [0., 1e-5, 1., 30.])
@pytest.mark.parametrize('chunk', [50, 2**20])
def test_dice_in_all_its_forms(kind, aggregate, classes, smooth, chunk, monkeypatch):
    monkeypatch.setattr(formulas, '_CHUNK', chunk)
    z, y = case('Dice, ' + kind, (4, 3, 7, 5))
    y[0, 1] = 0 # an absent class
    if kind == 'softmax':
        y[0] /= y[0].sum(0)
        y[1] = 0         # nobody labelled
        y[2, :, :2] = 0  # nor here
        y[3, :, 3] *= .4 # partly void
    else: y[1] = 0
    for reduction in ('mean', 'sum'):
        loss = SoftDiceLoss(activation=kind, aggregate=aggregate, classes=classes, smooth=smooth, reduction=reduction)
        assert is_lean(loss(z.clone().requires_grad_(), y))
        assert_equals_float64(loss, z, y)
    mixed = SoftDiceCELoss if kind == 'softmax' else SoftDiceBCELoss
    assert_equals_float64(mixed(aggregate=aggregate, classes=classes, smooth=smooth), z, y)


def loop(name, z, y):
    "Each loss pixel by pixel in NumPy"
    n, k = z.shape[:2]
    z, y = z.double().flatten(2).numpy(), y.double().flatten(2).numpy()
    p = np.exp(z)/np.exp(z).sum(1, keepdims=True) if name in SOFTMAX else 1/(1 + np.exp(-z))
    pixel = count = dice = 0.
    for i in range(n):
        for c in range(k):
            distance = total = 0.
            for j in range(z.shape[2]):
                pixel -= y[i, c, j]*np.log(p[i, c, j]) + (0 if name in SOFTMAX else (1 - y[i, c, j])*np.log(1 - p[i, c, j]))
                count += y[i, c, j] if name in SOFTMAX else 1
                distance += abs(p[i, c, j] - y[i, c, j])
                total += p[i, c, j] + y[i, c, j]
            dice += distance/(total + 1)/(n*k)
    share = {'Dice, softmax': 1., 'Dice, sigmoid': 1., 'Dice + CE': .3, 'Dice + BCE': .3}.get(name, 0.)
    return (1 - share)*pixel/count + share*dice


@pytest.mark.parametrize('name', LOSSES)
def test_equals_a_loop(name):
    z, y = case(name, (2, 3, 5, 4))
    assert LOSSES[name]()(z, y).item() == pytest.approx(loop(name, z, y), rel=1e-6)


@pytest.mark.parametrize('value', [0., -0., 1e-39, -1e-39, 1e-30, -1e-30])
def test_logits_about_zero(value):
    z, y = torch.full((2, 3, 5), value), torch.linspace(0, 1, 30).view(2, 3, 5)
    for name in SIGMOID: assert_equals_float64(LOSSES[name](), z, y)
    for name in SOFTMAX: assert_equals_float64(LOSSES[name](), z, y/y.sum(1, keepdim=True))


def test_equals_torch():
    z, y = case('CE', (6, 5, 9))
    torch.testing.assert_close(SoftCrossEntropyLossFlat(axis=1)(z, y), F.cross_entropy(z, y), rtol=1e-6, atol=0)
    torch.testing.assert_close(SoftBCEWithLogitsLossFlat()(z, y), F.binary_cross_entropy_with_logits(z, y), rtol=1e-6, atol=0)


@pytest.mark.parametrize('kw', [{}, dict(weight=[.5, 2., 1.5, .1]), dict(label_smoothing=.2), dict(weight=[.5, 2., 1.5, .1], label_smoothing=.2)], ids=str)
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_hard_is_a_special_case(kw, reduction):
    z, index = torch.randn(33, 4), torch.arange(33) % 4
    index[::7] = -100
    expected = value_and_grad(nn.CrossEntropyLoss(reduction=reduction, **{k: torch.tensor(v) if k == 'weight' else v for k, v in kw.items()}), z, index)
    loss = SoftCrossEntropyLossFlat(reduction=reduction, **kw)
    assert is_lean(loss(z.clone().requires_grad_(), index))
    for a, b in zip(value_and_grad(loss, z, index), expected): torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('name', ['CE', 'BCE', 'Dice + CE', 'Dice + BCE'])
def test_least_at_the_label(name):
    _, y = case(name, (3, 4, 9))
    z = y.log() if name in SOFTMAX else y.logit()
    at_y, (value, grad) = LOSSES[name]()(z, y), value_and_grad(LOSSES[name](), z, y)
    assert all(LOSSES[name]()(z + .05*torch.randn_like(z), y) > at_y for _ in range(20))
    if name in ('CE', 'BCE'):
        assert grad.abs().max() < 1e-8
        floor = torch.special.entr(y).sum() if name == 'CE' else (torch.special.entr(y) + torch.special.entr(1 - y)).sum()
        assert value.item() == pytest.approx((floor/(y.sum() if name == 'CE' else y.numel())).item(), rel=1e-6)


@pytest.mark.parametrize('confidence', [3., 7., 14., 30., 80.])
@pytest.mark.parametrize('sign', [1, -1])
@pytest.mark.parametrize('label', ['same', 'smoothed', 'opposite'])
def test_confident_logits_keep_their_digits(confidence, sign, label):
    """Every pixel alike, so that no rounding averages out

    A logit has no more digits than float32 gives it; of what is left of it when the label is subtracted BCE keeps no others."""
    hard = float(sign > 0)
    target = {'same': hard, 'smoothed': .01 + .98*hard, 'opposite': 1 - hard}[label]
    z, y = torch.full((1, 1, 40, 40), sign*confidence), torch.full((1, 1, 40, 40), target)
    ulp = 1.2e-7
    assert_equals_float64(SoftBCEWithLogitsLossFlat(axis=1), z, y, ulp=ulp/1600 if sign > 0 else 0., digits=confidence*ulp if sign > 0 else 0.)
    two = lambda t, other: torch.cat([t, other], 1)
    assert_equals_float64(SoftCrossEntropyLossFlat(axis=1), two(z, torch.zeros_like(z)) + 50, two(y, 1 - y), ulp=ulp/1600)


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_finite_for_any_finite_logits(name, dtype):
    z, y = case(name, (2, 4, 3))
    z = (1e4*torch.randn(2, 4, 3).sign()).to(dtype)
    value, grad = value_and_grad(LOSSES[name](), z, y)
    assert value.isfinite() and value.dtype == torch.float32 and grad.isfinite().all() and grad.dtype == dtype
    assert is_lean(LOSSES[name]()(z.requires_grad_(), y))
    torch.testing.assert_close(value.double(), LOSSES[name]()(z.detach().double(), y.double()), rtol=1e-6, atol=0)


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    z, y = case(name, (3, 4, 9))
    z, y = z.to(dtype), y.to(dtype)
    half, full = value_and_grad(LOSSES[name](), z, y), value_and_grad(LOSSES[name](), z.float(), y.float())
    assert torch.equal(half[0], full[0]) and torch.equal(half[1], full[1].to(dtype))


@pytest.mark.parametrize('name', SOFTMAX)
@pytest.mark.parametrize('chunk', [20, 2**20])
def test_infinite_logits_where_the_label_is_zero(name, chunk, monkeypatch):
    monkeypatch.setattr(formulas, '_CHUNK', chunk)
    z, y = case(name, (2, 4, 9))
    y[1, 2, 5:] = 0
    y[1, :, 5:] /= y[1, :, 5:].sum(0)
    z[1, 2, 5:] = -torch.inf
    assert_equals_float64(LOSSES[name](), z, y)


@pytest.mark.parametrize('name', ['BCE', 'Dice + BCE', 'Dice, sigmoid'])
def test_infinite_logits_on_the_labels_side(name):
    z, y = case(name, (2, 4, 9))
    z[0, 0], y[0, 0] = torch.inf, 1.
    z[1, 3], y[1, 3] = -torch.inf, 0.
    assert_equals_float64(LOSSES[name](), z, y)


def test_infinite_logits_beside_weights():
    z, y = torch.tensor([[torch.inf, -torch.inf, 1.]]), torch.tensor([[1., 0., .3]])
    loss = SoftBCEWithLogitsLossFlat(pos_weight=[2., 5., 3.], weight=[4., 1., 1.])
    assert_equals_float64(loss, z, y)


def test_logits_as_large_as_they_may_be():
    for name in LOSSES:
        z, y = case(name, (2, 4, 3))
        value, grad = value_and_grad(LOSSES[name](), 1e35*z.sign(), y)
        assert value.isfinite() and grad.isfinite().all()


def test_wrong_certainty_costs_infinitely_much():
    assert SoftCrossEntropyLossFlat()(torch.tensor([[0., -torch.inf]]), torch.tensor([[.5, .5]])) == torch.inf
    assert SoftBCEWithLogitsLossFlat()(torch.tensor([[torch.inf]]), torch.tensor([[.5]])) == torch.inf


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('chunk', [20, 2**20])
def test_unlabelled_neither_count_nor_pull(name, chunk, monkeypatch):
    monkeypatch.setattr(formulas, '_CHUNK', chunk)
    z, y = case(name, (3, 4, 5, 5))
    blank = 0. if name in SOFTMAX else torch.nan
    y[0, :, :2] = blank
    y[2] = blank
    value, grad = value_and_grad(LOSSES[name](), z, y)
    assert grad[0, :, :2].abs().max() == grad[2].abs().max() == 0
    assert_equals_float64(LOSSES[name](), z, y)
    assert is_lean(LOSSES[name]()(z.clone().requires_grad_(), y))
    nothing = value_and_grad(LOSSES[name](), z, torch.full_like(y, blank))
    assert nothing[0] == 0 and nothing[1].abs().max() == 0


LAYOUTS = {'channels last': lambda t: t.contiguous(memory_format=torch.channels_last), 'transposed': lambda t: t.transpose(2, 3).contiguous().transpose(2, 3), 'sliced': lambda t: torch.cat([t, t], 3)[..., ::2],
           'offset': lambda t: torch.cat([t, t])[len(t):], 'expanded': lambda t: t[:1].expand(t.shape), 'classes outermost': lambda t: t.transpose(0, 1).contiguous().transpose(0, 1)}

@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('of_logits', LAYOUTS)
@pytest.mark.parametrize('of_labels', ['channels last', 'expanded'])
def test_any_layout(name, of_logits, of_labels):
    z, y = case(name, (3, 4, 5, 6))
    z, y = LAYOUTS[of_logits](z), LAYOUTS[of_labels](y)
    leaf = z.detach().requires_grad_()
    value = LOSSES[name]()(leaf, y)
    grad, = torch.autograd.grad(value, leaf)
    expected = value_and_grad(LOSSES[name](), z.contiguous(), y.contiguous())
    assert is_lean(value) and grad.stride() == z.stride() or of_logits in ('sliced', 'expanded', 'offset')
    for a, b in zip((value.detach(), grad), expected): torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('name', LOSSES)
def test_empty_batch(name):
    z = torch.zeros(0, 4, 5, 5, requires_grad=True)
    value = LOSSES[name]()(z, torch.zeros(0, 4, 5, 5))
    assert value == 0 and torch.autograd.grad(value, z)[0].shape == z.shape


@pytest.mark.parametrize('name', LOSSES)
def test_same_twice(name):
    z, y = case(name, (3, 4, 50, 50))
    first, second = (value_and_grad(LOSSES[name](), z, y) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@pytest.mark.parametrize('name', LOSSES)
def test_backward_again_scaled_and_summed_up(name):
    z, y = case(name, (3, 4, 5))
    _, grad = value_and_grad(LOSSES[name](), z, y)
    z.requires_grad_()
    value = LOSSES[name]()(z, y)
    for factor in (1, 3, .5):
        z.grad = None
        (factor*value).backward(retain_graph=True)
        torch.testing.assert_close(z.grad, factor*grad, rtol=1e-6, atol=1e-7*grad.abs().max())
    z.grad = None
    for _ in range(2): value.backward(retain_graph=True)
    torch.testing.assert_close(z.grad, 2*grad, rtol=1e-6, atol=0)
    value.backward()
    with pytest.raises(RuntimeError, match='second time'): value.backward()


def test_backward_again_notices_changed_labels():
    z, y = case('CE', (3, 4, 5))
    value = SoftCrossEntropyLossFlat(axis=1)(z.requires_grad_(), y)
    value.backward(retain_graph=True)
    y.zero_()
    with pytest.raises(RuntimeError, match='modified by an inplace operation'): value.backward()


@pytest.mark.parametrize('name', LOSSES)
def test_gradient_of_the_gradient(name):
    z, y = case(name, (2, 3, 4))
    direction = torch.randn(z.shape)
    def curvature(z, y):
        z = z.clone().requires_grad_()
        value = LOSSES[name]()(2*z, y)
        assert is_lean(value)
        grad, = torch.autograd.grad(value, z, create_graph=True)
        return torch.autograd.grad((grad*direction.to(z.dtype)).sum(), z)[0]
    torch.testing.assert_close(curvature(z, y).double(), curvature(z.double(), y.double()), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', LOSSES)
def test_by_finite_differences(name):
    z, y = case(name, (2, 3, 4))
    assert torch.autograd.gradcheck(lambda z: LOSSES[name]()(z, y.double()), z.double().requires_grad_())
    assert torch.autograd.gradgradcheck(lambda z: LOSSES[name]()(z, y.double()), z.double().requires_grad_())


@pytest.mark.parametrize('name', LOSSES)
def test_labels_that_learn(name):
    z, y = case(name, (2, 3, 4))
    z, y = z.requires_grad_(), y.requires_grad_()
    value = LOSSES[name]()(z, y)
    assert not is_lean(value) and torch.autograd.grad(value, y)[0].abs().max() > 0


@pytest.mark.parametrize('name', LOSSES)
def test_who_watches_gets_the_plain_formula(name):
    z, y = case(name, (3, 3, 4))
    loss = LOSSES[name]()
    value, grad = value_and_grad(loss, z, y)
    torch.testing.assert_close(torch.func.grad(loss)(z, y), grad, rtol=1e-5, atol=1e-7)
    single = torch.func.vmap(torch.func.grad(lambda z, y: loss(z[None], y[None])))(z, y)
    torch.testing.assert_close(single, torch.stack([value_and_grad(loss, a[None], b[None])[1][0] for a, b in zip(z, y)]), rtol=1e-5, atol=1e-7)
    slope = torch.func.jvp(lambda z: loss(z, y), (z,), (torch.ones_like(z),))[1]
    torch.testing.assert_close(slope, grad.sum(), rtol=1e-4, atol=1e-6, check_dtype=False)
    import torch.autograd.forward_ad as fwAD
    with fwAD.dual_level(): torch.testing.assert_close(fwAD.unpack_dual(loss(fwAD.make_dual(z, torch.ones_like(z)), y)).tangent, grad.sum(), rtol=1e-4, atol=1e-6, check_dtype=False)


@pytest.mark.parametrize('name, kw', [('CE', dict(reduction='none')), ('CE', dict(kl=True)), ('CE', dict(kl=True, weight=[1., 2., 3.], label_smoothing=.1)), ('BCE', dict(kl=True)), ('BCE', dict(weight=[1., 2., 3.])), ('BCE', dict(pos_weight=[1., 2., 3.])),
                                      ('BCE', dict(kl=True, weight=[1., 2., 3.], pos_weight=[3., .5, 2.])), ('Dice, softmax', dict(reduction='none')), ('Dice, sigmoid', dict(reduction='none'))], ids=str)
def test_options_are_lean(name, kw):
    z, y = case(name, (4, 3, 4))
    y[1] = 0. if name in SOFTMAX else torch.nan
    loss = LOSSES[name](**kw)
    assert is_lean(loss(z.clone().requires_grad_(), y).sum())
    if 'reduction' not in kw: return assert_equals_float64(loss, z, y)
    assert_equals_float64(Summed(loss), z, y)


class Summed(nn.Module):
    "A loss whose values are weighted and summed up"
    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, z, y):
        values = self.loss(z, y)
        return (values*torch.linspace(1, 2, values.numel(), dtype=values.dtype).view(values.shape)).sum()


def test_bce_of_each_element_has_nothing_to_save():
    z, y = case('BCE', (2, 3, 4))
    assert not is_lean(SoftBCEWithLogitsLossFlat(axis=1, reduction='none')(z.requires_grad_(), y).sum())


def test_weighted_mixtures_take_dice_alone():
    z, y = case('Dice + CE', (2, 3, 6, 5))
    assert_equals_float64(SoftDiceCELoss(.3, weight=[1., 2., .5]), z, y)
    for kw in (dict(pos_weight=2.), dict(neg_weight=[.5, 1., 2.])): assert_equals_float64(SoftDiceBCELoss(.3, **kw), z, y)
    for w in (0., 1.):
        for cls in (SoftDiceCELoss, SoftDiceBCELoss):
            assert_equals_float64(cls(w), z, y)
            assert is_lean(cls(w)(z.clone().requires_grad_(), y))


def test_a_pixel_loss_that_was_changed_is_obeyed():
    z, y = case('Dice + CE', (2, 3, 6, 5))
    loss = SoftDiceCELoss(.5)
    before = loss(z, y)
    loss.pixel.kl = True
    assert loss(z, y) < before - .1


@pytest.mark.parametrize('name', LOSSES)
def test_without_gradient(name):
    z, y = case(name, (3, 4, 5))
    value, _ = value_and_grad(LOSSES[name](), z, y)
    assert torch.equal(LOSSES[name]()(z, y), value)
    with torch.no_grad(): silent = LOSSES[name]()(z.clone().requires_grad_(), y)
    with torch.inference_mode(): inferred = LOSSES[name]()(z + 0, y)
    assert torch.equal(silent, value) and not silent.requires_grad and torch.equal(inferred, value)


@pytest.mark.parametrize('name', LOSSES)
def test_autocast_changes_nothing(name):
    z, y = case(name, (3, 4, 5))
    value, grad = value_and_grad(LOSSES[name](), z, y)
    with torch.autocast('cpu', torch.bfloat16): casted = value_and_grad(LOSSES[name](), z, y)
    assert torch.equal(casted[0], value) and torch.equal(casted[1], grad)


def test_inputs_are_left_as_they_were():
    for name in LOSSES:
        z, y = case(name, (3, 4, 5))
        before = z.clone(), y.clone()
        value_and_grad(LOSSES[name](), z, y)
        LOSSES[name]()(z, y)
        assert torch.equal(z, before[0]) and torch.equal(y, before[1])


@pytest.mark.parametrize('name', LOSSES)
def test_sums_of_many_elements(name):
    "ten million"
    z, y = case(name, (8, 5, 500, 500))
    value = LOSSES[name]()(z, y).item()
    assert value == pytest.approx(LOSSES[name]()(z.double(), y.double()).item(), rel=1e-6)


def test_unlabelled_is_what_the_target_says():
    "a NaN logit is a fault of the model where the item is labelled, and nothing where it is not"
    for name in LOSSES:
        z, y = case(name, (3, 4, 5))
        z[1, 2, 3] = torch.nan
        assert LOSSES[name]()(z, y).isnan()
        if name == 'Dice + CE': continue # as its cross-entropy is NaN
        y[1, :, 3] = 0. if name in SOFTMAX else torch.nan
        assert LOSSES[name]()(z, y).isfinite()


def test_benchmark(tmp_path):
    "every line is printed, ours and the peers', in both regimes; nothing is said about times"
    out = subprocess.run([sys.executable, ROOT/'benchmarks'/'losses.py', '--tiny', '--json', tmp_path/'rows.json'], capture_output=True, text=True, timeout=600, check=True).stdout
    rows = json.loads((tmp_path/'rows.json').read_text())['rows']
    whos = [('CE 64×10', 'torch CE'), ('CE 16×100', 'torch CE'), ('CE 2×3×16×16', 'torch CE'), ('BCE 2×3×16×16', 'torch BCE'), ('Dice, sigmoid 2×3×16×16', 'MONAI Dice (sigmoid)'), ('Dice, softmax 2×3×16×16', 'MONAI Dice (softmax)'),
            ('Dice, softmax 2×3×16×16', 'SMP Dice after softmax'), ('CE + Dice 2×3×16×16', 'MONAI DiceCE'), ('BCE + Dice 2×3×16×16', 'MONAI Dice + torch BCE')]
    wanted = set(whos) | {(case, who) for case, _ in whos for who in ('ours', 'the plain formula')}
    for regime in ('default allocator', 'no page faults'):
        assert {(r['case'], r['who']) for r in rows if r['regime'] == regime} == wanted and regime in out
    assert all(r['ms'] > 0 and r['low'] <= r['ratio'] <= r['high'] and r['peak'] > 0 for r in rows)
    assert sum(l.rstrip().endswith(' T') for l in out.splitlines()) == 2*len(wanted)


def test_what_can_be_lean():
    z = torch.zeros(2, 3)
    assert all(formulas.is_leanable(t, t) for t in (z, z.double(), z.half(), z.to('meta'), z[:0])) and formulas.is_leanable(nn.Parameter(z), z)
    assert not formulas.is_leanable(z, nn.Parameter(z))


def test_imports_torch_alone():
    tree = ast.parse(Path(formulas.__file__).read_text())
    found = {(n.module if isinstance(n, ast.ImportFrom) else a.name).split('.')[0] for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    assert found - set(sys.stdlib_module_names) == {'torch'}


@pytest.mark.parametrize('name', LOSSES)
def test_compile(name):
    z, y = case(name, (3, 4, 6, 5))
    loss = pickle.loads(pickle.dumps(copy.deepcopy(LOSSES[name](compile=True))))
    assert 'compile=True' in repr(loss) and 'compile' not in repr(LOSSES[name]())
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*could not be compiled')
        value, grad = value_and_grad(loss, z, y)
    assert not is_lean(loss(z.clone().requires_grad_(), y))
    for a, b in zip((value, grad), value_and_grad(LOSSES[name](), z, y)): torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    with pytest.raises(SoftLabelError, match='Nothing is broadcast'): loss(z, y[:2])


WITHOUT_COMPILER = """
import torch, warnings
from fastai_softlabels.all import SoftBCEWithLogitsLossFlat
z, y = torch.randn(6, 5), torch.rand(6, 5)
loss = SoftBCEWithLogitsLossFlat(compile=True)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter('always')
    torch.testing.assert_close([loss(z, y), loss(z, y)][1], SoftBCEWithLogitsLossFlat()(z, y))
print(sum('`compile=True` has no effect: plain_bce could not be compiled' in str(w.message) for w in said))
"""

def test_compile_without_a_compiler(tmp_path):
    env = {**os.environ, 'CXX': str(tmp_path/'none'), 'TORCHINDUCTOR_CACHE_DIR': str(tmp_path), 'TORCHINDUCTOR_FORCE_DISABLE_CACHES': '1'}
    assert subprocess.run([sys.executable, '-c', WITHOUT_COMPILER], env=env, capture_output=True, text=True, timeout=300, check=True).stdout.split() == ['1']
