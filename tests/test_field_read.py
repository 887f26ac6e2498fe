"What a reader of the code found: each was read as something else before."
import warnings
from collections import namedtuple

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import CrossEntropyLossFlat, DataBlock, DataLoaders, ImageBlock, IndexSplitter, Learner, RandomSplitter, TransformBlock
from PIL import Image
from torch import nn

from fastai_softlabels.all import *
from fastai_softlabels.mask_files import mask_planes
from fastai_softlabels.metrics import calibration_error
from conftest import refused


@pytest.mark.parametrize('dtype, rel', [(torch.float16, 1e-3), (torch.bfloat16, 1e-3)])
def test_class_weights_in_half_precision(dtype, rel):
    "fastai computes the loss inside of autocast, where a product of matrices would be one of halves: the mass of a class exceeds them"
    z, y = torch.randn(2, 3, 256, 256), torch.rand(2, 3, 256, 256).softmax(1)
    for loss in (SoftCrossEntropyLossFlat(axis=1, weight=[1., 2., 3.]), SoftDiceCELoss(weight=[1., 2., 3.])):
        plain = loss(z, y).item()
        with torch.autocast('cpu', dtype=dtype): assert loss(z, y).item() == pytest.approx(plain, rel=rel)


def test_two_patients_have_slices_of_one_name(tmp_path):
    for folder in ('images/p1', 'images/p2', 'masks/p1', 'masks/p2', 'other/p1'):
        (tmp_path/folder).mkdir(parents=True)
        Image.new('1', (4, 4)).save(tmp_path/folder/'001.png')
    images = [tmp_path/f'images/{p}/001.png' for p in ('p1', 'p2')]
    get_y = RaterMasks(tmp_path/'masks', '*/{stem}.png')
    assert len(get_y(images[0])) == 2 and len(get_y('001.png')) == 2, 'as far as it can be told'
    refused(lambda: get_y(images[1]), 'p1/001.png may be a mask of', 'p2/001.png, which have one name', 'Rename the images, or make a `RaterMasks` for each')


@pytest.mark.parametrize('order', '<>')
def test_masks_of_either_byte_order(order, tmp_path):
    mask = np.array([[0, 255], [255, 0]], f'{order}u2')
    np.save(tmp_path/'mask.npy', mask)
    for given in (mask, tmp_path/'mask.npy'): refused(lambda: mask_planes(given, ['cell'], False), 'has 16 bits, but no value above 255')


def test_losses_of_fastai_move_the_class_axis():
    refused(lambda: SoftMaskBlock(['a', 'b'], loss_func=CrossEntropyLossFlat(axis=1, flatten=False)), 'or moves the class axis', '`SoftDiceCELoss()`')


def test_weights_in_the_order_of_their_numbers():
    counts = pd.Series([2, 2, 0, 0, 0, 1]).value_counts()
    refused(lambda: SoftCrossEntropyLossFlat(weight=1/counts), '`weight` is a Series with the index [0, 2, 1], and weights go by position', '.reindex(vocab)')
    assert SoftCrossEntropyLossFlat(weight=(1/counts).sort_index()).weight.tolist() == pytest.approx([1/3, 1, 1/2])


def halves(n_classes: int = 1):
    "Of two raters one labelled the upper half, the other the lower; the third all"
    masks = torch.full((1, 3, n_classes, 4, 4), torch.nan)
    masks[0, 0, :, :2], masks[0, 1, :, 2:], masks[0, 2] = 1, 0, 1
    return masks

def test_raters_who_labelled_no_pixel_in_common():
    two = rater_agreement(halves()[:, :2])
    assert two[['dice', 'iou', 'dice_to_others']].isna().all(axis=None)
    three = rater_agreement(halves())
    assert three.dice.item() == pytest.approx(.5) and three.iou.item() == pytest.approx(.5), 'of 1 and 3 all, of 2 and 3 nothing'
    assert ged2(torch.ones(1, 1, 4, 4), halves(), pairs='distinct').item() == pytest.approx(2/3 - .5)


def test_a_pixel_at_the_border_of_what_is_ignored_is_labelled():
    masks = torch.zeros(1, 2, 2, 4, 4)
    masks[:, :, 1] = .4 # the rest is void
    probs = torch.zeros(1, 2, 4, 4)
    probs[:, 1] = 1
    for score in (threshold_dice, best_rater_dice, consensus_dice): assert score(probs, masks).item() == pytest.approx(1)
    assert ged2(probs, masks).item() == pytest.approx(0)


def test_calibration_of_each_independent_class():
    probs, y = torch.rand(200, 3), (torch.rand(200, 3) < torch.tensor([.9, .5, .1])).float()
    y[::7, 1] = torch.nan
    there = ~y.isnan()
    each = [calibration_error(probs[there[:, k], k], y[there[:, k], k]).item() for k in range(3)]
    assert SoftECE(classwise=True)(probs, y, multi=True).item() == pytest.approx(np.mean(each), rel=1e-5)
    assert SoftECE()(probs, y, multi=True).item() == pytest.approx(calibration_error(probs[there], y[there]).item(), rel=1e-5)
    dls = DataBlock(blocks=(TransformBlock, SoftMultiCategoryBlock(['a', 'b', 'c'], ignore=True)), get_x=lambda i: probs[i].logit(), get_y=lambda i: y[i], splitter=IndexSplitter(range(100, 200))).dataloaders(list(range(200)), bs=30)
    same = nn.Linear(3, 3, bias=False)
    nn.init.eye_(same.weight)
    learn = Learner(dls, same, metrics=SoftECE(classwise=True))
    with learn.no_bar(): value = learn.validate()[1]
    assert value == pytest.approx(SoftECE(classwise=True)(probs[100:], y[100:], multi=True).item(), rel=1e-4)


def test_raters_masks_of_bytes_are_no_probabilities():
    probs, raters = torch.rand(2, 1, 4, 4), (torch.rand(2, 3, 1, 4, 4) > .5).float()
    for metric in (SoftDice(), DiceAt()):
        metric(probs, raters)
        refused(lambda: metric(probs, 255*raters), "The raters' masks hold 255; expected shares in [0,1]")


def test_a_model_may_have_a_target():
    class Net(nn.Linear):
        target = nn.Linear(2, 2)
    dls = DataBlock(blocks=(TransformBlock, SoftCategoryBlock(['a', 'b'])), get_x=lambda i: torch.tensor([float(i)]), get_y=lambda i: [.3, .7], splitter=RandomSplitter()).dataloaders(list(range(9)), bs=3)
    learn = Learner(dls, Net(1, 2), metrics=top1_agreement)
    with learn.no_bar(): assert 0 <= learn.validate()[1] <= 1


def test_an_image_of_which_nothing_is_labelled():
    from fastai_softlabels.masks import drawn_raters
    masks = TensorSoftMask(torch.rand(2, 3, 2, 4, 4))
    masks[1] = torch.nan
    drawn = drawn_raters(masks)
    assert drawn.shape == (2, 2, 4, 4) and drawn[1].isnan().all() and not drawn[0].isnan().any()


@pytest.mark.parametrize('other', [dict(ignore=['bg']), dict(ignore=['Void'], exclusive=False)], ids=str)
def test_masks_mean_what_they_meant_when_the_learner_was_saved(tmp_path, other):
    def learner(**kw):
        block = SoftMaskBlock(['bg', 'road', 'Void'], **kw)
        Image.new('RGB', (8, 8)).save(tmp_path/'0.png')
        dls = DataBlock(blocks=(ImageBlock, block), get_y=lambda f: np.zeros((8, 8), np.uint8), splitter=lambda o: ([0], [0])).dataloaders([tmp_path/'0.png'], bs=1, num_workers=0)
        return Learner(dls, nn.Conv2d(3, 2, 1))
    saved = learner(ignore=['Void'])
    with pytest.warns(UserWarning, match='the model .Conv2d. is not what'): save_soft_learner(saved, tmp_path/'l.safetensors')
    load_soft_learner(tmp_path/'l.safetensors', model=nn.Conv2d(3, 2, 1), dls=learner(ignore=['Void']).dls)
    refused(lambda: load_soft_learner(tmp_path/'l.safetensors', model=nn.Conv2d(3, 2, 1), dls=learner(**other).dls), f'`{"exclusive" if "exclusive" in other else "ignore"}` of these DataLoaders')


def test_ids_that_a_row_of_floats_rounds():
    "SDSS's, for instance: pandas makes a row of integers and shares floats"
    ids = [587722981742084096, 587722981742084144, 587722981742084150]
    df = pd.DataFrame(dict(objid=ids, smooth=[.1, .5, .9], disk=[.9, .5, .1]))
    reader = SoftLabelReader(df, 'objid', ['smooth', 'disk'])
    refused(lambda: reader(df.iloc[1]), 'The id 587722981742084096 is a float', "df['objid'] text (`.astype(str)`)")
    assert reader(ids[1]).tolist() == [.5, .5]
    by_index = SoftLabelReader(df.set_index('objid'), None, ['smooth', 'disk'])
    assert by_index(df.set_index('objid').iloc[1]).tolist() == [.5, .5]
    df['objid'] = df.objid.astype(str)
    assert SoftLabelReader(df, 'objid', ['smooth', 'disk'])(df.iloc[2]).tolist() == pytest.approx([.9, .1])


VOTES = pd.DataFrame(dict(f=['x', 'y', 'z'], dog=[1, 2, 3], cat=[9, 8, 7]))

@pytest.mark.parametrize('made', [lambda v, t: .5*v + .5*t, lambda v, t: v + v, lambda v, t: v*30, lambda v, t: v.log(), lambda v, t: v[:1], lambda v, t: torch.stack([v, t]), lambda v, t: (v > .95).float()])
def test_what_is_computed_of_a_readers_rows_is_none(made):
    "Their classes may stand in different orders"
    reader, teacher = SoftLabelReader(VOTES, 'f', ['dog', 'cat']), SoftLabelReader(pd.DataFrame(dict(f=['x', 'y', 'z'], cat=[.9, .8, .7], dog=[.1, .2, .3])), 'f', ['cat', 'dog'])
    for vocab in (None, ['dog', 'cat']):
        block = DataBlock(blocks=(TransformBlock, SoftCategoryBlock(vocab)), get_y=lambda f: made(reader(f), teacher(f)), splitter=IndexSplitter([2]))
        refused(lambda: block.datasets(['x', 'y', 'z']), 'was computed of what a `SoftLabelReader` gave', 'dict(zip(reader.classes, label.tolist()))')
    mixed = lambda f: {c: (a + b)/2 for c, a, b in zip(['dog', 'cat'], reader(f).tolist(), teacher(f).flip(0).tolist())}
    dset = DataBlock(blocks=(TransformBlock, SoftCategoryBlock), get_y=mixed, splitter=IndexSplitter([2])).datasets(['x', 'y', 'z'])
    assert dset.train[0][1].tolist() == pytest.approx([.9, .1])


def test_counts_by_class_in_lists():
    "As ChaosNLI has them"
    df = pd.DataFrame(dict(uid=list('abc'), n=[[63, 37, 0], [10, 80, 10], [100, 0, 0]], v=[[1, 2], [2, 2], [1, 1]], same=[[3, 4]]*3, flags=[[0, 1], [1, 0], [0, 1]]))
    for column in ('n', 'flags'):
        with pytest.warns(UserWarning, match=f"Each list in '{column}' has . whole numbers that sum to .*then `counts=`"): votes_to_soft(df, 'uid', lists=column)
    with warnings.catch_warnings(action='error'):
        for column in ('v', 'same'): votes_to_soft(df, 'uid', lists=column)


def test_the_number_of_votes_as_a_series_of_another_order():
    counts = pd.DataFrame(dict(cat=[1, 2], dog=[0, 2]), index=['b', 'a'])
    refused(lambda: SoftLabelReader(counts, None, ['cat', 'dog'], multi=True, n_votes=pd.Series([10, 2], index=['a', 'b'])), '`n_votes` is a Series in another order', 'a column of the table')


def test_a_teacher_over_a_loader_that_shuffles():
    data = torch.utils.data.TensorDataset(torch.arange(8.)[:, None], torch.eye(2)[torch.arange(8) % 2])
    def loader(**kw): return torch.utils.data.DataLoader(data, 4, **kw)
    learn = Learner(DataLoaders(loader(shuffle=True), loader()), nn.Linear(1, 2), loss_func=SoftCrossEntropyLossFlat())
    with learn.no_bar():
        assert len(preds_to_soft(learn, loader())) == 8
        for wrong in (loader(shuffle=True), loader(drop_last=True)): refused(lambda: preds_to_soft(learn, wrong), 'which row is which item cannot be told', '`shuffle=False`')


def test_totals_beside_gaps_and_beside_each_other():
    counts = pd.DataFrame(dict(f=list('abcde'), cat=[1., 2, 3, 4, np.nan], dog=[4., 3, 2, 0, np.nan], total=[5., 5, 5, 4, np.nan]))
    refused(lambda: SoftLabelReader(counts, 'f', ['cat', 'dog', 'total'], normalize=True, ignore=True), "The column 'total' is the sum of the others")
    whole = counts.dropna().astype(dict(cat=int, dog=int, total=int))
    refused(lambda: SoftLabelReader(whole.assign(n=whole.total), 'f', ['cat', 'dog', 'total', 'n']), "The column 'total' is the sum of the others")
    SoftLabelReader(whole.assign(n=[1, 2, 3, 4]), 'f', ['cat', 'dog', 'n'])


def test_a_part_of_what_groupby_counted():
    counts = pd.DataFrame(dict(f=list('xxyy'), l=['cat', 'dog', 'cat', 'cat'])).groupby('f').l.value_counts()
    def dsets(get_y, vocab=None): return DataBlock(blocks=(TransformBlock, SoftCategoryBlock(vocab)), get_y=get_y, splitter=IndexSplitter([1])).datasets(['x', 'y'])
    for vocab in (None, ['cat', 'dog']): refused(lambda: dsets(lambda f: counts.loc[[f]], vocab), 'a Series with an index of 2 levels', '`counts.loc[item]`')
    assert dsets(lambda f: counts.loc[f], ['cat', 'dog']).train[0][1].tolist() == [.5, .5]


@pytest.mark.parametrize('cell', [('cat', 'dog'), frozenset(['cat', 'dog'])], ids=['tuple', 'frozenset'])
def test_several_answers_in_one_cell(cell):
    df = pd.DataFrame(dict(f=list('ab'), v=['cat', 'dog'], w=[cell, cell]))
    refused(lambda: votes_to_soft(df, 'f', label='w'), "in column 'w' is not one vote", '`lists=`')
    refused(lambda: votes_to_soft(df, 'f', annotators=['v', 'w']), "in column 'w' is not one vote")


def test_agreement_of_votes_that_are_halves():
    df = pd.DataFrame(dict(f=list('aaabb'), l=['cat', 'cat', 'dog', 'cat', 'dog'], w=[.5, .5, 1, 1, 1]))
    soft = votes_to_soft(df, 'f', label='l', weight='w')
    assert np.isnan(soft.agreement['a']) and soft.agreement['b'] == 0
    refused(lambda: krippendorff_alpha(soft), 'no shares of whole votes')


def test_sparse_columns():
    df = pd.DataFrame(dict(cat=[1, 0, 1], dog=[0, 1, 1]), index=list('abc'))
    sparse = df.astype(pd.SparseDtype(int, 0))
    for multi in (False, True):
        kw = dict(multi=True) if multi else dict(normalize=True)
        with warnings.catch_warnings(action='ignore'): ours, expected = [SoftLabelReader(t, None, ['cat', 'dog'], **kw).table.tolist() for t in (sparse, df)]
        assert ours == expected


def test_agreement_about_true_and_false():
    df = pd.DataFrame(dict(f=list('aabbcc'), l=[True, False, True, True, False, False]))
    alpha = krippendorff_alpha(votes_to_soft(df, 'f', label='l'))
    assert krippendorff_alpha(votes_to_soft(df, 'f', label='l', vocab=[True, False])) == pytest.approx(alpha)


def test_lists_of_lists_as_parquet_gives_them():
    votes = np.empty(2, object)
    votes[:] = [np.array(['cat'], object), np.array(['cat', 'dog'], object)]
    tfm = SoftMultiCategorize(['cat', 'dog', 'fox'])
    assert tfm.encode(votes).tolist() == tfm.encode([['cat'], ['cat', 'dog']]).tolist() == [1., .5, 0.]


def test_flags_with_gaps_are_flags():
    flags = pd.concat([pd.DataFrame(dict(f=['a'], cat=[True])), pd.DataFrame(dict(f=['b'], cat=[True], dog=[False]))])
    refused(lambda: SoftLabelReader(flags, 'f', ['cat', 'dog'], multi=True), 'the label [1.0, nan] holds NaN')
    assert SoftLabelReader(flags, 'f', ['cat', 'dog'], multi=True, ignore=True).table[1].tolist() == [1., 0.]


def test_yes_to_several_classes_that_exclude_each_other():
    tfm = SoftCategorize(['cat', 'dog', 'fox'])
    for label in ([True, True, False], {'cat': True, 'dog': True}, np.array([True, True, True]), {'cat': np.True_, 'dog': np.True_}): refused(lambda: tfm.encode(label), 'says yes to', '`SoftMultiCategoryBlock`')
    assert tfm.encode([False, True, False]).tolist() == [0., 1., 0.]


def test_columns_of_annotators_keep_the_order_of_grades():
    grades = pd.CategoricalDtype(['low', 'mid', 'high'], ordered=True)
    wide = pd.DataFrame(dict(f=list('ab'), x=['low', 'high'], y=['mid', 'high'])).astype(dict(x=grades, y=grades))
    assert votes_to_soft(wide, 'f', annotators=['x', 'y']).attrs['classes'] == ['low', 'mid', 'high']
    wide['y'] = ['none', 'high'] # which the grades do not know
    assert votes_to_soft(wide, 'f', annotators=['x', 'y']).attrs['classes'] == ['high', 'low', 'none']


@pytest.mark.parametrize('name', ['total_votes', 'Grand Total', 'Summe'])
def test_a_total_of_few_rows_under_any_name(name):
    counts = pd.DataFrame({'id': list('abc'), 'smooth': [7, 1, 10], 'featured': [2, 8, 5], 'star': [1, 1, 5], name: [10, 10, 20]})
    classes = list(counts.columns[1:])
    for read in (lambda: votes_to_soft(counts, 'id', counts=classes), lambda: SoftLabelReader(counts, 'id', classes)):
        with pytest.warns(UserWarning, match=f"The column '{name}' is the sum of the others in each of the 3 rows"): read()
    with warnings.catch_warnings(action='error'): SoftLabelReader(pd.DataFrame(dict(f=list('abc'), cat=[.5]*3, dog=[.3, .2, .1], fox=[.2, .3, .4])), 'f', ['cat', 'dog', 'fox'])


def test_suffixes_of_raters_masks_in_either_case(tmp_path):
    "as fastai's `get_image_files` takes images"
    for folder in ('anna', 'ben'): (tmp_path/folder).mkdir()
    for name in ('1_anna.PNG', '1_ben.png', 'anna/1.Png', 'ben/1.png', '1_carl.gif'): Image.new('1', (4, 4)).save(tmp_path/name, 'PNG')
    assert [f.name for f in RaterMasks(tmp_path, '{stem}_*.png')('1.jpg')] == ['1_anna.PNG', '1_ben.png']
    assert [f.parent.name for f in RaterMasks(tmp_path, '*/{stem}.PNG')('1.jpg')] == ['anna', 'ben']


def test_floats_up_to_a_hundred():
    mask = np.zeros((2, 2))
    mask[0] = 12.5, 100
    refused(lambda: OpenSoftMask()(mask), 'Divide percentages by 100, values of 8 bits by 255')


@pytest.mark.parametrize('n_votes', [['cat_n', 'dog_n'], {'cat': 5, 'dog': 3}, VOTES[['cat', 'dog']]], ids=['columns', 'dict', 'frame'])
def test_people_asked_by_class(n_votes):
    refused(lambda: SoftLabelReader(VOTES, 'f', ['cat', 'dog'], multi=True, n_votes=n_votes), 'expected one number, or the name of one column', 'give shares')


# names that come with numbers decide

def row_forms():
    "One row, dog .7 and cat .3, in the forms that name their numbers"
    df = pd.DataFrame({'dog': [.7], 'cat': [.3]})
    return {'itertuples': next(df.itertuples(index=False)), 'record': df.to_records(index=False)[0],
            'structured': np.array([(.7, .3)], dtype=[('dog', 'f4'), ('cat', 'f4')])[0], 'Series': df.iloc[0]}

@pytest.mark.parametrize('vocab', [['cat', 'dog'], None], ids=['vocab', 'inferred'])
@pytest.mark.parametrize('form', row_forms())
def test_rows_that_name_their_numbers(form, vocab):
    for block in (SoftCategoryBlock, SoftMultiCategoryBlock):
        dsets = DataBlock(blocks=(TransformBlock, block(vocab)), get_y=lambda f: row_forms()[form], splitter=IndexSplitter([1])).datasets(['x', 'y'])
        assert list(dsets.vocab) == ['cat', 'dog'] and dsets.train[0][1].tolist() == pytest.approx([.3, .7])


def test_rows_with_other_fields():
    Row = namedtuple('Row', 'dog, elk')
    refused(lambda: SoftCategorize(['cat', 'dog']).encode(Row(1, 2)), "the class 'elk' is not in the vocab", error=UnknownNameError)
    refused(lambda: SoftCategorize(['cat', 'dog']).encode(np.zeros(1, 'V8')[0]), 'is a void without names of fields')
    assert SoftCategorize(['cat', 'dog']).encode(Row('cat', 'dog')).tolist() == [.5, .5], 'answers of two people'


# planes of few bits

def planes(*sums, k=2, dtype=np.uint8):
    "Planes whose values add up to each of `sums` at a pixel, most of it in the first"
    first = np.array([[s - s//4 for s in sums]])
    return np.stack([first, np.array([list(sums)]) - first]).astype(dtype)

@pytest.mark.parametrize('a', [planes(200, 60), planes(254, 128), planes(65535, 30000, dtype=np.uint16)], ids=['no background', 'one pixel', '16 bits'])
def test_planes_of_few_bits_that_do_not_add_up(a):
    refused(lambda: mask_planes(a, ['tumour', 'oedema'], True, 'm.npy'), 'its planes sum to', 'is the plane of the background missing?', '`exclusive=False`', "`mask.astype('int32')`")
    np.testing.assert_allclose(mask_planes(a.astype('int32'), ['tumour', 'oedema'], True), a/a.sum(0, dtype='int32'), rtol=1e-6)

@pytest.mark.parametrize('a', [planes(254, 255, 256 - 1), planes(65535, 65534, dtype=np.uint16), planes(3, 5), planes(200, 200)], ids=['rounded', '16 bits', 'votes', 'many votes'])
def test_planes_of_few_bits_that_add_up(a): np.testing.assert_allclose(mask_planes(a, ['tumour', 'oedema'], True), a/a.sum(0, dtype='int64'), rtol=1e-6)


# metrics

@pytest.mark.parametrize('metric', [SoftDice(), DiceAt()], ids=lambda m: m.name)
def test_masks_without_an_axis_of_classes(metric):
    p = torch.rand(5, 16, 16)
    for multi in (True, False): refused(lambda: metric(p, p.round(), multi=multi), 'got shape (5, 16, 16)', '`probs[:, None]`')

@pytest.mark.parametrize('metric, value', [(soft_accuracy, .8), (top1_agreement, 1.)], ids=lambda m: getattr(m, 'name', str(m)))
def test_an_even_probability_is_no_presence(metric, value):
    assert metric(torch.tensor([[.5]]), torch.tensor([[.2]]), multi=True).item() == pytest.approx(value)
    for p, y in ((.51, .8), (.49, .2)): assert metric(torch.tensor([[p]]), torch.tensor([[y]]), multi=True).item() == pytest.approx(value)
