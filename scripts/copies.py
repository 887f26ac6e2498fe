"""Copies of a tutorial for teaching: `clean` keeps headings and code, `student` has gaps, and no outputs or answers

What a student is to write is named in teach/gaps.txt: the number of a tutorial, then names that it defines. Of an assignment the value becomes a gap,
of a function what it returns."""
import ast, re
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from course import FOLDED, HOW, SETUP, setup

TURN = '...  # your turn'
CLOSING = re.compile(r'^## Conclusion$', re.M)
ASKS = re.compile(r'\*\*A prediction\.\*\*|\bBefore you (?:look|run)')
ANSWERS = re.compile(r'\n*<details>\s*<summary>\s*Answers.*?</details>', re.S)
SOLUTIONS = re.compile(r'\n*^\[[^\]]*\]\([^)]*solutions/[^)]*\)\.?[ ]*$', re.M)


def without_outputs(nb, cells: list):
    "A notebook of these cells, as it is before it runs"
    for c in cells:
        if c.cell_type == 'code': c.outputs, c.execution_count = [], None
    nb.cells = cells
    return nb


def without_directives(source: str) -> str: return re.sub(r'^#\|.*\n?', '', source, flags=re.M)


def without_asserts(source: str) -> str:
    "The code without the assertions that guard what the text says"
    lines, body = source.split('\n'), ast.parse(source).body
    checks = [node for node in body if isinstance(node, ast.Assert)]
    for node in reversed(checks): del lines[node.lineno - 1:node.end_lineno]
    return '\n'.join(lines) if len(checks) < len(body) else ''


# clean copies
def headings(text: str) -> str:
    "The headings of a Markdown cell"
    outside = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
    return '\n\n'.join(re.findall(r'^#{1,6} .+$', outside, re.M))


def clean(path: Path):
    "Headings and code of a tutorial up to its conclusion, without the checks that are folded there"
    nb, cells = nbformat.read(path, as_version=4), []
    for c in nb.cells:
        text, *closing = CLOSING.split(c.source)
        if c.cell_type == 'markdown': c.source = headings(text)
        else: c.source = without_directives(without_asserts(c.source) if FOLDED.search(c.source) else c.source)
        if c.source and c.id not in (HOW, SETUP): cells.append(c)
        if closing: break
    return without_outputs(nb, cells)


# gaps
def read_gaps(text: str) -> dict:
    "Number of a tutorial → names that students define"
    lines = [l.partition('#')[0].split() for l in text.splitlines()]
    return {number: names for number, *names in filter(None, lines)}


def defines(node, name: str) -> bool:
    "Is `node` an assignment to `name`, or a function of that name that ends by returning something?"
    if isinstance(node, ast.FunctionDef): return node.name == name and isinstance(node.body[-1], ast.Return)
    if not isinstance(node, ast.Assign): return False
    return name in {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def answer(source: str, name: str) -> str:
    "The expression that a gap for `name` takes the place of; empty if the cell does not define it"
    if not re.search(rf'\b{name}\b', source): return ''
    node = next((n for n in ast.parse(source).body if defines(n, name)), None)
    if isinstance(node, ast.FunctionDef): node = node.body[-1]
    return ast.get_source_segment(source, node.value) if node else ''


def put_gaps(cells: list, names: list, tutorial: str):
    "Put dots in the place of what students are to write, where each name is first defined"
    cells = [c for c in cells if c.cell_type == 'code' and c.id != SETUP]
    for name in names:
        cell, expression = next(((c, e) for c in cells if (e := answer(c.source, name))), (None, ''))
        if not cell: raise ValueError(f'teach/gaps.txt: {tutorial} has no `{name} = …`, and no function `{name}` that returns something. Name another gap.')
        if cell.source.count(expression) > 1: raise ValueError(f'teach/gaps.txt: in {tutorial} the answer to `{name}`, {expression}, stands twice in one cell. Name another gap.')
        cell.source = cell.source.replace(expression, TURN)


# student copies
def note(name: str) -> str:
    "What stands below the title of a student copy"
    return (f'To run this notebook: in a checkout of the project, `pip install . jupyterlab`, then `jupyter lab teach/student/{name}`.\n\n'
            '**This is a student copy.** Write each prediction in the place for it, before you run the cells below it. '
            f'Where the code has `{TURN}`, replace the dots; the text above the cell says what belongs there.')


def relink(text: str) -> str:
    "Links of a tutorial, from teach/student/: a neighbour is there as a copy, and what is two folders up is two folders up"
    return re.sub(r'\]\(\.\./(?!\.\./)', '](../../nbs/', text)


def place(c, what: str): return new_markdown_cell(f'**Your {what}:**', id=f'{c.id}-{what}')


def student(path: Path, names: list, root: Path):
    "A tutorial without outputs, answers and solutions, with gaps in its code and places for predictions"
    nb, cells = nbformat.read(path, as_version=4), []
    put_gaps(nb.cells, names, path.stem)
    for c in nb.cells:
        cells.append(c)
        if c.id == SETUP: c.source = setup(root, root/'teach'/'student'/path.name)
        elif c.id == HOW: c.source = note(path.name)
        elif c.cell_type == 'code': c.source = without_directives(c.source)
        else:
            text = SOLUTIONS.sub('', ANSWERS.sub('', c.source))
            if '## Questionnaire' in text: cells.append(place(c, 'answers'))
            elif '## Exercises' not in text and ASKS.search(text): cells.append(place(c, 'prediction'))
            c.source = relink(text)
    return without_outputs(nb, cells)
