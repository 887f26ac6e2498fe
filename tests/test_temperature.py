"Temperature: against other optimisers, kept by the learner, honest about what it cannot do."
import numpy as np, pandas as pd, pytest, torch, torch.nn.functional as F
from PIL import Image
from fastai.vision.all import CategoryBlock, ColReader, CrossEntropyLossFlat, DataBlock, EndSplitter, ImageBlock, Learner, MixUp, Resize, get_image_files, load_learner, noop
from torch import nn

from fastai_softlabels.all import (SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftInterpretation, SoftLabelError, SoftLabelReader,
                                   SoftMaskBlock, SoftMultiCategoryBlock, ellipses_masks, best_temperature, temperature_scale)
from fastai_softlabels.losses import TemperatureScaled, reads_of
from conftest import DIGITS


def learner(digits, df, block=SoftCategoryBlock, get_y=None, **kw):
    options = dict(multi=True, n_votes=30) if block is SoftMultiCategoryBlock else {}
    reader = SoftLabelReader(df, 'fname', DIGITS, ignore=True, **options)
    dls = DataBlock(blocks=(ImageBlock, block(**kw)), get_x=ColReader('fname', pref=digits), get_y=reader if get_y is None else get_y, splitter=EndSplitter(.5), item_tfms=Resize(8)).dataloaders(df, bs=16, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.fit(6, 3e-2)
    return learn


@pytest.mark.parametrize('kind', ['soft', 'hard', 'multi', 'multi with gaps', 'some unlabelled'])
def test_best_temperature_is_where_the_derivative_vanishes(kind):
    z = 4*torch.randn(300, 4, dtype=torch.double)
    y, multi = (z/3 + torch.randn_like(z)).softmax(-1), 'multi' in kind
    if multi: y = (z/3 + torch.randn_like(z)).sigmoid()
    if kind == 'hard': y = y.argmax(-1)
    if kind == 'multi with gaps': y[::3, 1] = torch.nan
    if kind == 'some unlabelled': y[::3] = 0
    t = torch.tensor(best_temperature(z, y, multi), dtype=torch.double, requires_grad=True)
    keep = ~y.isnan() if multi else slice(None)
    nll = F.binary_cross_entropy_with_logits((z/t)[keep], y[keep], reduction='sum') if multi else F.cross_entropy(z/t, y, reduction='sum')
    nll.backward()
    assert abs(t.grad.item()) < 1e-3*nll.item()
    assert .5 < t.item() < 20


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
def test_learner_keeps_the_temperature(block, digits, votes, tmp_path):
    learn = learner(digits, votes, block, ignore=True)
    raw, y = learn.get_preds(act=noop)
    plain = learn.loss_func
    report = temperature_scale(learn)
    t = report.temperature['after']
    activation = torch.sigmoid if block is SoftMultiCategoryBlock else lambda x: x.softmax(-1)
    expected = activation(raw/t)
    assert report.temperature['before'] == 1 and t == learn.loss_func.temperature != 1
    torch.testing.assert_close(learn.get_preds()[0], expected)
    torch.testing.assert_close(learn.predict(learn.dls.valid.items.iloc[3])[2], expected[3])
    probs, _, losses = learn.get_preds(with_loss=True)
    torch.testing.assert_close(losses.sum(), plain(raw/t, y)*len(y), rtol=1e-4, atol=0)
    assert learn.validate()[0] == pytest.approx(plain(raw/t, y).item(), rel=1e-4)
    learn.export(tmp_path/'scaled.pkl')
    loaded = load_learner(tmp_path/'scaled.pkl')
    torch.testing.assert_close(loaded.get_preds(dl=loaded.dls.test_dl(learn.dls.valid.items))[0], expected)
    torch.testing.assert_close(SoftInterpretation.from_learner(learn).probs, expected)


def test_reports_on_the_half_that_it_did_not_fit(digits, votes):
    learn = learner(digits, votes)
    raw, y = learn.get_preds(act=noop)
    report = temperature_scale(learn, seed=3)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    fit, judge = order[:30], order[30:]
    t = best_temperature(raw[fit], y[fit])
    assert report.temperature['after'] == pytest.approx(t, rel=1e-6) and report.n.tolist() == [30, 30]
    for when, z in (('before', raw), ('after', raw/t)):
        assert report.kl_divergence[when] == pytest.approx(F.kl_div(z[judge].log_softmax(-1), y[judge], reduction='batchmean').item(), rel=1e-5)
        assert report.brier_score[when] == pytest.approx((z.softmax(-1) - y)[judge].square().sum(-1).mean().item(), rel=1e-5)


def test_called_again_starts_from_the_plain_loss(digits, votes):
    learn = learner(digits, votes)
    plain = learn.loss_func
    first, second = temperature_scale(learn), temperature_scale(learn)
    pd.testing.assert_frame_equal(first, second)
    assert learn.loss_func.loss is plain


def test_unlabelled_items_do_not_count(digits, votes):
    df = votes.copy()
    df.loc[df.index[-20:-10], DIGITS] = 0
    learn = learner(digits, df)
    assert temperature_scale(learn).n.tolist() == [25, 25]


def test_hard_labels_of_fastai(digits, votes):
    learn = learner(digits, votes.assign(label=votes.label.astype(str)), block=lambda **kw: CategoryBlock(), get_y=ColReader('label'))
    assert isinstance(learn.loss_func, CrossEntropyLossFlat)
    raw, y = learn.get_preds(act=noop)
    report = temperature_scale(learn)
    torch.testing.assert_close(learn.get_preds()[0], (raw/report.temperature['after']).softmax(-1))
    assert report.soft_cross_entropy['after'] != report.soft_cross_entropy['before'] and reads_of(learn.loss_func) == 'softmax'


def test_a_scaled_learner_trains_on(digits, votes):
    learn = learner(digits, votes)
    temperature_scale(learn)
    learn.fit(1, 1e-3, cbs=MixUp())
    valid_loss = learn.recorder.values[-1][1]
    raw, y = learn.get_preds(act=noop)
    assert valid_loss == pytest.approx(F.cross_entropy(raw/learn.loss_func.temperature, y).item(), rel=1e-4)


def test_passes_on_what_the_loss_says():
    loss = TemperatureScaled(SoftBCEWithLogitsLossFlat(thresh=.3), 2.)
    assert reads_of(loss) == 'sigmoid' and not loss.y_int and loss.decodes(torch.tensor([[.4, .2]])).tolist() == [[True, False]]
    loss.reduction = 'none'
    assert loss.loss.reduction == loss.reduction == 'none' and loss(torch.zeros(2, 3), torch.zeros(2, 3)).shape == (2, 3)


def test_takes_arrays():
    z = torch.randn(50, 3)
    assert best_temperature((2*z).numpy(), z.softmax(-1)) == pytest.approx(2, rel=1e-3)


def test_what_cannot_be_scaled_stays_as_it_was(digits, votes):
    learn = learner(digits, votes)
    loss = learn.loss_func
    learn.model[1].weight.data[:] = torch.nan
    with pytest.raises(SoftLabelError, match='gives nan for some item'): temperature_scale(learn)
    assert learn.loss_func is loss


def test_masks_have_no_temperature():
    path = ellipses_masks()
    block = DataBlock(blocks=(ImageBlock, SoftMaskBlock(['out', 'in'], loss_func=SoftCrossEntropyLossFlat(axis=1))), get_y=lambda f: (np.asarray(Image.open(path/f'masks/{f.stem}_0.png')) > 0).astype(int), splitter=EndSplitter(.5))
    learn = Learner(block.dataloaders(get_image_files(path/'images').sorted()[:8], bs=2, num_workers=0), nn.Conv2d(3, 2, 1))
    before = learn.loss_func
    with pytest.raises(SoftLabelError, match=r'takes predictions .N,K., one row for each item; these labels are masks'): temperature_scale(learn)
    assert learn.loss_func is before
