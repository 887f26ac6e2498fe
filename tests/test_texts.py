"Everything that fastai does with `CategoryBlock` on texts, for each of our blocks: one test a line, and the table at the end."
import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest, torch
from torch import nn
from fastai.text.all import (AWD_LSTM, ColReader, DataBlock, EndSplitter, Interpretation, Learner, TextBlock, TextDataLoaders, TextLearner,
                             awd_lstm_clas_config, noop, text_classifier_learner)
from fastai.vision.all import ImageBlock

from fastai_softlabels.all import (DirichletMultinomialLossFlat, OODConfidence, SoftBCEWithLogitsLossFlat, SoftCategory, SoftCategoryBlock, SoftCountBlock, SoftCrossEntropyLossFlat,
                                   SoftInterpretation, SoftLabelReader, SoftMultiCategoryBlock, SoftOrdinalBlock, abstain, class_weights, compare_confidence, kl_divergence, load_soft_learner, photo_squares, preds_to_soft,
                                   save_soft_learner, soft_cross_entropy, temperature_scale, top1_agreement, train_two_heads)
from fastai_softlabels.ordinal import SoftGrade
from conftest import activated, by_scipy, by_torch, check_line, check_matrix, displayed, predicted_afresh, refused

CLASSES = ['bad', 'fair', 'good']
BLOCKS = {'SoftCategoryBlock': SoftCategoryBlock, 'SoftMultiCategoryBlock': SoftMultiCategoryBlock,
          'SoftOrdinalBlock': lambda vocab=CLASSES: SoftOrdinalBlock(vocab, values=[1, 2, 3]), 'SoftCountBlock': SoftCountBlock}
OUTCOMES = {}
CONFIG = dict(awd_lstm_clas_config, emb_sz=12, n_hid=16, n_layers=2)
WORDS = {'bad': 'awful dull worst boring'.split(), 'fair': 'a the film plot was it'.split(), 'good': 'great best lovely fun'.split()}
STRANGERS = ['dull film', 'the film ' * 20, 'fun', 'a plot it was fun']


def texts_of(votes, rng) -> list:
    "Texts of 1 to 40 words, whose words are those of the votes"
    def text(v): return ' '.join(rng.choice(WORDS[CLASSES[k]]) for k in rng.choice(3, rng.integers(1, 40), p=v/v.sum()))
    return [text(v) for v in votes]

def table() -> pd.DataFrame:
    "Sixty texts of mixed length, each with the votes of six people"
    rng = np.random.default_rng(0)
    votes = rng.multinomial(6, rng.dirichlet([.5]*3, 60).round(6)/1.00001)[:, :3]
    votes[:, 0] += 6 - votes.sum(1)
    return pd.DataFrame(votes, columns=CLASSES).assign(id=[f't{i:02}' for i in range(60)], text=texts_of(votes, rng))


class Case:
    "One block with its data; `learner()` is new, `trained` fitted once"
    def __init__(self, name):
        self.name, self.block, self.multi, self.df = name, BLOCKS[name], name == 'SoftMultiCategoryBlock', table()
        self.counts = name == 'SoftCountBlock'
        self.n_votes = 6 if self.counts else 1 # the sum of a target
        self.loss_type = SoftBCEWithLogitsLossFlat if self.multi else DirichletMultinomialLossFlat if self.counts else SoftCrossEntropyLossFlat
        self.reader = SoftLabelReader(self.df, 'id', CLASSES, multi=self.multi, n_votes=6 if self.multi else None, counts=self.counts)
        self._trained = None

    def data_block(self, block=None): return DataBlock(blocks=(TextBlock.from_df('text', min_freq=1, n_workers=1), block or self.block()), get_x=ColReader('text'),
                                                       get_y=self.reader, splitter=EndSplitter(.3))

    def dls(self, block=None): return self.data_block(block).dataloaders(self.df, bs=8, num_workers=0)

    def learner(self, dls=None, **kw):
        learn = text_classifier_learner(dls or self.dls(), AWD_LSTM, config=CONFIG, pretrained=False, drop_mult=.1, **kw)
        learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
        return learn

    @property
    def trained(self):
        if self._trained is None:
            self._trained = self.learner(metrics=[top1_agreement, kl_divergence])
            with self._trained.no_logging(): self._trained.fit_one_cycle(12, 4e-2)
        return self._trained

    @property
    def valid(self): return self.df.tail(18).reset_index(drop=True)

    def one_by_one(self, learn) -> torch.Tensor: return torch.stack([learn.predict(t)[2].as_subclass(torch.Tensor) for t in self.valid.text])

    def oracle(self, logits, targets): return by_scipy(logits, targets) if self.counts else by_torch(logits, targets, self.multi)

    def shares(self, logits): return activated(logits, self.multi, self.counts)

    def shown(self, votes) -> str:
        "How the votes of six people are shown"
        shown = SoftCategory(torch.tensor(votes).float()/6, CLASSES, multi=self.multi)
        if self.name == 'SoftOrdinalBlock': return str(SoftGrade(shown.probs, CLASSES, [1, 2, 3]))
        return f'{shown} (n = 6)' if self.counts else str(shown)


@pytest.fixture(scope='module')
def cases(): return {name: Case(name) for name in BLOCKS}


@pytest.fixture
def shown(monkeypatch) -> list:
    "The tables that are displayed"
    return displayed(monkeypatch, 'fastai_softlabels.applications', 'fastai_softlabels.ood')


def loss_inferred(c):
    dls = c.dls()
    assert type(c.learner(dls).loss_func) is c.loss_type and dls.loss_func is not c.dls().loss_func

def no_n_out_needed(c): assert [m for m in c.trained.model.modules() if isinstance(m, nn.Linear)][-1].out_features == 3

def vocab_and_c(c):
    dls = c.dls()
    assert dls.c == 3 and len(dls.vocab) == 2 and list(dls.vocab[1]) == CLASSES, "tokens and classes, as with fastai's own block"

def shows_batch(c, shown):
    dls = c.dls()
    b = dls.train.one_batch()
    dls.show_batch(b, max_n=3)
    assert shown[0].label.map(str).tolist() == [c.shown((y*6/c.n_votes).tolist()) for y in b[1][:3]]
    dls.show_batch(b, max_n=3, bars=True)
    charts = [ax for ax in plt.gcf().axes if len(ax.patches)]
    assert len(charts) == 3 and [p.get_width() for p in charts[0].patches] == pytest.approx((b[1][0]/c.n_votes).tolist())
    assert len(plt.gcf().axes[0].texts) == 1

def fits(c):
    learn = c.learner()
    with learn.no_logging(): learn.fit(4, 2e-2)
    assert learn.recorder.values[-1][0] < learn.recorder.values[0][0]

def fits_one_cycle(c):
    learn = c.learner()
    with learn.no_logging(): learn.fit_one_cycle(2, 2e-2)
    assert np.isfinite(learn.recorder.values[-1]).all()

def fine_tunes(c):
    learn = c.learner()
    with learn.no_logging(): learn.fine_tune(1)
    assert np.isfinite(learn.recorder.values[-1]).all()

def unfreezes_gradually(c):
    learn = c.learner()
    def free(): return sum(p.requires_grad for p in learn.model.parameters())
    found = []
    with learn.no_logging():
        for n in (-1, -2, 0):
            learn.freeze_to(n)
            found.append(free())
            learn.fit_one_cycle(1, slice(1e-3/2.6**4, 1e-3))
    assert found == sorted(set(found)), 'more layers are free each time'

def finds_lr(c):
    learn = c.learner()
    found = learn.lr_find(num_it=12, show_plot=False).valley
    assert 1e-7 <= found < 10 and np.isfinite(learn.recorder.losses[:5]).all()

def metrics_in_training(c):
    probs, targets = c.trained.get_preds()
    expected = np.mean([t[p.argmax()] == t.max() for p, t in zip(probs.numpy(), targets.numpy())])
    assert c.trained.validate()[1] == pytest.approx(expected)

def validates(c):
    logits, targets = c.trained.get_preds(act=noop)
    assert c.trained.validate()[0] == pytest.approx(c.oracle(logits, targets).mean().item(), rel=1e-4)

def gets_preds(c):
    probs, targets, losses = c.trained.get_preds(with_loss=True)
    logits = c.trained.get_preds(act=noop)[0]
    torch.testing.assert_close(probs.as_subclass(torch.Tensor), c.shares(logits))
    torch.testing.assert_close(losses, c.oracle(logits, targets).to(losses), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(targets/c.n_votes, torch.tensor(c.valid[CLASSES].to_numpy()/6).float()) # in the order of the table, though batches are sorted by length
    torch.testing.assert_close(probs.as_subclass(torch.Tensor), c.one_by_one(c.trained), rtol=1e-3, atol=1e-4)

def predicts(c):
    pred, decoded, probs = c.trained.predict(c.valid.text[0])
    assert isinstance(pred, SoftCategory) and list(pred.vocab) == CLASSES
    torch.testing.assert_close(pred.probs, probs.as_subclass(torch.Tensor))
    assert decoded.tolist() == ((probs > .5).tolist() if c.multi else probs.argmax().item())

def dl_from_table(c):
    expected = c.trained.get_preds()
    for got, want in zip(c.trained.get_preds(dl=c.trained.dls.test_dl(c.valid, with_labels=True)), expected): torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
    texts = c.trained.get_preds(dl=c.trained.dls.test_dl(c.valid.text.tolist()))[0]
    torch.testing.assert_close(texts, expected[0], rtol=1e-3, atol=1e-4)

def shows_results(c, shown):
    c.trained.show_results(max_n=3, shuffle=False)
    assert shown[0].columns.tolist() == ['text', 'label', 'prediction'] and len(shown[0]) == 3
    items = c.trained.dls.valid_ds.items
    votes = {' '.join(tokens): c.shown(v) for tokens, v in zip(items.text, items[CLASSES].to_numpy(dtype='float32'))}
    probs = dict(zip(votes, c.trained.get_preds()[0]))
    for _, row in shown[0].iterrows():
        assert str(row.label) == votes[row.text] and row.prediction.probs.tolist() == pytest.approx(probs[row.text].tolist(), abs=1e-3)
    c.trained.show_results(max_n=2, bars=True)
    chart = next(ax for ax in plt.gcf().axes if len(ax.patches))
    assert [t.get_text() for t in chart.get_legend().texts] == ['label', 'prediction'] and len(chart.patches) == 6

def interprets(c):
    interp = Interpretation.from_learner(c.trained)
    logits, targets = c.trained.get_preds(act=noop)
    values, idx = interp.top_losses(3)
    torch.testing.assert_close(values, c.oracle(logits, targets).topk(3).values.to(values), rtol=1e-3, atol=1e-4)
    interp.plot_top_losses(2)
    interp.plot_top_losses(2, bars=True)
    assert [ax.get_title(loc='left') for ax in plt.gcf().axes[::2]] == [f'loss {v:.2f}' for v in values[:2]]

def soft_interpretation(c, shown):
    interp = SoftInterpretation.from_learner(c.trained)
    assert interp.vocab == CLASSES
    torch.testing.assert_close(interp.probs.float(), c.one_by_one(c.trained), rtol=1e-3, atol=1e-4)
    said = interp.suspicious_labels(4)
    assert set(said['item']) <= set(c.valid.id) and said.js.is_monotonic_decreasing
    for _, row in said.iterrows():
        i = c.valid.id.tolist().index(row['item'])
        assert row.label == c.shown(c.valid.loc[i, CLASSES].astype(float).tolist()).removesuffix(' (n = 6)')
    values, idx = interp.top_losses(5)
    _, preds, targets, decoded, losses = interp[idx]
    own = torch.stack([kl_divergence(p[None].as_subclass(torch.Tensor), t[None]/c.n_votes, c.multi) for p, t in zip(preds, targets)])
    torch.testing.assert_close(own, values.to(own), rtol=1e-3, atol=1e-4) # each with its own loss, though fastai sorts them by length
    torch.testing.assert_close(losses, values)
    assert len(decoded) == 5 and [str(d.tolist()) for d in decoded] == [str((p > .5).tolist() if c.multi else p.argmax().item()) for p in preds]
    assert interp.scores([kl_divergence, soft_cross_entropy], n=20).notna().all(axis=None)
    interp.show_disagreements(2)
    assert len(shown[0]) == 2 and list(shown[0].columns) == ['text', 'label', 'prediction']
    interp.plot_top_losses(2)
    interp.plot_reliability()
    interp.plot_risk_coverage()
    if c.multi: return
    assert interp.confusion_matrix().sum() == pytest.approx(18, rel=1e-4) and list(interp.classification_report().index) == CLASSES
    interp.plot_confusion_matrix()
    interp.plot_ambiguity()
    assert all(pair[0] in CLASSES for pair in interp.most_confused(.1))

def scales_temperature(c):
    learn = c.learner()
    learn.model.load_state_dict(c.trained.model.state_dict())
    logits = learn.get_preds(act=noop)[0]
    temperature_scale(learn, force=True) # nine texts are few
    if c.counts: return shares_stay(c, learn)
    t = learn.loss_func.temperature
    probs = learn.get_preds()[0]
    torch.testing.assert_close(probs, (logits/t).sigmoid() if c.multi else (logits/t).softmax(-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learn.predict(c.valid.text[0])[2], probs[0], rtol=1e-3, atol=1e-4)

def shares_stay(c, learn):
    probs, unscaled = (o.get_preds()[0].as_subclass(torch.Tensor) for o in (learn, c.trained))
    torch.testing.assert_close(probs, unscaled)
    pred, before = (o.predict(c.valid.text[0])[0] for o in (learn, c.trained))
    assert pred.concentration.item() == pytest.approx(learn.loss_func.factor*before.concentration.item(), rel=1e-3)
    return 'the factor of the concentration'

def abstains(c):
    learn = c.learner()
    learn.model.load_state_dict(c.trained.model.state_dict())
    assert abstain(learn, keep=.3).n == 18
    said = [learn.predict(t)[0].is_unsure for t in c.valid.text]
    assert 0 < sum(said) < 18

def weighs_classes(c):
    n = c.df[CLASSES].head(42).to_numpy()/6
    expected = (42 - n.sum(0))/n.sum(0) if c.multi else 42/(3*n.sum(0))
    np.testing.assert_allclose(class_weights(c.dls()), expected, rtol=1e-5)

def tables_of_a_teacher(c):
    probs = c.trained.get_preds()[0].numpy()
    for items, index in ((c.valid.set_index('id', drop=False), c.valid.id), (c.valid.text.tolist(), c.valid.text)):
        soft = preds_to_soft(c.trained, items)
        assert list(soft.columns) == CLASSES and list(soft.index) == list(index)
        np.testing.assert_allclose(soft, probs, rtol=1e-3, atol=1e-4)

def listens_to_strangers(c, shown):
    for strangers in (STRANGERS, pd.DataFrame(dict(text=STRANGERS, id='t00'))):
        learn = c.learner()
        cb = OODConfidence(strangers, k=2)
        with learn.no_logging(): learn.fit(2, 1e-2, cbs=cb)
        own = 'sigmoid' if c.multi else 'softmax'
        said = cb.history[(cb.history.epoch == 1) & (cb.history.score == own)].set_index('set')
        assert said.n.to_dict() == {'valid': 18, 'ood': 4}
        logits = torch.cat([learn.get_preds(dl=learn.dls.test_dl(strangers), act=noop)[0]])
        confidence = c.shares(logits).amax(1)
        assert said.loc['ood', 'mean'] == pytest.approx(confidence.mean().item(), abs=1e-4)
        top = confidence.topk(2).indices.tolist()
        assert [i for i, _ in cb.surest['ood']] == top, 'named by their own index, though batches are sorted by length'
        shown.clear()
        cb.show_surest()
        assert shown[0].confidence.tolist() == pytest.approx(confidence[top].tolist(), abs=1e-4)
        assert [t.split()[1:] for t in shown[0].text] == [STRANGERS[i].split() for i in top]

def compares_confidence(c):
    report = compare_confidence({'it': c.trained}, STRANGERS, plot=False)
    probs = c.trained.get_preds(dl=c.trained.dls.test_dl(STRANGERS))[0]
    assert report.loc[('it', 'ood'), 'mean'] == pytest.approx(probs.amax(1).mean().item(), abs=1e-4)
    assert report.loc[('it', 'ood'), 'n'] == 4

def trains_two_heads(c):
    if c.name != 'SoftCategoryBlock': return 'it begins with `SoftCategoryBlock`'
    def fit(learn):
        with learn.no_logging(): learn.fit(1, 1e-2)
    found = train_two_heads(c.data_block(), c.df, lambda dls: c.learner(dls), fit, bs=8, num_workers=0)
    assert type(found['softmax'].loss_func) is SoftCrossEntropyLossFlat and type(found['sigmoid'].loss_func) is SoftBCEWithLogitsLossFlat
    assert compare_confidence(found, STRANGERS, plot=False).n.tolist() == [18, 4]*2

def summarises(c): assert c.loss_type.__name__ in c.trained.summary()

def exports_and_loads(c):
    text, decoded, probs = predicted_afresh(c.trained, c.valid.text[0])
    pred, index, expected = c.trained.predict(c.valid.text[0])
    torch.testing.assert_close(probs.as_subclass(torch.Tensor), expected.as_subclass(torch.Tensor))
    assert (text, decoded) == (str(pred), index.tolist())

def saves_and_loads(c, tmp_path):
    path = tmp_path/f'{c.name}.safetensors'
    with pytest.warns(UserWarning): save_soft_learner(c.trained, path)
    refused(lambda: load_soft_learner(path), 'dls=')
    refused(lambda: load_soft_learner(path, dls=c.dls()), 'model=')
    loaded = load_soft_learner(path, model=c.learner().model, dls=c.dls())
    assert isinstance(loaded, TextLearner)
    others = c.data_block().dataloaders(c.df.assign(text=c.df.text.str.replace('awful', 'lousy')), bs=8, num_workers=0)
    refused(lambda: load_soft_learner(path, model=c.learner().model, dls=others), 'read words as other numbers', '`TextBlock.from_df(…, vocab=…)`')
    words = c.trained.dls.vocab[0]
    again = DataBlock(blocks=(TextBlock.from_df('text', vocab=words, n_workers=1), c.block()), get_x=lambda row: row['text'], get_y=c.reader, splitter=EndSplitter(.3))
    load_soft_learner(path, model=c.learner().model, dls=again.dataloaders(c.df, bs=8, num_workers=0)) # read by another function, and as before
    for kw in (dict(backwards=True), dict(rules=[])):
        text = TextBlock.from_df('text', vocab=words, n_workers=1, **kw)
        others = DataBlock(blocks=(text, c.block()), get_x=ColReader('text'), get_y=c.reader, splitter=EndSplitter(.3)).dataloaders(c.df, bs=8, num_workers=0)
        refused(lambda: load_soft_learner(path, model=c.learner().model, dls=others), 'read words as other numbers', 'tokenizer, rules')
    torch.testing.assert_close(loaded.predict(c.valid.text[0])[2], c.trained.predict(c.valid.text[0])[2], rtol=1e-3, atol=1e-4)

def from_df(c, tmp_path):
    df = c.df.copy()
    if not c.counts: df[CLASSES] = df[CLASSES]/6
    df.to_csv(tmp_path/'texts.csv', index=False)
    kw = dict(text_col='text', label_col=CLASSES, y_block=c.block(CLASSES), valid_pct=.2, seed=1, bs=8, num_workers=0, n_workers=1)
    for dls in (TextDataLoaders.from_df(df, **kw), TextDataLoaders.from_csv(tmp_path, 'texts.csv', **kw)):
        learn = c.learner(dls)
        with learn.no_logging(): learn.fit(1, 1e-2)
        assert type(learn.loss_func) is c.loss_type and dls.c == 3
        item = dls.valid_ds.items.iloc[0]
        torch.testing.assert_close(dls.valid_ds[0][1].as_subclass(torch.Tensor), torch.tensor(item[CLASSES].astype(float).tolist()))


class TwoInputs(nn.Module):
    "The mean of a text's embeddings beside an image's colours, in either order"
    def __init__(self, n_words, n_out):
        super().__init__()
        self.embedding, self.head = nn.Embedding(n_words, 8), nn.Linear(11, n_out)
    def forward(self, a, b):
        image, text = (a, b) if a.ndim == 4 else (b, a)
        return self.head(torch.cat([self.embedding(text.as_subclass(torch.Tensor)).mean(1), image.as_subclass(torch.Tensor).mean((2, 3))], 1))

def beside_images(c):
    "in both orders; and each item keeps its own label"
    files = sorted(photo_squares().glob('*.png'))[:60]
    df = c.df.assign(file=files)
    image, text = (ImageBlock, ColReader('file')), (TextBlock.from_df('text', min_freq=1, n_workers=1), ColReader('text'))
    for inputs in ((image, text), (text, image)):
        blocks, getters = zip(*inputs)
        dls = DataBlock(blocks=(*blocks, c.block(CLASSES)), n_inp=2, getters=[*getters, c.reader], splitter=EndSplitter(.3)).dataloaders(df, bs=8, num_workers=0)
        learn = Learner(dls, TwoInputs(64, dls.c), metrics=[kl_divergence])
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-2)
            targets = learn.get_preds()[1]
        assert type(learn.loss_func) is c.loss_type and np.isfinite(learn.recorder.values[-1]).all()
        np.testing.assert_allclose(targets/c.n_votes, c.valid[CLASSES]/6, rtol=1e-6)


LINES = {'loss inferred': loss_inferred, 'no n_out needed': no_n_out_needed, 'dls.vocab, dls.c': vocab_and_c, 'show_batch': shows_batch, 'fit': fits,
         'fit_one_cycle': fits_one_cycle, 'fine_tune': fine_tunes, 'gradual unfreezing': unfreezes_gradually, 'lr_find': finds_lr, 'metrics': metrics_in_training,
         'validate': validates, 'get_preds': gets_preds, 'predict': predicts, 'test_dl': dl_from_table, 'show_results': shows_results, 'Interpretation': interprets,
         'SoftInterpretation': soft_interpretation, 'temperature_scale': scales_temperature, 'abstain': abstains, 'class_weights': weighs_classes,
         'preds_to_soft': tables_of_a_teacher, 'OODConfidence': listens_to_strangers, 'compare_confidence': compares_confidence, 'train_two_heads': trains_two_heads,
         'learn.summary()': summarises, 'export, load in a fresh process': exports_and_loads, 'save_soft_learner, load_soft_learner': saves_and_loads,
         'TextDataLoaders.from_df, from_csv': from_df, 'beside images': beside_images}


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('line', LINES)
def test_line(line, block, cases, request): check_line(line, block, LINES, cases[block], OUTCOMES, request)

def test_table(): check_matrix('Everything that fastai does with `CategoryBlock` on texts', LINES, BLOCKS, OUTCOMES)


# what is refused, or warned of

def loaders(df, **kw):
    block = kw.pop('block', SoftCategoryBlock(CLASSES))
    return DataBlock(blocks=(TextBlock.from_df('text', min_freq=1, n_workers=1), block), get_x=ColReader('text'), get_y=kw.pop('get_y', ColReader(CLASSES)),
                     splitter=EndSplitter(.3)).dataloaders(df, bs=8, num_workers=0)

@pytest.mark.skipif(int(pd.__version__.split('.')[0]) < 3, reason='with an older pandas fastai reads a missing text as the word "nan", whatever the block')
def test_a_missing_text():
    "fastai's tokenizer stops before a block is asked"
    df = table()
    df.loc[7, 'text'] = np.nan
    refused(lambda: loaders(df), "'float' object is not iterable", error=TypeError)

def test_an_empty_text_and_a_number():
    df = table().astype({'text': object})
    df.loc[3, 'text'], df.loc[4, 'text'] = '', 5
    assert [list(t) for t in loaders(df).train_ds.items.text.loc[[3, 4]]] == [['xxbos'], ['xxbos', '5']]

def test_columns_that_are_not_there(): refused(lambda: loaders(table().drop(columns='fair')), 'fair', error=KeyError)

def test_a_sum_of_small_integers():
    df = table()
    df[CLASSES] = np.array([[100, 100, 100]]*60, dtype=np.int8)
    np.testing.assert_allclose(loaders(df).valid_ds[0][1], 1/3, rtol=1e-6)

def test_a_row_that_sums_to_less():
    df = table()
    df[CLASSES] = df[CLASSES]/6
    df.loc[9, CLASSES] = [.3, .2, .2]
    refused(lambda: loaders(df), 'row 9', 'sum to 0.7')

def test_the_words_are_no_classes():
    dls = loaders(table(), block=SoftCategoryBlock)
    learn = text_classifier_learner(dls, AWD_LSTM, config=CONFIG, pretrained=False)
    assert SoftInterpretation.from_learner(learn).vocab == CLASSES and list(preds_to_soft(learn, ['fun']).columns) == CLASSES

def test_a_test_table_with_columns_in_another_order():
    dls = loaders(table())
    test = dls.test_dl(table().tail(5)[['id', 'good', 'text', 'bad', 'fair']], with_labels=True)
    np.testing.assert_allclose(torch.stack([test.dataset[i][1] for i in range(5)]), table().tail(5)[CLASSES]/6, rtol=1e-6)

def test_a_loss_of_the_other_block():
    learn = text_classifier_learner(loaders(table()), AWD_LSTM, config=CONFIG, pretrained=False, loss_func=SoftBCEWithLogitsLossFlat())
    refused(lambda: SoftInterpretation.from_learner(learn), 'the labels are one distribution')
