"Dice losses against MONAI, SMP, torch and loops: on hard masks equal, on soft ones proper, at the edges finite."
from types import SimpleNamespace

import numpy as np, pytest, torch, torch.nn.functional as F
from monai.losses import DiceLoss as MonaiDice
from segmentation_models_pytorch.losses import DiceLoss as SMPDice
from sklearn.metrics import f1_score

from fastai_softlabels import formulas
from fastai_softlabels.all import DiceAt, SoftCategoryBlock, SoftDice, SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss, SoftLabelError, SoftMultiCategoryBlock


@pytest.fixture(autouse=True, params=['lean', 'lean, in chunks', 'plain'])
def path(request, monkeypatch):
    "Everything here holds for the lean forms and for the plain formulas"
    if request.param == 'lean, in chunks': monkeypatch.setattr(formulas, '_chunks', lambda t: [slice(0, len(t)//3), slice(len(t)//3, len(t))])
    if request.param == 'plain': [monkeypatch.setattr(f'fastai_softlabels.{room}.is_leanable', lambda *_: False) for room in ('losses', 'dice')]


def hard_case(k, n=3, size=9):
    "Logits, and a hard mask in which each class is present in each image"
    z = torch.randn(n, k, size, size)
    if k == 1:
        mask = torch.randint(2, (n, size, size))
        mask[:, 0, 0] = 1
        return z, mask[:, None].float()
    mask = torch.randint(k, (n, size, size))
    mask[:, 0, :k] = torch.arange(k)
    return z, F.one_hot(mask, k).movedim(-1, 1).float()


def loop(z, y, kind, smooth, aggregate='image', classes='all', only=None):
    "image by image, class by class, pixel by pixel"
    n, k = z.shape[:2]
    z, y = z.double().flatten(2).numpy(), y.double().flatten(2).numpy()
    p = np.exp(z)/np.exp(z).sum(1, keepdims=True) if kind == 'softmax' else 1/(1 + np.exp(-z))
    units = {'image': [[(i, c)] for i in range(n) for c in range(k)], 'class': [[(i, c) for i in range(n)] for c in range(k)], 'batch': [[(i, c) for i in range(n) for c in range(k)]]}[aggregate]
    values = []
    for unit in units:
        distance = predicted = mass = size = 0
        if only is not None and unit[0][1] != only: continue
        for i, c in unit:
            for j in range(z.shape[2]):
                if kind == 'softmax': m = y[i, :, j].sum()
                else: m = 0. if np.isnan(y[i, c, j]) else 1.
                if m == 0: continue
                distance += abs(m*p[i, c, j] - y[i, c, j])
                predicted += m*p[i, c, j]
                mass += y[i, c, j]
                size += m
        if size == 0 or (classes == 'present' and mass == 0): continue
        total = predicted + mass + smooth if mass > 0 else predicted + smooth*size
        values.append(distance/total if total else 0.)
    return np.mean(values) if values else 0.


@pytest.mark.parametrize('k', [1, 2, 5])
@pytest.mark.parametrize('smooth', [1e-5, 1.])
@pytest.mark.parametrize('batch', [False, True])
def test_equals_monai_and_smp_on_hard_masks(k, smooth, batch):
    z, y = hard_case(k)
    ours = SoftDiceLoss(smooth=smooth, aggregate='class' if batch else 'image')(z, y)
    monai = MonaiDice(sigmoid=k == 1, softmax=k > 1, smooth_nr=smooth, smooth_dr=smooth, batch=batch)(z, y)
    torch.testing.assert_close(ours, monai, rtol=1e-5, atol=1e-6)
    if batch:
        # SMP adds twice its `smooth` above and below
        smp = SMPDice('binary' if k == 1 else 'multiclass', from_logits=True, smooth=smooth/2, eps=1e-9)(z, y if k == 1 else y.argmax(1))
        torch.testing.assert_close(ours, smp, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('aggregate', ['image', 'class', 'batch'])
@pytest.mark.parametrize('classes', ['all', 'present'])
@pytest.mark.parametrize('kind', ['softmax', 'sigmoid'])
def test_equals_a_loop_on_soft_masks(kind, aggregate, classes):
    z = torch.randn(3, 4, 5, 5)
    y = torch.randn(3, 4, 5, 5).softmax(1) if kind == 'softmax' else torch.rand(3, 4, 5, 5)
    y[0, 2] = 0 # an absent class
    if kind == 'softmax':
        y[0] /= y[0].sum(0)
        y[1, :, :2] = 0  # unlabelled
        y[2, :, 3] *= .4 # partly void
    else:
        y[1, 1] = torch.nan
        y[2, :, 0, 0] = torch.nan
    assert SoftDiceLoss(activation=kind, aggregate=aggregate, classes=classes)(z, y).item() == pytest.approx(loop(z, y, kind, 1., aggregate, classes), rel=1e-5)
    alone = [loop(z[i:i+1], y[i:i+1], kind, 1., aggregate, classes) for i in range(3)]
    assert SoftDiceLoss(activation=kind, aggregate=aggregate, classes=classes, reduction='none')(z, y).tolist() == pytest.approx(alone, rel=1e-5)


def least(loss, y, k):
    "Where gradient descent from chance ends"
    z = torch.zeros_like(y).requires_grad_()
    opt = torch.optim.Adam([z], lr=.1)
    for i in range(1000):
        opt.param_groups[0]['lr'] = .1*(1 - i/1000)
        opt.zero_grad()
        loss(z, y).backward()
        opt.step()
    return z.detach().softmax(1) if k > 1 else z.detach().sigmoid()


@pytest.mark.parametrize('k', [1, 3])
@pytest.mark.parametrize('aggregate', ['image', 'class', 'batch'])
def test_proper(k, aggregate):
    "least at the mask, for soft masks"
    y = soft_masks(k)
    assert (least(SoftDiceLoss(aggregate=aggregate), y, k) - y).abs().max() < .002


@pytest.mark.parametrize('path', ['plain'], indirect=True)
@pytest.mark.parametrize('k', [1, 3])
def test_the_usual_soft_dice_is_not_proper(k, path):
    "and would fail the test above"
    def usual(z, y):
        p = z.sigmoid() if k == 1 else z.softmax(1)
        return 1 - (2*(p*y).sum((2, 3)) + 1).div(p.sum((2, 3)) + y.sum((2, 3)) + 1).mean()
    y = soft_masks(k)
    assert (least(usual, y, k) - y).abs().max() > .2


def soft_masks(k): return torch.rand(2, 1, 3, 3)*.8 + .1 if k == 1 else (2*torch.randn(2, 3, 3, 3)).softmax(1)


@pytest.mark.parametrize('make', [lambda: SoftDiceBCELoss(.5), lambda: SoftDiceCELoss(.5)], ids=['BCE', 'CE'])
def test_mixtures_are_proper(make):
    y = (2*torch.randn(2, 3, 3, 3)).softmax(1)
    loss = make()
    z = (y.logit() if isinstance(loss, SoftDiceBCELoss) else y.log()).requires_grad_()
    at = loss(z, y).item()
    for _ in range(50): assert loss(z + .3*torch.randn_like(z), y).item() > at


def test_the_ends_of_the_mixtures():
    z, y = torch.randn(2, 3, 6, 6), torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(SoftDiceBCELoss(0.)(z, y), F.binary_cross_entropy_with_logits(z, y))
    torch.testing.assert_close(SoftDiceBCELoss(1.)(z, y), SoftDiceLoss(activation='sigmoid')(z, y))
    torch.testing.assert_close(SoftDiceBCELoss(.3)(z, y), .7*F.binary_cross_entropy_with_logits(z, y) + .3*SoftDiceLoss(activation='sigmoid')(z, y))
    shares = y/y.sum(1, keepdim=True)
    torch.testing.assert_close(SoftDiceCELoss(0.)(z, shares), F.cross_entropy(z, shares))
    torch.testing.assert_close(SoftDiceCELoss(1.)(z, shares), SoftDiceLoss(activation='softmax')(z, shares))
    index, w = torch.randint(3, (2, 6, 6)), torch.tensor([.5, 1., 2.])
    torch.testing.assert_close(SoftDiceCELoss(0., weight=w)(z, index), F.cross_entropy(z, index, weight=w))


@pytest.mark.parametrize('pos, neg', [(None, .2), (3., None), ([1., 2., 3.], .5), (2., [.1, .2, .3])])
def test_a_weight_for_each_side(pos, neg):
    z, y = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    full = lambda w: torch.ones(3) if w is None else torch.as_tensor(w).expand(3)
    p, a, b = z.sigmoid(), full(pos).view(3, 1, 1), full(neg).view(3, 1, 1)
    expected = -(a*y*p.log() + b*(1 - y)*(1 - p).log()).mean()
    torch.testing.assert_close(SoftDiceBCELoss(0., pos_weight=pos, neg_weight=neg)(z, y), expected)
    y[0, 0] = torch.nan
    torch.testing.assert_close(SoftDiceBCELoss(0., pos_weight=pos, neg_weight=neg)(z, y), -(a*y*p.log() + b*(1 - y)*(1 - p).log()).nanmean())


LOSSES = {'Dice, softmax': lambda: SoftDiceLoss(), 'Dice, sigmoid': lambda: SoftDiceLoss(activation='sigmoid'), 'Dice, class': lambda: SoftDiceLoss(aggregate='class'), 'Dice, present': lambda: SoftDiceLoss(classes='present'),
          'Dice + BCE': lambda: SoftDiceBCELoss(pos_weight=2., neg_weight=[.5, 1., 2.]), 'Dice + CE': lambda: SoftDiceCELoss(weight=[1., 2., .5])}

@pytest.mark.parametrize('name', LOSSES)
def test_gradients(name):
    z = torch.randn(2, 3, 3, 3, dtype=torch.double, requires_grad=True)
    y = torch.rand(2, 3, 3, 3, dtype=torch.double)
    y = y/y.sum(1, keepdim=True)
    y[1, 2] = 0
    assert torch.autograd.gradcheck(lambda z: LOSSES[name]()(z, y), z)


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('value', [-1e4, -4., 0., 1e4])
def test_a_large_background_in_any_precision(name, dtype, value):
    z = torch.full((1, 3, 320, 320), value).to(dtype)
    z[:, 0] = -z[:, 0]
    z.requires_grad_()
    y = torch.zeros(1, 3, 320, 320)
    y[:, 0] = 1
    loss = LOSSES[name]()(z, y)
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all() and loss.dtype == torch.float32
    torch.testing.assert_close(loss, LOSSES[name]()(z.detach().double(), y.double()).float(), rtol=1e-3, atol=1e-4)


def test_an_absent_class():
    "right background costs nearly nothing, wrong foreground has a gradient, at any size"
    for size in (8, 64, 512):
        z = torch.full((1, 1, size, size), -7., requires_grad=True)
        assert SoftDiceLoss()(z, torch.zeros_like(z)) < 1e-3
        z = torch.full((1, 1, size, size), 3., requires_grad=True)
        SoftDiceLoss()(z, torch.zeros_like(z)).backward()
        assert z.grad.sum() > 5e-3


def test_what_nobody_labelled_pulls_nowhere():
    for loss, blank in ((SoftDiceLoss(), 0.), (SoftDiceCELoss(), 0.), (SoftDiceLoss(activation='sigmoid'), torch.nan), (SoftDiceBCELoss(), torch.nan)):
        z, y = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4).softmax(1)
        z.requires_grad_()
        y[0, :, :2] = blank
        y[1] = blank
        value = loss(z, y)
        value.backward()
        assert z.grad[0, :, :2].abs().max() == z.grad[1].abs().max() == 0 and z.grad[0, :, 2:].abs().max() > 0
        torch.testing.assert_close(value, loss(z[:1, :, 2:], y[:1, :, 2:]))
        nothing = loss(z, torch.full_like(y, blank))
        assert nothing == 0 and torch.autograd.grad(nothing, z)[0].abs().max() == 0


def test_a_pixel_that_is_partly_void_counts_with_what_is_left():
    z, y = torch.randn(1, 3, 1, 2), torch.tensor([[.5, .25], [.3, .25], [.2, .5]]).view(1, 3, 1, 2)
    void = y.clone()
    void[..., 1] *= .5
    p, w = z.softmax(1), torch.tensor([1., .5])
    expected = ((w*(p - y)).abs().sum((2, 3))/((w*p).sum((2, 3)) + (w*y).sum((2, 3)) + 1)).mean()
    torch.testing.assert_close(SoftDiceLoss()(z, void), expected)
    ce = -(y*p.log()).sum(1)
    torch.testing.assert_close(SoftDiceCELoss(0.)(z, void), (w*ce).sum()/w.sum())


def test_reductions():
    z, y = torch.randn(3, 2, 4, 4), torch.rand(3, 2, 4, 4).softmax(1)
    for loss in (SoftDiceCELoss(), SoftDiceBCELoss(), SoftDiceLoss()):
        loss.reduction = 'none'
        values = loss(z, y)
        assert values.shape == (3,)
        loss.reduction = 'mean'
        torch.testing.assert_close(values.mean(), loss(z, y))
        loss.reduction = 'sum'
        torch.testing.assert_close(values.sum()*(2 if type(loss) is SoftDiceLoss else 1), loss(z, y)) # the sum over both classes


def test_activation_and_decodes():
    z = torch.randn(2, 3, 4, 4)
    assert torch.equal(SoftDiceLoss().activation(z), z.softmax(1)) and torch.equal(SoftDiceCELoss().decodes(z.softmax(1)), z.argmax(1))
    assert torch.equal(SoftDiceLoss().activation(z[:, :1]), z[:, :1].sigmoid()) and torch.equal(SoftDiceBCELoss(thresh=.7).decodes(z.sigmoid()), z.sigmoid() > .7)
    assert SoftDiceLoss().activation(z.half()).dtype == torch.float32


def test_refuses_to_broadcast():
    z = torch.randn(2, 3, 4, 4)
    for loss in (SoftDiceLoss(), SoftDiceBCELoss(), SoftDiceCELoss(), SoftDiceLoss(activation='sigmoid')):
        for shape in ((2, 1, 4, 4), (2, 3, 4, 1), (3, 4, 4), (2, 4, 4), (2, 3)):
            with pytest.raises(SoftLabelError, match='Nothing is broadcast'): loss(z, torch.rand(shape))


def in_batches(metric, z, y, loss, cuts):
    metric.reset()
    for i, j in zip(cuts, cuts[1:]): metric.accumulate(SimpleNamespace(pred=z[i:j], yb=(y[i:j],), loss_func=loss, to_detach=lambda t: t))
    return metric.value


@pytest.mark.parametrize('k, loss', [(1, SoftDiceLoss()), (3, SoftDiceLoss()), (3, SoftDiceLoss(activation='sigmoid')), (3, SoftDiceBCELoss()), (3, SoftDiceCELoss())])
def test_metric_is_one_minus_the_loss(k, loss):
    z, y = torch.randn(7, k, 5, 5), torch.rand(7, k, 5, 5)
    kind = 'sigmoid' if k == 1 or getattr(loss, 'reads', None) == 'sigmoid' else 'softmax'
    if kind == 'softmax': y = y/y.sum(1, keepdim=True)
    expected = 1 - loop(z, y, kind, 1.)
    assert in_batches(SoftDice(), z, y, loss, [0, 3, 6, 7]).item() == pytest.approx(expected, rel=1e-5)
    assert SoftDice()(loss.activation(z), y, multi=kind == 'sigmoid').item() == pytest.approx(expected, rel=1e-5)
    metric = SoftDice()
    in_batches(metric, z, y, loss, [0, 7])
    by_class = [1 - np.mean([loop(z[i:i+1], y[i:i+1], kind, 1., only=c) for i in range(7)]) for c in range(k)]
    assert metric.by_class.tolist() == pytest.approx(by_class, rel=1e-5)


def test_metric_leaves_out_what_nobody_labelled():
    z, y = torch.randn(3, 2, 4, 4), torch.rand(3, 2, 4, 4).softmax(1)
    y[0] = 0
    assert in_batches(SoftDice(), z, y, SoftDiceLoss(), [0, 1, 3]).item() == pytest.approx(SoftDice()(z[1:].softmax(1), y[1:]).item(), rel=1e-6)
    y[:] = 0
    assert in_batches(SoftDice(), z, y, SoftDiceLoss(), [0, 3]) is None
    assert in_batches(DiceAt(), z, y, SoftDiceLoss(), [0, 3]) is None


def test_a_perfect_prediction_scores_one():
    y = torch.rand(2, 3, 6, 6).softmax(1)
    assert SoftDice()(y, y) == 1 and DiceAt(.3)(y, y) == 1
    for value in (.1, .7, .95): assert SoftDice()(torch.full((1, 1, 9, 9), value), torch.full((1, 1, 9, 9), value)) == 1


@pytest.mark.parametrize('thresh', [.3, .5, .9])
def test_hard_dice_is_f1(thresh):
    p, y = torch.rand(3, 2, 6, 6), torch.rand(3, 2, 6, 6)
    expected = [f1_score((y[i, c] > thresh).flatten(), (p[i, c] > thresh).flatten(), zero_division=1) for i in range(3) for c in range(2)]
    assert DiceAt(thresh)(p, y, multi=True).item() == pytest.approx(np.mean(expected))
    assert DiceAt(thresh).name == f'dice_at_{thresh}'
    empty = torch.zeros(1, 1, 4, 4)
    assert DiceAt(thresh)(empty, empty) == 1 and DiceAt(thresh)(empty + 1, empty) == 0


def test_metric_of_hard_masks_is_monais():
    z, y = hard_case(4)
    p = z.softmax(1)
    assert SoftDice()(p, y.argmax(1)).item() == pytest.approx(1 - MonaiDice(smooth_nr=1., smooth_dr=1.)(p, y).item(), rel=1e-5)


@pytest.mark.parametrize('multi', [False, True], ids=['softmax', 'sigmoid'])
def test_class_indices_that_are_partly_unlabelled(multi):
    p, index = torch.rand(2, 3, 6, 6).softmax(1), torch.randint(3, (2, 6, 6))
    index[:, :2] = -100
    soft = F.one_hot(index.clamp_min(0), 3).movedim(-1, 1).float()
    soft[:, :, :2] = torch.nan if multi else 0
    assert SoftDice()(p, index, multi=multi) == SoftDice()(p, soft, multi=multi) == SoftDice()(p[:, :, 2:], soft[:, :, 2:], multi=multi)
    assert DiceAt()(p, index, multi=multi) == DiceAt()(p[:, :, 2:], soft[:, :, 2:], multi=multi)


@pytest.mark.parametrize('loss', [SoftDiceLoss, SoftDiceCELoss, SoftDiceBCELoss])
def test_losses_of_masks_are_not_for_items(loss):
    for block in (SoftCategoryBlock, SoftMultiCategoryBlock):
        with pytest.raises(SoftLabelError, match=f'{loss.__name__} is a loss for masks: use `SoftMaskBlock`'): block(['a', 'b'], loss_func=loss())


def test_a_class_is_there_however_small_its_mass():
    y = torch.zeros(1, 2, 3, 3)
    y[0, 0, 1, 1] = .01
    assert formulas.dice_values(torch.full_like(y, .5), y, False, 1, 1.)[1].tolist() == [[True, False]]
    assert SoftDiceLoss(activation='sigmoid', classes='present')(torch.zeros_like(y), y).item() == pytest.approx((8*.5 + .49)/(9*.5 + .01 + 1))
