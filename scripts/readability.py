"""How the code reads, in numbers, beside codebases that read well: `python scripts/readability.py [folder of a checkout]`

It counts and judges nothing: a line is not better for being short. The anchors were counted in the same way on their exported code."""
import ast, json, re, statistics, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ['fastcore', 'fastai', 'nbdev', 'MONAI losses', 'torchmetrics']
ANCHORS = { # what → the anchors' numbers, in the order of NAMES
    'median line, characters': ['38', '46', '40', '39', '39'],
    'lines > 120 / 160 / 200, %': ['1.6 / .1 / .1', '2.1 / .1 / 0', '1.6 / .1 / 0', '.2 / 0 / 0', '0'],
    'function lines, median / p90 / max': ['3 / 11 / 46', '3 / 11 / 63', '5 / 16 / 48', '11 / 34 / 59', '16 / 29 / 66'],
    'tuple assignments / ternaries / comprehensions per 100 lines': ['1.8 / 4.1 / 4.3', '2.7 / 3.5 / 3.0', '1.9 / 3.2 / 2.8', '–', '1.4 / .7 / .4'],
    'raises per 100 lines': ['1.7', '.7', '1.2', '4.5', '3.9'],
    'exported cells, lines, median / p90 / max': ['6 / 16 / 51', '6 / 24 / 227', '9 / 24 / 62', '', ''],
    'characters exported between two demonstrations, median': ['335', '–', '1347', '', ''],
    'private names imported across modules': ['0', '4', '7', '0', '–'],
}


def code_lines(text: str) -> list:
    "Lines of code, without blank ones, comments, docstrings and imports"
    tree = ast.parse(text)
    left_out = set()
    for node in ast.walk(tree):
        is_doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if is_doc or isinstance(node, (ast.Import, ast.ImportFrom)): left_out.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return [l for i, l in lines if l.strip() and not l.strip().startswith('#') and i not in left_out]


def spread(values: list) -> str:
    "Median, 90th percentile, maximum"
    if not values: return '–'
    p90 = statistics.quantiles(values, n=10, method='inclusive')[-1] if len(values) > 1 else values[0]
    return f'{statistics.median(values):.0f} / {p90:.0f} / {max(values)}'


def of_modules(folder: Path) -> dict:
    "What the modules say"
    texts = [p.read_text() for p in sorted(folder.glob('*.py')) if p.stem not in ('__init__', '_modidx', 'all')]
    nodes = [n for t in texts for n in ast.walk(ast.parse(t))]
    lines = [l for t in texts for l in code_lines(t)]
    def per_100(kinds, holds=lambda n: True): return f'{100*sum(isinstance(n, kinds) and holds(n) for n in nodes)/len(lines):.1f}'
    def longer(n): return f'{100*sum(len(l) > n for l in lines)/len(lines):.1f}'
    functions = [n.end_lineno - n.lineno + 1 for n in nodes if isinstance(n, ast.FunctionDef)]
    private = {a.name for n in nodes if isinstance(n, ast.ImportFrom) and n.level for a in n.names if a.name.startswith('_')}
    pairs = per_100(ast.Assign, lambda n: isinstance(n.targets[0], ast.Tuple))
    comprehensions = per_100((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp))
    return {'lines of code': str(len(lines)),
            'median line, characters': f'{statistics.median(map(len, lines)):.0f}',
            'lines > 120 / 160 / 200, %': ' / '.join(map(longer, (120, 160, 200))),
            'function lines, median / p90 / max': spread(functions),
            'tuple assignments / ternaries / comprehensions per 100 lines': f'{pairs} / {per_100(ast.IfExp)} / {comprehensions}',
            'raises per 100 lines': per_100(ast.Raise),
            'private names imported across modules': str(len(private))}


def of_notebooks(folder: Path) -> dict:
    "What the notebooks say: their exported cells, and how much of them comes before something is shown"
    sizes, gaps = [], []
    for path in sorted(folder.glob('[0-9]*.ipynb')):
        since = 0
        for cell in json.loads(path.read_text())['cells']:
            source = ''.join(cell['source'])
            if cell['cell_type'] != 'code' or source.startswith(('#| hide', '#| default_exp')): continue
            if re.match(r'#\|\s*exporti?\b', source):
                if 'from __future__' in source: continue
                sizes.append(len([l for l in source.splitlines()[1:] if l.strip()]))
                since += len(source)
            elif since:
                gaps.append(since)
                since = 0
    return {'exported cells, lines, median / p90 / max': spread(sizes), 'characters exported between two demonstrations, median': f'{statistics.median(gaps):.0f}'}


def names_in_all(package: Path) -> str:
    "How many names `all` offers: those that it names, or all of a module"
    names = set()
    for node in ast.parse((package/'all.py').read_text()).body:
        if not isinstance(node, ast.ImportFrom): continue
        taken = {a.name for a in node.names}
        names |= offered_by(package/f'{node.module}.py') if '*' in taken else taken
    return str(len(names))

def offered_by(module: Path) -> set:
    "The names in a module's `__all__`"
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__': return set(ast.literal_eval(node.value))
    return set()


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    ours = {**of_modules(root/'fastai_softlabels'), **of_notebooks(root/'nbs'), 'names in `all`': names_in_all(root/'fastai_softlabels')}
    print('| | ours |', ' | '.join(NAMES), '|')
    print('|---'*(len(NAMES) + 2) + '|')
    for what, value in ours.items(): print('|', what, '|', value, '|', ' | '.join(ANCHORS.get(what, ['']*len(NAMES))), '|')


if __name__ == '__main__': main()
