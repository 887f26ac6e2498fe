"What files of annotation tools become: tables written by hand, and what the tools' own libraries make of the same files (scripts/votes_by_tools.py)."
import csv, io, json, re, zipfile
from collections import Counter
from pathlib import Path

import numpy as np, pandas as pd, pytest
from conftest import refused
from fastai_softlabels.datasets import word_ratings
from fastai_softlabels.errors import SoftLabelError, UnknownNameError
from fastai_softlabels.vote_files import (file_names, read_argilla, read_doccano, read_label_studio, read_lewidi, read_mturk, read_prodigy, read_toloka, read_votes,
                                          read_zooniverse)
from fastai_softlabels.votes import votes_to_soft

DATA = Path(__file__).parent/'data'/'votes'


def rows(table, *columns):
    "The rows of a table, missing cells as `None`"
    columns = columns or [c for c in ('item', 'label', 'annotator') if c in table]
    return [tuple(None if pd.isna(v) else v for v in r) for r in table[list(columns)].itertuples(index=False)]


ORDINARY = {
    'zooniverse.csv': [('31', 'Cat', 'ann'), ('31', 'Dog', 'bob'), ('31', 'Cat', 'cem'), ('32', 'Not sure', 'ann'), ('32', 'Dog', 'bob')],
    'by_zooniverse_question_reducer.csv': [('31', 'cat'), ('31', 'cat'), ('31', 'dog'), ('32', 'dog'), ('32', 'not-sure')],
    'label_studio.json': [('/data/upload/1/7f3a90c2-a.png', 'cat', '1'), ('/data/upload/1/7f3a90c2-a.png', 'dog', '2'), ('/data/upload/1/7f3a90c2-a.png', 'cat', '3'),
                          ('/data/upload/1/0123abcd-b.png', 'dog', '1'), ('/data/upload/1/0123abcd-b.png', 'dog', '3')],
    'mturk.csv': [('https://example.org/a.png', 'cat', 'W1'), ('https://example.org/a.png', 'dog', 'W2'), ('https://example.org/b.png', 'cat', 'W1')],
    'toloka.tsv': [('a.png', 'cat', 'w1'), ('a.png', 'dog', 'w2'), ('b.png', 'cat', 'w1')],
    'doccano.zip': [('a.png', 'cat', 'ann'), ('a.png', 'dog', 'bob'), ('a.png', 'cat', 'cem')],
    'prodigy.jsonl': [('a.jpg', 'cat', 'ds-ann'), ('a.jpg', 'dog', 'ds-bob'), ('b.jpg', 'cat', 'ds-ann')],
    'lewidi.json': [('1', '2', 'Ann1'), ('1', '5', 'Ann2'), ('1', '2', 'Ann3'), ('2', '5', 'Ann1')],
}
TOOLS = {'zooniverse': 'Zooniverse', 'by_zooniverse': 'Zooniverse', 'label': 'Label Studio', 'by_label': 'Label Studio', 'by_argilla': 'Argilla', 'mturk': 'MTurk', 'toloka': 'Toloka', 'doccano': 'doccano',
         'prodigy': 'Prodigy', 'lewidi': 'LeWiDi'}


@pytest.mark.parametrize('name', ORDINARY)
def test_ordinary_files(name, capsys):
    table = read_votes(DATA/name)
    assert rows(table) == ORDINARY[name]
    said = capsys.readouterr().out
    assert re.fullmatch(rf'\S*{re.escape(name)} is a file of ([\w ]+), read by `read_\w+`\.\n', said)[1] == next(t for k, t in TOOLS.items() if name.startswith(k))
    annotator = 'annotator' if 'annotator' in table else None
    soft = votes_to_soft(table, 'item', label='label', annotator=annotator)
    assert soft.n_votes.sum() == len(ORDINARY[name])


@pytest.mark.parametrize('name', ['by_label_studio_min.json', 'by_label_studio.csv', 'by_label_studio.tsv'])
def test_formats_of_label_studio_are_one(name):
    if not name.endswith('json'): refused(lambda: read_votes(DATA/name), "which of its columns ['animal'] are answers", '`question=…`')
    said = read_votes(DATA/name, question='animal', key='image')
    assert Counter(rows(said, 'item', 'label', 'annotator', 'created_at')) == Counter(rows(read_label_studio(DATA/'label_studio.json'), 'item', 'label', 'annotator', 'created_at'))


@pytest.mark.parametrize('name', ['by_label_studio_nasty_min.json', 'by_label_studio_nasty.csv', 'by_label_studio_nasty.tsv'])
@pytest.mark.parametrize('question', ['animal', 'quality', 'kind', 'seen'])
def test_nasty_formats_of_label_studio_are_one(name, question):
    with pytest.warns(UserWarning, match='Left out of .*: 1 cancelled annotations, 1 tasks without an annotation'):
        expected = read_label_studio(DATA/'label_studio_nasty.json', question=question, ground_truth=True)
    with pytest.warns(UserWarning, match='1 tasks without an annotation'): found = read_label_studio(DATA/name, question=question)
    assert Counter(rows(found)) == Counter(rows(expected))


COLD, B, C = '/data/local-files/?d=imgs/W%C3%A4rme bild.png', 's3://bucket/b.png', 's3://bucket/c.png'
ANN, BOB = 'ann@example.org', 'bob@example.org'

@pytest.mark.parametrize('question, expected', [('animal', [(COLD, 'Bär', ANN), (COLD, 'cat', BOB), (C, 'cat', ANN)]), ('quality', [(COLD, 4, ANN), (COLD, 2, BOB), (C, None, ANN)]),
                                                ('kind', [(COLD, 'animal/bear', ANN), (COLD, None, BOB), (C, 'animal/cat', ANN), (C, 'plant', ANN)]),
                                                ('seen', [(COLD, 'snow', ANN), (COLD, 'night', ANN), (COLD, None, BOB), (C, 'snow', ANN)])])
def test_questions_of_label_studio(question, expected):
    with pytest.warns(UserWarning, match='1 cancelled annotations, 1 annotations that are ground truth, 1 tasks without an annotation'):
        assert rows(read_label_studio(DATA/'label_studio_nasty.json', question=question)) == expected


def test_several_questions_are_listed_with_answers():
    with pytest.warns(UserWarning, match='Left out'):
        refused(lambda: read_label_studio(DATA/'label_studio_nasty.json'), 'asks several questions', "'animal' (Bär, cat)", "'quality' (4, 2)", "'seen' (snow, night)", "`question='animal'`")
    refused(lambda: read_zooniverse(DATA/'zooniverse_nasty.csv'), "several workflows, {'5': 'Cats', '6': 'Birds, and others'}", '`workflow=5`')
    with pytest.warns(UserWarning, match='Left out'): refused(lambda: read_zooniverse(DATA/'zooniverse_nasty.csv', workflow=5), "'T0' (Bär, Hund)", "'T1' (Schnee, Nacht)", "`task='T0'`")


def test_a_name_that_two_things_have_in_json_min(tmp_path):
    "The task's data have an `animal`, too: unanswered, JSON-MIN shows that"
    record = dict(image='a.png', animal='prelim', id=1, annotator=1, annotation_id=2, created_at=None)
    (tmp_path/'a.json').write_text(json.dumps([record]))
    refused(lambda: read_label_studio(tmp_path/'a.json', question='animal'), "'animal' names one of the data of the tasks", 'Export the project as "JSON"')
    (tmp_path/'a.csv').write_text('_data_animal,animal,annotation_id,annotator,id,image\nprelim,,2,1,1,a.png\nprelim,cat,3,2,1,a.png\n')
    assert rows(read_label_studio(tmp_path/'a.csv', question='animal')) == [('a.png', None, '1'), ('a.png', 'cat', '2')]


# ---- Zooniverse ----

@pytest.mark.parametrize('repeated, first', [('first', 'Bär'), ('last', 'Hund')])
def test_nasty_classifications(repeated, first):
    with pytest.warns(UserWarning) as said: table = read_zooniverse(DATA/'zooniverse_nasty.csv', task='T0', workflow=5, repeated=repeated, key='image_name')
    assert Counter(rows(table)) == Counter([('ä 1.jpg', first, 'Jörg'), ('ä 1.jpg', None, 'not-logged-in-8f3a'), ('ä 1.jpg', 'Bär', 'bob'), ('b.jpg', 'Hund', 'cem'), ('b.jpg', 'Bär', 'ann')])
    assert [str(w.message).split(': ', 1)[-1] for w in said] == ["1 classifications with another version than 3 (`version=`, one of ['2', '3']).",
                                                                 f'1 answers in {DATA/"zooniverse_nasty.csv"} are repeated and left out (`repeated={repeated!r}`).']


def test_an_older_version():
    with pytest.warns(UserWarning, match='6 classifications with another version than 2'): table = read_zooniverse(DATA/'zooniverse_nasty.csv', workflow=5, version=2)
    assert rows(table) == [('31', 'Katze', 'bob')]


def test_the_tenth_version_is_newer_than_the_ninth(tmp_path):
    text = (DATA/'zooniverse.csv').read_text()
    (tmp_path/'a.csv').write_text(text.replace(',3.1,', ',9.7,', 3).replace(',3.1,', ',10.2,'))
    with pytest.warns(UserWarning, match='3 classifications with another version than 10'): assert set(read_zooniverse(tmp_path/'a.csv')['item']) == {'32'}


def test_several_choices_and_a_survey():
    with pytest.warns(UserWarning): table = read_zooniverse(DATA/'zooniverse_nasty.csv', task='T1', workflow=5, repeated='first')
    assert rows(table) == [('31', 'Schnee', 'Jörg'), ('31', 'Nacht', 'Jörg'), ('31', None, 'not-logged-in-8f3a'), ('32', 'Nacht', 'cem')]
    assert rows(read_zooniverse(DATA/'zooniverse_nasty.csv', workflow=6)) == [('41', 'AGOUTI', 'bob'), ('41', 'OCELOT', 'bob'), ('41', None, 'ann')]


def test_marks_are_no_choices():
    with pytest.warns(UserWarning): refused(lambda: read_zooniverse(DATA/'zooniverse_nasty.csv', task='T2', workflow=5), "The answers to 'T2'", "'tool': 0", "as of ['T0', 'T1']")


def slug(label): return label.lower().replace('ä', 'a').replace(' ', '-')

@pytest.mark.parametrize('name, task', [('zooniverse', 'T0'), ('zooniverse_nasty', 'T0'), ('zooniverse_nasty', 'T1')])
def test_extracts_by_panoptes_aggregation(name, task):
    "It extracts each classification of the version; it does not look into combined tasks, and calls who skipped `None`"
    extracts = pd.read_csv(DATA/f'by_{name}_question_extractor.csv', dtype=str)
    if 'nasty' in name: extracts = extracts[~extracts.classification_id.isin(['3', '8'])] # repeated; combined
    extracts = extracts[extracts.task == task]
    expected = Counter((r.subject_id, c.removeprefix('data.'), r.user_name) for _, r in extracts.iterrows() for c in extracts if c.startswith('data.') and r[c] == '1.0' and c != 'data.None')
    if 'nasty' in name:
        with pytest.warns(UserWarning, match='another version than 3'): table = read_zooniverse(DATA/f'{name}.csv', workflow=5, task=task, repeated='first')
        table = table[table.annotator != 'cem'] # who answered a combined task
    else: table = read_zooniverse(DATA/f'{name}.csv')
    found = Counter((item, slug(label), who) for item, label, who in rows(table) if label is not None)
    assert found == expected


def test_a_reduction_counts_repeated_votes_and_who_skipped():
    "As panoptes_aggregation 5.3.1 does; what it calls `None` is no class, its version no count"
    path = DATA/'by_zooniverse_nasty_question_reducer.csv'
    assert Counter(rows(read_zooniverse(path, task='T0'))) == Counter({('31', 'bar'): 2, ('31', 'hund'): 1, ('32', 'bar'): 1})
    assert Counter(rows(read_zooniverse(path, task='T1'))) == Counter({('31', 'nacht'): 2, ('31', 'schnee'): 1})
    refused(lambda: read_zooniverse(path), "'T0' (bar, hund); 'T1' (schnee, nacht)")


def test_two_subjects_of_one_name(tmp_path):
    (tmp_path/'a.csv').write_text((DATA/'zooniverse.csv').read_text().replace('b.jpg', 'a.jpg'))
    refused(lambda: read_zooniverse(tmp_path/'a.csv', key='image_name'), 'Row 5 of', "'a.jpg' is the name of item 32, and of item 31 (Row 2", 'leave one of them out')
    assert set(read_zooniverse(tmp_path/'a.csv')['item']) == {'31', '32'}


# ---- the others ----

def test_nasty_batch():
    refused(lambda: read_mturk(DATA/'mturk_nasty.csv'), 'several fields that may name the item', "['image_url', 'site']", "`key='image_url'`")
    with pytest.warns(UserWarning) as said: table = read_mturk(DATA/'mturk_nasty.csv', key='image_url', question='animal', repeated='last')
    url = 'https://example.org/ä.png?size=2'
    assert rows(table) == [(url, 'Bär', 'W1'), (url, 'NA', 'W3')] # the later one stands before the earlier in the file
    assert ["1 assignments with the status 'Rejected'" in str(said[0].message), 'repeated' in str(said[1].message)] == [True, True]
    assert table.created_at[0] == pd.Timestamp('2026-01-02 18:00:00', tz='UTC')
    with pytest.warns(UserWarning): seen = read_mturk(DATA/'mturk_nasty.csv', key='image_url', question='seen', repeated='first')
    assert Counter(rows(seen)) == Counter([(url, 'night', 'W1'), (url, None, 'W3')])


def test_summer_time(): assert read_mturk(DATA/'mturk.csv').created_at[2] == pd.Timestamp('2026-07-02 17:02:00', tz='UTC')


def test_nasty_pool():
    with pytest.warns(UserWarning, match="1 control tasks, whose answer was known, 1 assignments with the status 'REJECTED'"): table = read_toloka(DATA/'toloka_nasty.tsv')
    assert rows(table) == [('/b/ä.png', 'Bär', 'w1'), ('/b/ä.png', None, 'w2'), ('/b/ä.png', 'dog', 'w4')]


def test_responses_of_argilla():
    u1, u2 = (f'{i}1111111-1111-1111-1111-111111111111' for i in (1, 2))
    table = pd.read_json(DATA/'by_argilla.jsonl', lines=True)
    for given in (DATA/'by_argilla.jsonl', table):
        with pytest.warns(UserWarning, match="1 responses with the status 'draft', 1 responses with the status 'discarded'"): found = read_argilla(given)
        assert rows(found) == [('r1', 'yes', u1), ('r1', 'no', u2), ('r2', 'no', u1)]
    with pytest.warns(UserWarning): assert set(read_argilla(table, key='text')['item']) == {'Oh, great.', 'Größe'}
    refused(lambda: read_argilla(DATA/'by_argilla_records.json'), 'does not say which responses were submitted', '`records.to_datasets()`')
    nasty = DATA/'by_argilla_nasty.jsonl'
    assert rows(read_argilla(nasty, question='seen')) == [('r1', 'snow', u1), ('r1', 'night', u1), ('r1', None, u2)]
    assert rows(read_argilla(nasty, question='grade')) == [('r1', 4, u1)]


def test_argilla_through_other_files(tmp_path):
    "Arrow, and with it `datasets`, gives arrays; a CSV has lists as texts of several forms"
    table = pd.read_json(DATA/'by_argilla.jsonl', lines=True)
    arrays = table.map(lambda o: np.array(o, dtype=object) if isinstance(o, list) else o)
    with pytest.warns(UserWarning, match='Left out of the table'): pd.testing.assert_frame_equal(read_argilla(arrays), read_argilla(table))
    table.to_json(tmp_path/'a.json', orient='records')
    with pytest.warns(UserWarning): assert len(read_votes(tmp_path/'a.json')) == 3
    texts = table.map(lambda o: str(o) if isinstance(o, list) else o)
    refused(lambda: read_argilla(texts), "a text in 'irony.responses'", 'not as CSV')


def test_who_answers_twice_where_there_are_no_times(tmp_path):
    line = json.dumps(dict(id=1, text='A', label=['pos'])) + '\n'
    (tmp_path/'ann.jsonl').write_text(line + line)
    refused(lambda: read_doccano(tmp_path/'ann.jsonl'), "annotator 'ann' answered ['pos'] for item 'A'", 'which was first the file does not say', 'Drop one')


def test_members_of_doccano():
    with pytest.warns(UserWarning, match='1 examples without a class, which a member skipped, or named none'): table = read_doccano(DATA/'doccano_nasty'/'Jörg.jsonl')
    assert rows(table) == [('Grüß Gott', 'greeting', 'Jörg'), ('Grüß Gott', 'dialect', 'Jörg')]
    assert rows(read_votes(DATA/'doccano_nasty'/'all.jsonl')) == [('Grüß Gott', 'greeting')]
    refused(lambda: read_doccano(DATA/'doccano_nasty'), 'all.jsonl, which is by everybody', 'Jörg')
    refused(lambda: read_doccano(DATA.parent), 'holds no file with the ending .jsonl', 'as "JSONL"')
    refused(lambda: read_doccano(['a', 'b']), 'is no path')


def test_archives_of_doccano(tmp_path):
    line = json.dumps(dict(id=1, text='A', label=['pos'])) + '\n'
    def zipped(**files):
        with zipfile.ZipFile(tmp_path/'a.zip', 'w') as z: [z.writestr(name, text) for name, text in files.items()]
        return tmp_path/'a.zip'
    assert rows(read_votes(zipped(**{'x/ann.jsonl': line, '__MACOSX/x/._ann.jsonl': b'\xff\xff', 'x/admin.jsonl': '', 'readme.txt': 'x'}))) == [('A', 'pos', 'ann')]
    refused(lambda: read_doccano(zipped(**{'x/ann.jsonl': line, 'y/ann.jsonl': line})), "several files of 'ann'")
    refused(lambda: read_doccano(zipped(**{'ann.jsonl': b'\xff'})), 'ann.jsonl in', 'not written in UTF-8')
    refused(lambda: read_votes(zipped(**{'[Content_Types].xml': ''})), 'without a file of JSON lines', 'CSV UTF-8')
    refused(lambda: read_votes(zipped(**{'a.csv': ''})), "it holds ['a.csv']", 'Unpack it')


def test_spans_of_doccano(tmp_path):
    (tmp_path/'ann.jsonl').write_text('{"id": 1, "text": "Ann is here.", "label": [[0, 3, "PER"]]}\n')
    refused(lambda: read_doccano(tmp_path/'ann.jsonl'), 'no choices in any of them; what it has is', "[[0, 3, 'PER']]")


def test_nasty_choices_of_prodigy():
    with pytest.warns(UserWarning, match='Left out of'): refused(lambda: read_prodigy(DATA/'prodigy_nasty.jsonl'), "Line 5 of", "annotator 'ds-Jörg' answered ['dog'] for item 'ä.jpg'", "and ['cat', 'dog'] too (Line 1 of", "`repeated='first'`")
    with pytest.warns(UserWarning, match="1 examples with the answer 'ignore', 1 examples with the answer 'reject'"): table = read_prodigy(DATA/'prodigy_nasty.jsonl', repeated='last')
    assert rows(table) == [('ä.jpg', 'cat', 'ds-Jörg'), ('ä.jpg', 'dog', 'ds-Jörg'), ('ä.jpg', None, 'ds-bob')]
    assert table.created_at[0] == pd.Timestamp('2026-01-02 10:00:00', tz='UTC')


def test_yes_or_no_of_prodigy():
    with pytest.warns(UserWarning, match="'ignore'"): refused(lambda: read_prodigy(DATA/'prodigy_binary.jsonl'), "'IRONY' (accept, reject); 'SPAM' (reject)")
    with pytest.warns(UserWarning): assert rows(read_prodigy(DATA/'prodigy_binary.jsonl', question='IRONY')) == [('A', 'accept', 'ann'), ('A', 'reject', 'bob')]


def test_nasty_lewidi():
    with pytest.warns(UserWarning, match='1 examples without annotations'): table = read_lewidi(DATA/'lewidi_nasty.json')
    assert rows(table) == [('a7', 'contradiction', 'Ann1'), ('a7', 'neutral', 'Ann1'), ('a7', 'entailment', 'Ann2')]
    with pytest.warns(UserWarning): assert set(read_lewidi(DATA/'lewidi_nasty.json', key='context')['item']) == {'Ä'}
    shares = votes_to_soft(read_lewidi(DATA/'lewidi.json'), 'item', label='label', annotator='annotator').loc['1', ['2', '5']]
    np.testing.assert_allclose(shares.astype(float), [2/3, 1/3], rtol=0, atol=1e-12) # .67 and .33 in the file


# ---- what is refused ----

CUT = {'zooniverse.csv': -40, 'label_studio.json': -40, 'mturk.csv': -10, 'prodigy.jsonl': -10, 'lewidi.json': -10}

@pytest.mark.parametrize('name', CUT)
def test_half_a_file(name, tmp_path):
    (tmp_path/name).write_bytes((DATA/name).read_bytes()[:CUT[name]])
    refused(lambda: read_votes(tmp_path/name), name, 'Export it anew')


FILES = {read_zooniverse: 'zooniverse.csv', read_label_studio: 'label_studio.json', read_argilla: 'by_argilla.jsonl', read_mturk: 'mturk.csv', read_toloka: 'toloka.tsv', read_doccano: 'doccano.zip',
         read_prodigy: 'prodigy.jsonl', read_lewidi: 'lewidi.json'}

@pytest.mark.parametrize('reader', FILES, ids=lambda r: r.__name__)
def test_the_file_of_another_tool(reader):
    for other, name in FILES.items():
        if other is reader: continue
        with pytest.raises((SoftLabelError, UnknownNameError)) as e: reader(DATA/name)
        assert name in str(e.value)


@pytest.mark.parametrize('text, words', [('', ['no tool that is known', 'Known are Zooniverse']), ('a,b\n1,2\n', ["its names are ['a', 'b']"]), ('{"a": 1}', ["its names are ['a']"]), ('[]', ['no tool that is known']), ('[1]', ['no tool'])])
def test_a_file_of_no_tool(text, words, tmp_path):
    (tmp_path/'a.txt').write_text(text)
    refused(lambda: read_votes(tmp_path/'a.txt'), 'a.txt', *words)


def test_other_files(tmp_path):
    refused(lambda: read_votes(tmp_path/'none.csv'), 'does not exist', error=FileNotFoundError)
    refused(lambda: read_votes(['a', 'b']), 'is no path', 'pd.concat(map(read_votes, paths))')
    (tmp_path/'a.gz').write_bytes(b'\x1f\x8b\x08\x00\xff\xff')
    refused(lambda: read_votes(tmp_path/'a.gz'), 'not written in UTF-8', 'unpack it')
    refused(lambda: read_votes(DATA/'sagemaker.manifest'), 'SageMaker Ground Truth', 'no votes')


NOTHING = {'zooniverse.csv': lambda t: t.partition('\n')[0] + '\n', 'label_studio.json': lambda t: '[]', 'mturk.csv': lambda t: t.partition('\n')[0] + '\n'}

@pytest.mark.parametrize('name', NOTHING)
def test_a_file_without_annotations(name, tmp_path):
    (tmp_path/name).write_text(NOTHING[name]((DATA/name).read_text()))
    reader = next(r for r, n in FILES.items() if n == name)
    refused(lambda: reader(tmp_path/name), name, 'Export it anew')


def test_unknown_names():
    refused(lambda: read_zooniverse(DATA/'zooniverse.csv', task='T1'), "no task 'T1'", "['T0']", error=UnknownNameError)
    refused(lambda: read_zooniverse(DATA/'zooniverse.csv', workflow=6), 'no workflow 6', "'5': 'Cats'", error=UnknownNameError)
    refused(lambda: read_zooniverse(DATA/'zooniverse.csv', version=2), 'no version 2', "['3']", error=UnknownNameError)
    refused(lambda: read_zooniverse(DATA/'zooniverse.csv', key='image'), "Row 2 of", "no 'image' in its data", 'image_name', error=UnknownNameError)
    refused(lambda: read_mturk(DATA/'mturk.csv', key='url'), "no 'url'", 'image_url', error=UnknownNameError)
    refused(lambda: read_mturk(DATA/'mturk.csv', repeated='all'), "repeated is 'all'", "'error', 'first' or 'last'")
    refused(lambda: read_zooniverse(DATA/'by_zooniverse_question_reducer.csv', key='image_name'), 'is a reduction', '`key=` cannot be followed', 'classification export')
    refused(lambda: read_zooniverse(DATA/'by_zooniverse_question_reducer.csv', repeated='last'), 'is a reduction', '`repeated=` cannot be followed')


# ---- what two readers of this code found ----

CSV = 'classification_id,user_name,workflow_id,workflow_version,created_at,gold_standard,annotations,subject_data,subject_ids\n'

def zooniverse(tmp_path, *rows):
    "A classification export of these (user, annotations, subject, created_at, gold_standard)"
    out = io.StringIO()
    csv.writer(out).writerows([[i, user, 5, '1.1', when, gold, json.dumps(annotations), json.dumps({subject: {}}), subject] for i, (user, annotations, subject, when, gold) in enumerate(rows)])
    (tmp_path/'z.csv').write_text(CSV + out.getvalue())
    return tmp_path/'z.csv'


def test_answers_about_marks(tmp_path):
    marks = [dict(task='T0', taskType='drawing', value=[dict(x=1)]), dict(task='T0.0.0', taskType='single', markIndex=0, value=0), dict(task='T1', value='Yes')]
    path = zooniverse(tmp_path, ('ann', marks, '1', '2026-01-01 10:00:00 UTC', ''))
    assert rows(read_zooniverse(path)) == [('1', 'Yes', 'ann')]
    refused(lambda: read_zooniverse(path, task='T0.0.0'), "The answers to 'T0.0.0'", 'about a mark')


def test_gold_standard_classifications(tmp_path):
    path = zooniverse(tmp_path, ('ann', [dict(task='T0', value='Cat')], '1', '', ''), ('pro', [dict(task='T0', value='Dog')], '1', '', 'true'))
    with pytest.warns(UserWarning, match='1 gold standard classifications'): assert rows(read_zooniverse(path)) == [('1', 'Cat', 'ann')]


def test_cells_that_are_cut_or_too_many(tmp_path):
    for change, words in ((lambda t: t[:t.rindex(',')], ['Row 6 of', '13 cells', 'row of names 14']), (lambda t: t.replace('\n', ',\n').replace(',\n', '\n', 1), ['Row 2 of', '15 cells'])):
        (tmp_path/'z.csv').write_text(change((DATA/'zooniverse.csv').read_text()))
        refused(lambda: read_zooniverse(tmp_path/'z.csv'), *words, 'Export it anew')
    reduction = (DATA/'by_zooniverse_question_reducer.csv').read_text()
    (tmp_path/'r.csv').write_text(reduction + reduction.splitlines()[1] + '\n')
    refused(lambda: read_zooniverse(tmp_path/'r.csv'), 'Row 4 of', 'reduces a subject and task that stood before')


def test_files_that_a_spreadsheet_saved(tmp_path):
    "With semicolons, and the ends of lines of Windows"
    table = pd.read_csv(DATA/'mturk.csv', dtype=str, keep_default_na=False)
    table.to_csv(tmp_path/'m.csv', sep=';', index=False, lineterminator='\r\n', encoding='utf-8-sig')
    assert rows(read_votes(tmp_path/'m.csv')) == ORDINARY['mturk.csv']


@pytest.mark.parametrize('times', [('2026-01-02T10:00:00Z', 'yesterday'), ('02/01/2026 10:00', '01/01/2026 10:00'), (1767348000, 1767348000000), (None, '2026-01-02T10:00:00Z'), ('', '')], ids=str)
def test_times_that_do_not_say_which_was_first(times, tmp_path):
    lines = [dict(image='a', accept=[c], answer='accept', _annotator_id='ann', _timestamp=t) for c, t in zip(('cat', 'dog'), times)]
    (tmp_path/'p.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    refused(lambda: read_prodigy(tmp_path/'p.jsonl', repeated='last'), 'which was first the file does not say', 'Drop one')


def test_two_items_of_one_name(tmp_path):
    tasks = [dict(id=i, data=dict(image='a.png'), annotations=[dict(completed_by=i, result=[dict(type='choices', from_name='q', value=dict(choices=['yes']))])]) for i in (1, 2)]
    (tmp_path/'l.json').write_text(json.dumps(tasks))
    refused(lambda: read_label_studio(tmp_path/'l.json'), "Task 2 in", "'a.png' is the name of item 2, and of item 1", '`key=`')
    lines = [dict(text='A', accept=['x'], answer='accept', _annotator_id=str(i), _input_hash=i) for i in (1, 2)]
    (tmp_path/'p.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    refused(lambda: read_prodigy(tmp_path/'p.jsonl'), "'A' is the name of item 2")


def test_rejected_in_the_table(tmp_path):
    table = pd.read_csv(DATA/'mturk.csv', dtype=str, keep_default_na=False)
    table.loc[1, 'Reject'] = 'spammer'
    table.to_csv(tmp_path/'m.csv', index=False)
    with pytest.warns(UserWarning, match="1 assignments with something in the column 'Reject'"): assert len(read_mturk(tmp_path/'m.csv')) == 2


def test_answers_of_another_form_are_no_letters(tmp_path):
    def prodigy(**kw):
        (tmp_path/'p.jsonl').write_text(json.dumps(dict(dict(image='a', answer='accept', _annotator_id='x'), **kw)))
        return tmp_path/'p.jsonl'
    for kw in (dict(accept='CAT'), dict(accept=None), dict(label=['a'])): refused(lambda: read_prodigy(prodigy(**kw)), 'neither choices nor a label')
    assert rows(read_prodigy(prodigy(accept=['cat'], label='gold'))) == [('a', 'cat', 'x')]
    table = pd.read_csv(DATA/'mturk.csv', dtype=str, keep_default_na=False)
    table['Answer.category.label'] = '[{"choices": {"cat": true, "dog": false}}]'
    table.to_csv(tmp_path/'m.csv', index=False)
    refused(lambda: read_mturk(tmp_path/'m.csv'), 'no choices in any of them')
    def result(kind, value): return [dict(id=1, data=dict(image='a'), annotations=[dict(completed_by=1, result=[dict(type=kind, from_name='q', value={kind: value})])])]
    for kind, value in (('taxonomy', ['cat']), ('choices', [['a', 'b']]), ('choices', {'a': 1})):
        (tmp_path/'l.json').write_text(json.dumps(result(kind, value)))
        refused(lambda: read_label_studio(tmp_path/'l.json'), 'no choices in any of them')


def test_lines_end_where_json_says(tmp_path):
    (tmp_path/'p.jsonl').write_text(json.dumps(dict(text='A\u2028B\x85C', accept=['x'], answer='accept'), ensure_ascii=False) + '\n', encoding='utf-8')
    assert read_prodigy(tmp_path/'p.jsonl')['item'].tolist() == ['A\u2028B\x85C']


def test_data_that_are_called_as_label_studio_calls_its_own(tmp_path):
    record = dict(image='a.png', id=1, animal='cat', annotator=1, annotation_id=2, created_at=None)
    for records in ([{'id': 5, **record}], [{'annotator': 'x', **record}]):
        (tmp_path/'m.json').write_text(json.dumps(records))
        refused(lambda: read_label_studio(tmp_path/'m.json'), 'called `id` or `annotator`', 'Export the project as "JSON"')


@pytest.mark.parametrize('name, old, new', [('zooniverse.csv', '"[{', '"null'), ('zooniverse.csv', '""task"":', '""tusk"":'), ('prodigy.jsonl', '"image": "a.jpg"', '"image": {}'), ('lewidi.json', '"Ann1": "2"', '"Ann1": ["2"]'),
                                            ('lewidi.json', '"text":', '"txt":')])
def test_records_of_another_form(name, old, new, tmp_path):
    text = (DATA/name).read_text()
    assert old in text
    if new == '"null': text = re.sub(r'"\[\{.*?\}\]"', 'null', text)
    (tmp_path/name).write_text(text.replace(old, new))
    kw = dict(key='context') if 'txt' in new else {}
    refused(lambda: read_votes(tmp_path/name, **kw), name, error=(SoftLabelError, UnknownNameError))


def test_one_bad_row_among_many(tmp_path):
    header, *lines = (DATA/'mturk.csv').read_text().splitlines()
    many = [lines[0].replace('"W1"', f'"W{i}"') for i in range(20_000)]
    many[12_345] = many[12_345].replace('https://example.org/a.png', '')
    (tmp_path/'many.csv').write_text('\n'.join([header, *many]))
    refused(lambda: read_mturk(tmp_path/'many.csv'), 'Row 12347 of', "has '' as its 'Input.image_url'")


def test_a_picture_is_no_name(tmp_path):
    (tmp_path/'a.jsonl').write_text('{"image": "data:image/png;base64,AAAA", "path": "a.png", "accept": ["cat"], "answer": "accept"}\n')
    refused(lambda: read_prodigy(tmp_path/'a.jsonl'), 'the bytes of a picture', "`key='path'`")
    assert rows(read_prodigy(tmp_path/'a.jsonl', key='path')) == [('a.png', 'cat')]


# ---- file names ----

@pytest.mark.parametrize('item, name', [('/data/upload/1/7f3a90c2-a.png', 'a.png'), ('/data/upload/1/7f3a90c2-my%20cat.png', 'my cat.png'), ('/data/local-files/?d=imgs/W%C3%A4rme.png', 'Wärme.png'), ('s3://bucket/x/a.png', 'a.png'),
                                        ('https://example.org/x/a.png?size=2&d=3#top', 'a.png'), ('https://example.org/x/a.png?size=2', 'a.png'), ('a.png', 'a.png'), ('x\\a.png', 'a.png'), ('/home/me/7f3a90c2-a.png', '7f3a90c2-a.png'), (31, '31'), ('IMG#12.png', 'IMG#12.png'), ('NGC:4321?.jpg', 'NGC:4321?.jpg'), ('100%25.png', '100%25.png'),
                                        ('/data/local-files/?d=imgs%5Ca+b.png', 'a+b.png'), ('http://[x/a.png', 'a.png')])
def test_names_of_files(item, name): assert file_names([item, item]) == [name, name]


def test_names_that_are_none():
    for item in ('s3://bucket/', None, float('nan')): refused(lambda: file_names([item]), 'holds no name of a file')
    refused(lambda: file_names(['s3://ann/a.png', 's3://bob/a.png']), "both have files named 'a.png'", 'Keep more of their paths')
    assert file_names(pd.Series(['x/b.png', 'y/a.png', 'x/b.png'])) == ['b.png', 'a.png', 'b.png']


def test_ten_peoples_ratings_come_back(tmp_path):
    words = pd.read_csv(word_ratings()/'votes.csv', keep_default_na=False)[::15]
    grades = list(words.columns[1:])
    def example(row):
        given = np.repeat(grades, row[grades].tolist())
        return dict(text=row.word, annotators=','.join(f'p{i}' for i in range(len(given))), annotations={f'p{i}': g for i, g in enumerate(given)},
                    soft_label={g: round(n/len(given), 2) for g, n in row[grades].items()})
    file = tmp_path/'words.json'
    file.write_text(json.dumps({str(i): example(row) for i, row in words.iterrows()}))
    table = read_lewidi(file)
    assert len(table) == words[grades].sum().sum() and set(table.annotator) == {f'p{i}' for i in range(table.annotator.nunique())}
    soft = votes_to_soft(table, 'item', label='label', annotator='annotator', vocab=grades)
    by_counts = votes_to_soft(words.assign(item=words.index.astype(str)), 'item', counts=grades)
    pd.testing.assert_frame_equal(soft, by_counts.loc[soft.index])


def test_the_record_at_fault_is_named(tmp_path):
    records = json.loads((DATA/'by_label_studio_min.json').read_text())
    records[1]['image'] = ''
    file = tmp_path/'min.json'
    file.write_text(json.dumps(records))
    refused(lambda: read_label_studio(file), f'Record 2 of {file}')
