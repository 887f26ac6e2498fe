"Two heads trained alike, compared fairly; abstaining; and what is refused."
import random, warnings

import numpy as np, pytest, torch
from fastai.vision.all import ColReader, CrossEntropyLossFlat, DataBlock, ImageBlock, Learner, Pipeline, RandomSplitter, Resize, load_learner, noop
from scipy.stats import beta
from torch import nn

from fastai_softlabels.all import (DONT_KNOW, SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftLabelError, SoftLabelReader,
                                   SoftMultiCategoryBlock, TensorSoftMultiCategory, abstain, compare_confidence, ood_metrics, sigmoid_confidence, sigmoid_score,
                                   softmax_confidence, softmax_score, temperature_scale, train_two_heads)
from fastai_softlabels.losses import reads_of
from fastai_softlabels.scores import score_bins
from conftest import DIGITS


def net(dls):
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, dls.c)))
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.logger = noop
    return learn

def block_of(digits, get_y, target=SoftCategoryBlock, splitter=None):
    return DataBlock(blocks=(ImageBlock, target), get_x=ColReader('fname', pref=digits), get_y=get_y, splitter=splitter or RandomSplitter(.4), item_tfms=Resize(8))


FORMS = {'reader': lambda df: SoftLabelReader(df, 'fname', DIGITS), 'columns of votes': lambda df: ColReader(DIGITS), 'hard': lambda df: ColReader('name'), 'lists of votes': lambda df: lambda r: [c for c in DIGITS for _ in range(int(r[c]))],
         'pipeline': lambda df: Pipeline([lambda r: r.fname, SoftLabelReader(df, 'fname', DIGITS)])}

@pytest.mark.parametrize('form', FORMS)
def test_labels_are_read_once(form, digits, votes):
    df = votes.assign(name=votes.label.astype(str)).head(60)
    block = block_of(digits, FORMS[form](df), SoftCategoryBlock(vocab=DIGITS))
    heads = train_two_heads(block, df, net, lambda learn: learn.fit(1, 1e-2), bs=16, num_workers=0)
    a, b = heads['softmax'].dls, heads['sigmoid'].dls
    for x, y in ((a.train_ds, b.train_ds), (a.valid_ds, b.valid_ds)):
        assert x.items.fname.tolist() == y.items.fname.tolist(), 'the same split'
        for i in range(len(x)):
            assert torch.equal(x[i][1].as_subclass(torch.Tensor), y[i][1].as_subclass(torch.Tensor)) and isinstance(y[i][1], TensorSoftMultiCategory)
    assert isinstance(heads['sigmoid'].loss_func, SoftBCEWithLogitsLossFlat) and isinstance(heads['softmax'].loss_func, SoftCrossEntropyLossFlat)
    assert list(a.vocab) == list(b.vocab) == DIGITS
    assert isinstance(block.dataloaders(df, num_workers=0).loss_func, SoftCrossEntropyLossFlat), 'the block is as it was'


def test_unlabelled_stays_unlabelled(digits, votes):
    df = votes.head(40).copy()
    df.loc[df.index[:30], DIGITS] = 0
    block = block_of(digits, SoftLabelReader(df, 'fname', DIGITS, ignore=True), SoftCategoryBlock(ignore=True))
    heads = train_two_heads(block, df, net, lambda learn: None, bs=16, num_workers=0)
    for x, y in ((heads['softmax'].dls.train_ds, heads['sigmoid'].dls.train_ds),):
        for i in range(len(x)): assert y[i][1].isnan().all() == (x[i][1].sum() == 0)


def test_same_start_same_order(digits, votes):
    "the batches that both trainings see, and the weights that they start with"
    seen = {}
    def fit(learn):
        start = torch.cat([p.flatten() for p in learn.model.parameters()]).clone()
        seen[reads_of(learn.loss_func)] = (start.detach(), [learn.dls.train.one_batch()[0].sum().item() for _ in range(2)])
        learn.fit(1, 1e-2)
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    train_two_heads(block_of(digits, SoftLabelReader(votes, 'fname', DIGITS)), votes, net, fit, seed=3, bs=16, num_workers=0)
    assert torch.equal(seen['softmax'][0], seen['sigmoid'][0]) and seen['softmax'][1] == seen['sigmoid'][1]
    assert torch.equal(torch.get_rng_state(), states[0]) and np.random.get_state()[1].tolist() == states[1] and random.getstate() == states[2]


def test_refuses_a_second_training_with_the_loss_of_the_first(digits, votes):
    fits = []
    with pytest.raises(SoftLabelError, match='The sigmoid training has the loss SoftCrossEntropyLossFlat'):
        train_two_heads(block_of(digits, SoftLabelReader(votes, 'fname', DIGITS)), votes, lambda dls: Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), loss_func=SoftCrossEntropyLossFlat()), fits.append, num_workers=0)
    assert len(fits) == 1


@pytest.fixture
def heads(digits, votes):
    known = votes[votes.label < 5]
    return train_two_heads(block_of(digits, SoftLabelReader(known, 'fname', DIGITS)), known, net, lambda learn: learn.fit(10, 3e-2), bs=16, num_workers=0)

@pytest.fixture
def strange(digits, votes): return [digits/f for f in votes[votes.label >= 5].fname]


def test_compared(heads, strange):
    table = compare_confidence(heads, {'a': strange, 'b': strange[:7]}, plot=False)
    assert table.index.tolist() == [(h, s) for h in ('softmax', 'sigmoid') for s in ('valid', 'a', 'b')]
    assert list(table.columns) == ['n', 'mean', 'median', 'min', 'max', 'above .5', 'above .9', 'above .99', 'auroc', 'fpr95']
    for head, conf, score in (('softmax', softmax_confidence, softmax_score), ('sigmoid', sigmoid_confidence, sigmoid_score)):
        learn = heads[head]
        z = {'valid': learn.get_preds(act=noop)[0], 'a': learn.get_preds(dl=learn.dls.test_dl(strange), act=noop)[0]}
        for s in z:
            p = conf(z[s]).double().numpy()
            assert table.loc[(head, s)].tolist()[:8] == pytest.approx([len(p), p.mean(), np.median(p), p.min(), p.max(), *((p > t).mean() for t in (.5, .9, .99))], abs=1e-4)
        exact = ood_metrics(*(score_bins(score(z[s])) for s in ('valid', 'a')))
        assert table.loc[(head, 'a'), ['auroc', 'fpr95']].tolist() == pytest.approx([exact['auroc'], exact['fpr95']])
        assert table.loc[(head, 'valid'), ['auroc', 'fpr95']].isna().all()


def test_compared_without_dropout(heads, strange):
    "whatever mode the model was left in"
    learn = heads['softmax']
    learn.model = nn.Sequential(learn.model[0], nn.Dropout(.9), learn.model[1])
    expected = softmax_confidence(learn.get_preds(dl=learn.dls.test_dl(strange), act=noop)[0]).double().mean().item()
    learn.model.train()
    assert compare_confidence({'softmax': learn}, strange, plot=False).loc[('softmax', 'ood'), 'mean'] == pytest.approx(expected, rel=1e-6)


def test_compared_in_a_picture(heads, strange):
    import matplotlib.pyplot as plt
    compare_confidence(heads, strange)
    assert [ax.get_title() for ax in plt.gcf().axes] == ['softmax', 'sigmoid'] and all(len(ax.patches) == 2 for ax in plt.gcf().axes)


@pytest.mark.parametrize('keep', [.5, .9, .95, 1.])
@pytest.mark.parametrize('head', ['softmax', 'sigmoid'])
def test_abstains_where_it_is_less_sure(head, keep, heads, tmp_path):
    learn = heads[head]
    probs, _, plain = learn.get_preds(with_decoded=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        res = abstain(learn, keep)
    confidence = probs.amax(-1)
    sure = (confidence >= res.thresh).double().mean().item()
    answered = ((confidence >= res.thresh) & ((probs > .5).any(-1) if head == 'sigmoid' else True)).double().mean().item()
    assert res.n == len(probs) and keep <= sure < keep + 1/len(probs) + 1e-9 and res.kept == answered
    k, n = round(answered*len(probs)), len(probs)
    assert [res.kept_low, res.kept_high] == pytest.approx([beta.ppf(.025, k, n - k + 1), beta.ppf(.975, k + 1, n - k) if k < n else 1])
    assert any('get an answer: on the others no class exceeds' in str(w.message) for w in said) == (answered < keep), 'it says when a threshold of the loss keeps more from an answer'
    again, _, decoded = learn.get_preds(with_decoded=True)
    assert torch.equal(again, probs), 'the probabilities are as they were'
    unsure = confidence < res.thresh
    if head == 'sigmoid' and keep == .5: assert (plain.as_subclass(torch.Tensor) & unsure[:, None]).any(), 'some present class is not sure enough'
    expected = plain.as_subclass(torch.Tensor) & ~unsure[:, None] if head == 'sigmoid' else plain.as_subclass(torch.Tensor).masked_fill(unsure, probs.shape[1]) # an index that no class has
    assert torch.equal(decoded.as_subclass(torch.Tensor), expected)
    learn.export(tmp_path/'learn.pkl')
    loaded = load_learner(tmp_path/'learn.pkl')
    for l in (learn, loaded):
        for i in (int(confidence.argmin()), int(confidence.argmax())):
            shown, raw, p = l.predict(learn.dls.valid.items.iloc[i])
            assert shown.is_unsure == bool(unsure[i]) == (shown == DONT_KNOW) == str(shown).startswith(DONT_KNOW)
            assert shown.is_none == (head == 'sigmoid' and not unsure[i] and not (probs[i] > .5).any())
            torch.testing.assert_close(p, probs[i])
    learn.show_results(max_n=4), learn.show_results(max_n=2, bars=True)
    learn.validate()


def test_of_one_class_the_surer_side_counts(digits, votes):
    learn = net(block_of(digits, lambda r: [float(r.label == 3)], SoftMultiCategoryBlock(vocab=['three'])).dataloaders(votes, bs=16, num_workers=0))
    learn.fit(2, 1e-2)
    probs = learn.get_preds()[0][:, 0]
    res = abstain(learn, .8)
    assert res.kept == (torch.maximum(probs, 1 - probs) >= res.thresh).double().mean().item() >= .8


def test_called_again_it_starts_anew(heads):
    learn = heads['softmax']
    plain = learn.loss_func
    abstain(learn, .5)
    assert abstain(learn, .9).thresh == learn.loss_func.thresh and learn.loss_func.loss is plain
    with pytest.warns(UserWarning, match='threshold of `abstain` .* is gone'): temperature_scale(learn, force=True)
    scaled = learn.loss_func
    abstain(learn, .9)
    assert learn.loss_func.loss is scaled and reads_of(learn.loss_func) == 'softmax'


def test_an_abstaining_model_trains_on(heads):
    learn = heads['softmax']
    before = learn.validate()
    abstain(learn)
    assert list(learn.validate()) == pytest.approx(list(before))
    learn.fit(1, 1e-3)


def test_what_cannot_abstain_stays_as_it_was(heads):
    learn = heads['softmax']
    learn.model[1].bias.data[:] = torch.nan
    with pytest.raises(SoftLabelError, match='NaN for .* images'): abstain(learn)
    assert isinstance(learn.loss_func, SoftCrossEntropyLossFlat)


def test_abstains_with_a_loss_that_remembers_nothing(digits, votes):
    "fastai's own, which decodes to bare indices"
    learn = net(block_of(digits, SoftLabelReader(votes, 'fname', DIGITS), SoftCategoryBlock(loss_func=CrossEntropyLossFlat(flatten=False))).dataloaders(votes, bs=16, num_workers=0))
    learn.fit(3, 1e-2)
    res = abstain(learn, .5)
    probs = learn.get_preds()[0]
    unsure = int(probs.amax(-1).argmin())
    shown, _, p = learn.predict(learn.dls.valid.items.iloc[unsure])
    assert shown == DONT_KNOW and probs[unsure].max() < res.thresh
    assert [i[0] for i in shown.items()][:1] == [DIGITS[int(p.argmax())]]
