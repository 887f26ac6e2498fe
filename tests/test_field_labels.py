"Labels as people have them: none is read as something else, and a refusal says how to read it."
import json, warnings

import numpy as np, pandas as pd, pytest, torch
import matplotlib.pyplot as plt
from fastai.tabular.all import Normalize, TabularDataLoaders, TabularPandas
from fastai.text.all import AWD_LSTM, TextBlock, awd_lstm_clas_config, text_classifier_learner
from fastai.vision.all import (BCEWithLogitsLossFlat, CategoryBlock, ColReader, CrossEntropyLossFlat, DataBlock, DataLoaders, EndSplitter, ImageBlock, ImageDataLoaders, IndexSplitter,
                               LabelSmoothingCrossEntropy, Learner, MultiCategoryBlock, Pipeline, TransformBlock, load_learner)
from PIL import Image
from torch import nn

from fastai_softlabels.all import (OODConfidence, SoftBCEWithLogitsLossFlat, SoftCategory, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftECE, SoftInterpretation,
                                   SoftLabelError, SoftLabelReader, SoftMultiCategoryBlock, SumOfLosses, abstain, bootstrap_interval, brier_score, class_weights,
                                   compare_confidence, dawid_skene, entropy, kl_divergence, preds_to_soft, temperature_scale, top1_agreement, votes_to_soft)
from fastai_softlabels.tables import check_distributions
from conftest import refused

N, NAMES = 24, ['bar', 'halo', 'no bar']
P = np.random.default_rng(0).dirichlet([1, 1, 1], N).round(3)
P[:, 2] = 1 - P[:, 0] - P[:, 1]
M = np.random.default_rng(1).random((N, 3)).round(2)


def read(labels, block=SoftCategoryBlock):
    "Vocab and targets of `labels`, as a `DataBlock` reads them"
    of_item = dict(enumerate(labels))
    dls = DataBlock(blocks=(TransformBlock, block), get_x=lambda i: torch.zeros(2), get_y=of_item.get, splitter=IndexSplitter([])).dataloaders([*of_item], bs=1, num_workers=0)
    return list(dls.vocab), [dls.train_ds[i][1].tolist() for i in of_item]


def fit(learn):
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
    learn.row = list(learn.recorder.values[-1]) # `get_preds` writes over it
    return learn


def on_target(metric, target):
    from fastai_softlabels.all import on_target
    return on_target(metric, target)


def titles(show):
    "What stands over the images that `show` draws"
    plt.close('all')
    show()
    return [ax.get_title() for f in map(plt.figure, plt.get_fignums()) for ax in f.axes if ax.get_title()]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp('images'), np.random.default_rng(0)
    for i in range(100, 100 + N): Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder/f'{i}.png')
    return sorted(folder.iterdir())


def soft(table): return lambda f: dict(zip(NAMES, table[int(f.stem) - 100]))

def learner(files, block=SoftCategoryBlock, table=P, **kw):
    dls = DataBlock(blocks=(ImageBlock, block), get_y=soft(table), splitter=EndSplitter(.25)).dataloaders(files, bs=6, num_workers=0, device='cpu')
    torch.manual_seed(1)
    return fit(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, dls.c)), path=files[0].parents[1], **kw))


class OwnSigmoid(nn.Module):
    "A loss as a user writes it, for independent classes"
    def forward(self, x, y, reduction='mean'): return nn.functional.binary_cross_entropy_with_logits(x, y, reduction=reduction)
    def activation(self, x): return x.sigmoid()
    def decodes(self, x): return x > .5

class OwnSoftmax(nn.Module):
    "A loss as a user writes it, for one distribution"
    def forward(self, x, y, reduction='mean'): return nn.functional.cross_entropy(x, y, reduction=reduction)
    def activation(self, x): return x.softmax(-1)
    def decodes(self, x): return x.argmax(-1)


# --- integers that name columns

@pytest.fixture
def counted(): return pd.DataFrame({'image_id': [105, 106, 107, 108], 0: [3, 1, 2, 4], 1: [1, 2, 3, 1], 2: [2, 4, 1, 1]})

SHARES = [[.5, 1/6, 1/3], [1/7, 2/7, 4/7], [1/3, .5, 1/6], [4/6, 1/6, 1/6]]

def targets_of_table(df, get_y, block=SoftCategoryBlock):
    dls = DataBlock(blocks=(TransformBlock, block), get_x=lambda r: torch.zeros(2), get_y=get_y, splitter=IndexSplitter([])).dataloaders(df, bs=1, num_workers=0)
    return [dls.train_ds[i][1].tolist() for i in range(len(df))]


@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftCategoryBlock(vocab=[0, 1, 2]), SoftCategoryBlock(vocab=['a', 'b', 'c']), SoftMultiCategoryBlock(n_votes=9)], ids=['bare', 'int vocab', 'text vocab', 'multi'])
def test_an_integer_that_names_another_column_is_refused(counted, block):
    refused(lambda: targets_of_table(counted, ColReader([0, 1, 2]), block), "position, where the column 'image_id' stands", 'the column named 0 is at position 1', 'df.columns.map(str)', '`SoftLabelReader`')

@pytest.mark.parametrize('get', [ColReader(0), ColReader(2), ColReader([1, 2, 3]), Pipeline([ColReader([0, 1, 2])])], ids=['one', 'one, other column', 'off by one', 'in a pipeline'])
def test_so_it_is_in_other_forms_of_the_reader(counted, get): refused(lambda: targets_of_table(counted, get), 'Which is meant?')

def test_so_it_is_in_another_order_and_in_a_crosstab(counted):
    refused(lambda: targets_of_table(counted[['image_id', 2, 1, 0]], ColReader([0, 1, 2])), 'Which is meant?')
    table = pd.crosstab(pd.Series([105, 105, 106, 107], name='image_id'), pd.Series([0, 1, 1, 2], name='label')).reset_index()
    refused(lambda: targets_of_table(table, ColReader([0, 1, 2])), 'Which is meant?')

def test_so_it_is_in_a_factory(counted, files):
    refused(lambda: ImageDataLoaders.from_df(counted, files[0].parent, fn_col='image_id', suff='.png', label_col=[0, 1, 2], y_block=SoftCategoryBlock, bs=2, num_workers=0), 'Which is meant?')

@pytest.mark.parametrize('df, get', [
    (lambda t: t.set_axis(t.columns.map(str), axis=1), ColReader(['0', '1', '2'])), (lambda t: t, SoftLabelReader(pd.DataFrame({'image_id': [105, 106, 107, 108], 0: [3, 1, 2, 4], 1: [1, 2, 3, 1], 2: [2, 4, 1, 1]}), 'image_id', [0, 1, 2])),
    (lambda t: t[[0, 1, 2, 'image_id']], ColReader([0, 1, 2])), (lambda t: t, ColReader([*np.array([0, 1, 2])])), (lambda t: t.rename(columns={0: 'a', 1: 'b', 2: 'c'}), ColReader([1, 2, 3])),
    (lambda t: t, ColReader([-3, -2, -1])), (lambda t: t, lambda r: r[[0, 1, 2]])], ids=['texts', 'reader', 'where they are named', 'NumPy', 'positions', 'from the end', 'function'])
def test_what_can_mean_one_thing_only_is_read(counted, df, get):
    for got, want in zip(targets_of_table(df(counted), get), SHARES): assert got == pytest.approx(want)


# --- classes of the target, not of the inputs

TEXTS = [('a fine film', 8, 1, 1), ('dull and slow', 1, 8, 1), ('good fun', 7, 2, 1), ('bad plot', 1, 8, 1), ('so so', 3, 3, 4), ('good plot', 6, 1, 3)]*2
MOODS = ['joyful', 'dreary', 'neutral']

@pytest.fixture(params=[SoftCategoryBlock, SoftMultiCategoryBlock(n_votes=10, thresh=.1)], ids=['one distribution', 'independent'])
def of_texts(request, tmp_path):
    pytest.importorskip('spacy')
    df = pd.DataFrame(TEXTS, columns=['text', *MOODS])
    dls = DataBlock(blocks=(TextBlock.from_df('text', seq_len=8, min_freq=1), request.param), get_x=ColReader('text'), get_y=ColReader(MOODS), splitter=EndSplitter(.5)).dataloaders(df, bs=4, num_workers=0, device='cpu')
    config = {**awd_lstm_clas_config, 'emb_sz': 8, 'n_hid': 8, 'n_layers': 1}
    learn = fit(text_classifier_learner(dls, AWD_LSTM, config=config, pretrained=False, metrics=[kl_divergence, SoftECE()], path=tmp_path))
    learn.is_multi, learn.df = request.param is not SoftCategoryBlock, df
    return learn

def test_a_text_learner_names_the_targets_classes(of_texts):
    learn, df = of_texts, of_texts.df
    with learn.no_bar(): p, y = learn.get_preds()
    assert learn.row[2] == pytest.approx(float(kl_divergence(p, y, learn.is_multi)), abs=1e-5)
    share = df[MOODS].to_numpy()[:6]/10
    assert class_weights(learn.dls).tolist() == pytest.approx(((6 - share.sum(0))/share.sum(0) if learn.is_multi else 6/3/share.sum(0)).tolist(), abs=1e-4)
    with learn.no_bar():
        assert preds_to_soft(learn, df.tail(6)).columns.tolist() == MOODS
        assert preds_to_soft(learn, df.tail(6)).to_numpy() == pytest.approx(p.numpy(), abs=1e-5)
        interp = SoftInterpretation.from_learner(learn)
    assert interp.vocab == MOODS and interp.multi == learn.is_multi
    assert {t.split(' .')[0] for o in interp.suspicious_labels(6).label for t in o.split(' · ')} <= set(MOODS)
    if learn.is_multi: return refused(lambda: interp.most_confused(0), 'each class has a probability of its own')
    assert {c for a, b, _ in interp.most_confused(0) for c in (a, b)} == set(MOODS)
    assert interp.classification_report().index.tolist() == MOODS

def test_so_it_does_when_exported(of_texts):
    of_texts.export('t.pkl')
    with pytest.warns(UserWarning, match='insecure pickle module'): loaded = load_learner(of_texts.path/'t.pkl')
    with loaded.no_bar():
        assert preds_to_soft(loaded, of_texts.df.tail(2)).columns.tolist() == MOODS and loaded.predict('good fun')[0].vocab == MOODS
        assert SoftInterpretation.from_learner(loaded, dl=loaded.dls.test_dl(of_texts.df, with_labels=True)).vocab == MOODS

def test_a_text_model_abstains_and_is_measured_on_strange_texts(of_texts):
    learn, df = of_texts, of_texts.df
    learn.add_cb(OODConfidence(df.head(4)))
    columns = dict(zip(fit(learn).recorder.metric_names[1:], learn.row))
    with learn.no_bar(): p = learn.get_preds()[0]
    assert columns['valid_confidence'] == pytest.approx(float(p.amax(1).median()), abs=.01) and 0 < columns['ood_confidence'] < 1
    found = compare_confidence({'texts': learn}, df.head(4), plot=False)
    assert found.loc[('texts', 'valid'), 'mean'] == pytest.approx(float(p.amax(1).mean()), abs=1e-5)
    with learn.no_bar():
        abstain(learn, .5)
        said = [learn.predict(t)[0] for t in df.text.tail(6)]
    assert 1 <= sum(o.is_unsure for o in said) <= 3


class TwoInputs(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.image, self.site = nn.Sequential(nn.Flatten(), nn.Linear(192, c)), nn.Embedding(3, c)
    def forward(self, x, s): return self.image(x) + self.site(s)

@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock], ids=['one distribution', 'independent'])
def test_a_category_as_input_is_no_target(files, block):
    getters = [None, lambda f: 'neg' if int(f.stem) % 2 else 'pos', soft(P)]
    dls = DataBlock(blocks=(ImageBlock, CategoryBlock, block), n_inp=2, getters=getters, splitter=EndSplitter(.25)).dataloaders(files, bs=6, num_workers=0, device='cpu')
    learn = Learner(dls, TwoInputs(dls.c), metrics=[kl_divergence], path=files[0].parents[1])
    multi = isinstance(learn.loss_func, SoftBCEWithLogitsLossFlat)
    assert learn.dls.c == 3 and (multi or isinstance(learn.loss_func, SoftCrossEntropyLossFlat))
    fit(learn)
    with learn.no_bar():
        p, y = learn.get_preds()
        assert learn.row[2] == pytest.approx(float(kl_divergence(p, y, multi)), abs=1e-5)
        interp, table = SoftInterpretation.from_learner(learn), preds_to_soft(learn, files[-6:])
    assert interp.vocab == NAMES and table.columns.tolist() == NAMES and table.to_numpy() == pytest.approx(p.numpy(), abs=1e-5)
    if not multi: assert interp.classification_report().index.tolist() == NAMES and {a for a, *_ in interp.most_confused(0)} == set(NAMES)
    mass = P[:18].sum(0)
    assert class_weights(learn.dls).tolist() == pytest.approx(((18 - mass)/mass if multi else 6/mass).tolist(), abs=1e-3)
    learn.export('two.pkl')
    with pytest.warns(UserWarning, match='insecure pickle module'): loaded = load_learner(learn.path/'two.pkl')
    with loaded.no_bar(): assert preds_to_soft(loaded, files[-6:]).to_numpy() == pytest.approx(p.numpy(), abs=1e-5)

@pytest.mark.parametrize('block, label', [(CategoryBlock, lambda f: NAMES[int(f.stem) % 3]), (MultiCategoryBlock, lambda f: [NAMES[int(f.stem) % 3]])], ids=['category', 'multi-category'])
def test_fastais_own_targets_have_names_too(files, block, label):
    dls = DataBlock(blocks=(ImageBlock, block), get_y=label, splitter=EndSplitter(.25)).dataloaders(files, bs=6, num_workers=0, device='cpu')
    learn = fit(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), path=files[0].parents[1]))
    with learn.no_bar(): assert SoftInterpretation.from_learner(learn).vocab == NAMES and preds_to_soft(learn, files[:2]).columns.tolist() == NAMES
    assert class_weights(dls).tolist() == pytest.approx([1.]*3 if block is CategoryBlock else [2.]*3)


# --- tables of fastai's tabular part

SURVEY = pd.DataFrame(dict(age=[1., 2, 3, 4, 5, 6], yes=[5, -3, 7, 1, 1, 1], no=[1]*6, maybe=[0, 0, 0, 0, 0, 1]))

@pytest.mark.parametrize('block', [SoftCategoryBlock(vocab=['yes', 'no', 'maybe']), SoftCategoryBlock, SoftCategoryBlock(), SoftMultiCategoryBlock, SoftMultiCategoryBlock(vocab=['yes', 'no', 'maybe'])],
                         ids=['vocab', 'bare', 'called', 'multi', 'multi with vocab'])
def test_the_numbers_of_a_table_are_checked(block):
    kw = dict(procs=[Normalize], cont_names=['age'], y_names=['yes', 'no', 'maybe'], y_block=block)
    refused(lambda: TabularPandas(SURVEY, splits=([0, 1, 2, 3], [4, 5]), **kw), 'row 1', '-3')
    refused(lambda: TabularDataLoaders.from_df(SURVEY, valid_idx=[4, 5], **kw), 'row 1', '-3')


# --- losses of one's own

def by_hand(learn):
    "KL divergence and Brier score of independent classes, in NumPy"
    with learn.no_bar(): p, y = (t.double().numpy() for t in learn.get_preds())
    p, y = np.stack([p, 1 - p], -1), np.stack([y, 1 - y], -1)
    return (y*(np.log(np.clip(y, 1e-30, 1)) - np.log(p))).sum(-1).mean(), ((p - y)**2).sum(-1).mean()

GIVEN = {'class to block': (SoftMultiCategoryBlock(loss_func=OwnSigmoid), None), 'to block': (SoftMultiCategoryBlock(loss_func=OwnSigmoid()), None), 'to learner': (SoftMultiCategoryBlock, OwnSigmoid()),
         "fastai's to block": (SoftMultiCategoryBlock(loss_func=BCEWithLogitsLossFlat(thresh=.3)), None), "fastai's to learner": (SoftMultiCategoryBlock, BCEWithLogitsLossFlat(thresh=.3)),
         "torch's to block": (SoftMultiCategoryBlock(loss_func=nn.BCEWithLogitsLoss()), None)}

@pytest.mark.parametrize('block, loss', GIVEN.values(), ids=GIVEN)
def test_a_sigmoid_loss_is_measured_class_by_class(files, block, loss):
    learn = learner(files, block, M, loss_func=loss, metrics=[kl_divergence, brier_score])
    assert learn.row[2:] == pytest.approx(by_hand(learn), abs=1e-5)
    with learn.no_bar(): interp = SoftInterpretation.from_learner(learn)
    assert interp.scores([kl_divergence, brier_score], n=0).value.tolist() == pytest.approx(by_hand(learn), abs=1e-5)
    refused(interp.confusion_matrix, 'each class has a probability of its own')
    with learn.no_bar(): assert temperature_scale(learn, learn.dls.test_dl(files, with_labels=True), force=True).n.tolist() == [12, 12] and abstain(learn, .5).thresh > .5

@pytest.mark.parametrize('loss', [OwnSigmoid(), BCEWithLogitsLossFlat(), SoftBCEWithLogitsLossFlat()], ids=['own', "fastai's", 'ours'])
def test_a_sigmoid_loss_over_one_distribution_is_refused(files, loss):
    words = 'a probability of its own for each class (sigmoid), but the labels are one distribution', '`SoftMultiCategoryBlock`'
    refused(lambda: learner(files, loss_func=loss, metrics=[kl_divergence]), *words)
    learn = learner(files, loss_func=loss)
    with learn.no_bar():
        for f in (SoftInterpretation.from_learner, temperature_scale, abstain, lambda l: preds_to_soft(l, files[:2])): refused(lambda: f(learn), *words)

@pytest.mark.parametrize('loss', [OwnSoftmax(), SoftCrossEntropyLossFlat()], ids=['own', 'ours'])
def test_a_softmax_loss_over_independent_classes_is_refused(files, loss):
    refused(lambda: learner(files, SoftMultiCategoryBlock, M, loss_func=loss, metrics=[kl_divergence]), 'reads one distribution (softmax)', '`SoftCategoryBlock`')

@pytest.mark.parametrize('block, loss, words', [
    (SoftCategoryBlock, OwnSigmoid, ['OwnSigmoid', '`SoftMultiCategoryBlock`']), (SoftCategoryBlock, nn.BCEWithLogitsLoss, ['BCEWithLogitsLoss', '`SoftMultiCategoryBlock`']), (SoftMultiCategoryBlock, OwnSoftmax, ['OwnSoftmax', '`SoftCategoryBlock`']),
    (SoftMultiCategoryBlock, nn.CrossEntropyLoss, ['`SoftCategoryBlock`']), (SoftCategoryBlock, LabelSmoothingCrossEntropy, ['class indices alone', 'label_smoothing=']), (SoftCategoryBlock, CrossEntropyLossFlat, ['flattens targets'])],
    ids=['own sigmoid', "torch's sigmoid", 'own softmax', "torch's softmax", 'smoothing of indices', "fastai's"])
def test_a_block_refuses_the_other_kind_of_loss(block, loss, words): refused(lambda: block(loss_func=loss()), *words)

def test_a_loss_without_activation_says_what_to_do(files):
    learn = learner(files, loss_func=nn.CrossEntropyLoss())
    refused(lambda: SoftInterpretation.from_learner(learn), 'has no `activation`', '`SoftCategoryBlock(loss_func=…)`')
    refused(lambda: preds_to_soft(learn, files[:2]), 'has no `activation`', 'to the block')


# --- what is shown is what is returned

def shares(text): return {c: float(f'0{p}' if p[0] == '.' else p) for c, p in (o.rsplit(' ', 1) for o in text.split(' · '))}

WRAPPED = {'own sigmoid': (OwnSigmoid, SoftMultiCategoryBlock, M), 'own softmax': (OwnSoftmax, SoftCategoryBlock, P), "fastai's": (lambda: BCEWithLogitsLossFlat(thresh=.3), SoftMultiCategoryBlock, M),
           "torch's": (nn.CrossEntropyLoss, SoftCategoryBlock, P)}

@pytest.mark.parametrize('loss, block, table', WRAPPED.values(), ids=WRAPPED)
def test_a_loss_given_to_a_block_shows_its_probabilities(files, loss, block, table):
    learn = learner(files, block(loss_func=loss()), table)
    with learn.no_bar():
        for f in files[-3:]:
            shown, decoded, probs = learn.predict(f)
            assert shares(str(shown)) == pytest.approx(dict(zip(NAMES, probs.tolist())), abs=.00501)
            assert decoded.probs.tolist() == probs.tolist()
        p, lines = learn.get_preds()[0], [t.split('\n') for t in titles(lambda: learn.show_results(shuffle=False)) if '\n' in t]
        for (label, pred), row, y in zip(lines, p, table[-6:]): assert shares(pred) == pytest.approx(dict(zip(NAMES, row.tolist())), abs=.00501)

BARE = {'own sigmoid': (OwnSigmoid(), SoftMultiCategoryBlock, M), 'own softmax': (OwnSoftmax(), SoftCategoryBlock, P), "fastai's": (BCEWithLogitsLossFlat(thresh=.3), SoftMultiCategoryBlock, M)}

@pytest.mark.parametrize('loss, block, table', BARE.values(), ids=BARE)
def test_a_bare_decision_is_shown_without_a_number(files, loss, block, table):
    learn = learner(files, block, table, loss_func=loss)
    with learn.no_bar():
        for f in files[-4:]:
            shown, decoded, probs = learn.predict(f)
            present = [c for c, p in zip(NAMES, probs.tolist()) if p > getattr(loss, 'thresh', .5)] if table is M else [NAMES[int(probs.argmax())]]
            assert str(shown) == (' · '.join(present) or 'none of these') and (shown.label == present if table is M else shown == present[0])
        lines = [t.split('\n') for t in titles(lambda: learn.show_results(shuffle=False)) if '\n' in t]
        assert len(lines) == 6 and not any(c.isdigit() for _, pred in lines for c in pred) and all('.' in label for label, _ in lines)
        interp = SoftInterpretation.from_learner(learn)
        values, idx = interp.top_losses(2)
        for title, i in zip([t for t in titles(lambda: interp.plot_top_losses(2)) if '\n' in t], idx.tolist()): # the raw probabilities are at hand
            shown = title.split('\n')[0].removeprefix('none of these (').removesuffix(')')
            assert shares(shown) == pytest.approx(dict(zip(NAMES, interp.probs[i].tolist())), abs=.00501)

def test_what_show_batch_writes_are_the_labels(files):
    dls = learner(files, SoftMultiCategoryBlock(loss_func=OwnSigmoid), M).dls
    written = titles(lambda: dls.train.new(shuffle=False).show_batch(max_n=3))
    for text, row in zip(written, M): assert shares(text) == pytest.approx({c: p for c, p in zip(NAMES, row)}, abs=.00501)


# --- texts that hold more than a name

HOLD = {"{'cat': 2, 'dog': 1}": ('a dict written as text', '`ast.literal_eval(text)`'), '{"cat": 2, "dog": 1}': ('a dict written as text', '`json.loads(text)`'), '[.3, .7]': ('a list written as text', '`json.loads(text)`'),
        'cat,cat,dog': ('several labels in one text', "`text.split(',')`"), '66%': ('a percentage', '/100'), '0,1,1,0': ('several numbers', 'columns of their own'), "['cat', 'dog']": ('a list written as text', '`ast.literal_eval(text)`'),
        '[0.3 0.7]': ('a printed array', '.split()'), 'tensor([0.3, 0.7])': ('a printed array', '.split()'), "Counter({'cat': 2})": ('a printed Python object', 'JSON'), '.66': ('a decimal number', '`float(text)`'),
        '0,66': ('a decimal number', "replace(',', '.')"), 'cat: 2, dog: 1': ('several classes with a number each', 'dict('), 'cat;dog': ('several labels in one text', "`text.split(';')`"), 'cat dog': ('several labels in one text', '`text.split()`'),
        '1 0 0': ('several numbers', 'columns of their own'), '.3,.7': ('several numbers', 'columns of their own'), '2/3': ('a fraction, or several numbers', 'fractions.Fraction(text)'), '"cat"': ('a text in quotation marks', '`json.loads(text)`'),
        "b'cat'": ('a bytes written as text', '`ast.literal_eval(text)`'), 'nan': ('a missing value', 'None'), '': ('a missing value', 'None')}

@pytest.mark.parametrize('text', HOLD)
@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock], ids=['one distribution', 'independent'])
def test_a_text_that_holds_a_label_is_no_name(block, text):
    words = "item '3': the text", 'would be a class of its own', *HOLD[text], '`vocab=`'
    for labels in (['cat', 'dog', 'dog', text], [['cat'], ['dog'], ['dog'], [text]], [{'cat': 1}, {'dog': 1}, {'dog': 1}, {text: 1}]): refused(lambda: read(labels, block), *words)

@pytest.mark.parametrize('text', HOLD)
def test_nor_is_it_a_vote(text):
    words = 'Item 2: the text', *HOLD[text], '`vocab=`'
    refused(lambda: votes_to_soft(pd.DataFrame(dict(i=[1, 1, 2], l=['cat', 'dog', text])), 'i', label='l'), *words)
    refused(lambda: votes_to_soft(pd.DataFrame(dict(i=[1, 2], a=['cat', text], b=['dog', 'cat'])), 'i', annotators=['a', 'b']), *words)
    refused(lambda: votes_to_soft(pd.DataFrame(dict(i=[1, 2], l=[['cat', 'dog'], [text]])), 'i', lists='l'), *words)
    refused(lambda: dawid_skene(pd.DataFrame(dict(i=[1, 1, 2], l=['cat', 'dog', text], a=[1, 2, 1])), 'i', 'l', 'a'), *words)

@pytest.mark.parametrize('text', HOLD)
def test_in_a_given_vocab_a_class_may_be_called_anything(text):
    assert read(['cat', 'dog', text], SoftCategoryBlock(vocab=['cat', 'dog', text])) == (['cat', 'dog', text], np.eye(3).tolist())
    votes = votes_to_soft(pd.DataFrame(dict(i=[1, 1, 2], l=['cat', 'dog', text])), 'i', label='l', vocab=['cat', 'dog', text])
    assert votes[['cat', 'dog', text]].to_numpy().tolist() == [[.5, .5, 0], [0, 0, 1]]
    for block in (SoftCategoryBlock, SoftMultiCategoryBlock): refused(lambda: read(['cat', text], block(vocab=['cat', 'dog'])), 'is not in the vocab', HOLD[text][0])
    refused(lambda: votes_to_soft(pd.DataFrame(dict(i=[1, 1, 2], l=['cat', 'dog', text])), 'i', label='l', vocab=['cat', 'dog']), 'is not in the vocab', HOLD[text][0])

@pytest.mark.parametrize('name', ['Washington, D.C.', '5', '-1', 'cat (2)', 'hot dog', 'rock & roll', 'and/or', 'C++', '0-10', '3D', 'cat: big', 'e5', '[cat]', 'not sure', "don't know", 'ICD-10: A09'])
def test_ordinary_names_are_names(name):
    vocab, targets = read(['cat', 'dog', name])
    assert vocab == sorted(['cat', 'dog', name]) and targets[2][vocab.index(name)] == 1
    assert set(votes_to_soft(pd.DataFrame(dict(i=[1, 1, 2], l=['cat', 'dog', name])), 'i', label='l').columns) >= {'cat', 'dog', name}

def test_a_share_is_no_name(): refused(lambda: votes_to_soft(pd.DataFrame(dict(i=[1, 1, 2], l=[.3, .66, .9])), 'i', label='l'), 'the number 0.3', 'A probability, or a mean', '`vocab=`')

@pytest.mark.parametrize('text, words', [('66%', 'a percentage'), ('0,66', "replace(',', '.')"), ("{'cat': 1}", '`ast.literal_eval(text)`')], ids=['percent', 'decimal comma', 'dict'])
def test_a_text_among_numbers_says_how_it_is_read(text, words):
    table = pd.DataFrame(dict(f=['a', 'b'], cat=[text, '1'], dog=[.34, 0.]))
    refused(lambda: SoftLabelReader(table, 'f', ['cat', 'dog']), "row 0 (item 'a')", "in column 'cat' is not a number", words)
    refused(lambda: targets_of_table(table, ColReader(['cat', 'dog'])), "in column 'cat' is not a number", words)
    refused(lambda: votes_to_soft(table, 'f', counts=['cat', 'dog']), "in column 'cat' is not a number", words)
    refused(lambda: read([{'cat': text, 'dog': .34}]), "for the class 'cat', is not a number", words)


# --- a single yes or no

@pytest.mark.parametrize('of', [torch.tensor, np.array], ids=['tensor', 'array'])
def test_agreement_of_a_single_class_is_that_of_its_yes_and_no(of):
    assert top1_agreement(of([[.01]]), of([[.99]]), multi=True) == 0
    p, y = [[.9], [.1], [.7], [.4], [.2]], [[.99], [.2], [.1], [.5], [.6]] # of .5 both are most probable
    assert top1_agreement(of(p), of(y), multi=True) == pytest.approx(3/5)
    assert bootstrap_interval(top1_agreement, torch.tensor([[.01]]*9), torch.tensor([[.99]]*9), multi=True, n=20) == (0, 0)

def test_a_no_an_abstention_and_an_unlabelled_item_read_differently():
    from fastai_softlabels.core import DONT_KNOW
    def show(p, label=None): return str(SoftCategory([p], ['lesion'], multi=True, label=label))
    assert [show(.07, []), show(.07, DONT_KNOW), show(.93, ['lesion']), show(torch.nan), show(torch.nan, []), show(torch.nan, DONT_KNOW)] == [
        'no (lesion .07)', "don't know (lesion .07)", 'lesion .93', 'unlabelled', 'no', "don't know"]
    no, unsure = (SoftCategory([.07], ['lesion'], multi=True, label=o) for o in ([], DONT_KNOW))
    assert no.is_none and not no.is_unsure and unsure.is_unsure and not unsure.is_none

def test_a_learner_of_one_class_says_no_yes_or_dont_know(files):
    dls = DataBlock(blocks=(ImageBlock, SoftMultiCategoryBlock(vocab=['lesion'])), get_y=lambda f: M[int(f.stem) - 100, 0], splitter=EndSplitter(.25)).dataloaders(files, bs=6, num_workers=0, device='cpu')
    learn = fit(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 1)), metrics=[top1_agreement], path=files[0].parents[1]))
    with learn.no_bar():
        p, y = (t.numpy()[:, 0] for t in learn.get_preds())
        assert learn.row[2] == pytest.approx(((p > .5) == (y > .5)).mean())
        for f, q in zip(files[-6:], p): assert str(learn.predict(f)[0]).startswith('lesion ' if q > .5 else 'no (lesion ')
        abstain(learn, .5)
        sure = np.maximum(p, 1 - p)
        for f, q, s in zip(files[-6:], p, sure): assert str(learn.predict(f)[0]).startswith("don't know (" if s < np.sort(sure)[3] else 'lesion ' if q > .5 else 'no (lesion ')

@pytest.mark.parametrize('loss', [None, OwnSigmoid()], ids=['ours', 'own'])
def test_independent_classes_abstain(files, loss):
    learn = learner(files, SoftMultiCategoryBlock, M, loss_func=loss)
    with learn.no_bar():
        abstain(learn, .5)
        p, said = learn.get_preds()[0], [learn.predict(f)[0] for f in files[-6:]]
    assert [o.is_unsure for o in said] == (p.amax(1) < p.amax(1).sort().values[3]).tolist()
    for o, row in zip(said, p): assert o.is_unsure or o.label == [c for c, q in zip(NAMES, row) if q > .5]


# --- entropy

def masks(): return torch.softmax(torch.randn(2, 3, 4, 5), 1)

@pytest.mark.parametrize('probs, kw, words', [
    (lambda: masks(), {}, ['(2, 3, 4, 5)', '`axis=1`', '`multi=True`']), (lambda: masks()[0], {}, ['`axis=1`']), (lambda: masks(), dict(axis=3), ['along axis 3; expected 1']), (lambda: masks(), dict(axis=7), ['no axis 7']),
    (lambda: torch.full((1, 1, 2, 2), .5), {}, ['`axis=1`', '`multi=True`']), (lambda: torch.full((1, 1, 2, 2), .5), dict(axis=1), ['of one class', '`multi=True`']), (lambda: [[.5], [.1]], {}, ['of one class']), (lambda: .5, {}, ['of one class']),
    (lambda: [.5, .1], {}, ['sum to 0.6', '`multi=True`'])], ids=['masks', 'one mask', 'along the width', 'no such axis', 'one channel', 'one channel, axis', 'one class', 'a number', 'no distribution'])
def test_entropy_says_of_what_it_is(probs, kw, words): refused(lambda: entropy(probs(), **kw), *words)

def test_entropy_of_masks_and_of_a_yes_or_no():
    p = masks()
    assert entropy(p, axis=1).numpy() == pytest.approx(-(p.double()*p.double().log()).sum(1).numpy(), abs=1e-6)
    for half in (torch.full((1, 1, 2, 2), .5), [[.5]], .5): assert entropy(half, multi=True).unique().tolist() == pytest.approx([np.log(2)])
    q = np.array([[.2, .9], [0, 1]])
    assert entropy(q, multi=True).tolist()[0] == pytest.approx([-.2*np.log(.2) - .8*np.log(.8), -.9*np.log(.9) - .1*np.log(.1)]) and not entropy(q, multi=True)[1].any()


# --- rounding

ROUNDED = {'x': .9, 'y': .1, 'z': 1 - .9 - .1} # −2.8e-17
ABOVE = {'x': 1.0000000000000002, 'y': 0., 'z': 0.}
FORMS = {'dict': dict, 'Series': pd.Series, 'list': lambda d: [*d.values()], 'tuple': lambda d: tuple(d.values()), 'array': lambda d: np.array([*d.values()]), 'tensor': lambda d: torch.tensor([*d.values()], dtype=torch.float64),
         'frame': lambda d: pd.DataFrame([d])}

@pytest.mark.parametrize('form', FORMS.values(), ids=FORMS)
@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock], ids=['one distribution', 'independent'])
def test_what_rounding_did_is_taken_back(block, form):
    for label, want in ((ROUNDED, [.9, .1, 0]), (ABOVE, [1, 0, 0])):
        assert read([form(label)], block(vocab=['x', 'y', 'z']))[1][0] == pytest.approx(want, abs=1e-7) and min(read([form(label)], block(vocab=['x', 'y', 'z']))[1][0]) == 0
        if isinstance(form(label), (dict, pd.Series, pd.DataFrame)): assert read([form(label)], block)[1][0] == pytest.approx(want, abs=1e-7)

def test_so_it_is_in_tables_and_among_counts():
    table = pd.DataFrame([dict(f='a', **ROUNDED), dict(f='b', **ABOVE)])
    for multi in (False, True): assert SoftLabelReader(table, 'f', ['x', 'y', 'z'], multi=multi).probs == pytest.approx(np.array([[.9, .1, 0], [1, 0, 0]]), abs=1e-7)
    for got, want in zip(targets_of_table(table, ColReader(['x', 'y', 'z'])), ([.9, .1, 0], [1, 0, 0])): assert got == pytest.approx(want, abs=1e-7)
    counts = pd.DataFrame([dict(f='a', x=3.0000000004, y=-1e-17)])
    assert SoftLabelReader(counts, 'f', ['x', 'y'], multi=True, n_votes=3).probs.tolist() == [[1, 0]]
    assert SoftCategory([1.0005, -.0005], ['a', 'b']).to_dict() == {'a': 1, 'b': 0}

@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock], ids=['one distribution', 'independent'])
def test_what_is_more_than_rounding_is_refused_by_name(block):
    assert read([{'x': 1.0009, 'y': -.0009}], block)[1] == [[1, 0]]
    refused(lambda: read([{'x': 1., 'y': 0.}, {'x': 1.002, 'y': -.002}], block), "item '1'", 'negative')
    refused(lambda: read([{'x': 3, 'y': -1}], block), "item '0'", 'negative')
    with pytest.raises(SoftLabelError): check_distributions(np.array([[.9, .2, -.1]]))


# --- frames

VOTES = pd.DataFrame(dict(f=['a', 'b', 'c'], cat=[2, 1, 0], dog=[1, 1, 3], n=['x', 'y', 'z']))
COLS = ['cat', 'dog']

def by_item(get, block=SoftCategoryBlock):
    dls = DataBlock(blocks=(TransformBlock, block), get_x=lambda i: torch.zeros(2), get_y=get, splitter=IndexSplitter([])).dataloaders([*'abc'], bs=1, num_workers=0)
    return [dict(zip(dls.vocab, dls.train_ds[i][1].tolist())) for i in range(3)]

@pytest.mark.parametrize('vocab', [None, ['dog', 'cat']], ids=['inferred', 'vocab in another order'])
@pytest.mark.parametrize('get', [lambda f: VOTES[VOTES.f == f][COLS], lambda f: VOTES.set_index('f').loc[[f], COLS], lambda f: VOTES.set_index('f').loc[f, COLS], lambda f: VOTES[VOTES.f == f].iloc[0][COLS]],
                         ids=['filtered', 'loc of a list', 'loc', 'iloc'])
def test_a_frame_of_one_row_is_its_row(get, vocab):
    for block, n in ((SoftCategoryBlock(vocab=vocab), None), (SoftMultiCategoryBlock(vocab=vocab, n_votes=3), 3)):
        for got, (cat, dog) in zip(by_item(get, block), [(2, 1), (1, 1), (0, 3)]): assert got == pytest.approx({'cat': cat/(n or cat + dog), 'dog': dog/(n or cat + dog)})

def test_so_are_its_values():
    def values(f): return VOTES[VOTES.f == f][COLS].values
    for of in (lambda a: a, torch.tensor):
        assert by_item(lambda f: of(values(f)), SoftCategoryBlock(vocab=COLS))[0] == pytest.approx({'cat': 2/3, 'dog': 1/3})
        assert by_item(lambda f: of(values(f)), SoftMultiCategoryBlock(vocab=COLS, n_votes=3))[0] == pytest.approx({'cat': 2/3, 'dog': 1/3})

@pytest.mark.parametrize('get, words', [
    (lambda f: VOTES[VOTES.f == f + '!'][COLS], ['a DataFrame of 0 rows', 'in the table at all?']), (lambda f: VOTES[COLS], ['a DataFrame of 3 rows', 'more than once?']), (lambda f: VOTES[VOTES.f == f][['f', *COLS]], ["for the class 'f', is not a number"]),
    (lambda f: VOTES[VOTES.f == f][COLS].to_dict('records'), ['the dict itself']), (lambda f: VOTES[VOTES.f == f].dog, ['one number under an index of its own', '`.item()`'])], ids=['no row', 'rows', 'a column too many', 'records', 'one column'])
@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock(n_votes=3)], ids=['one distribution', 'independent'])
def test_other_pieces_of_a_table_are_refused(block, get, words): refused(lambda: by_item(get, block), *words)


# --- a share without its rest

@pytest.mark.parametrize('label, block', [({'A': .6, 'B': 0}, SoftCategoryBlock), ({'A': .6}, SoftCategoryBlock(vocab=['A', 'B'])), (pd.Series({'A': .6}), SoftCategoryBlock(vocab=['A', 'B'])), ([.6, 0.], SoftCategoryBlock(vocab=['A', 'B'])),
                                          (np.array([.6, 0.]), SoftCategoryBlock(vocab=['A', 'B'])), ({'A': np.float64(.6)}, SoftCategoryBlock(vocab=['A', 'B']))], ids=['inferred', 'dict', 'Series', 'list', 'array', 'NumPy'])
def test_a_share_without_its_rest_says_how_to_spread_it(label, block):
    refused(lambda: read([label], block), 'sum to 0.6, expected 1', 'The rest belongs to none', '(1 − 0.6)/K', '`normalize=True` divides by the sum instead, which makes 1 of a single number')

def test_so_do_a_table_a_class_alone_and_a_number():
    refused(lambda: SoftLabelReader(pd.DataFrame(dict(f=['a'], A=[.6], B=[0.])), 'f', ['A', 'B']), "row 0 (item 'a')", '(1 − 0.6)/K')
    refused(lambda: read([{'A': .6}]), "One class, 'A'", '`vocab=`')
    refused(lambda: read([.6], SoftCategoryBlock(vocab=['A', 'B'])), 'the class 0.6', "`{'A': 0.6}`")
    refused(lambda: read([('A', .6)], SoftCategoryBlock(vocab=['A', 'B'])), 'stands among names', 'a dict of class and number')
    refused(lambda: read([{'A': 60.}], SoftCategoryBlock(vocab=['A', 'B'])), 'sum to 60', 'Percentages are divided by 100')
    assert read([{'A': .6 + .2, 'B': .2}])[1][0] == pytest.approx([.8, .2])


# --- predictions in other people's hands

def test_a_prediction_can_be_written_as_json(files):
    for block, table in ((SoftCategoryBlock, P), (SoftMultiCategoryBlock, M)):
        learn = learner(files, block, table)
        with learn.no_bar(): shown, _, probs = learn.predict(files[-1])
        assert json.loads(json.dumps(shown.to_dict())) == pytest.approx(dict(zip(NAMES, probs.tolist())))
    assert json.loads(json.dumps(SoftCategory([torch.nan]*2, ['a', 'b']).to_dict())) == {'a': None, 'b': None}
    assert json.dumps(SoftCategory([.25, .75], np.array([101, 102])).to_dict()) == '{"101": 0.25, "102": 0.75}'

def test_predictions_are_counted_by_label():
    preds = [SoftCategory(p, ['cat', 'dog']) for p in ([.9, .1], [.8, .2], [.3, .7])]
    assert pd.Series([o.label for o in preds]).value_counts().to_dict() == {'cat': 2, 'dog': 1}
    assert preds[0] != preds[1] and preds[0] == SoftCategory([.9, .1], ['cat', 'dog']) and preds[0] == 'cat'


# --- names and numbers in messages

@pytest.mark.parametrize('label, block', [
    (np.int64(103), lambda: SoftCategoryBlock(vocab=np.array([101, 102]))), ({np.int64(101): 1, np.int64(103): 1}, lambda: SoftCategoryBlock(vocab=pd.Series([101, 102]))),
    (np.array([.5, .2]), lambda: SoftCategoryBlock(vocab=np.array([101, 102]))), ({np.int64(101): np.int64(-3)}, lambda: SoftMultiCategoryBlock(vocab=pd.Index([101, 102]))), ([np.float64(.5)], lambda: SoftCategoryBlock(vocab=np.array([101, 102]))),
    (np.int64(101), lambda: SoftCategoryBlock(vocab=np.array([101, 101]))), (np.int64(101), lambda: SoftCategoryBlock(vocab=np.array([101])))], ids=['label', 'dict', 'numbers', 'negative', 'too few', 'twice', 'one class'])
def test_messages_have_plain_numbers(label, block):
    with pytest.raises(SoftLabelError) as e: read([label], block())
    assert not any(w in str(e.value) for w in ('np.int', 'np.float', 'dtype'))

TWINS = {'blank behind': ('cat', 'cat '), 'case': ('cat', 'Cat'), 'no-break space': ('cat', 'cat\xa0'), 'tab': ('a b', 'a\tb'), 'full width': ('cat', 'ｃａｔ'), 'accent apart': ('\xe9', 'e\u0301'), 'byte order mark': ('cat', '\ufeffcat')}

@pytest.mark.parametrize('pair', TWINS.values(), ids=TWINS)
@pytest.mark.parametrize('form', [lambda o: [*o, 'dog'], lambda o: [[*o, 'dog']], lambda o: [{c: 1 for c in (*o, 'dog')}]], ids=['names', 'votes', 'dicts'])
@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock], ids=['one distribution', 'independent'])
def test_names_that_look_alike_are_warned_of(block, form, pair):
    with pytest.warns(UserWarning, match='differ in case, blanks, hyphens, quotes or the codes of accents alone') as w: vocab = read(form(pair), block)[0]
    assert vocab == sorted([*pair, 'dog']) and any(form(pair[1]) in str(o.message) for o in w for form in (repr, ascii))
    with pytest.warns(UserWarning, match='differ in case, blanks, hyphens, quotes or the codes of accents alone'): votes_to_soft(pd.DataFrame(dict(i=[1, 1, 2], l=[*pair, 'dog'])), 'i', label='l')

def test_a_given_vocab_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert read(['cat', 'Cat'], SoftCategoryBlock(vocab=['cat', 'Cat']))[1] == [[1, 0], [0, 1]]
        read(['cat', 'dog', 'cat.'])
    refused(lambda: read(['cat', 'Cat '], SoftCategoryBlock(vocab=['cat', 'dog'])), "'Cat ' is not in the vocab", "Did you mean 'cat'?")


# --- data sets of one's own, and several targets

class Own(torch.utils.data.Dataset):
    "Vectors with soft labels"
    def __init__(self, multi=False, hard=False):
        self.x, self.y = torch.randn(N, 4, generator=torch.Generator().manual_seed(0)), torch.tensor(M if multi else P).float()
        if hard: self.y = self.y.argmax(-1)
    def __len__(self): return N
    def __getitem__(self, i): return self.x[i], self.y[i]

KINDS = {"fastai's loaders": lambda ds: DataLoaders.from_dsets(ds, ds, bs=8, device='cpu', num_workers=0), "torch's loaders": lambda ds: DataLoaders(*(torch.utils.data.DataLoader(ds, batch_size=8) for _ in range(2)))}

def over_own(kind, loss=None, path=None, **kw):
    loss = loss or (SoftBCEWithLogitsLossFlat if kw.get('multi') else SoftCrossEntropyLossFlat)()
    torch.manual_seed(0)
    return fit(Learner(KINDS[kind](Own(**kw)), nn.Linear(4, 3), loss_func=loss, metrics=[kl_divergence], path=path))

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('kw', [{}, dict(multi=True), dict(hard=True)], ids=['one distribution', 'independent', 'indices'])
def test_a_data_set_of_ones_own_works_without_names(kind, kw, tmp_path):
    learn, multi = over_own(kind, path=tmp_path, **kw), bool(kw.get('multi'))
    ds = Own(**kw)
    with torch.no_grad(): logits = learn.model(ds.x)
    probs = (logits.sigmoid() if multi else logits.softmax(-1)).numpy()
    with learn.no_bar():
        plain, named = SoftInterpretation.from_learner(learn), SoftInterpretation.from_learner(learn, vocab=NAMES)
        assert plain.vocab == [0, 1, 2] and named.vocab == NAMES and named.multi == multi and named.probs.numpy() == pytest.approx(probs, abs=1e-5)
        assert set(named.suspicious_labels(3).item) <= set(range(N))
        if not multi: assert named.classification_report().index.tolist() == NAMES
        assert learn.row[2] == pytest.approx(float(kl_divergence(torch.tensor(probs), ds.y, multi)), abs=1e-5)
        table = preds_to_soft(learn, learn.dls.valid, vocab=NAMES)
        assert table.columns.tolist() == NAMES and table.to_numpy() == pytest.approx(probs, abs=1e-5) and table.index.tolist() == list(range(N))
        refused(lambda: abstain(learn), '"don\'t know"', 'a data set of your own')
        with learn.no_logging(): learn.fit(12, .1) # until its logits say something about the labels
        assert temperature_scale(learn, force=True).n.tolist() == [12, 12]
    strange = torch.utils.data.DataLoader(Own(), batch_size=8)
    learn.add_cb(OODConfidence(strange))
    assert dict(zip(fit(learn).recorder.metric_names[1:], learn.row))['ood_confidence'] > 1/3 and compare_confidence({'own': learn}, strange, plot=False).n.tolist() == [N, N]

@pytest.mark.parametrize('kind', KINDS)
def test_what_it_cannot_do_says_what_is_needed(kind, files):
    learn = over_own(kind)
    with learn.no_bar(), learn.no_logging():
        refused(lambda: SoftInterpretation.from_learner(learn, vocab=['a', 'b']), 'predicts 3 classes, but there are 2 names')
        refused(lambda: SoftInterpretation.from_learner(learn, vocab='abc'), '`vocab`', 'a list of class names')
        for f in (lambda t: SoftInterpretation.from_learner(learn, target=t), lambda t: preds_to_soft(learn, learn.dls.valid, target=t)): refused(lambda: f(1), 'target is 1, but the model gives one prediction')
        refused(lambda: SoftInterpretation.from_learner(learn).show_disagreements(1), 'a data set of their own (Own)', '`suspicious_labels`')
        refused(lambda: preds_to_soft(learn, files), 'a data set of their own (Own)', 'Give a loader')
        refused(lambda: class_weights(learn.dls), 'DataBlock')
        refused(lambda: learn.fit(1, cbs=OODConfidence(files)), "The OOD set 'ood' is a ", 'Give the set as a DataLoader')
        refused(lambda: compare_confidence({'own': learn}, files, plot=False), 'Give the set as a DataLoader')
        learn.loss_func = nn.CrossEntropyLoss()
        refused(lambda: SoftInterpretation.from_learner(learn), 'has no `activation`', '`SoftCrossEntropyLossFlat`')


class Heads(nn.Module):
    def __init__(self, as_tuple):
        super().__init__()
        self.body, self.as_tuple = nn.Sequential(nn.Flatten(), nn.Linear(192, 6)), as_tuple
    def forward(self, x):
        o = self.body(x)
        return (o[:, :3], o[:, 3:]) if self.as_tuple else o

SECOND = {'independent': (SoftMultiCategoryBlock, soft(M)), 'category': (CategoryBlock, lambda f: NAMES[int(f.stem) % 3]), 'multi-category': (MultiCategoryBlock, lambda f: [NAMES[int(f.stem) % 3]])}

def of_two(files, second='independent', as_tuple=False, metrics=(), **kw):
    block, get = SECOND[second]
    dls = DataBlock(blocks=(ImageBlock, SoftCategoryBlock, block), n_inp=1, get_y=[soft(P), get], splitter=EndSplitter(.25)).dataloaders(files, bs=6, num_workers=0, device='cpu')
    torch.manual_seed(1)
    return Learner(dls, Heads(as_tuple), metrics=list(metrics), path=files[0].parents[1], **kw)

@pytest.mark.parametrize('as_tuple', [False, True], ids=['one row of columns', 'tuple'])
@pytest.mark.parametrize('second', SECOND)
def test_each_of_two_targets_has_its_own_meaning(files, second, as_tuple):
    learn, multi = fit(of_two(files, second, as_tuple, [on_target(kl_divergence, 0), on_target(kl_divergence, 1)])), second != 'category'
    assert learn.recorder.metric_names[3:5] == ['kl_divergence_0', 'kl_divergence_1']
    with learn.no_bar():
        (p, q), (y, z) = learn.get_preds()
        assert learn.row[2:] == pytest.approx([float(kl_divergence(p, y)), float(kl_divergence(q, z, multi))], abs=1e-5)
        for t, (probs, is_multi) in enumerate([(p, False), (q, multi)]):
            interp, table = SoftInterpretation.from_learner(learn, target=t), preds_to_soft(learn, files[-6:], target=np.int64(t))
            assert (interp.vocab, interp.multi, table.columns.tolist()) == (NAMES, is_multi, NAMES)
            assert interp.probs.numpy() == pytest.approx(probs.numpy(), abs=1e-6) and table.to_numpy() == pytest.approx(probs.numpy(), abs=1e-5)
    mass = P[:18].sum(0)
    assert class_weights(learn.dls, 0).tolist() == pytest.approx((6/mass).tolist(), abs=1e-3)
    mass = M[:18].sum(0) if second == 'independent' else np.full(3, 6.)
    assert class_weights(learn.dls, target=1).tolist() == pytest.approx(((18 - mass)/mass if multi else 6/mass).tolist(), abs=1e-3)
    learn.export('heads.pkl')
    with pytest.warns(UserWarning, match='insecure pickle module'): loaded = load_learner(learn.path/'heads.pkl')
    with loaded.no_bar(): assert preds_to_soft(loaded, files[-6:], target=1).to_numpy() == pytest.approx(q.numpy(), abs=1e-5)

@pytest.mark.parametrize('target, words', [(None, ['There are 2 targets', '`target=0` to `target=1`']), (2, ['target is 2', '0 to 1']), (-1, ['target is -1', 'a whole number, 0 or more']), ('1', ["target is '1'"]), (1.5, ['target is 1.5']), (True, ['target is True'])])
def test_a_target_that_is_none_is_refused(files, target, words):
    learn = fit(of_two(files))
    with learn.no_bar():
        for f in (lambda: SoftInterpretation.from_learner(learn, target=target), lambda: preds_to_soft(learn, files[:2], target=target), lambda: class_weights(learn.dls, target)): refused(f, *words)
    if target is not None: refused(lambda: fit(of_two(files, metrics=[on_target(kl_divergence, target)])), *words)

def test_what_is_about_one_target_refuses_two(files):
    learn = fit(of_two(files))
    with learn.no_bar():
        for name, f in (('temperature_scale', temperature_scale), ('abstain', abstain), ('compare_confidence', lambda l: compare_confidence({'two': l}, files[:4], plot=False))): refused(lambda: f(learn), f'`{name}` is about one target, but there are 2')
        refused(lambda: SoftInterpretation.from_learner(learn, target=1).show_disagreements(1), '`suspicious_labels`')
    refused(lambda: fit(of_two(files, cbs=OODConfidence(files[:4]))), '`OODConfidence` is about one target, but there are 2')
    refused(lambda: fit(of_two(files, metrics=[kl_divergence])), '`on_target(kl_divergence, 0)`')
    refused(lambda: fit(of_two(files, metrics=[on_target(kl_divergence, 1)], loss_func=lambda p, *y: p.square().mean())), 'does not know its targets apart', '`SumOfLosses`')

class OwnTwo(Own):
    n_inp = 1
    def __getitem__(self, i): return self.x[i], self.y[i], torch.tensor(M[i]).float()

def test_a_data_set_of_ones_own_may_have_two_targets():
    loss = SumOfLosses([SoftCrossEntropyLossFlat(), SoftBCEWithLogitsLossFlat()], [3, 3])
    dls = DataLoaders.from_dsets(OwnTwo(), OwnTwo(), bs=8, device='cpu', num_workers=0)
    learn = fit(Learner(dls, nn.Linear(4, 6), loss_func=loss, metrics=[on_target(kl_divergence, 1)]))
    with torch.no_grad(): q = learn.model(Own().x)[:, 3:].sigmoid().numpy()
    with learn.no_bar():
        interp = SoftInterpretation.from_learner(learn, target=1, vocab=NAMES)
        assert interp.multi and interp.vocab == NAMES and interp.probs.numpy() == pytest.approx(q, abs=1e-5)
        assert preds_to_soft(learn, learn.dls.valid, target=1, vocab=NAMES).to_numpy() == pytest.approx(q, abs=1e-5)
        refused(lambda: SoftInterpretation.from_learner(learn), 'There are 2 targets')
        refused(lambda: preds_to_soft(learn, learn.dls.valid), '2 targets')
        for t in (SoftInterpretation.from_learner, lambda l, target: preds_to_soft(l, l.dls.valid, target=target)): refused(lambda: t(learn, target=2), 'target is 2')
