"Temperature: against other optimisers, kept by the learner, honest about what it cannot do."
import numpy as np, pandas as pd, pytest, torch, torch.nn.functional as F
from scipy.stats import norm, t
from PIL import Image
from fastai.vision.all import CategoryBlock, ColReader, CrossEntropyLossFlat, DataBlock, EndSplitter, ImageBlock, Learner, MixUp, Resize, get_image_files, load_learner, noop
from torch import nn

from fastai_softlabels.all import (SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftInterpretation, SoftLabelError, SoftLabelReader,
                                   SoftMaskBlock, SoftMultiCategoryBlock, abstain, best_temperature, ellipses_masks, temperature_scale, undo_temperature)
from fastai_softlabels.calibrate import _fit_interval, _loss_terms
from fastai_softlabels.losses import TemperatureScaled, reads_of, temperature_of
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
    report = temperature_scale(learn, force=True)
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
    report = temperature_scale(learn, seed=3, force=True)
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
    first, second = temperature_scale(learn, force=True), temperature_scale(learn, force=True)
    pd.testing.assert_frame_equal(first, second)
    assert learn.loss_func.loss is plain


def test_unlabelled_items_do_not_count(digits, votes):
    df = votes.copy()
    df.loc[df.index[-20:-10], DIGITS] = 0
    learn = learner(digits, df)
    assert temperature_scale(learn, force=True).n.tolist() == [25, 25]


def test_hard_labels_of_fastai(digits, votes):
    learn = learner(digits, votes.assign(label=votes.label.astype(str)), block=lambda **kw: CategoryBlock(), get_y=ColReader('label'))
    assert isinstance(learn.loss_func, CrossEntropyLossFlat)
    raw, y = learn.get_preds(act=noop)
    report = temperature_scale(learn, force=True)
    torch.testing.assert_close(learn.get_preds()[0], (raw/report.temperature['after']).softmax(-1))
    assert report.soft_cross_entropy['after'] != report.soft_cross_entropy['before'] and reads_of(learn.loss_func) == 'softmax'


def test_a_scaled_learner_trains_on(digits, votes):
    learn = learner(digits, votes)
    temperature_scale(learn, force=True)
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
    with pytest.raises(SoftLabelError, match='gives nan for some item'): temperature_scale(learn, force=True)
    assert learn.loss_func is loss


# --- is the temperature worth keeping?

class Saying(nn.Module):
    "logits that were given, by item"
    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, i): return self.logits[i.long() % len(self.logits)]


def saying(logits, labels, multi=False):
    "A learner that says `logits` of items that were labelled so"
    from fastai.vision.all import IndexSplitter, TransformBlock
    n, vocab, block = len(labels), [f'c{i}' for i in range(labels.shape[1])], SoftMultiCategoryBlock if multi else SoftCategoryBlock
    dls = DataBlock((TransformBlock(type_tfms=[lambda i: torch.tensor(i)]), block(vocab=vocab, ignore=True)), get_y=lambda i: labels[i % n].numpy(), splitter=IndexSplitter(range(n))).dataloaders(list(range(n + 1)), bs=64, num_workers=0)
    learn = Learner(dls, Saying(logits))
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    return learn


def nll(z, y, multi): return F.binary_cross_entropy_with_logits(z, y, reduction='none').mean(-1) if multi else F.cross_entropy(z, y, reduction='none')


@pytest.mark.parametrize('grouped', [False, True], ids=['items', 'groups'])
@pytest.mark.parametrize('multi', [False, True], ids=['one distribution', 'independent'])
def test_intervals_are_those_of_fitting_every_resample_anew(multi, grouped):
    z = torch.randn(120, 4)
    y = (z + torch.randn(120, 4)).sigmoid() if multi else (z + torch.randn(120, 4)).softmax(-1)
    names = [f'p{i//4}' for i in range(120)] if grouped else None
    report = temperature_scale(saying(2*z, y, multi), groups=names, force=True).loc['after']
    group = np.arange(120)//4 if grouped else np.arange(120)
    order = torch.randperm(group.max() + 1, generator=torch.Generator().manual_seed(0)).numpy()
    fit = np.flatnonzero(np.isin(group, order[:len(order)//2]))
    judge = np.setdiff1d(np.arange(120), fit)
    assert report.n == len(judge) and report.temperature == pytest.approx(best_temperature(2*z[fit], y[fit], multi), rel=1e-4)

    def drawn(items, statistic):
        members = [items[group[items] == g] for g in np.unique(group[items])]
        picks = (torch.randint(len(members), (len(members),), generator=generator).tolist() for _ in range(500))
        n = len(members)
        tail = norm.cdf(t.ppf(.025, n - 1)*np.sqrt(n/(n - 1)))
        return np.quantile([statistic(np.concatenate([members[i] for i in pick])) for pick in picks], [tail, 1 - tail])

    generator = torch.Generator().manual_seed(0) # the same resamples
    fitted = drawn(fit, lambda i: best_temperature(2*z[i], y[i], multi))
    assert [report.temperature_low, report.temperature_high] == pytest.approx(fitted, rel=5e-3)
    generator = torch.Generator().manual_seed(0)
    gained = nll(2*z, y, multi) - nll(2*z/report.temperature, y, multi)
    assert [report.gain_low, report.gain_high] == pytest.approx(drawn(judge, lambda i: gained[i].mean().item()), abs=1e-5)
    assert report.gain == pytest.approx(gained[judge].mean().item(), abs=1e-5)


def test_the_interval_holds_the_true_temperature():
    "in 95 of 100 data sets, but for chance: fewer than 87 have a probability of .001"
    held = 0
    for seed in range(100):
        torch.manual_seed(seed)
        z = torch.randn(200, 5)
        labels = F.one_hot(z.softmax(-1).multinomial(1)[:, 0], 5).float()
        best = best_temperature(2*z, labels)
        low, high = _fit_interval(lambda t: _loss_terms(2*z.double()/t, labels, False), best, torch.arange(200), seed)
        held += low <= 2 <= high
    assert held >= 87


def test_where_all_items_agree_on_the_temperature_its_interval_is_a_point():
    z = torch.randn(400, 5)
    low, high = _fit_interval(lambda t: _loss_terms(3*z.double()/t, z.softmax(-1), False), 3., torch.arange(400), 0)
    assert low == pytest.approx(3, rel=1e-4) and high == pytest.approx(3, rel=1e-4)


def test_a_gain_within_the_noise_is_not_kept():
    z = torch.randn(200, 3)
    learn = saying(z, F.one_hot(z.softmax(-1).multinomial(1)[:, 0], 3).float())
    plain = learn.loss_func
    with pytest.warns(UserWarning, match=r'gains .* nats of cross-entropy on the other 100 items, which is within the noise.*`force=True` keeps it'): report = temperature_scale(learn)
    assert learn.loss_func is plain and report.gain_low['after'] <= 0
    torch.testing.assert_close(learn.get_preds()[0], z.softmax(-1))
    temperature_scale(learn, force=True)
    assert learn.loss_func.temperature == report.temperature['after'] != 1
    with pytest.warns(UserWarning, match='within the noise'): temperature_scale(learn)
    assert temperature_of(learn.loss_func) == 1, 'the old temperature is gone, too'


def test_a_clear_gain_is_kept_and_can_be_taken_back(tmp_path):
    z = torch.randn(300, 3)
    learn = saying(4*z, z.softmax(-1))
    report = temperature_scale(learn)
    assert report.gain_low['after'] > 0 and learn.loss_func.temperature == pytest.approx(4, rel=.05)
    abstain(learn, .9)
    with pytest.warns(UserWarning, match='threshold of `abstain` .* is gone'): undo_temperature(learn)
    torch.testing.assert_close(learn.get_preds()[0], (4*z).softmax(-1))
    abstain(learn, .9)
    threshold = learn.loss_func
    undo_temperature(learn)
    assert learn.loss_func is threshold, 'without a temperature there is nothing to take back'


def test_groups_stay_together():
    "what looks like two hundred items are five patients, of whom each was labelled in one way"
    said, patients = torch.eye(3)[[0, 1, 2, 0, 1]], np.repeat([*'abcde'], 40)
    z, labels = said.repeat_interleave(40, 0), torch.tensor([[.9, .1, 0], [.1, .6, .3], [.2, .2, .6], [.5, .5, 0], [0, 1, 0]]).repeat_interleave(40, 0)
    alone, together = (temperature_scale(saying(z*2, labels), groups=groups, force=True).loc['after'] for groups in (None, patients))
    assert together.n in (80, 120) and together.gain_high - together.gain_low > 2*(alone.gain_high - alone.gain_low)


def test_few_items_or_groups_prove_nothing():
    "of calibrated models a tenth would keep a temperature that ten items seem to like"
    z = torch.randn(300, 3)
    learn = saying(4*z, z.softmax(-1))
    with pytest.warns(UserWarning, match='4 items or groups are too few to show'): temperature_scale(learn, groups=np.arange(300)//40)
    assert temperature_of(learn.loss_func) == 1
    with pytest.warns(UserWarning, match='15 items or groups are too few to show'): temperature_scale(saying(4*z[:30], z[:30].softmax(-1)))
    temperature_scale(learn, groups=np.arange(300)//5)
    assert temperature_of(learn.loss_func) == pytest.approx(4, rel=.1)


def test_a_temperature_of_the_one_half_that_harms_the_other():
    z = torch.randn(200, 3)
    half = np.isin(np.arange(200), torch.randperm(200, generator=torch.Generator().manual_seed(0)).numpy()[:100])
    logits = torch.where(torch.tensor(half)[:, None], 5*z, z/2)
    with pytest.warns(UserWarning, match='which makes it worse.*Are the two halves alike'): temperature_scale(saying(logits, z.softmax(-1)))


@pytest.mark.parametrize('options', [dict(shuffle=True), dict(drop_last=True)], ids=['shuffled', 'dropped'])
def test_groups_of_a_loader_that_does_not_keep_the_order(options):
    z = torch.randn(60, 3)
    dl = torch.utils.data.DataLoader([(torch.tensor(i), z[i].softmax(-1)) for i in range(60)], batch_size=7, **options)
    learn = saying(3*z, z.softmax(-1))
    with pytest.raises(SoftLabelError, match='shuffles or drops items'): temperature_scale(learn, dl=dl, groups=list(range(60)))
    in_order = torch.utils.data.DataLoader([(torch.tensor(i), z[i].softmax(-1)) for i in range(60)], batch_size=7)
    assert temperature_scale(learn, dl=in_order, groups=list(range(60)), force=True).n.tolist() == [30, 30]


@pytest.mark.parametrize('groups', [pd.Series([f'p{i//2}' for i in range(60)], dtype='category'), pd.array([i//2 for i in range(60)], dtype='Int64'), torch.arange(60)//2, [(i//2, 'a') for i in range(60)],
                                    np.array([f'p{i//2}' for i in range(60)]), pd.Series(pd.date_range('2020', periods=60, tz='UTC')).dt.normalize()], ids=['categories', 'nullable', 'tensor', 'tuples', 'texts', 'dates'])
def test_groups_of_any_kind(groups):
    z = torch.randn(60, 3)
    assert temperature_scale(saying(3*z, z.softmax(-1)), groups=groups, force=True).n.tolist() == [30, 30]


def test_groups_of_labelled_items_only():
    z = torch.randn(60, 3)
    y = z.softmax(-1)
    y[::2] = 0
    groups = np.arange(60)//6
    assert temperature_scale(saying(3*z, y), groups=groups, force=True).n.tolist() == [15, 15]


@pytest.mark.parametrize('groups, words', [(dict(enumerate(range(60))), 'expected one value for each item'), (pd.DataFrame({'patient': range(60)}), 'expected one value for each item'), (set(range(60)), 'expected one value'),
                                           (['a', 'b']*30, "2 groups, ['a', 'b'], which do not split"), ('patient', "groups is 'patient'; expected one value for each item"), ([1]*59, '59 values for 60 items'),
                                           ([None] + [1]*59, 'The group of item 0 is missing'), ([''] + ['a']*59, 'The group of item 0 is missing'), ([[1]]*60, 'The group of item 0 is [1]')], ids=['a dict', 'a table', 'a set', 'two', 'a name', 'too few', 'a gap', 'a blank', 'lists'])
def test_groups_that_do_not_serve(groups, words):
    z = torch.randn(60, 3)
    learn = saying(z, z.softmax(-1))
    before = learn.loss_func
    with pytest.raises(SoftLabelError) as e: temperature_scale(learn, groups=groups)
    assert words in str(e.value) and learn.loss_func is before


def test_a_table_gives_its_groups():
    z = torch.randn(60, 3)
    report = temperature_scale(saying(3*z, z.softmax(-1)), groups=pd.Series([f'p{i//6}' for i in range(60)], index=range(100, 160)), force=True)
    assert report.n.tolist() == [30, 30]
