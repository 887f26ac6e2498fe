"Nothing makes the CPU wait for the device: shown without one, by tensors that have a device and no values."
import pytest, torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fastai_softlabels import formulas, losses
from fastai_softlabels.all import *
from fastai_softlabels.ordinal import spread_difference
from fastai_softlabels.scores import ConfidenceMeter, ScoreHistogram, SCORES

LOSSES = {'CE': lambda **kw: SoftCrossEntropyLossFlat(axis=1, **kw), 'BCE': lambda **kw: SoftBCEWithLogitsLossFlat(axis=1, **kw), 'Dice, softmax': lambda **kw: SoftDiceLoss(**kw),
          'Dice, sigmoid': lambda **kw: SoftDiceLoss(activation='sigmoid', **kw), 'CE + Dice': lambda **kw: SoftDiceCELoss(**kw), 'BCE + Dice': lambda **kw: SoftDiceBCELoss(**kw),
          'grades': lambda **kw: SoftOrdinalLossFlat(axis=1, ce=.5, **kw), 'counts': lambda **kw: DirichletMultinomialLossFlat(axis=1, **kw)}
FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


class NoTransfers(TorchDispatchMode):
    "Refuses a copy from the device to the CPU, which fake tensors let pass"
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        res = func(*args, **(kwargs or {}))
        def on(o, kind): return any(isinstance(t, torch.Tensor) and t.device.type == kind and t.ndim for t in tree_leaves(o))
        if on((args, kwargs), 'cuda') and on(res, 'cpu'): raise RuntimeError(f'{func} copies from the device to the CPU')
        return res


def quiet(f, *shapes, device='cuda', dtype=torch.float32):
    "Call `f` with tensors of these shapes that have no values; reading one raises"
    with FakeTensorMode(allow_non_fake_inputs=True), NoTransfers(): return f(*(torch.empty(s, dtype=dtype if i == 0 else torch.float32, device=device) for i, s in enumerate(shapes)))


@pytest.mark.parametrize('f', [lambda t: t.sum().item(), lambda t: bool(t.any()), lambda t: float(t.max()), lambda t: t.tolist(), lambda t: t.nonzero(), lambda t: t[t > 0], lambda t: t.unique(), lambda t: t.cpu(),
                               lambda t: t.to('cpu'), lambda t: t.cpu().numpy(), lambda t: 1 if t.sum() > 0 else 0], ids=['item', 'bool', 'float', 'tolist', 'nonzero', 'mask', 'unique', 'cpu', 'to', 'numpy', 'if'])
def test_what_waits_is_noticed(f):
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException, RuntimeError)): quiet(f, (3, 4))


@pytest.mark.parametrize('dtype', FLOATS, ids=str)
@pytest.mark.parametrize('kw', [{}, dict(reduction='none')], ids=str)
@pytest.mark.parametrize('name', LOSSES)
def test_losses(name, kw, dtype):
    loss = LOSSES[name](**kw)
    assert quiet(loss, (2, 3, 8, 8), (2, 3, 8, 8), dtype=dtype).device.type == 'cuda'


@pytest.mark.parametrize('name, kw', [('CE', dict(weight=[1., 2., 3.])), ('CE', dict(label_smoothing=.1, kl=True)), ('BCE', dict(weight=[1., 2., 3.], pos_weight=[1., 2., 3.], kl=True)), ('Dice, softmax', dict(aggregate='batch', classes='present')),
                                      ('grades', dict(weight=[1., 2., 3.], values=[1, 2, 5], kl=True)), ('counts', dict(kl=True, concentration='bounded')), ('CE + Dice', dict(weight=[1., 2., 3.])), ('BCE + Dice', dict(pos_weight=[1., 2., 3.]))], ids=str)
def test_options_of_losses(name, kw):
    device = 'meta' if {'weight', 'pos_weight'} & set(kw) else 'cuda' # weights have to lie where the logits do
    quiet(LOSSES[name](**kw).to('meta'), (2, 3, 8, 8), (2, 3, 8, 8), device=device)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
@pytest.mark.parametrize('dtype', FLOATS, ids=str)
@pytest.mark.parametrize('name', LOSSES)
def test_gradients(name, dtype, device):
    def gradient(z, y):
        z.requires_grad_()
        value = LOSSES[name]()(z, y)
        return torch.autograd.grad(value, z)[0]
    assert quiet(gradient, (2, 3, 8, 8), (2, 3, 8, 8), device=device, dtype=dtype).dtype == dtype


def test_the_lean_forms_run(monkeypatch):
    "rather than plain formulas, for tensors without values, too"
    calls = []
    monkeypatch.setattr(losses, 'lean_cross_entropy', lambda *args: calls.append('lean') or formulas.lean_cross_entropy(*args))
    with FakeTensorMode(allow_non_fake_inputs=True): LOSSES['CE']()(torch.empty(2, 3, 8, 8, requires_grad=True), torch.empty(2, 3, 8, 8))
    assert calls == ['lean']


@pytest.mark.parametrize('device, n', [('cpu', 64), ('cuda', 4)])
def test_a_gpu_works_on_larger_pieces(device, n):
    with FakeTensorMode(): assert len(formulas._chunks(torch.empty(64, 2**20, device=device))) == n


@pytest.mark.parametrize('metric', [kl_divergence, brier_score, top1_agreement, soft_accuracy, soft_cross_entropy, js_divergence, total_variation,
                                    ranked_probability_score, wasserstein_distance, grade_error, within_one, spread_difference], ids=lambda m: m.name)
def test_items_of_metrics(metric): quiet(lambda p, y: metric.items(p, y), (64, 10), (64, 10))


def test_items_of_masks(): quiet(lambda p, y: SoftDice().items(p, y), (2, 3, 8, 8), (2, 3, 8, 8))


def test_meter_and_histogram():
    def add(z):
        meter = ConfidenceMeter(z.device, (*SCORES, 'knn'), 9)
        meter.add(z, knn=z[:, 1])
        histogram = ScoreHistogram(z.device)
        histogram.add(z[:, 0])
    quiet(add, (64, 10))


@pytest.mark.parametrize('metric', [entropy_correlation, SoftECE(), SoftECE(4, equal_mass=True), SoftECE(5, classwise=True)], ids=['correlation', 'ECE', 'equal mass', 'classwise'])
def test_what_metrics_collect(metric): quiet(lambda p, y: metric.collect(p, y), (64, 10), (64, 10))
