"Tables and files as annotators and annotation tools hand them over: read rightly or refused in words that help; and what an exported learner must not carry."
import copy, json, pickle, pickletools, warnings, zipfile
from functools import partial
from urllib.parse import unquote

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import (Callback, ColReader, CutMix, DataBlock, EndSplitter, Flatten, ImageBlock, ImageDataLoaders, ItemGetter, Learner, MixUp, TfmdLists, first,
                               load_learner, skm_to_fastai)
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn

from fastai_softlabels.all import *
from fastai_softlabels.vote_files import read_label_studio

# ---- votes that are texts, and what they hold ----

def long(cells, **kwargs): return pd.DataFrame(dict(item=[f'i{i}' for i in range(len(cells))], label=cells, **kwargs))

def classes_of(cells, **kwargs): return [c for c in votes_to_soft(long(cells), 'item', label='label', **kwargs) if c not in ('n_votes', 'entropy', 'agreement')]

def listed(cells, **kwargs): return votes_to_soft(pd.DataFrame(dict(item=[f'i{i}' for i in range(len(cells))], votes=cells)), 'item', lists='votes', **kwargs)

def wide(first, second, **kwargs): return votes_to_soft(pd.DataFrame(dict(item=[f'i{i}' for i in range(len(first))], r1=first, r2=second)), 'item', annotators=['r1', 'r2'], **kwargs)


HOLDS = { # the text → what it is taken for, and how it is read
    "{'cat': 2, 'dog': 1}": ('a dict written as text', 'ast.literal_eval'), '{"cat": 2, "dog": 1}': ('a dict written as text', 'json.loads'), '[.3, .7]': ('a list written as text', 'json.loads'),
    "['cat', 'dog']": ('a list written as text', 'ast.literal_eval'), "('cat', 'dog')": ('a tuple written as text', 'ast.literal_eval'), "{'cat'}": ('a set written as text', 'ast.literal_eval'),
    '"cat"': ('a text in quotation marks', 'json.loads'), 'cat,cat,dog': ('several labels', "text.split(',')"), 'cat;dog': ('several labels', "text.split(';')"), 'cat|cat': ('several labels', "text.split('|')"),
    'cat dog': ('several labels', "text.split()"), 'cat\ndog': ('several labels', r"text.split('\n')"), '66%': ('a percentage', "rstrip('%')"), '66,5 %': ('a percentage', "rstrip('%')"),
    '66%,34%': ('several numbers', 'separator'), '0,1,1,0': ('several numbers', 'separator'), '0 1 1 0': ('several numbers', 'separator'), '.7;.3': ('several numbers', 'separator'),
    '.66': ('a decimal number', 'float(text)'), '1.0': ('a decimal number', 'float(text)'), '0,66': ('a decimal number', "replace(',', '.')"), '1e-3': ('a decimal number', 'float(text)'),
    '[0.3 0.7]': ('a printed array', 'columns of their own'), 'tensor([0.3, 0.7])': ('a printed array', 'columns of their own'), 'np.float64(0.3)': ('a printed Python object', 'the object itself'),
    "Counter({'cat': 2})": ('a printed Python object', 'the object itself'), 'cat:2,dog:1': ('several classes with a number each', 'dict('), 'cat=2 dog=1': ('several classes with a number each', 'dict('),
    'nan': ('a missing value', 'leave the item out'), ' ': ('a missing value', 'leave the item out'), '<NA>': ('a missing value', 'leave the item out')}

@pytest.mark.parametrize('text', HOLDS)
@pytest.mark.parametrize('form', ['label=', 'annotators=', 'lists='])
def test_a_text_that_holds_more_than_a_name_is_no_class(form, text):
    cells = [text, 'cat', 'dog']
    read = {'label=': lambda: classes_of(cells), 'annotators=': lambda: wide(cells, ['cat', 'dog', 'dog']), 'lists=': lambda: listed([[c] for c in cells])}[form]
    with pytest.raises(SoftLabelError) as e: read()
    kind, remedy = HOLDS[text]
    assert str(e.value).startswith("Item 'i0': the text ") and f'it looks like {kind}' in str(e.value) and remedy in str(e.value) and '`vocab=`' in str(e.value)


@pytest.mark.parametrize('text', ["{'cat': 2, 'dog': 1}", '66%', '0,1,1,0', 'Washington, D.C.'])
def test_a_class_may_be_called_anything_in_a_given_vocab(text):
    soft = votes_to_soft(long([text, 'cat', text], ).assign(item=['a', 'a', 'b']), 'item', label='label', vocab=['cat', text])
    assert soft['cat'].to_dict() == {'a': .5, 'b': 0} and soft[text].to_dict() == {'a': .5, 'b': 1}
    assert listed([[text, 'cat']], vocab=[text, 'cat'])[text].tolist() == wide([text], ['cat'], vocab=[text, 'cat'])[text].tolist() == [.5]


@pytest.mark.parametrize('text', ['Washington, D.C.', 'Müll, Größe', '5', '-1', '0110', 'cat and dog', 'cat 0.6', 'http://a/b', 'lung (left)', 'St. Gallen', '2-3', 'C++'])
def test_names_stay_names(text): assert classes_of([text, 'cat', 'dog']) == sorted([text, 'cat', 'dog'])


def test_a_text_that_is_not_in_the_vocab_is_named_for_what_it_is():
    with pytest.raises(UnknownNameError, match=r"Item 'i0': the class .* is not in the vocab \['cat', 'dog'\]. It looks like a dict written as text; read it first: `ast.literal_eval"): classes_of(["{'cat': 2}", 'cat'], vocab=['cat', 'dog'])
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'?"): classes_of(['Cat', 'cat'], vocab=['cat', 'dog'])


@pytest.mark.parametrize('cell, words', [
    ("{'cat': 2, 'dog': 1}", 'It looks like a dict written as text; read it first: `ast.literal_eval'), ('[.3, .7]', 'a list written as text'), ('cat,cat,dog', "several labels in one text; read it first: `text.split(',')"),
    ('66%', 'a percentage'), ('0,1,1,0', 'several numbers'), ('cat', 'One vote is a list of one'), (5, 'One vote is a list of one'), (b'cat', 'One vote is a list of one'),
    (None, 'an empty list; leave out items without votes by `min_votes=1`'), (np.nan, 'an empty list'), ({'cat': 2}, "Counts by class need a column for each class: `pd.DataFrame(df['votes'].tolist()).fillna(0)`, then `counts=`")], ids=str)
def test_a_cell_that_is_no_list(cell, words):
    with pytest.raises(SoftLabelError) as e: listed([['cat', 'dog'], cell])
    assert str(e.value).startswith('Row 1: ') and "in column 'votes' is no list of votes" in str(e.value) and words in str(e.value)


def test_bytes_are_no_list_of_numbers():
    with pytest.raises(SoftLabelError, match="b'cat' in column 'votes' is no list of votes"): listed([b'cat', b'dog'])


def test_objects_in_the_column_of_one_vote():
    with pytest.raises(SoftLabelError, match=r"\{'cat': 2\} in column 'label' is not one vote. Counts by class need .*then `counts=`"): classes_of([{'cat': 2}, {'dog': 1}])
    with pytest.raises(SoftLabelError, match="is not one vote. For a column of lists say `lists=`"): classes_of([['cat'], ['dog']])
    with pytest.raises(SoftLabelError, match='A list for each annotator.*SoftMultiCategoryBlock'): listed([[['cat'], ['dog']]])
    counts = pd.DataFrame([{'cat': 2}, {'dog': 1}]).fillna(0).assign(item=['a', 'b']) # what the remedy makes
    assert votes_to_soft(counts, 'item', counts=['cat', 'dog']).cat.tolist() == [1., 0.]


@pytest.mark.parametrize('read', [lambda: classes_of([.2, .35, .6]), lambda: listed([[.3, .7], [.5, .5]]), lambda: wide([.2, 1.], [0., 1.]), lambda: classes_of(np.float32([.5, 1.5]))])
def test_fractions_are_no_classes(read):
    with pytest.raises(SoftLabelError, match=r"Item 'i0': the number 0\.\d+ would be a class of its own. A probability, or a mean.*`vocab=`"): read()


def test_grades_in_halves_are_classes_when_they_are_named(): assert classes_of([.5, 1., 1.5], vocab=[.5, 1., 1.5]) == [.5, 1., 1.5]


def test_gaps_make_no_floats_of_names():
    "pandas turns a column of integers into floats where anything is missing"
    for first in ([0, np.nan, 1], pd.array([0, None, 1], 'Int64')):
        soft = wide(first, [1, 1, 0])
        assert [*map(repr, soft.attrs['classes'])] == ['0', '1'] and soft[1].tolist() == [.5, 1., .5]


# ---- several choices of one person ----

SURVEY = dict(item=['a', 'a', 'a', 'a', 'b'], who=['x', 'x', 'y', 'z', 'x'], label=['cat', 'dog', 'cat', 'cat', 'dog'])

@pytest.mark.parametrize('names', [('item', 'who', 'label'), ('Bild', 'Prüfer', 'Befund'), (0, 1, 2)], ids=str)
@pytest.mark.parametrize('whos', [['x', 'x', 'y', 'z', 'x'], [1, 1, 2, 3, 1], [1., 1., 2., 3., 1.]], ids=['texts', 'ints', 'floats'])
def test_several_choices_of_one_person_become_shares_of_the_annotators(names, whos):
    df = pd.DataFrame({**SURVEY, 'who': whos}).set_axis(list(names), axis=1)
    item, who, label = names
    with pytest.raises(SoftLabelError) as e: votes_to_soft(df, item, label=label, annotator=who)
    assert 'Row 1: annotator' in str(e.value) and 'say `multi=True`' in str(e.value) and 'SoftMultiCategoryBlock' in str(e.value) and 'drop_duplicates' not in str(e.value)
    soft = votes_to_soft(df, item, label=label, annotator=who, multi=True)
    assert {i: row.tolist() for i, row in soft[['cat', 'dog']].iterrows()} == {'a': [1., pytest.approx(1/3)], 'b': [0., 1.]}
    labels = df.groupby([item, who])[label].agg(list).groupby(item).agg(list)
    shares = {i: SoftMultiCategorize(vocab=['cat', 'dog'])(y).tolist() for i, y in labels.items()}
    assert shares == {'a': [1., pytest.approx(1/3)], 'b': [0., 1.]} # of three people all named the cat, one the dog


def test_the_same_vote_twice_is_a_duplicate():
    df = pd.DataFrame(SURVEY).iloc[[0, 2, 3, 3]].reset_index(drop=True)
    with pytest.raises(SoftLabelError, match=r"Row 3: annotator 'z' voted 'cat' on item 'a' before.*drop_duplicates"): votes_to_soft(df, 'item', label='label', annotator='who')


# ---- Label Studio ----

def exported(folder, tasks, name='export.json', encoding='utf-8'):
    (folder/name).write_text(tasks if isinstance(tasks, str) else json.dumps(tasks), encoding=encoding)
    return folder/name

def annotation(*results, who=1, **kwargs): return dict(completed_by=who, was_cancelled=False, result=list(results), **kwargs)
def choice(*choices, question='animal', **kwargs): return dict(type='choices', from_name=question, to_name='image', value=dict(choices=list(choices)), **kwargs)
def task(*annotations, image='/data/upload/1/abcdef12-name.png'): return dict(id=7, data=dict(image=image), annotations=list(annotations))

TWO = [task(annotation(choice('cat'), choice('good', question='quality')), annotation(choice('dog'), choice('good', question='quality'), who=2))]

def test_two_questions_are_not_one(tmp_path):
    f = exported(tmp_path, TWO)
    with pytest.raises(SoftLabelError, match=r"several questions, .*: 'animal' \(cat, dog\); 'quality' \(good\)\. .*`question='animal'`"): read_label_studio(f)
    assert {q: read_label_studio(f, question=q).label.tolist() for q in ('animal', 'quality')} == {'animal': ['cat', 'dog'], 'quality': ['good', 'good']}
    with pytest.raises(UnknownNameError, match=r"no question 'Animal'; it has \['animal', 'quality'\]. Did you mean 'animal'\?"): read_label_studio(f, question='Animal')
    with pytest.raises(UnknownNameError, match=r"no question \['animal'\]"): read_label_studio(f, question=['animal'])


def test_two_questions_in_different_tasks_are_not_one_either(tmp_path):
    f = exported(tmp_path, [task(annotation(choice('cat'))), task(annotation(choice('good', question='quality')))])
    with pytest.raises(SoftLabelError, match="several questions"): read_label_studio(f)


def test_who_left_the_question_out_has_a_row(tmp_path):
    f = exported(tmp_path, [task(annotation(choice('cat'), choice('good', question='quality')), annotation(choice('cat'), who=2))])
    votes = read_label_studio(f, question='quality')
    assert votes.fillna('none').values.tolist() == [['/data/upload/1/abcdef12-name.png', 'good', '1', 'quality'], ['/data/upload/1/abcdef12-name.png', 'none', '2', 'quality']]
    with pytest.raises(SoftLabelError, match="Row 1: the label in column 'label' is missing"): votes_to_soft(votes, 'item', label='label', annotator='annotator')


@pytest.mark.parametrize('who, name', [({'id': 1, 'email': 'a@b.c'}, 'a@b.c'), ({'id': 2, 'email': ''}, '2'), ({'id': 0}, '0'), ({'username': 'Jörg'}, 'Jörg'), (3, '3'), (None, None), ({}, None),
                                       ({'first_name': 'Jörg'}, '{"first_name": "Jörg"}'), ([1, 2], '[1, 2]')], ids=str)
def test_annotators_of_label_studio_have_a_name(tmp_path, who, name):
    votes = read_label_studio(exported(tmp_path, [task(annotation(choice('cat'), who=who), annotation(choice('dog'), who=99))]))
    assert votes.annotator.tolist()[0] == name or pd.isna(votes.annotator[0]) and name is None
    if name is not None: assert votes_to_soft(votes, 'item', label='label', annotator='annotator').cat.tolist() == [.5]


@pytest.mark.parametrize('item', ['/data/upload/1/abcdef12-name.png', '/data/local-files/?d=imgs/name.png', 's3://bucket/name.png', '/data/local-files/?d=imgs/W%C3%A4rme%20bild.png'])
def test_the_documented_way_to_file_names(tmp_path, item):
    votes = read_label_studio(exported(tmp_path, [task(annotation(choice('cat')), image=item)]))
    votes['item'] = votes['item'].str.extract(r'([^/=]+)$')[0].map(unquote).str.replace(r'^[0-9a-f]{8}-', '', regex=True) # the lesson's lines
    name = unquote(item).split('/')[-1].removeprefix('abcdef12-')
    assert SoftLabelReader(votes_to_soft(votes, 'item', label='label', vocab=['cat', 'dog']), None)(f'/home/me/{name}').tolist() == [1., 0.]


@pytest.mark.parametrize('item', [None, '', ['a.png', 'b.png'], {'url': 'x'}], ids=str)
def test_a_task_without_one_item(tmp_path, item):
    with pytest.raises(SoftLabelError, match=r"Task 7 in .* as its 'image'; expected the name of one item"): read_label_studio(exported(tmp_path, [task(annotation(choice('cat')), image=item)]))


@pytest.mark.parametrize('text, words', [
    ('image,id,animal\na.png,1,cat\n', ['not an export of Label Studio', "no column 'annotator'", 'another tool']), ('{"id":1}\n{"id":2}\n', ['is no JSON', 'Extra data']), ('', ['is empty']),
    ('{"images": []}', ['a dict', 'list of tasks']), ('[{"image": "a.png", "animal": "cat"}]', ['no `data`', "['image', 'animal']"])])
def test_files_that_label_studio_does_not_write(tmp_path, text, words):
    with pytest.raises(SoftLabelError) as e: read_label_studio(exported(tmp_path, text))
    assert all(w in str(e.value) for w in [*words, 'export.json'])


@pytest.mark.parametrize('kind, value', [('textarea', ['cat']), ('rectanglelabels', ['cat'])])
def test_answers_of_another_kind_are_named(tmp_path, kind, value):
    result = dict(type=kind, from_name='other', value={kind: value})
    with pytest.raises(SoftLabelError, match=rf"1 annotations, but no choices in any of them; what it has is of the type '{kind}'"): read_label_studio(exported(tmp_path, [task(annotation(result))]))
    both = exported(tmp_path, [task(annotation(choice('cat'), result))])
    assert read_label_studio(both).label.tolist() == ['cat']
    with pytest.raises(SoftLabelError, match=rf"The answers to 'other' in .* are of the type '{kind}'.*it reads choices, as of \['animal'\]"): read_label_studio(both, question='other')


def test_empty_submissions_have_a_row(tmp_path):
    f = exported(tmp_path, [task(annotation(), annotation(choice(), who=2), annotation(choice('cat'), who=3), dict(annotation(choice('dog'), who=4), was_cancelled=True))])
    with pytest.warns(UserWarning, match='Left out of .*: 1 cancelled annotations'): votes = read_label_studio(f)
    assert votes.annotator.tolist() == ['1', '2', '3'] and votes.label.isna().tolist() == [True, True, False]


def test_several_choices_are_not_one_distribution(tmp_path):
    f = exported(tmp_path, [task(annotation(choice('cat', 'dog')), annotation(choice('cat'), who=2))])
    df = read_label_studio(f)
    with pytest.raises(SoftLabelError, match='for another class.*SoftMultiCategoryBlock'): votes_to_soft(df, 'item', label='label', annotator='annotator')
    labels = df.groupby(['item', 'annotator'])['label'].agg(list).groupby('item').agg(list)
    assert SoftMultiCategorize(vocab=['cat', 'dog'])(labels.iloc[0]).tolist() == [1., .5]


def test_a_choice_that_is_a_text_is_one(tmp_path):
    one = dict(type='choices', from_name='animal', value=dict(choices='cat'))
    assert read_label_studio(exported(tmp_path, [task(annotation(one))])).label.tolist() == ['cat']


def test_a_byte_order_mark(tmp_path):
    assert read_label_studio(exported(tmp_path, json.dumps([task(annotation(choice('Bär')))], ensure_ascii=False), encoding='utf-8-sig')).label.tolist() == ['Bär']


@pytest.mark.parametrize('odd', [dict(id=7, data=dict(image='a'), annotations=['x']), dict(id=7, data=dict(image='a'), annotations=[annotation('x')]), dict(id=7, data=dict(image='a'), annotations=5)], ids=str)
def test_annotations_that_are_none(tmp_path, odd):
    with pytest.raises(SoftLabelError, match='Task 7 in .* has a form that is not known.*Export it anew'): read_label_studio(exported(tmp_path, [odd]))


# ---- votes that name no class ----

@pytest.mark.parametrize('votes, unsure, words', [
    (['cat', 'unsure', 'dog'], 'Unsure', "they say ['cat', 'unsure', 'dog']. Did you mean 'unsure'?"), (['cat', 'unsure '], ['unsure'], "Did you mean 'unsure '?"), (['cat', 'Weiß nicht'], ['weiss nicht'], "Did you mean 'Weiß nicht'?"),
    ([1, 2, -1], ['-1'], 'Did you mean -1?'), (['cat', 'dog'], ['skip'], "they say ['cat', 'dog']. Correct it"), (['1', '-1'], [-1], "Did you mean '-1'?"), (['cat', 'unsure'], ['unsure', 'Unsure'], "names 'Unsure'")], ids=str)
def test_an_unsure_that_nobody_says(votes, unsure, words):
    with pytest.raises(UnknownNameError) as e: classes_of(votes, unsure=unsure)
    assert '`unsure` names' in str(e.value) and words in str(e.value)


def test_an_unsure_among_counts():
    counts = pd.DataFrame(dict(item=['a'], cat=[1], dog=[1], unsure=[2]))
    with pytest.raises(UnknownNameError, match="Did you mean 'unsure'"): votes_to_soft(counts, 'item', counts=['cat', 'dog', 'unsure'], unsure='Unsure')
    with pytest.raises(SoftLabelError, match="`unsure` names the column 'unsure', which `counts` leaves out"): votes_to_soft(counts, 'item', counts=['cat', 'dog'], unsure='unsure')
    assert votes_to_soft(counts, 'item', counts=['cat', 'dog', 'unsure'], unsure='unsure').cat.tolist() == [.5]


# ---- names that are nearly the same, and numbers in messages ----

@pytest.mark.parametrize('names, words', [(['cat', 'Cat'], "'cat' and 'Cat' differ in case"), (['cat ', 'cat'], "'cat ' and 'cat' differ in case, blanks"), (['big cat', 'big\xa0cat'], r"'big\xa0cat'"),
                                          (['Straße', 'STRASSE'], "'Straße' and 'STRASSE'"), (['Müll', 'Mu\u0308ll'], r"'M\xfcll' and 'Mu\u0308ll'")], ids=ascii)
@pytest.mark.parametrize('form', ['label=', 'lists='])
def test_names_that_differ_in_case_or_blanks_alone(names, words, form):
    def read(**kwargs): return classes_of(names, **kwargs) if form == 'label=' else listed([[n] for n in names], **kwargs).attrs['classes']
    with pytest.warns(UserWarning) as said: assert read() == sorted(names), 'they stay what they are'
    assert len(said) == 1 and words in str(said[0].message) and '.str.strip()' in str(said[0].message)
    mended = pd.Series(names).str.normalize('NFKC').str.strip().str.casefold() # what the warning says
    assert mended.nunique() == 1
    with warnings.catch_warnings(action='error'): assert read(vocab=names) == names and read(vocab=names[::-1]) == names[::-1]


def test_a_text_and_a_number_of_one_name():
    with pytest.warns(UserWarning, match=r"'5' and 5 are a text and a number.*astype\(str\)"), pytest.raises(SoftLabelError, match=r'cannot be sorted .*astype\(str\)'): classes_of(['5', 5])


PAIRS = pd.DataFrame(dict(item=np.array([101, 102, 101]), label=np.array([1, 2, 1]), who=np.array([7, 8, 7]), w=np.array([1., -2., 1.])))

@pytest.mark.parametrize('read, words', [
    (lambda: votes_to_soft(PAIRS, 'item', label='label', annotator='who'), 'annotator 7 voted 1 on item 101 before'), (lambda: votes_to_soft(PAIRS, 'item', label='label', vocab=[1, 3]), 'Item 102: the class 2 is not in the vocab [1, 3]'),
    (lambda: votes_to_soft(PAIRS, 'item', label='label', weight='w'), 'the weight is -2.0'), (lambda: votes_to_soft(PAIRS, 'item', counts=['label']), 'the item 101 stands in the table before'),
    (lambda: votes_to_soft(pd.DataFrame(dict(item=np.array([5, 6]), a=[1, 0], b=[1, 0])), 'item', counts=['a', 'b']), 'Item 6 has no votes'),
    (lambda: votes_to_soft(pd.DataFrame(dict(item=[5, 6], v=[np.array([1, 2]), np.array([1, 3])])), 'item', lists='v', vocab=[1, 2]), 'Item 6: the class 3 is not in the vocab [1, 2]'),
    (lambda: votes_to_soft(PAIRS, 'item', label='label', unsure=np.array([4])), '`unsure` names 4, but no vote says so: they say [1, 2]'), (lambda: votes_to_soft(PAIRS, np.int64(3), label='label'), 'no column 3'),
    (lambda: item_weights(np.array([1, 0])), 'has 0 votes'), (lambda: krippendorff_alpha(pd.DataFrame({np.int64(1): [.5], 'n_votes': [2.], 'entropy': [0.], 'agreement': [1.]})), 'The columns [1] are no shares')])
def test_messages_hold_plain_numbers(read, words):
    with pytest.raises(SoftLabelError) as e: read()
    assert words in str(e.value) and 'np.' not in str(e.value)


def test_classes_are_plain_numbers():
    for votes in (np.array([1, 2]), np.array(['a', 'b']), [np.int8(1), np.int8(2)], [np.str_('a'), np.str_('b')]):
        assert {type(c) for c in listed([votes]).attrs['classes']} in ({int}, {str})


def test_classes_from_polars():
    pl = pytest.importorskip('polars')
    table = pl.DataFrame(dict(item=['a', 'b'], votes=[[1, 2], [2]], r1=['cat', 'dog'], r2=[None, 'cat']))
    assert [*map(repr, votes_to_soft(table, 'item', lists='votes').attrs['classes'])] == ['1', '2']
    assert votes_to_soft(table, 'item', annotators=['r1', 'r2']).cat.tolist() == [1., .5]
    with pytest.raises(SoftLabelError, match=r'`votes_to_soft` first: `annotators='): SoftLabelReader(table, 'item', ['r1', 'r2'])


# ---- tables that need `votes_to_soft` first ----

RAW = pd.DataFrame(dict(file=['a.png', 'b.png'], rater_1=['cat', 'dog'], rater_2=['cat', 'cat']))
LONG = pd.DataFrame(dict(file=['a', 'a', 'b'], label=['cat', 'dog', 'cat'], who=['x', 'y', 'x']))

@pytest.mark.parametrize('read, words', [
    *((lambda dtype=dtype: SoftLabelReader(RAW.astype(dtype), 'file', ['rater_1', 'rater_2']), ["'cat' in column 'rater_1' is not a number", '`votes_to_soft`', '`annotators=[…]`']) for dtype in (object, 'category', 'string')),
    (lambda: SoftLabelReader(RAW.assign(rater_1=[None, 'dog']), 'file', ['rater_1', 'rater_2']), ["'dog' in column 'rater_1'", '`annotators=[…]`']),
    (lambda: SoftLabelReader(LONG, 'file', ['label']), ["'cat' in column 'label' is not a number", '`label=`']), (lambda: SoftLabelReader(LONG, 'file', ['cat', 'dog']), ["no column 'cat'", "stands in the column 'label'", '`label=`']),
    (lambda: SoftLabelReader(RAW, 'file', ['cat', 'dog']), ["no column 'cat'", "stands in the column 'rater_1'", '`annotators=[…]`']), (lambda: SoftLabelReader(RAW, 'file'), ['`classes=`', '`votes_to_soft`']),
    (lambda: SoftLabelReader(pd.DataFrame(dict(f=['a'], votes=[['cat', 'dog']])), 'f', ['votes']), ['is not a number', '`votes_to_soft(…, lists=…)`']),
    (lambda: SoftLabelReader(pd.DataFrame(dict(f=['a'], x=['66%'], y=['34%'])), 'f', ['x', 'y']), ["'66%' in column 'x' is not a number", 'a percentage', "rstrip('%')"]),
    (lambda: SoftLabelReader(pd.DataFrame(dict(f=['a'], x=['0,66'], y=['0,34'])), 'f', ['x', 'y']), ['is not a number', "replace(',', '.')"]),
    (lambda: krippendorff_alpha(RAW), ["no column 'n_votes'", 'krippendorff_alpha(votes_to_soft(votes, …))']), (lambda: krippendorff_alpha(LONG), ["no column 'n_votes'", 'krippendorff_alpha(votes_to_soft(votes, …))']),
    (lambda: votes_to_soft(RAW, 'file', annotators='rater_1'), ["`annotators` is 'rater_1'", 'a list of columns']), (lambda: votes_to_soft(RAW, 'file', counts=['rater_1', 'rater_2']), ['is not a number', '`annotators=[…]`']),
    (lambda: votes_to_soft(RAW, 'file', label=['rater_1', 'rater_2']), ["`label` is ['rater_1', 'rater_2']", 'one column', '`annotators=`']), (lambda: votes_to_soft(RAW, 'file', lists=['rater_1', 'rater_2']), ['`lists` is', 'one column', '`annotators=`']),
    (lambda: votes_to_soft(LONG, 'file', annotators=['who']), ["the item 'a' stands in the table before", '`label=`'])])
def test_a_table_of_names_is_sent_to_votes_to_soft(read, words):
    with pytest.raises(SoftLabelError) as e: read()
    assert [w for w in words if w not in str(e.value)] == [], str(e.value)


IDS = pd.DataFrame(dict(image_id=[105, 106], cat=[3, 1], dog=[1, 2]))

@pytest.mark.parametrize('read', [lambda: votes_to_soft(RAW, 'file', annotators=list(RAW)), lambda: votes_to_soft(IDS, 'image_id', counts=list(IDS)), lambda: SoftLabelReader(IDS, 'image_id', list(IDS)), lambda: SoftLabelReader(IDS, 'image_id', IDS.columns)])
def test_the_item_is_no_vote(read):
    "`list(df.columns)` names it, too; numbers of items would be read as votes"
    with pytest.raises(SoftLabelError, match=r"names '(file|image_id)', which is the column of the item: leave it out"): read()


# ---- which columns of a table are the classes ----

SOFT_VOTES = pd.DataFrame(dict(f=['a', 'b'], v=[['cat', 'dog'], ['dog']]))

@pytest.mark.parametrize('change', [lambda s: s, lambda s: s.round(3), lambda s: s.reset_index(), lambda s: s.assign(site='x'), lambda s: s.query('n_votes > 1'), lambda s: s[['dog', 'cat']], lambda s: s.sort_index(ascending=False),
                                    lambda s: s.drop(columns=['n_votes', 'entropy', 'agreement']), lambda s: pickle.loads(pickle.dumps(s)), lambda s: s[s.columns[::-1]]])
def test_the_table_knows_its_classes(change):
    table = change(votes_to_soft(SOFT_VOTES, 'f', lists='v'))
    reader = SoftLabelReader(table, 'f' if 'f' in table else None)
    assert reader.classes == ['cat', 'dog'] and reader('a').tolist() == [.5, .5]


@pytest.mark.parametrize('join', [lambda s, m: s.join(m.set_index('f')), lambda s, m: m.set_index('f').join(s), lambda s, m: s.merge(m, left_index=True, right_on='f').set_index('f')])
def test_classes_are_kept_before_a_join(join):
    soft = votes_to_soft(SOFT_VOTES, 'f', lists='v')
    joined = join(soft, pd.DataFrame(dict(f=['a', 'b'], site=['x', 'y'], age=[50, 60])))
    with pytest.raises(SoftLabelError, match=r'`classes=`.*df.attrs\["classes"\].*before it is joined'): SoftLabelReader(joined, None)
    assert SoftLabelReader(joined, None, soft.attrs['classes'])('b').tolist() == [0., 1.]


def test_the_columns_beside_the_classes_are_none():
    soft = votes_to_soft(SOFT_VOTES, 'f', lists='v')
    for classes in (list(soft.columns), ['cat', 'dog', 'n_votes'], list(soft.assign(site='x', age=1).columns[:-3])):
        with pytest.raises(SoftLabelError, match=r"`classes` names \['n_votes'.*puts beside the classes"): SoftLabelReader(soft.assign(site='x', age=1), None, classes)
    assert SoftLabelReader(pd.DataFrame(dict(agreement=[1.], neutral=[0.]), index=['a']), None, ['agreement', 'neutral'])('a').tolist() == [1., 0.], 'in a table of another origin it may be a class'


# ---- masks ----

@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "16 images whose names nobody could mistake, two people's masks of each, and their votes"
    folder = tmp_path_factory.mktemp('pictures')
    (folder/'masks').mkdir()
    n = np.arange(16)
    df = pd.DataFrame(dict(datei=[f'Müller_Käthe_1931-04-{i:02}_pid77{i:03}.png' for i in n], cat=1_000_000_007 + 31_000_003*n, dog=700_000_001 + 17_000_023*n[::-1]))
    for i, name in enumerate(df.datei):
        Image.fromarray(np.full((8, 8, 3), 9*i, np.uint8)).save(folder/name)
        for who in 'ab': Image.fromarray(np.uint8(255*(np.arange(64).reshape(8, 8) % (i + 2) == 0))).save(folder/'masks'/f'{name[:-4]}_{who}.png')
    return folder, [folder/f for f in df.datei], df

def masks_of(f): return sorted((f.parent/'masks').glob(f'{f.stem}_*.png'))

def block(get_y, target=SoftCategoryBlock, **kwargs): return DataBlock((ImageBlock, target), get_y=get_y, splitter=EndSplitter(.5), **kwargs)

def loaders(source, *args, **kwargs): return block(*args, **kwargs).dataloaders(source, bs=4, num_workers=0)


@pytest.mark.parametrize('at', [0, 3, 15])
@pytest.mark.parametrize('odd, words', [([], 'an empty list'), ((), 'an empty list'), (np.array([]), 'an empty list'), (np.array([], str), 'an empty list'), (pd.Series([], dtype=object), 'an empty list'), (None, 'missing'), (np.nan, 'missing'), ('', 'missing'),
                                        ([None], 'of one annotator is missing'), ([''], 'of one annotator is missing'), ([[]], '[]; expected a path'), ({}, '{}; expected a path'), ((m for m in ()), 'generator')], ids=lambda o: type(o).__name__ if str(o).startswith('<') else repr(o))
def test_an_image_without_masks_is_named_at_setup(pictures, odd, words, at):
    folder, files, _ = pictures
    with pytest.raises(SoftLabelError) as e: loaders(files, lambda f: odd if f == files[at] else masks_of(f), SoftMaskBlock)
    assert files[at].name in str(e.value) and words in str(e.value)


def test_an_empty_list_of_a_table_is_named_by_its_row(pictures):
    folder, files, df = pictures
    table = df.assign(masks=[[] if i == 5 else masks_of(f) for i, f in enumerate(files)])
    with pytest.raises(SoftLabelError, match='row 5: the mask is an empty list'): loaders(table, ColReader('masks'), SoftMaskBlock, get_x=ColReader('datei', pref=folder))


@pytest.mark.parametrize('before', [lambda f: [f], lambda f: f, lambda f: str(f)], ids=['lists', 'paths', 'texts'])
def test_the_check_goes_on_after_the_first_file(pictures, before):
    _, files, _ = pictures
    def gone(f): return f.with_name('gone.png') if f == files[9] else before(masks_of(f)[0])
    with pytest.raises(FileNotFoundError, match='gone.png does not exist'): loaders(files, gone, SoftMaskBlock)
    with pytest.raises(SoftLabelError, match='masks cannot be read as a mask: it is a folder'): loaders(files, lambda f: f.parent/'masks' if f == files[9] else before(masks_of(f)[0]), SoftMaskBlock)


@pytest.mark.parametrize('dtype', [np.int64, np.int16, np.uint8, np.uint16, np.float32, np.float64, np.float16])
@pytest.mark.parametrize('as_file', [False, True], ids=['array', 'npy'])
def test_a_mask_that_counts_readers(tmp_path, dtype, as_file):
    from fastai_softlabels.mask_files import mask_planes
    counts = (np.arange(20).reshape(4, 5) % 5).astype(dtype)
    mask = tmp_path/'counts.npy' if as_file else counts
    if as_file: np.save(mask, counts)
    with pytest.raises(SoftLabelError, match=r'counts the readers .* divide it by the number of readers \(`mask/5`\)'): mask_planes(mask, ['lesion'], False)
    assert mask_planes(counts/4, ['lesion'], False) == pytest.approx((np.arange(20).reshape(1, 4, 5) % 5)/4)


# ---- intervals of masks, and rankings from scores ----

def dice_by_image(p, y): return np.array([1 - abs(a - b).sum()/(a.sum() + b.sum() + 1) for a, b in zip(p, y)])

@pytest.mark.parametrize('k', [1, 3])
def test_interval_of_masks_against_numpy(k):
    p, y = (torch.rand(6, k, 4, 5) if k == 1 else torch.rand(6, k, 4, 5).softmax(1) for _ in range(2))
    by_class = np.stack([dice_by_image(p[:, j].double().numpy(), y[:, j].double().numpy()) for j in range(k)], 1) # images × classes
    rng = torch.Generator().manual_seed(3)
    draws = [by_class[torch.randint(6, (6,), generator=rng).numpy()].mean() for _ in range(200)]
    assert bootstrap_interval(SoftDice(), p, y, n=200, seed=3) == pytest.approx(np.quantile(draws, [.025, .975]), abs=1e-5)
    assert bootstrap_interval(SoftDice(), p.numpy(), y.tolist(), n=200, seed=3) == bootstrap_interval(SoftDice(), p, y, n=200, seed=3)


@pytest.mark.parametrize('metric', [SoftDice(), DiceAt(.3)], ids=['soft', 'at .3'])
def test_words_of_errors_survive_masks(metric):
    p, y = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    for bad, words in ((10*p + 1, 'which is no probability'), (p*torch.nan, 'The predictions hold nan, which is no probability')):
        with pytest.raises(SoftLabelError) as e: bootstrap_interval(metric, bad, y)
        assert words in str(e.value) and 'Give what `learn.get_preds()` returns' in str(e.value)
    with pytest.raises(SoftLabelError, match='of the targets is not probabilities.*Divide votes by the number of annotators'): bootstrap_interval(metric, p, 5*y)
    with pytest.raises(SoftLabelError, match='of the predictions is not a distribution.*`multi=True`'): bootstrap_interval(metric, p.expand(3, 2, 4, 4), y.expand(3, 2, 4, 4))
    with pytest.raises(SoftLabelError, match='say where their classes are, `axis=1`'): bootstrap_interval(kl_divergence, p, y)


@pytest.mark.parametrize('form', [lambda t: t, lambda t: t.numpy(), lambda t: t.tolist(), lambda t: tuple(t.tolist()), lambda t: pd.Series(t.numpy()), lambda t: t.double(), lambda t: ScoreHistogram().add(t)], ids=['tensor', 'array', 'list', 'tuple', 'Series', 'double', 'histogram'])
def test_a_ranking_from_scores(form):
    inn, out = torch.randn(60) + 1, torch.randn(50)
    expected = roc_auc_score([1]*60 + [0]*50, torch.cat([inn, out]))
    assert streamed_ood_metrics(form(inn), form(out))['auroc'] == streamed_ood_metrics(inn, form(out))['auroc'] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize('scores, words', [(None, 'are None; expected one score for each item'), (torch.ones(5, 3), '(5, 3); expected one score for each item'), ([], 'no in-domain scores'), (torch.full((3,), torch.nan), 'of item 0 is NaN'),
                                           ('abc', 'no array of numbers'), ({'a': 1}, 'no array of numbers'), (1., 'shape ()')], ids=repr)
def test_what_is_no_scores(scores, words):
    for f in (streamed_ood_metrics, ood_metrics):
        with pytest.raises(SoftLabelError) as e: f(scores, torch.randn(4))
        assert words in str(e.value)


def test_histograms_and_readings_are_sent_where_they_belong():
    histogram, reading = ScoreHistogram().add([1., 2.]), ConfidenceMeter().add(torch.randn(5, 3)).read()['softmax']
    with pytest.raises(SoftLabelError, match='Histograms go to `streamed_ood_metrics`'): ood_metrics(histogram, histogram)
    with pytest.raises(SoftLabelError, match='readings of a meter to `compare_readings`'): streamed_ood_metrics(reading, reading)


# ---- learners over these pictures ----

def net(): return nn.Sequential(nn.AdaptiveAvgPool2d(2), Flatten(), nn.Linear(12, 2))

def reader(df, **kwargs): return SoftLabelReader(df, 'datei', ['cat', 'dog'], **kwargs)

def trained(dls, model=None, **kwargs):
    learn = Learner(dls, net() if model is None else model, **kwargs)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return learn

def of_table(folder, df, get_y=None, **kwargs): return loaders(df, reader(df) if get_y is None else get_y, get_x=ColReader('datei', pref=folder), **kwargs)


@pytest.mark.parametrize('change, words', [
    (lambda d: d.rename(columns={'datei': 'file'}), ["3 of 3 items of the OOD set 'ood' cannot be read", "KeyError: 'datei'", "a table with rows like {'datei': 'Müller_Käthe"]),
    (lambda d: d.datei.str.replace('Müller', 'Meier').to_frame(), ["3 of 3 items", 'FileNotFoundError', "a table with rows like {'datei': "]),
    (lambda d: d.set_axis(['r1', 'r2', 'r3']).replace({d.datei.iloc[1]: 'Größe.png'}), ["1 of 3 items of the OOD set 'ood' cannot be read: r2", 'Größe.png', '`skip_unreadable=True`'])])
def test_an_ood_table_that_cannot_be_read(pictures, change, words):
    folder, files, df = pictures
    with pytest.raises(SoftLabelError) as e: trained(of_table(folder, df), cbs=OODConfidence(change(df[['datei']].head(3))))
    assert [w for w in words if w not in str(e.value)] == [], str(e.value)


def test_an_ood_table_for_a_learner_of_files(pictures):
    folder, files, df = pictures
    with pytest.raises(SoftLabelError, match=r"cannot be read as the training items are.*Expected items like '.*\.png'"): trained(loaders(files, reader(df)), cbs=OODConfidence(df[['datei']].head(3)))


def test_a_gap_in_an_ood_table_is_found_before_the_first_epoch(pictures):
    folder, files, df = pictures
    def dls(): return loaders(df, reader(df), get_x=lambda row: row.datei if pd.isna(row.datei) else folder/row.datei)
    gap = df[['datei']].head(3).astype(object)
    gap.loc[1, 'datei'] = np.nan
    with pytest.raises(SoftLabelError, match=r"1 of 3 items of the OOD set 'ood' cannot be read: 1 \(it is nan, which nothing opens\)"): trained(dls(), cbs=OODConfidence(gap))
    with pytest.warns(UserWarning, match='They are left out'): learn = trained(dls(), cbs=OODConfidence(gap, skip_unreadable=True))
    assert set(learn.ood_confidence.history.query('set == "ood"').n) == {2}


SOURCES = {
    'reader of a table': lambda folder, files, df: (of_table(folder, df), df.datei.tolist()),
    'reader of another column': lambda folder, files, df: (lambda t: (loaders(t, SoftLabelReader(t, 'patient', ['cat', 'dog']), get_x=ColReader('datei', pref=folder)), t.patient.tolist()))(df.assign(patient=[f'Größe {i}' for i in range(16)])),
    'numbers of patients': lambda folder, files, df: (lambda t: (loaders(t, SoftLabelReader(t, 'patient', ['cat', 'dog']), get_x=ColReader('datei', pref=folder)), t.patient.tolist()))(df.assign(patient=np.arange(501, 517))),
    'reader of the index': lambda folder, files, df: (lambda t: (loaders(t, SoftLabelReader(t, None, ['cat', 'dog']), get_x=ColReader('datei', pref=folder)), t.index.tolist()))(df.set_index(pd.Index([f'p{i}' for i in range(16)]))),
    'columns': lambda folder, files, df: (of_table(folder, df, ColReader(['cat', 'dog'])), [str(f) for f in files]),
    'an index that repeats': lambda folder, files, df: (of_table(folder, df.set_axis([0]*16), ColReader(['cat', 'dog'])), [str(f) for f in files]),
    'files': lambda folder, files, df: (loaders(files, reader(df)), [str(f) for f in files]),
    'rows that are dicts': lambda folder, files, df: (loaders(df.to_dict('records'), reader(df), get_x=lambda row: folder/row['datei']), df.datei.tolist()),
    'pairs': lambda folder, files, df: (DataBlock((ImageBlock, SoftCategoryBlock(['cat', 'dog'])), getters=[ItemGetter(0), ItemGetter(1)], splitter=EndSplitter(.5)).dataloaders([(f, [1, 2]) for f in files], bs=4, num_workers=0), [str(f) for f in files])}

@pytest.mark.parametrize('source', SOURCES)
def test_suspicious_labels_name_items_as_the_reader_does(pictures, source):
    dls, names = SOURCES[source](*pictures)
    found = SoftInterpretation.from_learner(trained(dls)).suspicious_labels(8)
    assert sorted(map(str, found.item)) == sorted(map(str, names[8:])), 'those of the validation set'
    assert {type(i) for i in found.item} <= {type(n) for n in names}


# ---- what an exported learner carries ----

def parts_of(data: bytes) -> list:
    "What a pickle holds: its texts as they are encoded and, where they stand for bytes, these; its bytes; its numbers as float64"
    res = []
    try:
        for _, arg, _ in pickletools.genops(data):
            if isinstance(arg, str):
                res.append(arg.encode('utf-8', 'surrogatepass'))
                if all(ord(c) < 256 for c in arg): res.append(arg.encode('latin-1')) # how protocol 2 keeps bytes
            elif isinstance(arg, (bytes, bytearray)): res.append(bytes(arg))
            elif type(arg) in (int, float) and abs(arg) < 2**63: res.append(np.float64(arg).tobytes())
    except ValueError: pass # no pickle, or cut short: what was read so far
    return res

def all_bytes(path) -> bytes:
    "A file as it is, its members inflated, what pickles in them hold, and pickles within these"
    found = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as z: found += [z.read(m) for m in z.namelist()]
    for depth in range(3): found += [p for data in found if data[:1] == b'\x80' for p in parts_of(data) if p not in found]
    return b'\0\0\0\0\0\0\0\0'.join(found)

def leaks(path, df) -> list:
    "Names of items and votes of `df` that can be read from a file, whole or in part"
    data, res = all_bytes(path), []
    for name in df.datei:
        for text in (name, name[:-4], name.split('_')[2], name.split('_')[3][:-4]):
            res += [text for code in ('utf-8', 'utf-16-le', 'latin-1') if text.encode(code) in data]
    for cat, dog in zip(df.cat, df.dog):
        numbers = {v: [t(v) for t in (np.int64, np.int32, np.float32, np.float64)] for v in (cat, dog) if v < 2**31} | {v: [np.float32(v), np.float64(v), np.float64(np.float32(v))] for v in (cat/(cat + dog), dog/(cat + dog))}
        res += [v for v, forms in numbers.items() if any(n.tobytes() in data for n in forms)]
    return res


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('hidden', [lambda df: df, lambda df: df.datei.tolist(), lambda df: df[['cat', 'dog']].to_numpy(), lambda df: torch.tensor(df.cat/(df.cat + df.dog)).float(), lambda df: (df.cat/(df.cat + df.dog)).to_numpy(), lambda df: df.cat.tolist(),
                                    lambda df: pickle.dumps(df.datei.tolist()), lambda df: [{'cat': c/(c + d)} for c, d in zip(df.cat, df.dog)], lambda df: df.datei.str.encode('utf-16-le').tolist(), lambda df: {f.split('_')[3][:-4]: 1 for f in df.datei}],
                         ids=['table', 'names', 'int64', 'float32 tensor', 'float64', 'Python ints', 'pickle within', 'dicts of floats', 'utf-16', 'parts of names'])
def test_the_search_finds_what_is_hidden(pictures, tmp_path, hidden, protocol):
    df = pictures[2]
    torch.save({'deep': [hidden(df)]}, tmp_path/'f', pickle_protocol=protocol)
    assert len(leaks(tmp_path/'f', df)) >= 16


class Raises(Callback):
    order = 60
    def after_pred(self):
        if self.iter == 1: raise KeyError('on purpose')

def interrupted(dls):
    learn = Learner(dls, net())
    with pytest.raises(KeyError), learn.no_bar(): learn.fit(1, cbs=Raises())
    return learn

def used(learn, files):
    "After all that a user does with a learner"
    import matplotlib.pyplot as plt
    with learn.no_bar(), learn.no_logging():
        interp = SoftInterpretation.from_learner(learn)
        interp.suspicious_labels(3), interp.scores(n=5), interp.show_disagreements(2)
        learn.predict(files[0]), learn.get_preds(), learn.validate(), learn.show_results(), learn.tta(n=1), preds_to_soft(learn, files[:3])
        learn.dls.show_batch(), first(learn.dls.train), next(iter(learn.dls.valid)), class_weights(learn.dls)
    plt.close('all')
    return learn

def after(change, learn):
    change(learn)
    return learn

def two_heads(files, df, head):
    def fit(learn):
        with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return train_two_heads(block(reader(df)), files, lambda dls: Learner(dls, net()), fit, bs=4, num_workers=0)[head]

def votes_of(df): return [{'cat': int(c), 'dog': int(d)} for c, d in zip(df.cat, df.dog)]

EXPORTED = {
    'reader, files': lambda folder, files, df: trained(loaders(files, reader(df))),
    'reader, not trained': lambda folder, files, df: Learner(loaders(files, reader(df)), net()),
    'reader, a table': lambda folder, files, df: trained(of_table(folder, df)),
    'reader of probabilities': lambda folder, files, df: trained(loaders(files, reader(df.assign(cat=df.cat/(df.cat + df.dog), dog=df.dog/(df.cat + df.dog))))),
    'reader with a key': lambda folder, files, df: trained(loaders(files, reader(df, key=lambda f: f.name))),
    'reader, independent classes': lambda folder, files, df: trained(loaders(files, reader(df, multi=True, n_votes=2**32), SoftMultiCategoryBlock)),
    'columns': lambda folder, files, df: trained(of_table(folder, df, ColReader(['cat', 'dog']))),
    'from_df': lambda folder, files, df: trained(ImageDataLoaders.from_df(df, path=folder, fn_col='datei', label_col=['cat', 'dog'], y_block=SoftCategoryBlock, bs=4, num_workers=0)),
    'from_lists': lambda folder, files, df: trained(ImageDataLoaders.from_lists(folder, files, votes_of(df), y_block=SoftCategoryBlock, bs=4, num_workers=0)),
    'tuples of get_items': lambda folder, files, df: trained(DataBlock((ImageBlock, SoftCategoryBlock), get_items=lambda source: list(zip(*source)), getters=[ItemGetter(0), ItemGetter(1)], splitter=EndSplitter(.5)).dataloaders((files, votes_of(df)), bs=4, num_workers=0)),
    'mask files': lambda folder, files, df: trained(loaders(files, masks_of, SoftMaskBlock), nn.Conv2d(3, 1, 1), metrics=[SoftDice(), DiceAt()]),
    'a set as list': lambda folder, files, df: trained(loaders(files, reader(df)), cbs=OODConfidence({'far': files[:3]})),
    'a set as texts': lambda folder, files, df: trained(loaders(files, reader(df)), cbs=OODConfidence([str(f) for f in files[:3]])),
    'a set as table': lambda folder, files, df: trained(of_table(folder, df), cbs=OODConfidence(df[['datei']].head(3))),
    'a set as loader': lambda folder, files, df: (lambda dls: trained(dls, cbs=OODConfidence(dls.test_dl(files[:3]))))(loaders(files, reader(df))),
    'calibration as metric': lambda folder, files, df: trained(loaders(files, reader(df)), metrics=[SoftECE(), SoftECE(classwise=True), entropy_correlation, kl_divergence]),
    'metric of a target': lambda folder, files, df: trained(loaders(files, reader(df)), metrics=[SoftECE(classwise=True), soft_accuracy]),
    'temperature_scale': lambda folder, files, df: after(partial(temperature_scale, force=True), trained(loaders(files, reader(df)))),
    'abstain': lambda folder, files, df: after(abstain, trained(loaders(files, reader(df)))),
    'two heads, softmax': lambda folder, files, df: two_heads(files, df, 'softmax'),
    'two heads, sigmoid': lambda folder, files, df: two_heads(files, df, 'sigmoid'),
    'looked at': lambda folder, files, df: used(trained(loaders(files, reader(df))), files),
    'interrupted': lambda folder, files, df: interrupted(loaders(files, reader(df)))}

@pytest.mark.parametrize('name', EXPORTED)
def test_an_exported_learner_names_nobody(pictures, tmp_path, name):
    folder, files, df = pictures
    learn = EXPORTED[name](folder, files, df)
    learn.export(tmp_path/'learn.pkl')
    assert leaks(tmp_path/'learn.pkl', df) == []
    if 'mask' not in name: learn.dls.train.one_batch() # the learner itself still has its labels
    with learn.no_bar(), learn.no_logging(): learn.validate()


SHARES_OF_A_MASK = np.float32(np.linspace(.1234567, .7654321, 64).reshape(8, 8)) # as no network has them

def same_mask(f): return SHARES_OF_A_MASK

@pytest.mark.parametrize('callback, stays', [(SoftMaskCutMix, True), (CutMix, False)], ids=['ours', "fastai's"])
def test_the_last_masks_of_cutmix_stay_at_home(pictures, tmp_path, callback, stays):
    learn = trained(loaders(pictures[1], same_mask, SoftMaskBlock), nn.Conv2d(3, 1, 1), cbs=callback())
    learn.export(tmp_path/'learn.pkl')
    data = all_bytes(tmp_path/'learn.pkl')
    assert (not any(v.tobytes() in data for v in SHARES_OF_A_MASK.ravel())) == stays


def test_a_saved_soft_learner_names_nobody(pictures, tmp_path):
    folder, files, df = pictures
    with pytest.warns(UserWarning, match='model='): save_soft_learner(trained(loaders(files, reader(df)), metrics=SoftECE()), tmp_path/'learn.safetensors')
    assert leaks(tmp_path/'learn.safetensors', df) == []


LEAKY = { # what is not ours to keep back: the docs say so
    'a table in a function of one\'s own': lambda folder, files, df: Learner(loaders(files, lambda f: df.set_index('datei').loc[f.name, ['cat', 'dog']].tolist(), SoftCategoryBlock(['cat', 'dog'])), net()),
    'a dict in a function of one\'s own': lambda folder, files, df: (lambda votes: Learner(loaders(files, lambda f: votes[f.name]), net()))(dict(zip(df.datei, votes_of(df)))),
    'fastai\'s metrics of all items at once': lambda folder, files, df: trained(loaders(files, reader(df)), metrics=skm_to_fastai(lambda y, p: 0., is_class=False)),
    'fastai\'s MixUp': lambda folder, files, df: trained(loaders(files, reader(df)), cbs=MixUp())}

@pytest.mark.parametrize('name', LEAKY)
def test_what_fastai_and_functions_of_ones_own_carry(pictures, tmp_path, name):
    folder, files, df = pictures
    LEAKY[name](folder, files, df).export(tmp_path/'learn.pkl')
    assert leaks(tmp_path/'learn.pkl', df) != [], 'fastai keeps it back now: the docs need not warn of it any more'


def forget(learn):
    for m in learn.metrics: m.reset()

KEPT_BACK = { # how the docs say that these stay at home
    'metrics that are reset': lambda folder, files, df: after(forget, LEAKY['fastai\'s metrics of all items at once'](folder, files, df)),
    'MixUp for one training': lambda folder, files, df: after(lambda learn: learn.fit(1, cbs=MixUp()), trained(loaders(files, reader(df)))),
    'MixUp that is taken away': lambda folder, files, df: after(lambda learn: learn.remove_cbs(MixUp), LEAKY['fastai\'s MixUp'](folder, files, df))}

@pytest.mark.parametrize('name', KEPT_BACK)
def test_how_to_keep_it_back(pictures, tmp_path, name):
    folder, files, df = pictures
    KEPT_BACK[name](folder, files, df).export(tmp_path/'learn.pkl')
    assert leaks(tmp_path/'learn.pkl', df) == []


# ---- a reader and a callback that travel ----

def loaded_from(path):
    with pytest.warns(UserWarning, match='insecure pickle'): return load_learner(path)

def test_a_loaded_learner_predicts_and_says_why_it_has_no_labels(pictures, tmp_path):
    folder, files, df = pictures
    learn = trained(loaders(files, reader(df)))
    learn.export(tmp_path/'learn.pkl')
    loaded = loaded_from(tmp_path/'learn.pkl')
    with learn.no_bar(), loaded.no_bar():
        assert torch.equal(*(l.get_preds(dl=l.dls.test_dl(files))[0] for l in (learn, loaded)))
        assert str(loaded.predict(files[3])[0]) == str(learn.predict(files[3])[0]) and list(loaded.dls.vocab) == ['cat', 'dog']
    with pytest.raises(SoftLabelError, match=rf"The table of labels was left out when this reader was pickled, as `learn.export\(\)` does.*cannot look up '.*{files[5].name}'.*`test_dl\(items\)`"):
        loaded.dls.test_dl(files[5:6], with_labels=True).one_batch()
    again = loaders(files, reader(df)) # what the message asks for
    loaded.dls = again
    with loaded.no_bar(), loaded.no_logging(): loaded.fit(1)


def test_a_loaded_learner_of_a_table(pictures, tmp_path):
    folder, files, df = pictures
    for get_y in (reader(df), ColReader(['cat', 'dog'])):
        learn = trained(of_table(folder, df, get_y))
        learn.export(tmp_path/'learn.pkl')
        loaded = loaded_from(tmp_path/'learn.pkl')
        with learn.no_bar(), loaded.no_bar():
            assert torch.equal(*(l.get_preds(dl=l.dls.test_dl(df[['datei']]))[0] for l in (learn, loaded)))
            assert str(loaded.predict(df.iloc[2])[0]) == str(learn.predict(df.iloc[2])[0])


def test_metrics_go_on_after_an_export(pictures, tmp_path):
    folder, files, df = pictures
    learn = trained(loaders(files, reader(df)), metrics=[SoftECE(), entropy_correlation])
    before = [float(m.value) for m in learn.metrics]
    learn.export(tmp_path/'learn.pkl')
    assert [float(m.value) for m in learn.metrics] == before
    loaded = loaded_from(tmp_path/'learn.pkl')
    loaded.dls = learn.dls
    with loaded.no_bar(): assert [*loaded.validate()][1:] == pytest.approx(before)


@pytest.mark.parametrize('copied', [copy.copy, copy.deepcopy, lambda r: copy.deepcopy({'a': [r]})['a'][0]], ids=['copy', 'deepcopy', 'deepcopy of a list'])
def test_a_copied_reader_has_its_table(pictures, copied):
    _, files, df = pictures
    ours = reader(df, key=lambda f: f.name)
    other = copied(ours)
    assert other is not ours and [other(f).tolist() for f in files] == [ours(f).tolist() for f in files] and other.classes == ours.classes
    other.key = None # of the copy alone
    assert ours.key is not None


@pytest.mark.parametrize('protocol', [0, 2, pickle.HIGHEST_PROTOCOL])
def test_a_pickled_reader_comes_back_without_its_table(pictures, protocol):
    _, files, df = pictures
    back = pickle.loads(pickle.dumps(reader(df), protocol))
    assert back.classes == ['cat', 'dog'] and back.item == 'datei' and not back.multi
    for item in (files[0], df.iloc[0], {'datei': 'x.png'}, 'x.png', 5):
        with pytest.raises(SoftLabelError, match='was left out when this reader was pickled.*build DataLoaders with a new reader'): back(item)
    again = pickle.loads(pickle.dumps(copy.deepcopy(back), protocol)) # a loaded learner may be exported again
    with pytest.raises(SoftLabelError, match='was left out'): again('x.png')


def test_spawned_workers_have_the_table(pictures):
    _, files, df = pictures
    ours = reader(df)
    loader = torch.utils.data.DataLoader(TfmdLists(files, ours), batch_size=None, num_workers=2, multiprocessing_context='spawn')
    shares = (df.cat/(df.cat + df.dog)).tolist()
    assert [y[0].item() for y in loader] == pytest.approx(shares)
    assert ours(files[0])[0].item() == pytest.approx(shares[0])


@pytest.mark.parametrize('copied', [copy.copy, copy.deepcopy], ids=['copy', 'deepcopy'])
def test_a_copied_callback_has_its_sets(pictures, copied):
    "as in a cross-validation, which trains with a copy for each fold"
    _, files, df = pictures
    ours = OODConfidence({'far': files[:3]})
    learns = [trained(loaders(files, reader(df)), cbs=copied(ours)) for _ in range(2)]
    assert [set(l.ood_confidence.history['set']) for l in learns] == [{'valid', 'far'}]*2 and not ours.rows
    twin = copied(learns[0].ood_confidence)
    assert twin.ood == {'far': files[:3]} and twin.history.equals(learns[0].ood_confidence.history)


def test_a_copied_learner_trains_on(pictures):
    _, files, df = pictures
    twin = copy.deepcopy(trained(loaders(files, reader(df)), cbs=OODConfidence(files[:3])))
    with twin.no_bar(), twin.no_logging(): twin.fit(1)
    assert twin.ood_confidence.history.fit.max() == 1 and twin.ood_confidence.learn is twin


def test_a_loaded_callback_says_where_its_sets_went(pictures, tmp_path):
    _, files, df = pictures
    learn = trained(loaders(files, reader(df)), cbs=OODConfidence({'far': files[:3]}))
    learn.export(tmp_path/'learn.pkl')
    loaded = loaded_from(tmp_path/'learn.pkl')
    assert loaded.ood_confidence.history.equals(learn.ood_confidence.history), 'what was measured stays'
    loaded.dls = learn.dls
    with pytest.raises(SoftLabelError, match=r"The OOD set 'far' was left out.*`learn.ood_confidence.ood\['far'\] = files`"), loaded.no_bar(), loaded.no_logging(): loaded.fit(1)
    loaded.ood_confidence.ood['far'] = files[:3]
    with loaded.no_bar(), loaded.no_logging(): loaded.fit(1)
    assert set(loaded.ood_confidence.history.fit) == {0, 1}
