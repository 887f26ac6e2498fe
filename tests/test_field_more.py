"Inputs on the way from a table, a file or a model of one's own to a label, each of which could be read in two ways: read in the right one, or refused with the other."
import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import DataBlock, EndSplitter, ImageBlock, ImageDataLoaders, Learner
from PIL import Image
from torch import nn

from fastai_softlabels.all import OpenSoftMask, SoftCategoryBlock, SoftLabelError, SoftLabelReader, SoftMultiCategoryBlock, votes_to_soft

NAMES = ['a.png', 'b.png', 'c.png', 'd.png']

@pytest.fixture
def folder(tmp_path):
    for n in NAMES: Image.new('RGB', (4, 4)).save(tmp_path/n)
    return tmp_path

def dls_of(folder, df, label_col, y_block, **kw):
    return ImageDataLoaders.from_df(df.assign(f=NAMES), path=folder, fn_col='f', label_col=label_col, y_block=y_block, bs=2, num_workers=0, valid_pct=.25, **kw)


@pytest.mark.parametrize('columns, vocab', [(['p_dog', 'p_cat'], ['cat', 'dog']), (['dog', 'Cat'], ['cat', 'dog']), (['1', '0'], [0, 1]), (['r1', 'r2'], [0, 1])])
@pytest.mark.parametrize('block', [SoftCategoryBlock, SoftMultiCategoryBlock])
def test_columns_are_the_classes_by_name_or_not_at_all(folder, columns, vocab, block):
    df = pd.DataFrame({columns[0]: [.2]*4, columns[1]: [.8]*4})
    with pytest.raises(SoftLabelError, match='are not named as the classes .* a guess. Rename them'): dls_of(folder, df, columns, block(vocab=vocab))

def test_columns_in_another_order_follow_their_names(folder):
    dls = dls_of(folder, pd.DataFrame(dict(dog=[.2]*4, cat=[.8]*4)), ['dog', 'cat'], SoftCategoryBlock(vocab=['cat', 'dog']))
    assert dls.train_ds[0][1].tolist() == pytest.approx([.8, .2])


TOTALS = pd.crosstab(pd.Series(list('aabbbcddd'), name='i'), pd.Series(list('xyxyxyxxy'), name='l'), margins=True)

def test_a_total_is_no_class():
    for read in (lambda: votes_to_soft(TOTALS, None, counts=['x', 'y', 'All']), lambda: SoftLabelReader(TOTALS, None, ['x', 'y', 'All']),
                 lambda: SoftLabelReader(pd.DataFrame(dict(x=[1, 2, 0, 4, 1], y=[2, 1, 1, 0, 3])).assign(seen=lambda d: d.x + d.y), None, ['x', 'y', 'seen'])):
        with pytest.raises(SoftLabelError, match="The column '(All|seen)' is the sum of the others in each of the 5 rows: a total, and no class"): read()

def test_a_class_that_has_half_of_the_votes_once_is_one():
    assert votes_to_soft(pd.DataFrame(dict(x=[1, 1, 0], y=[1, 2, 1], z=[2, 0, 1])), None, counts=['x', 'y', 'z']).loc[0].tolist()[:3] == [.25, .25, .5]


def test_rows_that_a_new_index_moved(folder):
    table = pd.DataFrame(dict(f=NAMES, x=[4, 3, 2, 1], y=[0, 1, 2, 3]))
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=lambda r: folder/r.f, get_y=SoftLabelReader(table, None, ['x', 'y']), splitter=EndSplitter(.25))
    assert block.datasets(table.sample(frac=1, random_state=1)).train[0][1].sum() == 1
    with pytest.raises(SoftLabelError, match=r"row 0 of the items has 'd.png' in the column 'f', the row of that name in the table of labels has another.*item='f'"):
        block.datasets(table.sort_values('x').reset_index(drop=True))
    twins = table.assign(f=NAMES[0]) # no text names a row, so that the labels have to say it
    block = DataBlock(blocks=(ImageBlock, SoftCategoryBlock), get_x=lambda r: folder/r.f, get_y=SoftLabelReader(twins, None, ['x', 'y']), splitter=EndSplitter(.25))
    with pytest.raises(SoftLabelError, match=r"row 0 of the items holds the label .*0.25, 0.75.*, but the row of that name in the table of labels holds .*1.0, 0.0.*[nN]ame items by a column"):
        block.datasets(twins.sort_values('x').reset_index(drop=True))


@pytest.mark.parametrize('labels', [['1 0', '0 1', '0 1', '1 0'], ['True False', 'False True', 'False False', 'True True']])
def test_flags_are_no_classes(folder, labels):
    with pytest.raises(SoftLabelError, match='which are a yes and a no rather than classes'): dls_of(folder, pd.DataFrame(dict(l=labels)), 'l', SoftMultiCategoryBlock, label_delim=' ')

def test_a_yes_or_no_is_of_one_class(folder):
    df = pd.DataFrame(dict(lesion=[True, False, True, False]))
    with pytest.raises(SoftLabelError, match=r"SoftMultiCategoryBlock\(\['lesion'\]\)"): dls_of(folder, df, 'lesion', SoftMultiCategoryBlock)
    dls = dls_of(folder, df, 'lesion', SoftMultiCategoryBlock(['lesion']))
    assert sorted(y.item() for ds in (dls.train_ds, dls.valid_ds) for _, y in ds) == [0, 0, 1, 1]


def test_pairs_of_class_and_number_are_no_votes():
    with pytest.raises(SoftLabelError, match=r"Row 0: \[\('a', 2\), \('b', 1\)\] in column 'l' holds pairs of a class and a number, not votes. .*counts="):
        votes_to_soft(pd.DataFrame({'i': ['q'], 'l': [[('a', 2), ('b', 1)]]}), 'i', lists='l')

def test_shares_in_brackets():
    with pytest.raises(SoftLabelError, match=r"'cat \(66%\), dog \(34%\)' would be a class .* several classes with a number each"):
        votes_to_soft(pd.DataFrame(dict(i=list('abc'), l=['cat (66%), dog (34%)', 'cat', 'dog'])), 'i', label='l')
    assert list(votes_to_soft(pd.DataFrame(dict(i=list('ab'), l=['lung (left)', 'lung (right)'])), 'i', label='l').columns)[:2] == ['lung (left)', 'lung (right)']


@pytest.mark.parametrize('pair', [('a.png', 'a.png '), ('M\xf6we', 'Mo\u0308we'), (1, '1')], ids=ascii)
def test_items_and_annotators_that_are_one_but_for_their_writing(pair):
    with pytest.warns(UserWarning, match='The items .* are counted as several'): votes_to_soft(pd.DataFrame(dict(i=pair, l=['x', 'y'])), 'i', label='l')
    with pytest.warns(UserWarning, match='The annotators .* are counted as several'): votes_to_soft(pd.DataFrame(dict(i=['a', 'a'], l=['x', 'y'], w=pair)), 'i', label='l', annotator='w')

def test_an_index_of_several_levels_names_no_items():
    table = pd.crosstab([pd.Series(['s', 's', 't']), pd.Series(['a', 'b', 'a'])], pd.Series(['x', 'y', 'x']))
    with pytest.raises(SoftLabelError, match='The index has 2 levels.*reset_index'): votes_to_soft(table, None, counts=['x', 'y'])


BITS = [np.array([[0, 1], [1, 1]], np.uint8), np.array([[0, 1], [0, 0]], np.uint8)]

@pytest.mark.parametrize('form', [lambda m, f: m, lambda m, f: m.astype(bool), lambda m, f: torch.tensor(m), lambda m, f: (Image.fromarray(m).save(f), f)[1]], ids=['array', 'bool', 'tensor', 'file'])
def test_a_mask_for_each_class_is_not_one_for_each_annotator(tmp_path, form):
    masks = [form(m, tmp_path/f'{i}.png') for i, m in enumerate(BITS)]
    with pytest.raises(SoftLabelError, match='a list of 2 planes that hold 1 where a code is.*np.stack'): OpenSoftMask(['A', 'B'], exclusive=False)(masks)
    assert np.asarray(OpenSoftMask(['A', 'B'], exclusive=False)(np.stack(BITS).astype(float)))[..., 0].tolist() == BITS[0].tolist()

def test_two_annotators_of_exclusive_codes_stay_two():
    assert np.asarray(OpenSoftMask(['A', 'B'])(BITS))[..., 1].tolist() == ((BITS[0] + BITS[1].astype(float))/2).tolist()

@pytest.mark.parametrize('yes', [100, 128, 254])
def test_yes_is_written_in_many_ways(yes):
    with pytest.warns(UserWarning, match=f'holds 0 and {yes} alone, of 255.* If {yes} means yes, divide by it'): OpenSoftMask()([BITS[0]*yes, BITS[1]*yes])

def test_percentages_in_bytes_are_asked_about():
    with pytest.warns(UserWarning, match='no value above 100 of 255. Are these percentages'): OpenSoftMask()(np.array([[0, 66], [100, 50]], np.uint8))


def test_logits_are_not_shown_as_a_distribution(folder):
    "PyTorch's loss, given to the learner, makes fastai return logits"
    dls = dls_of(folder, pd.DataFrame(dict(x=[1]*4, y=[2]*4)), ['x', 'y'], SoftCategoryBlock)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), loss_func=nn.CrossEntropyLoss())
    nn.init.zeros_(learn.model[1].weight)
    learn.model[1].bias.data = torch.tensor([.3, .2])
    with learn.no_bar(), pytest.raises(SoftLabelError, match='is no distribution over the classes .*Logits.*give it to the block'): learn.predict(folder/'a.png')
