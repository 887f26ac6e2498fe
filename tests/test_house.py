"The house: imports point downward, importing changes nothing, requirements are in one place."
import ast, json, re, subprocess, sys
from configparser import ConfigParser
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# in the order of their imports: a room may import from those before it
ROOMS = ['errors', 'files', 'core', 'tables', 'formulas', 'losses', 'dice', 'votes', 'vote_files', 'annotators', 'reader', 'blocks', 'data', 'metrics', 'ordinal', 'counts',
         'mask_files', 'masks', 'rater_metrics', 'scores', 'ood', 'calibrate', 'interpret', 'mask_interpret', 'applications', 'datasets', 'persist']


def modules(): return {p.stem: ast.parse(p.read_text()) for p in (ROOT/'fastai_softlabels').glob('*.py') if p.stem not in ('__init__', '_modidx', 'all')}


def imports(tree: ast.AST) -> dict:
    "Room → names that are imported from it"
    found = {}
    for n in ast.walk(tree):
        if isinstance(n, ast.ImportFrom) and n.level: found.setdefault(n.module, set()).update(a.name for a in n.names)
    return found


def test_imports_point_downward():
    found = modules()
    assert set(found) == set(ROOMS), 'a new module needs a place in ROOMS'
    for name, tree in found.items():
        upward = set(imports(tree)) - set(ROOMS[:ROOMS.index(name)])
        assert not upward, f'{name} imports {upward}'


def test_notebooks_stand_in_the_order_of_imports():
    numbered = [re.fullmatch(r'(\d\d)_(\w+)', p.stem) for p in sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))]
    assert [m[2] for m in numbered] == ROOMS
    assert len({m[1] for m in numbered}) == len(ROOMS)


def test_no_private_name_crosses_rooms():
    crossing = {(name, n) for name, tree in modules().items() for names in imports(tree).values() for n in names if n.startswith('_')}
    assert crossing == set()


def test_what_a_user_types():
    import fastai_softlabels.all as everything
    offered = {n for n in dir(everything) if not n.startswith('_')} - set(ROOMS)
    assert len(offered) <= 110, 'a name in `all` is one that a user types; others are imported from their room'


GLOBALS = """
import json, random, warnings, numpy as np, torch, matplotlib as mpl, pandas as pd
from fastai.vision.all import *
def state():
    methods = lambda f: sorted(str(m.signature) for m in f.methods if 'fastai_softlabels' not in str(m.signature))
    return dict(warnings=[str(w) for w in warnings.filters], rc=str(sorted(mpl.rcParams.items())), dtype=str(torch.get_default_dtype()), callbacks=str(defaults.callbacks),
                torch_seed=torch.initial_seed(), numpy=str(np.random.get_state()), random=str(random.getstate()), threads=torch.get_num_threads(),
                shows=[methods(f) for f in (show_batch, show_results, plot_top_losses)], learner=sorted(dir(Learner)), block=sorted(dir(DataBlock)), tensor=sorted(dir(torch.Tensor)))
import torch.nn, fastai.interpret, fastai.tabular.learner, fastai.text.learner, scipy.special # what others do at import is not ours
before = state()
from fastai_softlabels.all import *
after = state()
print(json.dumps([k for k in before if before[k] != after[k]]))
"""

def test_importing_changes_nothing():
    out = subprocess.run([sys.executable, '-c', GLOBALS], capture_output=True, text=True, timeout=120, check=True).stdout
    assert json.loads(out) == []


def test_our_show_methods_are_registered_with_fastai():
    import fastai.data.core, fastai.interpret
    from fastai_softlabels import data
    assert data.show_batch is fastai.data.core.show_batch and data.plot_top_losses is fastai.interpret.plot_top_losses


ORDER = """
from fastai_softlabels.all import *
from fastai.vision.all import *
import inspect
x = TensorImage(torch.rand(2, 3, 4, 4))
for y in (TensorSoftCategory(torch.rand(2, 3)), TensorSoftMultiCategory(torch.rand(2, 3))):
    for f, args in ((show_batch, (x, y, [])), (show_results, (x, y, [], [])), (plot_top_losses, (x, y, [], [], [], []))):
        print(inspect.getmodule(f._resolve_method_with_cache(args=args)[0]).__name__)
"""

@pytest.mark.parametrize('lines', [ORDER, '\n'.join(ORDER.splitlines()[2::-1] + ORDER.splitlines()[3:])], ids=['ours first', 'fastai first'])
def test_our_show_methods_are_taken_whoever_is_imported_first(lines):
    out = subprocess.run([sys.executable, '-c', lines], capture_output=True, text=True, timeout=120, check=True).stdout
    assert out.split() == ['fastai_softlabels.data']*6


def test_requirements_come_from_settings():
    settings = ConfigParser()
    settings.read(ROOT/'settings.ini')
    for name in (n for n in settings['DEFAULT'] if n.endswith('requirements')):
        extra = name.removesuffix('requirements').strip('_')
        ours = set(settings['DEFAULT'][name].split())
        installed = {r.split(';')[0].strip() for r in requires('fastai_softlabels') if (f'extra == "{extra}"' in r if extra else 'extra' not in r)}
        assert ours == installed


def test_each_requirement_has_its_reason():
    lines = (ROOT/'settings.ini').read_text().splitlines()
    wanting = [l.strip() for previous, l in zip(lines, lines[1:]) if '>=' in l and not previous.strip().startswith('#')]
    assert wanting == []


def test_the_citations_name_the_version():
    version = import_module('fastai_softlabels').__version__
    assert f'\nversion: {version}\n' in (ROOT/'CITATION.cff').read_text() and f'version = {{{version}}}' in (ROOT/'README.md').read_text()


@pytest.mark.parametrize('notebook', sorted((ROOT/'nbs').rglob('*.ipynb')), ids=lambda p: p.name)
def test_notebooks_hold_outputs_and_no_errors(notebook):
    cells = [c for c in json.loads(notebook.read_text())['cells'] if c['cell_type'] == 'code']
    assert 'skip_exec' not in notebook.read_text()
    assert [o for c in cells for o in c['outputs'] if o['output_type'] == 'error'] == []
    shown = [c for c in cells if not ''.join(c['source']).startswith(('#| export', '#| default_exp', '#| hide'))]
    assert any(c['outputs'] for c in shown)
    assert len(notebook.read_text()) < 500_000
    exported = [''.join(c['source']) for c in cells if ''.join(c['source']).startswith('#| export')]
    assert max([len([l for l in s.split('\n') if l.strip()]) for s in exported] or [0]) <= 60


RUNS_CODE = {'eval', 'exec', 'compile', 'system', 'popen', 'Popen', 'check_output', 'check_call', 'loads', 'load_learner', 'Unpickler', 'extractall'}

def test_nothing_runs_code_or_a_shell():
    "Neither what a file says nor what a user hands in becomes code; JSON's `loads`, a pattern's `compile`, a checked zip's `extractall` and a model's own `eval` are the exceptions"
    found = set()
    for name, tree in modules().items():
        assert not any(isinstance(n, ast.Import) and a.name.split('.')[0] in ('pickle', 'subprocess', 'marshal', 'shelve') for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names), name
        for call in (n.func for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if isinstance(call, ast.Name) and call.id in RUNS_CODE: found.add((name, call.id))
            if isinstance(call, ast.Attribute) and call.attr in RUNS_CODE: found.add((name, f'{ast.unparse(call.value)}.{call.attr}'))
    assert found == {('tables', 're.compile'), ('persist', 'json.loads'), ('vote_files', 'json.loads'), ('datasets', 'json.loads'), ('files', 'z.extractall'),
                     ('persist', 'model.eval'), ('ood', 'model.eval')}


def test_classes_are_asked_of_the_target():
    "`dls.vocab` may hold words, or the categories of an input"
    asked = [f'{name}: {ast.unparse(n)}' for name, tree in modules().items() for n in ast.walk(tree)
             if isinstance(n, ast.Attribute) and n.attr in ('vocab', 'c') and ast.unparse(n.value).split('.')[-1] == 'dls']
    assert asked == []
