"The lecturer's folder: what is generated is in step with the tutorials, and what a class does with it works."
import ast, json, re, shutil, sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat, numpy as np, pandas as pd, pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'scripts'))
import copies, course, make_teach

TEACH = ROOT/'teach'
TUTORIALS = course.tutorials(ROOT)
by_tutorial = pytest.mark.parametrize('tutorial', TUTORIALS, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list: return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]

def code(path: Path) -> list: return [copies.without_directives(s) for s in cells(path, 'code')]

def files(folder: Path) -> dict: return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file() and '.ipynb_checkpoints' not in p.parts}

@pytest.fixture(scope='module')
def lessons() -> dict: return {l.number: l for l in map(make_teach.read_lesson, TUTORIALS)}


def test_all_is_in_step_with_the_tutorials(tmp_path):
    for name in 'nbs/tutorials', 'teach': shutil.copytree(ROOT/name, tmp_path/name)
    shutil.copy(ROOT/'settings.ini', tmp_path)
    (tmp_path/'teach/clean/99_gone.ipynb').write_text('{}')
    make_teach.make_teach(tmp_path)
    made, stored = files(tmp_path/'teach'), files(TEACH)
    assert [n for n in sorted({*made, *stored}) if made.get(n) != stored.get(n)] == [], 'run `make teach`'
    assert max(len(data) for name, data in made.items()) < 200_000


# student and clean copies
@by_tutorial
class TestCopies:
    def test_gaps_filled_with_what_stood_there_are_the_tutorial(self, tutorial):
        numbers = copies.read_gaps((TEACH/'gaps.txt').read_text())
        holes = [c for c in code(TEACH/'student'/tutorial.name) if copies.TURN in c]
        assert 2 <= sum(c.count(copies.TURN) for c in holes) == len(numbers[tutorial.stem[:2]])
        whole, copy = code(tutorial), '\n'.join(c.source for c in nbformat.read(TEACH/'student'/tutorial.name, as_version=4).cells)
        for hole in holes:
            parts = [re.escape(p) for p in hole.split(copies.TURN)]
            filled = [m for c in whole if (m := re.fullmatch('(.+)'.join(parts), c, re.S))]
            assert len(filled) == 1, hole
            for answer in filled[0].groups():
                ast.parse(answer, mode='eval')
                assert answer not in copy, f'the copy says what belongs into a gap: {answer}'
            whole.remove(filled[0].string)
        assert set(whole) <= set(code(TEACH/'student'/tutorial.name))

    def test_a_student_copy_parses_and_gives_nothing_away(self, tutorial):
        nb = nbformat.read(TEACH/'student'/tutorial.name, as_version=4)
        nbformat.validate(nb)
        for c in nb.cells:
            if c.cell_type == 'code': ast.parse(re.sub(r'^\s*[%!].*$', '', c.source, flags=re.M))
        assert not any(c.get('outputs') or c.get('execution_count') for c in nb.cells)
        text = '\n'.join(c.source for c in nb.cells)
        assert 'solutions/' not in text and '<summary>Answers' not in text and '**Your prediction:**' in text and text.count('**Your answers:**') == 1
        assert '<summary>Hint' in text

    def test_links_of_a_student_copy_lead_somewhere(self, tutorial):
        for text in cells(TEACH/'student'/tutorial.name, 'markdown'):
            for target in re.findall(r'\]\((?!https?:|#)([^)#\s]+)', text): assert (TEACH/'student'/target).exists(), target

    def test_a_clean_copy_has_headings_and_code(self, tutorial):
        titles = re.findall(r'^#+ .+$', '\n'.join(cells(tutorial, 'markdown')).partition('\n## Conclusion')[0], re.M)
        assert '\n\n'.join(cells(TEACH/'clean'/tutorial.name, 'markdown')).split('\n\n') == titles
        def statements(source, checks=True): return [ast.unparse(n) for n in ast.parse(source).body if checks or not isinstance(n, ast.Assert)]
        kept = [statements(c.source, 'code-fold: true' not in c.source) for c in nbformat.read(tutorial, as_version=4).cells if c.cell_type == 'code' and c.id != course.SETUP]
        clean = code(TEACH/'clean'/tutorial.name)
        assert [statements(source) for source in clean] == [k for k in kept if k] and not any('#|' in source for source in clean)


def made(*sources) -> list: return [new_code_cell(s) for s in sources]

def test_a_gap_takes_the_place_of_a_value_or_of_what_is_returned():
    nb = made('#| code-fold: true\nassert x', 'a = 1\nx, y = f(2), 3 # both', 'def g(z):\n    x = 1\n    return z + 1', 'x = 4', 'long = h(1,\n         2)\nlong')
    copies.put_gaps(nb, ['x', 'g', 'long'], '01_some')
    turn = '...  # your turn'
    assert [c.source for c in nb[1:]] == [f'a = 1\nx, y = {turn} # both', f'def g(z):\n    x = 1\n    return {turn}', 'x = 4', f'long = {turn}\nlong']

@pytest.mark.parametrize('names,words', [(['z'], '01_some has no `z = …`'), (['f'], 'has no `f = …`, and no function `f` that returns'), (['x'], 'answer to `x`, f\\(2\\), stands twice')])
def test_a_gap_that_cannot_be_is_named(names, words):
    with pytest.raises(ValueError, match=words): copies.put_gaps(made('x = f(2)\nprint(f(2))', 'def f(): pass'), names, '01_some')

def test_gaps_are_read_by_line(): assert copies.read_gaps('# names\n\n01 a b # two\n12 c\n') == {'01': ['a', 'b'], '12': ['c']}

@pytest.mark.parametrize('link,there', [('../21_calibrate.ipynb', '../../nbs/21_calibrate.ipynb'), ('02_next.ipynb', '02_next.ipynb'), ('../../results/a.csv', '../../results/a.csv'), ('https://a.b/c', 'https://a.b/c')])
def test_links_from_the_copies_folder(link, there): assert copies.relink(f'[`a`]({link})') == f'[`a`]({there})'


# what a tutorial says of itself
OPENING = '''A question?

**You will learn** to do one thing; and to do another.

**Before this**: [First](01_first.ipynb), [Second](02_second.ipynb#here).

**Time**: about 20 minutes to read, 65 seconds to run on two CPU cores.'''
CLOSING = '''## Questionnaire

1. What is $\\frac{a}{b}$ of [`f`](../02_core.ipynb)?
2. Is $x^2 \\le -\\log p_c$?

<details><summary>Answers</summary>

1. It is `a < b`.
2. Yes.
</details>'''

@pytest.fixture
def tutorial(tmp_path):
    def write(opening=OPENING, closing=CLOSING):
        path = tmp_path/'03_third.ipynb'
        nbformat.write(new_notebook(cells=[new_markdown_cell(s) for s in ('# Third & last\n\n> About it', opening, closing)]), path)
        return path
    return write

def test_what_a_lesson_says_of_itself(tutorial):
    l = make_teach.read_lesson(tutorial())
    assert (l.number, l.label, l.needs, l.read, l.run, l.minutes) == (3, '3. Third & last', {1, 2}, 20, 65, 22)
    assert l.learn == 'to do one thing; and to do another.' and l.asked.strip().startswith('1. What') and l.answers.strip().endswith('2. Yes.')

@pytest.mark.parametrize('line', ['**You will learn**', '**Before this**', '**Time**', '## Questionnaire', '<details>'])
def test_a_lesson_that_lacks_a_line_is_named(tutorial, line):
    with pytest.raises(ValueError, match='03_third.ipynb lacks a line'): make_teach.read_lesson(tutorial(OPENING.replace(line, ''), CLOSING.replace(line, '')))

def test_a_lesson_needs_only_earlier_ones(tutorial):
    with pytest.raises(ValueError, match='needs lesson 4, which does not come before it'): make_teach.read_lesson(tutorial(OPENING.replace('02_second', '04_fourth')))


# what needs what
def lesson(number, needs=()): return make_teach.Lesson(Path(f'{number:02}_name.ipynb'), f'Lesson <{number}>', 'to learn', set(needs), 10, 61, '1. ?', '1. !')

def test_what_follows_from_others_is_no_arc():
    small = {n: lesson(n, needs) for n, needs in enumerate([(), (0,), (0, 1), (1, 2)])}
    assert make_teach.edges(small) == [(0, 1), (1, 2), (2, 3)]
    assert make_teach.in_words(small) == 'What needs what. Lesson 1 needs 0. Lesson 2 needs 1. Lesson 3 needs 2.'

def test_the_picture_has_every_lesson_and_arc(lessons):
    tree = ET.fromstring((TEACH/'needs.svg').read_text())
    found = [''.join(e.itertext()) for e in tree.iter('{http://www.w3.org/2000/svg}text')]
    assert found == [l.label for l in lessons.values()]
    assert len(list(tree.iter('{http://www.w3.org/2000/svg}path'))) == 2*len(make_teach.edges(lessons)) > 0


# the page, and its plans
PLAN = re.compile(r'^### (.+?) \((?:(\d+) h )?(\d+) min\b[^)]*\)\n(.*?)(?=^#|\Z)', re.M | re.S)

def plans() -> dict:
    "Name → minutes, and numbers of its lessons in their order"
    found = PLAN.findall((TEACH/'README.md').read_text())
    return {name: (60*int(h or 0) + int(m), [int(n) for n in re.findall(r'min: (\d+)\. \[', text)]) for name, h, m, text in found}

def test_plans_fit_their_time(lessons):
    (short, _), (day, _), (_, semester) = plans().values()
    assert 70 <= short <= 90 and 240 <= day <= 360 and sorted(semester) == list(lessons)

def test_plans_need_no_lesson_that_comes_later_or_not_at_all(lessons):
    for name, (_, order) in plans().items():
        assert order and all(lessons[n].needs <= set(order[:i]) for i, n in enumerate(order)), name

def test_minutes_are_summed_by_section():
    small = {6: lesson(6)}
    assert make_teach.fill('### A ({sum})\n- {6}\n- {+50}: rest', small) == '### A (1 h 2 min)\n- 12 min: 6. [Lesson <6>](../nbs/tutorials/06_name.ipynb)\n- 50 min: rest'

@pytest.mark.parametrize('page', [TEACH/'README.md', TEACH/'glossary.md', TEACH/'class_votes'/'README.md'], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r'\]\((?!https?:|#)([^)#\s]+)', text): assert (page.parent/target).exists(), target
    assert re.findall(r'\{[^}]*\}', text) == [], 'a place that nothing filled'
    headings = {re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-') for h in re.findall(r'^#+ (.+)$', text, re.M)}
    assert set(re.findall(r'\]\(#([^)]+)\)', text)) <= headings


# the glossary
TERM = re.compile(r'^- \*\*(.+?)\*\*: (.+)\. \(\[lesson (\d+)\]\(\.\./nbs/tutorials/(\S+?)\)(?:, \[`(\w+)`\]\(\.\./(nbs/\w+\.ipynb)\))?\)$')

def test_glossary_is_in_order_and_leads_to_what_it_names():
    lines = [l for l in (TEACH/'glossary.md').read_text().split('\n') if l.startswith('- ')]
    terms = [TERM.match(l) for l in lines]
    assert [l for l, m in zip(lines, terms) if not m] == []
    names = [m[1].lower() for m in terms]
    assert names == sorted(names) and len(set(names)) == len(names) > 40
    for m in terms:
        text = '\n'.join(cells(ROOT/'nbs'/'tutorials'/m[4], 'markdown')).lower().replace('$\\alpha$', 'α')
        word = re.sub(r' \(.*', '', m[1]).lower()
        assert word in text or re.sub(r'.*\((.*)\)', r'\1', m[1]).lower() in text, f'{m[4]} does not say {word}'
        assert int(m[3]) == int(m[4][:2]) and (not m[5] or re.search(rf'^(?:def|class) {m[5]}\b|^{m[5]} = ', '\n'.join(cells(ROOT/m[6], 'code')), re.M)), m[0]


# questionnaires to print
def test_every_question_of_every_tutorial_is_there():
    page = (TEACH/'questionnaires.html').read_text()
    for t in TUTORIALS:
        text = re.search(r'^## Questionnaire\n(.*?)</details>', '\n'.join(cells(t, 'markdown')), re.M | re.S)[1]
        number, n = int(t.stem[:2]), len(re.findall(r'^\d+\. ', text, re.M))
        asked, answered = (re.search(rf'id="{what}{number}">(.*?)</section>', page, re.S)[1].count('<li>') for what in ('asked', 'answered'))
        assert asked == answered == n//2 >= 5, t.name
    for path in 'questionnaires.html', 'class_votes/sheet.html': assert re.findall(r'(?:src|href)="(?!#|data:)|@import|url\(', (TEACH/path).read_text()) == [], 'needs a network'

def test_questions_without_tex_and_links(tutorial):
    l = make_teach.read_lesson(tutorial())
    assert make_teach.from_markdown(l.asked) == '<ol>\n<li>What is (a)/(b) of <code>f</code>?</li>\n<li>Is x<sup>2</sup> ≤ −log p<sub>c</sub>?</li>\n</ol>'
    assert '<code>a &lt; b</code>' in make_teach.from_markdown(l.answers)
    page = make_teach.questionnaires({3: l})
    assert '3. Third &amp; last' in page and page.index('What is') < page.index('id="answers"') < page.index('a &lt; b')

def test_no_formula_is_left(): assert not re.search(r'\$|\\\w', re.sub(r'<(style|code)>.*?</\1>', '', (TEACH/'questionnaires.html').read_text(), flags=re.S))


# the class votes
VOTES = TEACH/'class_votes'

def run(folder: Path, votes: str = 'invented_votes.csv', until: str = '') -> dict:
    "Names after the cells of the notebook have run on the file `votes`, up to the cell that has `until` in it"
    names = {}
    for source in cells(VOTES/'class_votes.ipynb', 'code'):
        exec(compile(source.replace('invented_votes.csv', votes), 'class_votes.ipynb', 'exec'), names)
        if until and until in source: break
    return names

@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copytree(VOTES, tmp_path/'class_votes')
    monkeypatch.chdir(tmp_path/'class_votes')
    return tmp_path/'class_votes'

@pytest.fixture
def new_class() -> pd.DataFrame:
    "Twenty-five students, who each see one of two digits in an image; two of them left something out"
    rng = np.random.default_rng(0)
    table = pd.DataFrame({letter: rng.choice([str(i), str(9 - i)], 25, p=[.7, .3]) for i, letter in enumerate('ABCDEFGHIJ')}, pd.RangeIndex(1, 26, name='person'))
    table.loc[3, 'B'], table.loc[4, 'B'] = '', '?'
    return table

def test_the_notebook_runs_on_its_example(folder):
    n = run(folder)
    far = {name: n['kl_divergence'](p, n['y']).item() for name, p in n['answers'].items()}
    assert far['the class'] < 1e-6 < far['with the class'] < far['without the class'] < far['a tenth each']

def test_the_notebook_runs_on_a_new_class(folder, new_class):
    typed = new_class.replace({'J': {'9': ' 9', '0': '0 '}}).rename(columns={'A': 'A '})
    typed.to_csv(folder/'ours.csv', sep=';', encoding='utf-8-sig') # as a spreadsheet writes it in Europe
    with open(folder/'ours.csv', 'a') as f: f.write(';'*10 + '\n')
    n = run(folder, 'ours.csv')
    assert n['labels'].n_votes.tolist() == [25, 23, *[25]*8]
    assert n['labels'].loc['A', '0'] == pytest.approx((new_class.A == '0').mean())
    assert n['kl_divergence'](n['answers']['with the class'], n['y']) < n['kl_divergence'](n['answers']['without the class'], n['y'])

@pytest.mark.parametrize('change,words', [
    (lambda t: t.replace({'F': {'5': 'O'}, 'C': {'2': '22'}}), "person 1, image F: 'O'; person 2, image C: '22'"),
    (lambda t: t.assign(D='?'), "Item 'D' has no votes"), (lambda t: t.drop(columns='G'), 'person and A to J: G not found'),
    (lambda t: t.rename_axis('Person'), 'person not found'), (lambda t: t.rename(index={2: 1}), 'Person 1 has several rows'),
    (lambda t: t.rename(index={2: ''}), 'no number of a person')])
def test_a_file_with_an_error_says_where(folder, new_class, change, words):
    change(new_class).to_csv(folder/'ours.csv')
    with pytest.raises(ValueError, match=words): run(folder, 'ours.csv', until='votes_to_soft')

def test_the_example_is_called_invented_and_is_what_it_says():
    text = '\n'.join(cells(VOTES/'class_votes.ipynb', 'markdown'))
    assert '**invented**' in text and 'It is invented' in (VOTES/'README.md').read_text()
    votes, images = pd.read_csv(VOTES/'invented_votes.csv', dtype=str, index_col='person'), pd.read_csv(VOTES/'images.csv', index_col='image').fname
    committee = pd.read_csv(digits()/'votes.csv', index_col='fname')
    for letter in votes: # of the thirty classifiers' votes, each is there or was replaced
        counts = votes[letter].value_counts().drop('?', errors='ignore')
        assert (counts <= committee.loc[images[letter]][counts.index]).all() and counts.sum() >= 20

def digits() -> Path:
    from fastai_softlabels.datasets import digits_votes
    return digits_votes()

def test_the_template_is_empty_and_has_the_letters_of_the_sheet():
    template, letters = pd.read_csv(VOTES/'template.csv', index_col='person'), pd.read_csv(VOTES/'images.csv').image.tolist()
    assert template.columns.tolist() == letters and template.isna().all(axis=None)
    assert re.findall(r'<b>(\w)</b><img alt="Image (\w)', (VOTES/'sheet.html').read_text()) == [(c, c) for c in letters]
