"""How many faults would the tests notice? `make mutants`, or `python scripts/mutants.py --sample 200 --seed 0`

A random sample of small faults (mutants, by cosmic-ray's operators: another operator, number, condition, exception …) is put
into the modules one at a time, and the tests run that reach its line, until one fails. Which do is measured first, by coverage
of the suites that are about the module, which also have to pass as things are; what a test does in other processes is not seen.
Prints each mutant that no test noticed, with its line, and the share that was killed. A mutant that hangs counts as killed.
Annotations are left alone: they say something to people only. Every mutant runs in a fork of a process that has imported torch
and fastai already."""
import argparse, ast, collections, contextlib, difflib, importlib, json, os, random, shutil, signal, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITES = { # what is quick comes first
    'errors': 'core tables refused_tables refused_core refused_scores',
    'files': 'refused_files datasets persist',
    'core': 'core refused_core data metrics pictures raters',
    'tables': 'tables refused_tables core refused_reader refused_data field_again field_labels',
    'formulas': 'losses dice formulas traffic',
    'losses': 'losses refused_losses refused_dice temperature field_labels',
    'dice': 'dice refused_dice',
    'votes': 'votes refused_votes tables field_again field_files',
    'vote_files': 'refused_vote_files votes field_again field_files',
    'reader': 'rows refused_reader tables field_again data',
    'blocks': 'data refused_data refused_ood field_again field_labels',
    'data': 'data refused_data field_more field_again field_labels field_files pictures',
    'metrics': 'metrics refused_metrics dice field_again field_labels temperature peers',
    'mask_files': 'masks refused_masks refused_mask_files field_files raters',
    'masks': 'masks refused_masks field_files pictures raters',
    'rater_metrics': 'rater_metrics',
    'scores': 'ood_metrics refused_scores risk readings ood_callback',
    'ood': 'refused_ood readings heads ood_callback',
    'calibrate': 'refused_calibrate risk heads temperature field_again field_labels',
    'interpret': 'interpret refused_interpret risk field_labels pictures',
    'datasets': 'refused_datasets datasets',
    'persist': 'persist'}


def annotations(code: str) -> list:
    "Ranges ((line, column), (line, column)) of the annotations in `code`"
    res = []
    for node in ast.walk(ast.parse(code)):
        for a in (getattr(node, 'annotation', None), getattr(node, 'returns', None)):
            if isinstance(a, ast.AST): res.append(((a.lineno, a.col_offset), (a.end_lineno, a.end_col_offset)))
    return res


def candidates(module: str) -> list:
    "All mutants of a module: (module, operator's name, occurrence, line)"
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names
    code = (ROOT/f'fastai_softlabels/{module}.py').read_text()
    skip, tree, res = annotations(code), get_ast(code), []
    for name in sorted(n for n in operator_names() if not get_operator(n).arguments()): # others want names of variables
        operator, occurrence = get_operator(name)(), 0
        for node in ast_nodes(tree):
            for start, stop in operator.mutation_positions(node):
                if not any(a <= start and stop <= b for a, b in skip): res.append((module, name, occurrence, start[0]))
                occurrence += 1
    return res


def mutated(module: str, operator: str, occurrence: int) -> str:
    "The module's code with one fault"
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator
    return mutate_code((ROOT/f'fastai_softlabels/{module}.py').read_text(), get_operator(operator)(), occurrence)


class Chosen:
    "A plugin of pytest: only the tests with these names, and which of them runs is told to `coverage`"
    def __init__(self, names: set | None, coverage=None): self.names, self.coverage = names, coverage

    def pytest_collection_modifyitems(self, items):
        if self.names is not None: items[:] = [i for i in items if i.nodeid in self.names]

    def pytest_runtest_setup(self, item):
        if self.coverage: self.coverage.switch_context(item.nodeid)


def run_suites(folder: Path, module: str, names: set | None = None, measure: bool = False) -> int:
    "In a fork: 0 when no test failed with the package in `folder`; if asked, which tests reach which line goes to a file there"
    import coverage, pytest
    sys.dont_write_bytecode = True # which would be found again for the next fault of the same size, in the same second
    with open(folder/'log', 'w') as log:
        for fd in (1, 2): os.dup2(log.fileno(), fd)
    os.chdir(folder)
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE='1')
    sys.path.insert(0, str(folder))
    suites = [f'tests/test_{s}.py' for s in SUITES[module].split() if (folder/f'tests/test_{s}.py').exists()]
    path = str(folder/f'fastai_softlabels/{module}.py')
    cov = coverage.Coverage(include=[path], data_file=None) if measure else None
    if cov: cov.start()
    code = pytest.main(['-q', '-x', '-p', 'no:cacheprovider', *suites], plugins=[Chosen(names, cov)])
    if cov:
        cov.stop()
        (folder/f'{module}.json').write_text(json.dumps(cov.get_data().contexts_by_lineno(path)))
    return code


def outcome(folder: Path, module: str, limit: float, *args) -> str:
    "'killed', 'survived' or 'timed out'"
    pid, end = os.fork(), time.monotonic() + limit
    if pid == 0:
        os.setsid()
        code = 1
        try: code = int(run_suites(folder, module, *args))
        except BaseException: code = 1
        finally: os._exit(code)
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: return 'killed' if status else 'survived'
        time.sleep(.1)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 'timed out'


def reaching(folder: Path, module: str, line: int) -> set | None:
    "The tests that reach the statement on `line`; None for all, where it runs when the module is imported"
    contexts = {int(k): v for k, v in json.loads((folder/f'{module}.json').read_text()).items()}
    tree = ast.parse((folder/f'fastai_softlabels/{module}.py').read_text())
    around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= line <= n.end_lineno]
    if not around: return None # a decorator, which no statement counts as its own line
    innermost = max(around, key=lambda n: (n.lineno, -n.end_lineno))
    body = getattr(innermost, 'body', None)
    last = body[0].lineno - 1 if body and body[0].lineno > innermost.lineno else innermost.end_lineno # of `if`, `def` … the head
    names = {name for l in range(innermost.lineno, last + 1) for name in contexts.get(l, ())}
    return None if '' in names else names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sample', type=int, default=200)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--modules', nargs='+', default=list(SUITES), choices=list(SUITES))
    parser.add_argument('--limit', type=float, default=600, help='seconds after which a mutant counts as hanging')
    parser.add_argument('--part', type=int, nargs=2, default=(0, 1), metavar=('I', 'N'), help='only part I, from 0, of N parts of the sample, so that several can run at once')
    parser.add_argument('--again', type=Path, nargs='+', metavar='LOG', help='only those that survived in what an earlier run on the same sample printed')
    args = parser.parse_args()
    everything = [m for module in args.modules for m in candidates(module)]
    sample = sorted(random.Random(args.seed).sample(everything, min(args.sample, len(everything))))
    part, n_parts = args.part
    sample = sample[part*len(sample)//n_parts:(part + 1)*len(sample)//n_parts]
    if args.again:
        lived = {tuple(l.split()[1:]) for log in args.again for l in log.read_text().splitlines() if l.startswith('survived')}
        sample = [m for m in sample if (f'{m[0]}:{m[3]}', m[1].split('/')[-1]) in lived]
    print(f'{len(everything)} mutants of {", ".join(args.modules)}; a sample of {len(sample)}', flush=True)
    import matplotlib
    matplotlib.use('Agg')
    os.environ['HYPOTHESIS_PROFILE'] = 'quick'
    for package in ('accelerate', 'crowdkit.aggregation', 'fastai.vision.all', 'hypothesis', 'monai.losses', 'polars', 'pytest', 'pytorch_ood', 'segmentation_models_pytorch', 'sklearn', 'timm', 'torchmetrics'):
        with contextlib.suppress(ImportError): importlib.import_module(package) # once for all forks
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)/'copy'
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns('.*', 'nbs', '*.egg-info', '_docs', 'models', 'demo_output', '__pycache__'))
        for module in sorted({m[0] for m in sample}): # the suites have to pass as things are, else everything would look killed
            if outcome(folder, module, 3*args.limit, None, True) != 'survived': sys.exit(f'The suites of {module} fail without any fault: {(folder/"log").read_text()[-2000:]}')
        for module, operator, occurrence, line in sample:
            path, code = folder/f'fastai_softlabels/{module}.py', mutated(module, operator, occurrence)
            original = path.read_text()
            names = reaching(folder, module, line) # before the fault is there
            path.write_text(code)
            found = outcome(folder, module, args.limit, names) if names is None or names else 'survived'
            counts[found] += 1
            path.write_text(original)
            print(f'{found:9} {module}:{line} {operator.split("/")[-1]}', flush=True)
            if found == 'survived': print(*[l for l in difflib.unified_diff(original.splitlines(), code.splitlines(), lineterm='', n=0)][3:], sep='\n', flush=True)
    killed = counts['killed'] + counts['timed out']
    print(f'{killed} of {len(sample)} killed ({killed/len(sample):.1%}), {counts["timed out"]} of them by hanging')


if __name__ == '__main__': main()
