"Everything that fastai does with `CategoryBlock` on tables, for each of our blocks: one test a line, and the table at the end."
import numpy as np, pandas as pd, pytest, torch
from fastai.tabular.all import (Categorify, FillMissing, IndexSplitter, Interpretation, Normalize, TabularDataLoaders, TabularLearner, TabularPandas, load_learner, noop,
                                tabular_learner)

from fastai_softlabels.all import (OODConfidence, SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftInterpretation, SoftMultiCategoryBlock,
                                   abstain, class_weights, compare_confidence, kl_divergence, load_soft_learner, preds_to_soft, save_soft_learner, soft_cross_entropy,
                                   temperature_scale, top1_agreement)
from fastai_softlabels.core import TensorSoftCategory, TensorSoftMultiCategory
from conftest import by_torch, check_line, check_matrix, displayed, refused

BLOCKS = {'SoftCategoryBlock': SoftCategoryBlock, 'SoftMultiCategoryBlock': lambda *args: SoftMultiCategoryBlock(*args, n_votes=6)}
OUTCOMES = {}
CLASSES = ['bad', 'fair', 'good']
PROCS = [Categorify, FillMissing, Normalize]
SPLITS = IndexSplitter(range(60, 80))(range(80))


def votes_table() -> pd.DataFrame:
    "Eighty rows with the votes of six people, which depend on two numbers and a site; a number is missing"
    rng = np.random.default_rng(0)
    df = pd.DataFrame(dict(age=rng.normal(50, 9, 80), size=rng.normal(3, 1, 80), site=rng.choice(list('xyz'), 80)))
    z = np.stack([df.age/9 - 50/9, (df.site == 'x')*1., df['size'] - 3], 1)*1.5
    p = np.exp(z)/np.exp(z).sum(1, keepdims=True)
    df[CLASSES] = np.stack([rng.multinomial(6, row) for row in p])
    df.loc[7, 'age'] = np.nan
    return df.set_index(pd.Index([f'r{i:02}' for i in range(80)]))


class Case:
    "One block with its data; `learner()` is new, `trained` fitted once"
    def __init__(self, name):
        self.name, self.block, self.multi, self.df = name, BLOCKS[name], name == 'SoftMultiCategoryBlock', votes_table()
        self.loss_type, self.tensor_type = (SoftBCEWithLogitsLossFlat, TensorSoftMultiCategory) if self.multi else (SoftCrossEntropyLossFlat, TensorSoftCategory)
        self._trained = None

    def to(self, block=None, df=None, y_names=CLASSES, **kw):
        return TabularPandas(self.df if df is None else df, PROCS, ['site'], ['age', 'size'], y_names=y_names, y_block=block or self.block, splits=SPLITS, **kw)

    def dls(self, *args, **kw): return self.to(*args, **kw).dataloaders(bs=16)

    def learner(self, dls=None, **kw):
        torch.manual_seed(0)
        learn = tabular_learner(dls or self.dls(), layers=[16], **kw)
        learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == 'ProgressCallback'])
        learn.logger = noop
        return learn

    @property
    def trained(self):
        if self._trained is None:
            self._trained = self.learner(metrics=[top1_agreement, kl_divergence])
            self._trained.fit_one_cycle(8, 2e-2)
        return self._trained

    def copy(self):
        learn = self.learner()
        learn.model.load_state_dict(self.trained.model.state_dict())
        return learn

    @property
    def valid(self): return self.df.tail(20)

    @property
    def shares(self): return self.df[CLASSES].to_numpy()/6

    @property
    def strangers(self): return self.df.head(5).drop(columns=CLASSES).assign(age=[120., 130, 140, 150, 160], site='w')

    def oracle(self, logits, targets): return by_torch(logits, targets, self.multi)


@pytest.fixture(scope='module')
def cases(): return {name: Case(name) for name in BLOCKS}

@pytest.fixture
def shown(monkeypatch) -> list:
    "The tables that are displayed"
    return displayed(monkeypatch, 'fastai.tabular.core', 'fastai.tabular.learner', 'fastai_softlabels.ood')


def loss_inferred(c):
    dls = c.dls()
    assert type(c.learner(dls).loss_func) is c.loss_type and dls.loss_func is not c.dls().loss_func

def no_n_out_needed(c): assert c.trained.model.layers[-1][0].out_features == 3

def vocab_and_c(c):
    dls = c.dls()
    assert dls.c == 3 and list(dls.vocab) == CLASSES
    assert SoftInterpretation.from_learner(c.trained).vocab == CLASSES

def counts_shared_out(c):
    to = c.to()
    np.testing.assert_allclose(to.items[CLASSES], np.concatenate([c.shares[:60], c.shares[60:]]), rtol=1e-6)
    b = c.dls().valid.one_batch()
    assert [type(t) for t in b] == [torch.Tensor, torch.Tensor, c.tensor_type]
    np.testing.assert_allclose(b[2], c.shares[60:76], rtol=1e-6)

def blocks_are_reused(c):
    block = c.block()
    first, second = c.to(block), c.to(block, c.df.rename(columns={'bad': 'awful'}), ['awful', 'fair', 'good'])
    assert [list(to.vocab) for to in (first, second)] == [CLASSES, ['awful', 'fair', 'good']]

def shows_batch(c, shown):
    c.dls().valid.show_batch(max_n=4)
    np.testing.assert_allclose(shown[0][CLASSES][:4], c.shares[60:64], rtol=1e-6)
    assert shown[0].site.tolist()[:4] == c.valid.site[:4].tolist()
    np.testing.assert_allclose(shown[0].age[:4], c.valid.age[:4], rtol=1e-4)

def fits(c):
    learn = c.learner()
    learn.fit(4, 1e-2)
    assert learn.recorder.values[-1][0] < learn.recorder.values[0][0]

def fits_one_cycle(c):
    learn = c.learner()
    learn.fit_one_cycle(2, 1e-2)
    assert np.isfinite(learn.recorder.values[-1]).all()

def fine_tunes(c):
    learn = c.learner()
    learn.fine_tune(1)
    assert np.isfinite(learn.recorder.values[-1]).all()

def finds_lr(c): assert 1e-7 <= c.learner().lr_find(num_it=30, show_plot=False).valley < 10

def metrics_in_training(c):
    probs, targets = c.trained.get_preds()
    assert c.trained.validate()[1] == pytest.approx(np.mean([t[p.argmax()] == t.max() for p, t in zip(probs.numpy(), targets.numpy())]))
    assert c.trained.validate()[2] == pytest.approx(kl_divergence(probs, targets, c.multi).item(), rel=1e-4)

def validates(c):
    logits, targets = c.trained.get_preds(act=noop)
    assert c.trained.validate()[0] == pytest.approx(c.oracle(logits, targets).mean().item(), rel=1e-4)

def gets_preds(c):
    probs, targets, losses = c.trained.get_preds(with_loss=True)
    logits = c.trained.get_preds(act=noop)[0]
    torch.testing.assert_close(probs, logits.sigmoid() if c.multi else logits.softmax(-1))
    torch.testing.assert_close(losses, c.oracle(logits, targets).to(losses))
    np.testing.assert_allclose(targets, c.shares[60:], rtol=1e-6)

def predicts(c):
    expected = c.trained.get_preds()[0]
    for i in (0, 7):
        row, decoded, probs = c.trained.predict(c.valid.iloc[i])
        torch.testing.assert_close(probs, expected[i])
        assert row.items[CLASSES].iloc[0].tolist() == pytest.approx(probs.tolist(), rel=1e-5), 'a probability for each class'
        assert decoded.tolist() == ((probs > .5).tolist() if c.multi else probs.argmax().item())
        assert row.decode().items.site.iloc[0] == c.valid.site.iloc[i]

def dl_from_table(c):
    expected, dls = c.trained.get_preds(), c.trained.dls
    others = c.valid[['good', 'site', 'fair', 'size', 'bad', 'age']] # columns in another order
    for df in (c.valid, others, c.valid.reset_index(drop=True)):
        for got, want in zip(c.trained.get_preds(dl=dls.test_dl(df)), expected): torch.testing.assert_close(got, want)
    probs, none = c.trained.get_preds(dl=dls.test_dl(c.valid.drop(columns=CLASSES)))
    torch.testing.assert_close(probs, expected[0])
    assert none is None
    refused(lambda: dls.test_dl(c.valid.drop(columns='fair')), "The table has the classes ['bad', 'good'], but not ['fair']", 'Give all of them, or none')

def shows_results(c, shown):
    c.trained.show_results(max_n=3, shuffle=False)
    np.testing.assert_allclose(shown[0][CLASSES], c.shares[60:63], rtol=1e-5)
    np.testing.assert_allclose(shown[0][[f'{k}_pred' for k in CLASSES]], c.trained.get_preds()[0][:3], rtol=1e-4)

def interprets(c):
    logits, targets = c.trained.get_preds(act=noop)
    values, idx = Interpretation.from_learner(c.trained).top_losses(3)
    expected = c.oracle(logits, targets).topk(3)
    torch.testing.assert_close(values, expected.values.to(values))
    assert idx.tolist() == expected.indices.tolist()

def soft_interpretation(c, shown):
    interp = SoftInterpretation.from_learner(c.trained)
    torch.testing.assert_close(interp.probs.float(), c.trained.get_preds()[0])
    said = interp.suspicious_labels(4)
    assert set(said['item']) <= set(c.valid.index), 'rows by their index'
    interp.show_disagreements(2)
    worst = interp.losses.topk(2).indices.tolist()
    np.testing.assert_allclose(shown[0][CLASSES], c.shares[60:][worst], rtol=1e-5)
    np.testing.assert_allclose(shown[0][[f'{k}_pred' for k in CLASSES]], interp.probs[worst], rtol=1e-4)
    interp.plot_top_losses(3)
    np.testing.assert_allclose(shown[1][CLASSES], c.shares[60:][interp.losses.topk(3).indices.tolist()], rtol=1e-5)
    assert interp.scores([kl_divergence, soft_cross_entropy], n=20).notna().all(axis=None)
    interp.plot_reliability()
    interp.plot_risk_coverage()
    if c.multi: return
    assert interp.confusion_matrix().sum() == pytest.approx(20, rel=1e-4) and list(interp.classification_report().index) == CLASSES
    interp.plot_ambiguity()

def scales_temperature(c):
    learn = c.copy()
    logits = learn.get_preds(act=noop)[0]
    temperature_scale(learn, force=True)
    t = learn.loss_func.temperature
    probs = learn.get_preds()[0]
    torch.testing.assert_close(probs, (logits/t).sigmoid() if c.multi else (logits/t).softmax(-1), rtol=1e-4, atol=1e-5)
    row = learn.predict(c.valid.iloc[0])
    assert row[0].items[CLASSES].iloc[0].tolist() == pytest.approx(probs[0].tolist(), rel=1e-4)

def abstains(c):
    learn = c.copy()
    assert abstain(learn, keep=.3).n == 20
    probs = learn.get_preds()[0]
    row = learn.predict(c.valid.iloc[0])
    assert row[0].items[CLASSES].iloc[0].tolist() == pytest.approx(probs[0].tolist(), rel=1e-4)
    decided = torch.stack([learn.predict(c.valid.iloc[i])[1].as_subclass(torch.Tensor) for i in range(20)])
    n = (decided.any(1) if c.multi else decided < 3).sum()
    assert 0 < n < 20

def weighs_classes(c):
    mass = c.shares[:60].sum(0)
    np.testing.assert_allclose(class_weights(c.dls()), (60 - mass)/mass if c.multi else 60/(3*mass), rtol=1e-5)

def tables_of_a_teacher(c):
    soft = preds_to_soft(c.trained, c.valid.drop(columns=CLASSES))
    assert list(soft.columns) == CLASSES and list(soft.index) == list(c.valid.index)
    np.testing.assert_allclose(soft, c.trained.get_preds()[0], rtol=1e-5)

def listens_to_strangers(c, shown):
    learn, cb, own = c.learner(), OODConfidence(c.strangers, k=2), 'sigmoid' if c.multi else 'softmax'
    learn.fit(2, 1e-2, cbs=cb)
    learn.fit(1, 0., cbs=cb) # again with the same set
    confidence = learn.get_preds(dl=learn.dls.test_dl(c.strangers))[0].amax(1)
    said = cb.history[(cb.history.fit == 1) & (cb.history.score == own)].set_index('set')
    assert said.n.to_dict() == {'valid': 20, 'ood': 5} and said.loc['ood', 'mean'] == pytest.approx(confidence.mean().item(), abs=1e-5)
    cb.show_surest()
    assert shown[0].confidence.tolist() == pytest.approx(confidence.topk(2).values.tolist(), abs=1e-5)
    np.testing.assert_allclose(shown[0].age, c.strangers.age.iloc[confidence.topk(2).indices.tolist()], rtol=1e-4)

def compares_confidence(c):
    report = compare_confidence({'it': c.trained}, c.strangers, plot=False)
    confidence = c.trained.get_preds(dl=c.trained.dls.test_dl(c.strangers))[0].amax(1)
    assert report.loc[('it', 'ood'), 'mean'] == pytest.approx(confidence.mean().item(), abs=1e-5)

def summarises(c): assert c.loss_type.__name__ in c.trained.summary()

def exports_and_loads(c, tmp_path):
    c.trained.export(tmp_path/'learner.pkl')
    assert not any(name.encode() in (tmp_path/'learner.pkl').read_bytes() for name in ('r03', 'r61')), 'no row travels with it'
    loaded = load_learner(tmp_path/'learner.pkl')
    row, decoded, probs = loaded.predict(c.valid.iloc[0])
    expected = c.trained.predict(c.valid.iloc[0])
    torch.testing.assert_close(probs, expected[2])
    pd.testing.assert_frame_equal(row.items, expected[0].items)
    torch.testing.assert_close(loaded.get_preds(dl=loaded.dls.test_dl(c.valid))[1], c.trained.get_preds()[1])

def saves_and_loads(c, tmp_path):
    path = tmp_path/f'{c.name}.safetensors'
    with pytest.warns(UserWarning): assert save_soft_learner(c.trained, path)['needs'] == ['model', 'dls']
    refused(lambda: load_soft_learner(path), 'dls=')
    loaded = load_soft_learner(path, model=c.learner().model, dls=c.dls())
    assert isinstance(loaded, TabularLearner)
    refused(lambda: load_soft_learner(path, model=c.learner().model, dls=c.dls(df=c.df.assign(age=c.df.age + 5))), 'read columns in another way', 'the training table')
    swapped = TabularPandas(c.df, PROCS, ['site'], ['size', 'age'], y_names=CLASSES, y_block=c.block, splits=SPLITS).dataloaders(bs=16)
    refused(lambda: load_soft_learner(path, model=c.learner().model, dls=swapped), 'read columns in another way (order')
    torch.testing.assert_close(loaded.predict(c.valid.iloc[0])[2], c.trained.predict(c.valid.iloc[0])[2])

def from_df(c, tmp_path):
    c.df.to_csv(tmp_path/'votes.csv', index=False)
    kw = dict(procs=PROCS, cat_names=['site'], cont_names=['age', 'size'], y_names=CLASSES, y_block=c.block(), valid_idx=list(range(60, 80)), bs=16)
    for dls in (TabularDataLoaders.from_df(c.df, **kw), TabularDataLoaders.from_csv(tmp_path/'votes.csv', **kw)):
        learn = c.learner(dls)
        learn.fit(1, 1e-2)
        assert type(learn.loss_func) is c.loss_type
        np.testing.assert_allclose(learn.get_preds()[1], c.shares[60:], rtol=1e-6)

def one_column_of_labels(c):
    "names of classes; with `reduce_memory=False` lists and dicts, too"
    top = c.df.assign(top=[CLASSES[k] for k in c.shares.argmax(1)]).drop(columns=CLASSES)
    hard = np.eye(3)[c.shares.argmax(1)]
    dls = c.dls(df=top, y_names='top')
    learn = c.learner(dls)
    learn.fit(1, 1e-2)
    assert list(dls.vocab) == CLASSES and type(learn.loss_func) is c.loss_type
    np.testing.assert_allclose(learn.get_preds()[1], hard[60:])
    for df in (top.tail(20), top.tail(20).drop(columns='top')): learn.get_preds(dl=dls.test_dl(df))
    np.testing.assert_allclose(learn.get_preds(dl=dls.test_dl(top.tail(20)))[1], hard[60:])
    dicts = top.assign(top=[dict(zip(CLASSES, map(int, row))) for row in c.df[CLASSES].to_numpy()])
    np.testing.assert_allclose(c.learner(c.dls(df=dicts, y_names='top', reduce_memory=False)).get_preds()[1], c.shares[60:], rtol=1e-6)

def weighted_sampling(c):
    dls = c.to().dataloaders(bs=16, dl_kwargs=[dict(wgts=np.arange(60) == 5), {}])
    np.testing.assert_allclose(dls.one_batch()[2], np.repeat(c.shares[5:6], 16, 0), rtol=1e-6)


LINES = {'loss inferred': loss_inferred, 'no n_out needed': no_n_out_needed, 'dls.vocab, dls.c': vocab_and_c, 'counts are shared out': counts_shared_out, 'a block used twice': blocks_are_reused,
         'show_batch': shows_batch, 'fit': fits, 'fit_one_cycle': fits_one_cycle, 'fine_tune': fine_tunes, 'lr_find': finds_lr, 'metrics': metrics_in_training, 'validate': validates,
         'get_preds': gets_preds, 'predict': predicts, 'test_dl': dl_from_table, 'show_results': shows_results, 'Interpretation': interprets,
         'SoftInterpretation': soft_interpretation, 'temperature_scale': scales_temperature, 'abstain': abstains, 'class_weights': weighs_classes,
         'preds_to_soft': tables_of_a_teacher, 'OODConfidence': listens_to_strangers, 'compare_confidence': compares_confidence, 'learn.summary()': summarises,
         'export, load': exports_and_loads, 'save_soft_learner, load_soft_learner': saves_and_loads, 'TabularDataLoaders.from_df, from_csv': from_df,
         'one column of labels': one_column_of_labels, 'weighted sampling': weighted_sampling}


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('line', LINES)
def test_line(line, block, cases, request): check_line(line, block, LINES, cases[block], OUTCOMES, request)

def test_table(): check_matrix('Everything that fastai does with `CategoryBlock` on tables', LINES, BLOCKS, OUTCOMES)


# what is refused

def to(df, block=SoftCategoryBlock, y_names=CLASSES, **kw): return TabularPandas(df, PROCS, ['site'], ['age', 'size'], y_names=y_names, y_block=block, splits=SPLITS, **kw)

def with_value(row, column, value): # in a column of floats
    df = votes_table().astype({c: float for c in CLASSES})
    df.loc[row, column] = value
    return df

@pytest.mark.parametrize('df, kw, words', [
    (with_value('r63', 'bad', -3.), {}, ('r63', '-3')),
    (with_value('r05', 'bad', np.nan), {}, ('r05',)),
    (votes_table().assign(**dict(zip(CLASSES, votes_table()[CLASSES].to_numpy().T/6*.7))), {}, ('r00', 'sum to 0.7')),
    (votes_table().assign(bad='x'), {}, ("'x' in column 'bad' is not a number",)),
    (votes_table(), dict(y_names=['bad', 'fair', 'best']), ("no column 'best'",)),
    (votes_table(), dict(y_names=['bad', 'fair'], block=SoftCategoryBlock(CLASSES)), ('2 columns', '3 classes')),
    (votes_table(), dict(block=SoftCategoryBlock(['a', 'b', 'c'])), ('are not named as the classes',)),
    (votes_table().assign(top='age'), dict(y_names='top', block=SoftCategoryBlock(['age', 'good'])), ("'age' is named as a column",)),
    (votes_table().drop(columns=CLASSES).assign(top=['good']*70 + ['best']*10), dict(y_names='top', block=SoftCategoryBlock(['good', 'bad'])), ('r70', "'best' is not in the vocab")),
    (votes_table(), dict(block=SoftMultiCategoryBlock(n_votes=4)), ('r02', 'a count exceeds n_votes')),
], ids=['negative', 'missing', 'sum', 'text', 'no column', 'too few', 'other names', 'clash', 'unknown', 'too many votes'])
def test_refused(df, kw, words): refused(lambda: to(df, **kw), *words)

def test_many_votes_in_small_integers():
    "whose sum int8 cannot hold"
    df = votes_table()
    df[CLASSES] = np.array([[100, 100, 100]]*80, dtype=np.int8)
    np.testing.assert_allclose(to(df).items[CLASSES], 1/3, rtol=1e-6)

def test_the_vocab_decides_the_order():
    found = to(votes_table(), SoftCategoryBlock(['good', 'bad', 'fair']))
    assert list(found.y_names) == ['good', 'bad', 'fair'] == list(found.vocab)
    np.testing.assert_allclose(found.dataloaders(bs=4).valid.one_batch()[2], votes_table()[['good', 'bad', 'fair']].to_numpy()[60:64]/6, rtol=1e-6)

def test_unlabelled_rows():
    df = votes_table()
    df.loc['r03', CLASSES] = 0
    refused(lambda: to(df), 'r03')
    dls = to(df, SoftCategoryBlock(ignore=True)).dataloaders(bs=16)
    assert class_weights(dls).isfinite().all() and np.isfinite(dls.loss_func(torch.zeros(16, 3), dls.valid.one_batch()[2]).item())

def test_the_probability_of_one_class():
    df = votes_table().assign(bad=lambda d: d.bad/6)
    dls = to(df, SoftMultiCategoryBlock, 'bad').dataloaders(bs=16)
    assert dls.c == 1 and list(dls.vocab) == ['bad']
    np.testing.assert_allclose(dls.valid.one_batch()[2][:, 0], df.bad[60:76], rtol=1e-6)

def test_a_loss_of_the_other_block():
    refused(lambda: to(votes_table(), SoftCategoryBlock(loss_func=SoftBCEWithLogitsLossFlat())), 'which are the labels of `SoftMultiCategoryBlock`')

def test_a_row_of_numbers_alone():
    "which pandas makes floats of, counts included; and rows whose labels are not known yet"
    df = votes_table().drop(columns='site').dropna()
    dls = TabularDataLoaders.from_df(df, procs=[Normalize], cont_names=['age', 'size'], y_names=CLASSES, y_block=SoftCategoryBlock, valid_idx=[0, 1, 2, 3], bs=16)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar():
        expected = learn.get_preds()[0][0]
        row, _, probs = learn.predict(df.iloc[0])
        torch.testing.assert_close(probs, expected)
        assert row.items[CLASSES].iloc[0].tolist() == pytest.approx(probs.tolist())
        unknown = df.head(4).astype({c: float for c in CLASSES}).assign(**dict.fromkeys(CLASSES, np.nan))
        torch.testing.assert_close(learn.get_preds(dl=dls.test_dl(unknown))[0], learn.get_preds()[0])
        assert list(preds_to_soft(learn, unknown).columns) == CLASSES
        refused(lambda: dls.test_dl(df.head(4).assign(bad=.3)), 'r02', 'sum to')

def test_groups_in_another_order():
    df = votes_table().dropna().assign(patient=lambda d: np.arange(len(d))//2)
    valid = list(np.random.default_rng(0).permutation(len(df))[:40])
    dls = TabularDataLoaders.from_df(df, procs=[Normalize], cont_names=['age', 'size'], y_names=CLASSES, y_block=SoftCategoryBlock, valid_idx=valid, bs=16)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit(6, 3e-2)
        own = df.patient[dls.valid_ds.items.index]
        refused(lambda: temperature_scale(learn, groups=df.patient[df.index.isin(own.index)]), 'in another order', '`groups.loc[dl.items.index]`')
        temperature_scale(learn, groups=own, force=True)

def test_a_column_that_is_input_and_target():
    refused(lambda: TabularPandas(votes_table(), PROCS, ['site'], ['age', 'bad'], y_names=CLASSES, y_block=SoftCategoryBlock, splits=SPLITS), "'bad' is an input", 'Leave it out of one')
