"""What a lecturer needs, in teach/, made from the tutorials: `python scripts/make_teach.py [folder]`

- README.md: the page teach/plan.md with its places in braces filled: the syllabus, the graph of what needs what, and the times of the plans
- needs.svg: the same graph as a picture
- clean/: the tutorials without prose and outputs, to recall what each cell does
- student/: copies to work in, without outputs, answers and links to solutions, with room for predictions, and with gaps in the code
- questionnaires.html: all questions on pages to print, the answers at the end
- class_votes/sheet.html: the sheet on which a class votes

Goals, times and needs are read from the lines that each tutorial opens with (**You will learn**, **Before this**, **Time**); nothing is said twice.
A gap is what the author marks: a statement that ends in `# gap`, or the last one that can be a gap in a cell that says `#| gap` (`#| gap: no` for none).
In a section without marks `worth` chooses: the prose right before must say what to write, by the formula or by the name of the function."""
import ast, base64, builtins, html, os, re, struct, sys, zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat, numpy as np

from course import FOLDED, HOW, NEXT, SETUP, heading, setup, tutorials
from repository import ROOT

GENERATED = '<!-- Generated from teach/plan.md and the tutorials by scripts/make_teach.py: edit those. -->'
LINK = re.compile(r'\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
TURN = '...  # your turn'
CLOSING = ('## Conclusion', '## Questionnaire', '## Exercises')


# what the tutorials say of themselves
@dataclass(frozen=True)
class Lesson:
    "A tutorial, and what its opening says"
    path: Path
    title: str
    about: str
    learn: str          # What students will learn to do
    needs: tuple        # Stems of the tutorials that it needs
    read: int | None    # Minutes to read
    run: int | None     # Seconds to run

    @property
    def number(self) -> str: return self.path.stem[:2]
    @property
    def label(self) -> str: return f'{int(self.number)}. {self.title}'


def read(path: Path): return nbformat.read(path, as_version=4)


def prose_of(nb) -> str: return '\n\n'.join(c.source for c in nb.cells if c.cell_type == 'markdown')


def opening(text: str, what: str) -> str:
    "Find what a tutorial says after `**what**` in its opening"
    found = re.search(rf'^\*\*{what}:?\*\*:?\s*(.+)', text, re.M)
    return found[1].strip() if found else ''


def amount(text: str, unit: str, what: str) -> int | None:
    "Read a time, as in 'about 10 minutes to read', in minutes or seconds"
    found = re.search(rf'(\d+|an?) (second|minute)s? {what}', text)
    if not found: return None
    number = int(found[1]) if found[1].isdigit() else 1
    return number*60 if unit == 'second' and found[2] == 'minute' else number


def lesson_of(path: Path) -> Lesson:
    "Read what a tutorial says of itself"
    text = prose_of(read(path))
    time, before = opening(text, 'Time'), opening(text, 'Before this')
    needs = [Path(urlsplit(target).path) for _, target in LINK.findall(before)]
    stems = tuple(p.stem for p in needs if p.suffix == '.ipynb' and (path.parent/p).resolve().parent == path.parent.resolve())
    return Lesson(path, *heading(path), opening(text, 'You will learn'), stems, amount(time, 'minute', 'to read'), amount(time, 'second', 'to run'))


def lessons_of(root: Path) -> list: return [lesson_of(p) for p in tutorials(root)]


# links
def leads_to(target: str, here: Path) -> Path | None:
    "Find the file that a link in a file of the folder `here` leads to; None for an address elsewhere, or in the same file"
    link = urlsplit(target)
    return None if link.scheme or link.netloc or not link.path else Path(os.path.normpath(here/unquote(link.path)))


def relink(text: str, here: Path, there: Path, copies: Path | None = None) -> str:
    "Let the links of a text from the folder `here` lead from the folder `there` to where they led; to tutorials as `copies` has them, and to no solution"
    def target(m):
        path = leads_to(m[2], here)
        if path is None: return m[0]
        if 'solutions' in path.parts: return m[1]
        if copies and path.parent.name == 'tutorials': path = copies/path.name
        hash_ = f'#{fragment}' if (fragment := urlsplit(m[2]).fragment) else ''
        return f'[{m[1]}]({Path(os.path.relpath(path, there)).as_posix()}{hash_})'
    return LINK.sub(target, text)


def plain_links(text: str) -> str: return LINK.sub(r'\1', text)


# code of a cell
def parsed(source: str) -> ast.Module:
    "Parse a cell, whatever IPython adds to it"
    return ast.parse(re.sub(r'^(\s*)[%!].*$', r'\1pass', source, flags=re.M))


def without_directives(source: str) -> str: return re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip('\n')


def is_hidden(c) -> bool: return c.source.startswith('#| hide')
def is_folded(c) -> bool: return bool(FOLDED.search(c.source))


def defined_in(source: str) -> set:
    "Find the names that a cell defines"
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store): found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)): found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)): found.update((a.asname or a.name).split('.')[0] for a in node.names)
    return found


def used_in(source: str) -> set: return {n.id for n in ast.walk(parsed(source)) if isinstance(n, ast.Name)}


def notebook(cells: list, like):
    "Make a notebook of these cells, without outputs"
    for c in cells:
        if c.cell_type == 'code': c.outputs, c.execution_count = [], None
    return nbformat.v4.new_notebook(cells=cells, metadata={k: v for k, v in like.metadata.items() if k == 'kernelspec'})


# clean copies
def headings(text: str) -> str:
    "Keep only the headings of a Markdown cell"
    outside = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
    return '\n\n'.join(re.findall(r'^#{1,6} .+$', outside, re.M))


def clean(root: Path, lesson: Lesson):
    "Keep headings and code of a tutorial; a folded cell only if it defines what later cells use"
    nb, out = read(lesson.path), []
    there = Path(os.path.relpath(lesson.path, root/'teach'/'clean')).as_posix()
    used = set()
    for c in reversed(nb.cells):
        if c.get('id') in (HOW, SETUP, NEXT) or is_hidden(c): continue
        if c.cell_type == 'markdown':
            c.source = headings(c.source)
            if not c.source or c.source.startswith(CLOSING): continue
            if c.source.startswith('# '): c.source += f'\n\n[The lesson, with its text]({there})'
        else:
            if is_folded(c) and not defined_in(c.source) & used: continue
            used |= used_in(c.source)
            c.source, c.metadata = without_directives(c.source), {}
        if c.source: out.append(c)
    return notebook(out[::-1], nb)


# gaps
def statements(source: str) -> list:
    "Find what may become a gap in a cell, as pairs of statement and expressions: values of assignments, what functions return, a last value"
    found = []
    nodes = parsed(source).body
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
            if several: found.append((node, value.elts))
            elif isinstance(target, ast.Name): found.append((node, [value]))
        elif isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return): found.append((node.body[-1], [node.body[-1].value]))
        elif isinstance(node, ast.Expr) and node is nodes[-1] and isinstance(node.value, ast.Call): found.append((node, [node.value]))
    return [(node, values) for node, values in found if values[0] is not None and node.lineno == node.end_lineno]


def words(node) -> set:
    "Find the names, attributes and arguments in an expression"
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    found |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return found | {n.arg for n in ast.walk(node) if isinstance(n, ast.keyword) and n.arg}


# no gap holds one of these: pictures, tables to be shown, files, made-up numbers
NO_GAP = {'plt', 'ax', 'axs', 'fig', 'plot', 'scatter', 'imshow', 'subplots', 'show_batch', 'show_results', 'DataFrame', 'Series', 'concat', 'stack', 'head', 'round', 'iloc', 'sort_values',
          'print', 'Path', 'read_csv', 'tempfile', 'tensor', 'array', 'arange', 'linspace', 'randn', 'rand', 'default_rng', 'set_seed'}
FAMILIAR = {'num_workers', 'bs', 'dataloaders', 'item'} # from fastai's first lessons
MATHS = {'exp', 'log', 'log2', 'sigmoid', 'softmax', 'log_softmax', 'logit', 'sum', 'mean', 'sqrt', 'square', 'pow', 'clamp', 'cumsum'}


def worth(values: list, prose: str, before: str) -> int:
    "Score how well the prose right before a cell, and all text before, say what to write for `values`; below 3 they are no gap"
    text = ', '.join(map(ast.unparse, values))
    nodes = [n for v in values for n in ast.walk(v)]
    names = set().union(*map(words, values))
    calls = [n for n in nodes if isinstance(n, ast.Call)]
    if not 8 <= len(text) <= 70 or names & NO_GAP: return 0
    if any(isinstance(n, (ast.JoinedStr, ast.Dict, ast.Lambda, ast.ListComp, ast.DictComp, ast.GeneratorExp)) for n in nodes): return 0
    if sum(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in nodes) > 1: return 0
    last = prose.strip().rpartition('\n\n')[2]
    asked = {w for n in calls if n.args or n.keywords for w in words(n.func)}
    named = any(re.search(rf'`[^`]*\b{re.escape(w)}\b[^`]*`', last) for w in asked)
    formula = '$' in prose and any(isinstance(n, ast.BinOp) for n in nodes) or '$' in last and any(words(n.func) & MATHS for n in calls)
    known = all(hasattr(builtins, n) or re.search(rf'\b{re.escape(n)}\b', before) for n in names - MATHS - FAMILIAR)
    return (3*named + 2*formula + ('?' in last) + 1)*known


def segment(source: str, values: list) -> str:
    "Cut the values of a statement out of a cell"
    return ', '.join(ast.get_source_segment(source, v) for v in values)


def up_to(source: str, node) -> str:
    "Cut off a cell where an expression begins"
    lines = source.split('\n')[:node.lineno]
    return '\n'.join([*lines[:-1], lines[-1].encode()[:node.col_offset].decode()])


def marked(source: str) -> list | None:
    "Find what the author marks as gaps in a cell: by `# gap` behind a statement, or by the directive `#| gap`; None without a mark"
    directive = re.search(r'^#\|\s*gap(?::\s*(\w+))?\s*$', source, re.M)
    if directive and directive[1] in ('no', 'false'): return []
    lines = source.split('\n')
    found = [s for s in statements(source) if re.search(r'#\s*gap\s*$', lines[s[0].lineno - 1])]
    if found: return found
    return statements(source)[-1:] if directive else None


def with_gap(source: str, node, values: list) -> str:
    "Put dots for the values of a statement; a comment behind it stays, as a hint"
    lines = source.split('\n')
    line = lines[node.lineno - 1].encode()
    first, last = values[0], values[-1]
    comment = re.sub(r'#\s*gap\s*$', '', line[node.end_col_offset:].decode()).strip(' ;#')
    start = line[:first.col_offset].decode()
    if start.endswith('('): start = start[:-1]
    dots = ', '.join(['...']*len(values))
    lines[node.lineno - 1] = f'{start}{dots}  # your turn' + (f': {comment}' if comment else '')
    return '\n'.join(lines)


def gaps(cells: list) -> dict:
    "Choose the gaps: cell id → the code with its gap; those marked by the author, else the best of each section"
    every = '\n'.join(c.source for c in cells if c.cell_type == 'code')
    chosen, best, before, prose, by_author = {}, None, '', '', False
    def end():
        if best and not by_author: chosen[best[1].id] = with_gap(best[1].source, *best[2])
    for c in cells:
        if c.cell_type == 'markdown':
            if re.search(r'^## ', c.source, re.M):
                end()
                best, by_author = None, False
            prose = c.source.rpartition('\n## ')[2]
        elif not is_hidden(c) and not is_folded(c):
            mark = marked(c.source)
            if mark:
                by_author = True
                for m in mark: chosen[c.id] = with_gap(chosen.get(c.id, c.source), *m)
            elif mark is None:
                for s in statements(c.source):
                    once = every.count(segment(c.source, s[1])) < 2
                    score = worth(s[1], prose, before + up_to(c.source, s[1][0]))
                    if once and score >= 3 and (not best or score > best[0]): best = (score, c, s)
            prose = ''
        before += c.source + '\n'
    end()
    return chosen


# student copies
ASKS = re.compile(r'\*\*(?:A|Another|Your|The) prediction|[Bb]efore you look|[Bb]efore you run|[Ww]rite (?:it|them|yours?|your \w+) down|\b[Pp]redict (?:first|it first)')
ANSWERS = re.compile(r'\n*<details>\s*<summary>\s*Answers.*?</details>', re.S)
SOLUTIONS = re.compile(r'\n*^\[[^\]]*\]\([^)]*solutions/[^)]*\)\.?[ ]*$', re.M)


def note(name: str) -> str:
    "Say what a student copy is"
    return ('**This is a student copy.** Write your predictions where there is room for them, before you run the cells below. Where the code has `...  # your turn`, '
            f'replace the dots; the text right above says what belongs there. Cells that check it may be folded. [The complete lesson](../../nbs/tutorials/{name})')


def student(root: Path, lesson: Lesson):
    "Leave out of a tutorial what students are to find themselves"
    nb, out = read(lesson.path), []
    here, there = lesson.path.parent, root/'teach'/'student'
    chosen = gaps(nb.cells)
    for c in nb.cells:
        if c.cell_type == 'code':
            c.source = setup(root, there/lesson.path.name) if c.id == SETUP else chosen.get(c.id, c.source)
            if not is_hidden(c): c.source = without_directives(c.source)
            if c.source: out.append(c)
            continue
        has_answers = bool(ANSWERS.search(c.source))
        c.source = relink(SOLUTIONS.sub('', ANSWERS.sub('', c.source)), here, there, there).strip('\n')
        if c.id == HOW: c.source = f'{note(lesson.path.name)}\n\n' + c.source.replace(f'nbs/tutorials/{lesson.path.name}', f'teach/student/{lesson.path.name}')
        out.append(c)
        if c.source.startswith(CLOSING): prompt = 'answers' if has_answers else ''
        else: prompt = 'prediction' if ASKS.search(c.source) else ''
        if prompt: out.append(nbformat.v4.new_markdown_cell(f'**Your {prompt}:**', id=f'{c.id}-{prompt}'))
    return notebook(out, nb)


# the graph
def edges(lessons: list) -> list:
    "List what needs what, as pairs of stems, without what follows from others"
    needs = {l.path.stem: set(l.needs) for l in lessons}
    def reach(stem, seen=()): return set().union(*({n} | reach(n, (*seen, stem)) for n in needs.get(stem, ()) if n not in seen))
    return [(n, stem) for stem in needs for n in sorted(needs[stem]) if n in needs and not any(n in reach(o) for o in needs[stem] - {n})]


def mermaid(lessons: list) -> str:
    "Write the graph as mermaid, which GitHub draws"
    nodes = [f'  L{l.number}["{l.label}"]' for l in lessons]
    arrows = [f'  L{a[:2]} --> L{b[:2]}' for a, b in edges(lessons)]
    return '\n'.join(['```mermaid', 'graph LR', *nodes, *arrows, '```'])


def columns(lessons: list) -> dict:
    "Place each lesson in the column after the last one that it needs"
    needs = {}
    for a, b in edges(lessons): needs.setdefault(b, []).append(a)
    def place(stem, seen=()):
        if stem in seen: raise ValueError(f'{stem} needs itself, by way of {" and ".join(seen)}')
        return 1 + max((place(n, (*seen, stem)) for n in needs.get(stem, ())), default=-1)
    return {l.path.stem: place(l.path.stem) for l in lessons}


def layout(lessons: list) -> tuple:
    "Place lessons, and the arrows that pass through columns between, as (column, row); and each arrow as the list of its places"
    column = columns(lessons)
    ways, nodes = [], {k: [] for k in range(max(column.values()) + 1)}
    for stem, k in column.items(): nodes[k].append(stem)
    for a, b in edges(lessons):
        passed = [(a, b, k) for k in range(column[a] + 1, column[b])]
        for p in passed: nodes[p[2]].append(p)
        ways.append([a, *passed, b])
    row = {n: float(i) for k in nodes for i, n in enumerate(nodes[k])}
    beside = {n: [] for k in nodes for n in nodes[k]}
    for way in ways:
        for a, b in zip(way, way[1:]):
            beside[a].append(b)
            beside[b].append(a)
    for _ in range(8): # nearer to what they are joined to, in turns, and a row each
        for k in nodes:
            wanted = {n: sum(row[o] for o in beside[n])/len(beside[n]) if beside[n] else row[n] for n in nodes[k]}
            for i, n in enumerate(sorted(nodes[k], key=lambda n: (wanted[n], str(n)))): row[n] = float(i)
    tallest = max(map(len, nodes.values()))
    places = {n: (k, row[n] + (tallest - len(nodes[k]))/2) for k in nodes for n in nodes[k]}
    return places, ways


def wrapped(text: str, width: int = 22) -> list:
    "Break a title into lines"
    lines = ['']
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width: lines.append('')
        lines[-1] = f'{lines[-1]} {word}'.strip()
    return lines


BOX, GAP, ROW = 164, 44, 62 # width of a box, between columns, height of a row


def svg(lessons: list) -> str:
    "Draw the graph: boxes in columns, lines from what is needed to what needs it, from left to right"
    places, ways = layout(lessons)
    width = (1 + max(k for k, _ in places.values()))*(BOX + GAP) - GAP + 2
    height = int((1 + max(r for _, r in places.values()))*ROW) + 2
    def left(n): return 1 + places[n][0]*(BOX + GAP)
    def middle(n): return int(1 + (places[n][1] + .5)*ROW)
    needs = {l.path.stem: [] for l in lessons}
    for a, b in edges(lessons): needs[b].append(a)
    names = {l.path.stem: l.label for l in lessons}
    desc = ' '.join(f'{names[s]}: needs {", ".join(str(int(n[:2])) for n in needs[s]) or "none of the others"}.' for s in names)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-labelledby="t d" '
           'font-family="sans-serif" font-size="13">', '<title id="t">What needs what among the lessons</title>', f'<desc id="d">{html.escape(desc)}</desc>']
    for way in ways:
        for a, b in zip(way, way[1:]):
            if isinstance(a, tuple): out.append(line(left(a), middle(a), left(a) + BOX, middle(a)))
            out.append(line(left(a) + BOX, middle(a), left(b), middle(b)))
        out.append(f'<rect x="{left(way[-1]) - 7}" y="{middle(way[-1]) - 4}" width="8" height="8" rx="4" fill="#888"/>')
    for l in lessons:
        x, y, lines = left(l.path.stem), middle(l.path.stem), wrapped(l.label)
        out.append(f'<rect x="{x}" y="{y - 26}" width="{BOX}" height="52" rx="6" fill="#eef3fb" stroke="#4a6fa5"/>')
        for i, text in enumerate(lines): out.append(f'<text x="{x + 9}" y="{y + 5 + int(16*(i - (len(lines) - 1)/2))}" fill="#1a1a1a">{html.escape(text)}</text>')
    return '\n'.join([*out, '</svg>']) + '\n'


def line(x1, y1, x2, y2) -> str: return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#888" stroke-width="1.5"/>'


# the lecturer's page
def link(lesson: Lesson, folder: str = '../nbs/tutorials', text: str = '') -> str: return f'[{text or lesson.title}]({folder}/{lesson.path.name})'


def syllabus(root: Path, lessons: list) -> str:
    "Write a row for each lesson, and the sums"
    number = {l.path.stem: int(l.number) for l in lessons}
    rows = ['| | Lesson | Students learn | Reading | Run | Needs | Copies |', '|---:|---|---|---:|---:|---|---|']
    for l in lessons:
        needs = ', '.join(str(number[n]) for n in l.needs if n in number) or '–'
        copies = [link(l, 'student', 'student'), link(l, 'clean', 'clean')]
        if (root/'nbs'/'solutions'/l.path.name).exists(): copies.append(link(l, '../nbs/solutions', 'solutions'))
        learn = relink(l.learn, l.path.parent, root/'teach') or l.about
        rows.append(f'| {int(l.number)} | {link(l)} | {learn} | {shown(l.read)} min | {shown(l.run)} s | {needs} | {" · ".join(copies)} |')
    read, run = (sum(getattr(l, k) or 0 for l in lessons) for k in ('read', 'run'))
    rows.append(f'| | **All** | | **{read//60} h {read % 60} min** | **{run//60} min {run % 60} s** | | |')
    return '\n'.join(rows)


def shown(number) -> str: return '?' if number is None else str(number)


def fill(text: str, root: Path, lessons: list) -> str:
    "Fill the places of the template: `{syllabus}`, `{graph}`, `{lesson 02}`, and of lessons and minutes like `02 +25` their `{minutes …}`, and what they leave of `{left 90: …}`"
    by_number = {l.number: l for l in lessons}
    def minutes(what): return sum(int(w[1:]) if w.startswith('+') else by_number[w].read or 0 for w in what.split())
    def place(m):
        kind, what = m[1], m[2] or ''
        if kind == 'syllabus': return syllabus(root, lessons)
        if kind == 'graph': return mermaid(lessons)
        if kind == 'number': return str(len(lessons))
        if any(re.fullmatch(r'\d\d', w) and w not in by_number for w in what.partition(':')[2].split() or what.split() if kind != 'left'): return '?'
        if kind == 'lesson': return f'{int(what)}. {link(by_number[what])}'
        if kind == 'minutes': return str(minutes(what))
        of, _, taken = what.partition(':')
        return str(int(of) - minutes(taken))
    return re.sub(r'\{(syllabus|graph|number|lesson|minutes|left)(?: ([^}]*))?\}', place, text)


def page(root: Path, lessons: list) -> str:
    "Write the lecturer's page"
    template = re.sub(r'\A<!--.*?-->\n*', '', (root/'teach'/'plan.md').read_text(), flags=re.S)
    return f'{GENERATED}\n\n{fill(template, root, lessons)}'


# questionnaires to print
GREEK = dict(alpha='α', beta='β', gamma='γ', delta='δ', epsilon='ε', kappa='κ', lambda_='λ', mu='μ', pi='π', sigma='σ', tau='τ')
SIGNS = {**GREEK, 'lambda': 'λ', 'propto': ' ∝ ', 'times': ' × ', 'cdot': ' · ', 'le': ' ≤ ', 'leq': ' ≤ ', 'ge': ' ≥ ', 'geq': ' ≥ ', 'ne': ' ≠ ', 'neq': ' ≠ ', 'approx': ' ≈ ',
         'log': 'log ', 'exp': 'exp ', 'sum': '∑', 'infty': '∞', 'to': ' → ', 'dots': '…', 'ldots': '…', 'pm': ' ± ', 'in': ' ∈ ', 'min': 'min ', 'max': 'max ', 'bar': '', 'hat': '',
         'mathrm': '', 'text': '', 'left': '', 'right': '', 'quad': ' '}


def formula(tex: str) -> str:
    "Write a formula as plain HTML: the few signs that a questionnaire needs"
    tex = re.sub(r'\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}', lambda m: '/'.join(p if re.fullmatch(r'\w+', p) else f'({p})' for p in m.groups()), tex)
    tex = re.sub(r'\\sqrt\{([^{}]*)\}', r'√(\1)', tex)
    tex = re.sub(r'\\([A-Za-z]+)', lambda m: SIGNS[m[1]], tex)
    tex = re.sub(r'\\([,;! %{}])', lambda m: m[1] if m[1] == '%' else ' ', tex)
    tex = html.escape(tex, quote=False)
    for mark, tag in ('^', 'sup'), ('_', 'sub'): tex = re.sub(rf'\{mark}(?:\{{([^{{}}]*)\}}|(\S))', lambda m: f'<{tag}>{m[1] or m[2]}</{tag}>', tex)
    tex = re.sub(r'(?<![<\w/&])(?<!</)([A-Za-z])(?![\w>;])', r'<i>\1</i>', tex.replace('-', '−').replace('{', '').replace('}', ''))
    return re.sub(r' +', ' ', tex).strip()


def inline(text: str) -> str:
    "Write a line of Markdown as HTML: code, formulas, bold and slanted words; of links the words"
    kept = []
    def keep(written):
        kept.append(written)
        return f'\0{len(kept) - 1}\0'
    text = re.sub(r'`([^`]+)`', lambda m: keep(f'<code>{html.escape(m[1], quote=False)}</code>'), text)
    text = re.sub(r'\$([^$]+)\$', lambda m: keep(formula(m[1])), plain_links(text))
    text = html.escape(text, quote=False)
    text = re.sub(r'\*\*(.+?)\*\*', r'<b>\1</b>', text)
    text = re.sub(r'(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)', r'<em>\2</em>', text)
    return re.sub('\0(\\d+)\0', lambda m: kept[int(m[1])], text)


def numbered(text: str) -> list:
    "Find the numbered paragraphs of a text"
    parts = re.split(r'^\d+\. ', text, flags=re.M)[1:]
    return [' '.join(p.split()) for p in parts]


def questionnaire(path: Path) -> tuple:
    "Find the questions and the answers of a tutorial"
    text = next((c.source for c in read(path).cells if c.cell_type == 'markdown' and '## Questionnaire' in c.source), '')
    text = re.split(r'^## Exercises', text.partition('## Questionnaire')[2], flags=re.M)[0]
    asked, _, answered = text.partition('<details>')
    return numbered(asked), numbered(answered.partition('</details>')[0])


STYLE = '''
:root { color-scheme: light dark; }
body { font: 11.5pt/1.45 Georgia, 'Times New Roman', serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, nav, .small { font-family: system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-bottom: .3rem; }
code { font: .9em ui-monospace, 'DejaVu Sans Mono', monospace; }
.small { font-size: .85rem; opacity: .8; }
'''
PRINT = '''
li { margin-bottom: .7rem; padding-left: .3rem; }
nav { columns: 2; } nav a { display: block; }
@page { size: A4; margin: 18mm; }
@media print {
  :root { color-scheme: light; }
  body { margin: 0; padding: 0; max-width: none; }
  .first, nav { display: none; }
  .questions { break-before: page; } .questions:first-of-type { break-before: auto; }
  .questions li { min-height: 2.9cm; break-inside: avoid; margin-bottom: 0; }
  .questions h2 { margin-top: 0; }
  #answers { break-before: page; }
  .answers li { break-inside: avoid; margin-bottom: .35rem; }
  h2 { break-after: avoid; }
}
'''


def html_page(title: str, style: str, body: list) -> str:
    "Write a page that needs nothing else"
    head = [f'<title>{html.escape(title)}</title>', '<meta name="viewport" content="width=device-width, initial-scale=1">', f'<style>{style}</style>']
    return '\n'.join(['<!DOCTYPE html>', '<html lang="en">', '<head>', '<meta charset="utf-8">', '<!-- Generated by scripts/make_teach.py. -->', *head, '</head>', '<body>', *body,
                      '</body>', '</html>']) + '\n'


def listed(items: list) -> list: return ['<ol>', *(f'<li>{inline(i)}</li>' for i in items), '</ol>']


def questionnaires(lessons: list) -> str:
    "Write all questions, a page for each lesson, and all answers behind them"
    asked = [(l, *questionnaire(l.path)) for l in lessons]
    asked = [(l, q, a) for l, q, a in asked if q]
    body = ['<div class="first">', '<h1>Questionnaires</h1>',
            '<p class="small">Printed, each lesson has a page with room for answers; the answers are on the last pages.</p>', '</div>',
            '<nav aria-label="Lessons">', *(f'<a href="#q{l.number}">{html.escape(l.label)}</a>' for l, _, _ in asked), '<a href="#answers">Answers</a>', '</nav>']
    for l, questions, _ in asked:
        body += [f'<section class="questions" id="q{l.number}">', f'<h2>{html.escape(l.label)}</h2>', *listed(questions), '</section>']
    body += ['<h1 id="answers">Answers</h1>']
    for l, _, answers in asked: body += ['<section class="answers">', f'<h2>{html.escape(l.label)}</h2>', *listed(answers), '</section>']
    return html_page('Questionnaires of the lessons', STYLE + PRINT, body)


# the sheet on which a class votes
SHEET = '''
body { max-width: 180mm; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
h1 { margin: 0; }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 3mm 8mm; margin-top: 4mm; }
figure { margin: 0; display: flex; align-items: center; gap: 4mm; break-inside: avoid; border-top: 1px solid #999; padding-top: 2.5mm; }
img { width: 38mm; height: 38mm; background: #fff; border: 1px solid #bbb; }
b { font: bold 1.5rem system-ui, sans-serif; align-self: flex-start; width: 7mm; }
figcaption { line-height: 2.4; white-space: nowrap; }
@page { size: A4; margin: 13mm 15mm; }
@media print { :root { color-scheme: light; } body { margin: 0; padding: 0; max-width: none; } }
'''


def png(pixels: np.ndarray) -> str:
    "Write grey pixels (H,W) from 0 to 255 as the address of a picture, uncompressed: the bytes are the same on every machine"
    rows = b''.join(b'\0' + bytes(r) for r in pixels.astype(np.uint8))
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    stored = b'\x78\x01\x01' + struct.pack('<HH', len(rows), 0xffff ^ len(rows)) + rows + struct.pack('>I', zlib.adler32(rows))
    header = struct.pack('>IIBBBBB', pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 0)
    return 'data:image/png;base64,' + base64.b64encode(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', stored) + chunk(b'IEND', b'')).decode()


def enlarged(image: np.ndarray, by: int = 8) -> np.ndarray:
    "Enlarge whole numbers (N,N) linearly between pixels, in whole numbers: the result is the same on every machine, times (2·by)²"
    n = len(image)
    at = np.arange(n*by)*2 + 1 - by # where a new pixel lies, in parts of 2·by from the first old one
    low = np.clip(at//(2*by), 0, n - 1)
    high = np.clip(at//(2*by) + 1, 0, n - 1)
    part = at % (2*by)
    def along(x): return x[low]*(2*by - part)[:, None] + x[high]*part[:, None]
    return along(along(image.astype(int)).T).T


def sheet(root: Path) -> str:
    "Write the sheet: ten of the embedded digits, dark on white, with room for an answer"
    from sklearn.datasets import load_digits
    images, figures = load_digits().images, []
    for row in (root/'teach'/'class_votes'/'images.csv').read_text().split()[1:]:
        letter, fname = row.split(',')
        ink = enlarged(images[int(Path(fname).stem)])
        pixels = 255 - ink*255//(16*16*16)
        figures.append(f'<figure><b>{letter}</b><img alt="Image {letter}, a handwritten digit" src="{png(pixels)}">'
                       '<figcaption>I see a&ensp;______<br>&#9744; unsure</figcaption></figure>')
    body = ['<header><h1>Which digit is it?</h1><span>Sheet no. ________</span></header>',
            '<p>Write one digit, 0 to 9, beside each image, or tick “unsure”. Decide alone and quickly; there is no need to go back. Nobody marks this: '
            'some of the images were chosen because people may differ.</p>', '<main>', *figures, '</main>']
    return html_page('Which digit is it?', STYLE + SHEET, body)


# all of it
def make_teach(root: Path) -> list:
    "Write everything in teach/ that follows from the tutorials, and remove copies of tutorials that are gone; the files written"
    teach, lessons = root/'teach', lessons_of(root)
    texts = {teach/'README.md': page(root, lessons), teach/'needs.svg': svg(lessons), teach/'questionnaires.html': questionnaires(lessons),
             teach/'class_votes'/'sheet.html': sheet(root)}
    for path, text in texts.items(): path.write_text(text)
    for folder, make in ('clean', clean), ('student', student):
        (teach/folder).mkdir(exist_ok=True)
        for lesson in lessons: nbformat.write(make(root, lesson), teach/folder/lesson.path.name)
        for old in set((teach/folder).glob('*.ipynb')) - {teach/folder/l.path.name for l in lessons}: old.unlink()
    return [*texts, *sorted((teach/'clean').glob('*.ipynb')), *sorted((teach/'student').glob('*.ipynb'))]


if __name__ == '__main__':
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    print(f'{len(make_teach(root))} files in {root/"teach"}')
