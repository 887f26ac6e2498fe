"One model read in several ways: the scores against pytorch-ood and scikit-learn, in the meter, while training, and in the comparison."
import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import ColReader, DataBlock, EndSplitter, ImageBlock, Learner, RandomResizedCrop, Resize, load_learner, noop
from pytorch_ood.detector import EnergyBased, Entropy, KNN, MaxLogit
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors
from torch import nn

from fastai_softlabels.all import (compare_confidence, ConfidenceMeter, energy_score, entropy_score, OODConfidence, ood_metrics, sigmoid_score, softmax_score,
                                   SoftCategoryBlock, SoftLabelError, SoftLabelReader, SoftMultiCategoryBlock, temperature_scale)
from fastai_softlabels.scores import knn_score, max_logit_score, score_bins
from conftest import DIGITS

OF_LOGITS = dict(softmax=softmax_score, sigmoid=sigmoid_score, max_logit=max_logit_score, energy=energy_score, entropy=entropy_score)
RANKINGS = ['max_logit', 'energy', 'entropy']


class Net(nn.Module):
    "whose last linear layer is not the last of its modules"
    def __init__(self, n_classes: int = 10, n_features: int = 12):
        super().__init__()
        self.head = nn.Linear(n_features, n_classes)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, n_features), nn.ReLU(), nn.Dropout(.5))

    def forward(self, x): return self.head(self.body(x))


def learner(digits, known, block=SoftCategoryBlock, model=None, tfm=Resize, **kw):
    options = dict(multi=True, n_votes=30) if block is SoftMultiCategoryBlock else {}
    reader = SoftLabelReader(known, 'fname', DIGITS, **options)
    dls = DataBlock(blocks=(ImageBlock, block()), get_x=ColReader('fname', pref=digits), get_y=reader, splitter=EndSplitter(.3), item_tfms=tfm(8)).dataloaders(known, **{'bs': 8, 'num_workers': 0, **kw})
    learn = Learner(dls, Net() if model is None else model)
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
    learn.logger = noop
    return learn


@pytest.fixture
def known(votes): return votes[votes.label < 5].copy()

@pytest.fixture
def strange(digits, votes): return [digits/f for f in votes[votes.label >= 5].fname]


# --- the scores

def test_equal_to_pytorch_ood():
    "on logits for which its entropy, which takes no probability below 1e-7, is exact"
    z = 1.5*torch.randn(300, 6, dtype=torch.float64)
    theirs = dict(max_logit=-MaxLogit.score(z), energy=-EnergyBased.score(z), entropy=-Entropy.score(z).log())
    for name, expected in theirs.items(): torch.testing.assert_close(OF_LOGITS[name](z), expected.float(), rtol=1e-6, atol=1e-6)
    bank, some = torch.randn(300, 8), torch.randn(40, 8)
    neighbours = KNN(None, k=50, normalize=True).fit_features(bank, torch.zeros(300))
    torch.testing.assert_close(knn_score(some, bank), -neighbours.predict_features(some).float(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('k', [1, 5, 50])
def test_neighbours_of_scikit_learn(k):
    bank, some = torch.randn(400, 16)*torch.rand(400, 1)*9, torch.randn(70, 16)
    unit = lambda t: t.double().numpy()/np.linalg.norm(t.double().numpy(), axis=1, keepdims=True)
    distances, _ = NearestNeighbors(n_neighbors=k).fit(unit(bank)).kneighbors(unit(some))
    np.testing.assert_allclose(knn_score(some, bank, k), -distances[:, -1], atol=1e-6)
    np.testing.assert_allclose(knn_score(some.half(), bank.bfloat16(), k), -distances[:, -1], atol=2e-2)


def test_neighbours_that_are_close():
    "a distance of 1e-4, which 2 − 2·cos does not know in float32"
    x = torch.nn.functional.normalize(torch.randn(1, 64, dtype=torch.float64), dim=-1)
    step = torch.randn(1, 64, dtype=torch.float64)
    step = 1e-4*torch.nn.functional.normalize(step - (step*x).sum()*x, dim=-1)
    assert knn_score((x + step).float(), x.float(), 1).item() == pytest.approx(-1e-4, rel=2e-3)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_neighbours_in_mixed_precision(dtype):
    "features that differ little: rounded cosines would take another neighbour"
    centre = torch.randn(1, 32)
    bank, some = centre + .02*torch.randn(500, 32), centre + .02*torch.randn(60, 32)
    exact = knn_score(some, bank)
    with torch.autocast('cpu', dtype=dtype): assert torch.equal(knn_score(some, bank), exact)


# --- the meter

@pytest.mark.parametrize('temperature', [1, 2.5])
def test_the_meter_ranks_by_every_score(temperature):
    inn, out = 4*torch.randn(500, 5), 2*torch.randn(300, 5)
    meters = [ConfidenceMeter(scores=[*OF_LOGITS, 'knn'], k=3, temperature=temperature) for _ in range(2)]
    for meter, z in zip(meters, (inn, out)):
        for part in z.split(64): meter.add(part, knn=-part.norm(dim=-1))
    from fastai_softlabels.scores import compare_readings
    readings = [meter.read() for meter in meters]
    for name in (*OF_LOGITS, 'knn'):
        a, b = ((-z.norm(dim=-1) if name == 'knn' else OF_LOGITS[name](z/temperature)) for z in (inn, out))
        assert compare_readings(readings[0][name], readings[1][name])['auroc'] == pytest.approx(ood_metrics(score_bins(a), score_bins(b))['auroc'], abs=1e-9), name
        assert [i for i, _ in readings[0][name].surest] == a.topk(3).indices.tolist(), name


def test_a_batch_is_taken_whole_or_not_at_all():
    meter, z = ConfidenceMeter(scores=['softmax', 'knn']), torch.randn(4, 3)
    for others, words in (({}, "'knn' is no score of logits"), ({'knn': torch.zeros(3)}, "3 scores 'knn' for 4 items"), ({'knn': torch.zeros(4), 'vim': torch.zeros(4)}, "'vim' is no score that this meter was asked for"),
                          ({'knn': torch.zeros(4), 'softmax': torch.zeros(4)}, "'softmax' is a score of the logits")):
        with pytest.raises(SoftLabelError, match=words): meter.add(z, **others)
    assert meter.seen == 0 and meter.add(z, knn=torch.zeros(4)).read()['softmax'].n == 4


def test_rankings_have_no_confidence():
    reading = ConfidenceMeter(scores=['energy']).add(torch.randn(50, 3)).read()['energy']
    assert (reading.n, reading.n_nan) == (50, 0)
    assert np.isnan([reading.mean, reading.median, reading.min, reading.max, *reading.above, *(c for _, c in reading.surest)]).all()


def test_nan_is_counted_for_rankings_too():
    z = torch.randn(6, 3)
    z[2] = torch.nan
    for name, reading in ConfidenceMeter(scores=list(OF_LOGITS)).add(z).read().items(): assert reading.n_nan == 1, name


# --- while training

@pytest.mark.parametrize('block,own', [(SoftCategoryBlock, 'softmax'), (SoftMultiCategoryBlock, 'sigmoid')])
def test_the_history_has_the_scores_asked_for_and_the_models_own(block, own, digits, known, strange):
    cb = OODConfidence({'far': strange}, scores=['energy', 'entropy'])
    learn = learner(digits, known, block)
    learn.fit(2, 1e-2, cbs=cb)
    shown = learn.recorder.values[-1][-1]
    assert cb.history.score.unique().tolist() == [own, 'energy', 'entropy']
    inn, out = learn.get_preds(act=noop)[0], learn.get_preds(dl=learn.dls.test_dl(strange), act=noop)[0]
    last = cb.history.query("epoch == 1 and set == 'far'").set_index('score')
    for name in (own, 'energy', 'entropy'):
        exact = ood_metrics(*(score_bins(OF_LOGITS[name](z)) for z in (inn, out)))
        assert last.loc[name, ['auroc', 'fpr95']].tolist() == pytest.approx([exact['auroc'], exact['fpr95']], abs=1e-6)
    assert last.loc[['energy', 'entropy'], ['mean', 'median', 'min', 'max']].isna().all(axis=None) and last.loc[own, ['mean', 'median']].notna().all()
    assert shown == last.auroc[own], "the table's columns are the model's own"


def test_drawn_as_what_they_are(digits, known, strange):
    import matplotlib.pyplot as plt
    cb = OODConfidence({'far': strange}, scores=['softmax', 'sigmoid', 'energy'])
    learner(digits, known).fit(1, 1e-2, cbs=cb)
    confidence, auroc = cb.plot_history(['energy', 'softmax'])
    assert [l.get_label() for l in confidence.get_lines()] == ['valid, softmax', 'far, softmax'], 'energy is no confidence'
    assert {l.get_label() for l in auroc.get_lines()[:-1]} == {'far, softmax', 'far, same model, read as energy'}
    assert [t.get_text() for t in auroc.get_legend().get_texts()][0] == 'far, softmax'
    assert [l.get_linestyle() for l in confidence.get_lines()] == ['-', '-'], "the model's own reading is the solid line"
    only_energy, _ = cb.plot_history(['energy'])
    assert not only_energy.get_lines() and only_energy.get_legend() is None
    plt.close('all')


def test_one_class(digits, known, strange):
    learn = learner(digits, known.assign(share=.3), SoftMultiCategoryBlock, model=Net(1))
    dls = DataBlock(blocks=(ImageBlock, SoftMultiCategoryBlock(vocab=['5'])), get_x=ColReader('fname', pref=digits), get_y=lambda r: {'5': .3}, splitter=EndSplitter(.3),
                    item_tfms=Resize(8)).dataloaders(known, bs=8, num_workers=0)
    learn.dls, learn.loss_func = dls, dls.loss_func
    cb = OODConfidence(strange)
    learn.fit(1, 1e-2, cbs=cb)
    assert cb.history.score.unique().tolist() == ['sigmoid'], 'of the others nobody could say presence from absence'
    for name in ('softmax', 'entropy', 'energy', 'max_logit'):
        with pytest.raises(SoftLabelError, match=f"one class, of which '{name}'.*Take 'sigmoid'"): learn.fit(1, 1e-2, cbs=OODConfidence(strange, scores=[name]))
        with pytest.raises(SoftLabelError, match=f"one class, of which '{name}'"): compare_confidence({'one': learn}, strange, scores=[name])


# --- the comparison

def unit(features): return features/np.linalg.norm(features, axis=1, keepdims=True)

def features_of(learn, dl):
    "by hand: of one loader, in order"
    learn.model.eval()
    with torch.no_grad(): return torch.cat([learn.model.body(batch[0].as_subclass(torch.Tensor)) for batch in dl]).double().numpy()


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
def test_compared_by_every_score(block, digits, votes, strange):
    learn = learner(digits, votes[votes.label < 8], block)
    learn.fit(2, 1e-2)
    learn.model.train()
    table = compare_confidence({'a': learn}, {'far': strange, 'some': strange[:9]}, scores=[*OF_LOGITS, 'knn'], plot=False)
    assert list(table.index.names) == ['learner', 'set', 'score'] and table.index.is_unique and len(table) == 3*6
    test_dl = learn.dls.test_dl(strange)
    z = [learn.get_preds(act=noop)[0], learn.get_preds(dl=test_dl, act=noop)[0]]
    scores = {name: [f(t) for t in z] for name, f in OF_LOGITS.items()}
    bank = unit(features_of(learn, learn.dls.train.new(shuffle=False, drop_last=False)))
    scores['knn'] = [torch.tensor(-np.sort(cdist(unit(features_of(learn, dl)), bank), axis=1)[:, 49]) for dl in (learn.dls.valid, test_dl)]
    for name, (inn, out) in scores.items():
        row, exact = table.loc[('a', 'far', name)], ood_metrics(score_bins(inn.float()), score_bins(out.float()))
        assert [row.auroc, row.fpr95] == pytest.approx([exact['auroc'], exact['fpr95']], abs=1e-3 if name == 'knn' else 1e-6), name
    assert table.loc[('a', 'far')].loc[[*RANKINGS, 'knn'], ['mean', 'median', 'above .9']].isna().all(axis=None)
    pd.testing.assert_frame_equal(table.xs('softmax' if block is SoftCategoryBlock else 'sigmoid', level='score'), compare_confidence({'a': learn}, {'far': strange, 'some': strange[:9]}, plot=False))
    assert not any(layer._forward_pre_hooks for layer in learn.model.modules()), 'the hooks are gone'


def test_near_and_far_sets_are_averaged(digits, known, strange):
    learn = learner(digits, known)
    sets = {'a': strange[:5], 'b': strange[5:], 'c': strange}
    table = compare_confidence({'l': learn}, sets, average={'ab': ['a', 'b'], 'all': ['a', 'b', 'c']}, plot=False).loc['l']
    assert table.index.tolist() == ['valid', 'a', 'b', 'c', 'ab', 'all']
    assert table.auroc['ab'] == pytest.approx((table.auroc['a'] + table.auroc['b'])/2) and table.fpr95['all'] == pytest.approx(table.fpr95[['a', 'b', 'c']].mean())
    assert table.n['ab'] == len(strange) and table.n.dtype == int
    assert table['min']['ab'] == table['min'][['a', 'b']].min() and table['max']['all'] == table['max'][['a', 'b', 'c']].max()
    for wrong in ('a', 5, [], ['a', 'd']):
        with pytest.raises(SoftLabelError, match="for 'ab'; expected lists of OOD sets by name"): compare_confidence({'l': learn}, sets, average={'ab': wrong}, plot=False)
    with pytest.raises(SoftLabelError, match=r"\['a', 'a'\] for 'twice', which names a set twice"): compare_confidence({'l': learn}, sets, average={'twice': ['a', 'a']}, plot=False)


def test_training_items_without_augmentation(digits, votes, strange, monkeypatch):
    "the bank is what the model makes of them as validation items; generators and the training set are as they were"
    from fastai_softlabels import ood
    learn, banks, state = learner(digits, votes, tfm=RandomResizedCrop), [], torch.get_rng_state()
    monkeypatch.setattr(ood, 'knn_score', lambda features, bank: (banks.append(bank), knn_score(features, bank))[1])
    compare_confidence({'a': learn}, strange, scores=['knn'], plot=False)
    assert torch.equal(torch.get_rng_state(), state) and learn.dls.train_ds.split_idx == 0
    np.testing.assert_allclose(banks[0], features_of(learn, learn.dls.test_dl(learn.dls.train_ds.items)), atol=1e-6)
    cropped = features_of(learn, learn.dls.train.new(shuffle=False, drop_last=False))
    assert np.abs(banks[0].numpy() - cropped).max() > .01


def test_many_training_items_are_thinned(digits, votes, strange, monkeypatch):
    from fastai_softlabels import ood
    learn, sizes = learner(digits, votes), []
    monkeypatch.setattr(ood, 'knn_score', lambda features, bank, **kw: (sizes.append(len(bank)), knn_score(features, bank, **kw))[1])
    monkeypatch.setattr(ood._at_equal_steps, '__defaults__', (60,))
    compare_confidence({'a': learn}, strange, scores=['knn'], plot=False)
    assert set(sizes) == {60}


def test_loaders_of_pytorch(known):
    "have features, too"
    from fastai.data.core import DataLoaders
    from fastai_softlabels.all import SoftCrossEntropyLossFlat
    x, y = torch.randn(80, 3, 8, 8), torch.rand(80, 10).softmax(-1)
    dls = DataLoaders(*(torch.utils.data.DataLoader(list(zip(x, y)), batch_size=16, shuffle=s) for s in (True, False)))
    learn = Learner(dls, Net(), loss_func=SoftCrossEntropyLossFlat())
    table = compare_confidence({'a': learn}, torch.utils.data.DataLoader(list(zip(x, y))[:30], batch_size=16), scores=['knn'], plot=False)
    assert table.auroc.iloc[-1] == pytest.approx(.5, abs=.2) and table.n.tolist() == [80, 30]


def test_loaders_of_pytorch_with_batches_of_their_own(known):
    "and training sets that are streams"
    from fastai.data.core import DataLoaders
    from fastai_softlabels.all import SoftCrossEntropyLossFlat
    items = list(zip(torch.randn(80, 3, 8, 8), torch.rand(80, 10).softmax(-1)))
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self): return iter(items)
    valid = torch.utils.data.DataLoader(items[:20], batch_size=10)
    by_batch = torch.utils.data.DataLoader(items, batch_sampler=torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(items), 16, False))
    def compared(train): return compare_confidence({'a': Learner(DataLoaders(train, valid), Net(), loss_func=SoftCrossEntropyLossFlat())}, valid, scores=['knn'], plot=False)
    assert compared(by_batch).auroc.iloc[-1] == pytest.approx(.5)
    with pytest.raises(SoftLabelError, match='a stream, has no number of them'): compared(torch.utils.data.DataLoader(Stream(), batch_size=8))


def test_nan_of_training_items(digits, votes, strange):
    class Broken(Net):
        def forward(self, x):
            h = self.body(x)
            if self.training_set and len(x) == 8: h = h.masked_fill(torch.arange(8)[:, None] == 3, torch.nan)
            return self.head(h)
    learn = learner(digits, votes, model=Broken())
    learn.model.training_set = True
    with pytest.raises(SoftLabelError, match='gives NaN for training items'): compare_confidence({'a': learn}, strange, scores=['knn'], plot=False)


def test_texts_have_features():
    "a text learner's head takes the pooled states"
    from fastai.text.all import AWD_LSTM, TextBlock, text_classifier_learner
    df = pd.DataFrame(dict(text=[f'{w} film number {i}' for i, w in enumerate(['good', 'bad']*40)], yes=[.9, .2]*40, no=[.1, .8]*40))
    dls = DataBlock(blocks=(TextBlock.from_df('text', seq_len=8), SoftCategoryBlock(vocab=['yes', 'no'])), get_x=ColReader('text'), get_y=ColReader(['yes', 'no']), splitter=EndSplitter(.25)).dataloaders(df, bs=8, num_workers=0)
    learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False)
    table = compare_confidence({'t': learn}, df.head(20), scores=['softmax', 'knn'], plot=False)
    assert table.n.tolist() == [20, 20, 20, 20] and table.xs('knn', level='score').auroc.notna().tolist() == [False, True]


@pytest.mark.parametrize('model,words', [(nn.Sequential(nn.Conv2d(3, 10, 8), nn.Flatten()), 'this model has no `nn.Linear`'),
                                         (nn.Sequential(nn.Linear(8, 4), nn.Flatten(), nn.Unflatten(1, (96, 1)), nn.Conv1d(96, 10, 1), nn.Flatten()), r'took \(8, 3, 8, 8\)')], ids=['no linear layer', 'not of features'])
def test_models_without_features(model, words, digits, votes, strange):
    with pytest.raises(SoftLabelError, match=words): compare_confidence({'a': learner(digits, votes, model=model)}, strange, scores=['knn'], plot=False)


def test_too_few_training_items(digits, known, strange):
    with pytest.raises(SoftLabelError, match='no item has a neighbour number 50.*takes 50 training items'): compare_confidence({'a': learner(digits, known.head(40))}, strange, scores=['knn'], plot=False)


def test_a_temperature_does_not_move_the_features(digits, votes, strange):
    learn = learner(digits, votes)
    learn.fit(3, 1e-2)
    before = compare_confidence({'a': learn}, strange, scores=['knn', 'max_logit'], plot=False).auroc
    temperature_scale(learn, force=True)
    pd.testing.assert_series_equal(compare_confidence({'a': learn}, strange, scores=['knn', 'max_logit'], plot=False).auroc, before, atol=1e-3)


def test_read_after_loading(digits, votes, strange, tmp_path):
    learn = learner(digits, votes)
    cb = OODConfidence(strange, scores=['energy'])
    learn.add_cb(cb)
    learn.fit(1, 1e-2)
    learn.export(tmp_path/'l.pkl')
    there = load_learner(tmp_path/'l.pkl').ood_confidence
    pd.testing.assert_frame_equal(there.history, cb.history)
    assert there.plot_histograms()[0].get_title() == 'softmax'
