"""How many faults would the tests notice? `make mutants`, or `python scripts/mutants.py --sample 200 --seed 0`

A random sample of small faults (mutants, by cosmic-ray's operators: another operator, number, condition, exception …) is put
into the modules one at a time, and the tests run that reach its line, until one fails: those of the module's own suites and
then the quickest, as many as take two minutes. Which do, and how long they take, is measured first by coverage of all suites that
are quick and stay in their process (build/mutants.json, used again until package or tests change; `--sample 0` only measures);
they have to pass as things are. Prints each mutant that no test noticed, with its line, and the share that was killed. A mutant
that hangs counts as killed. Annotations are left alone: they say something to people only. Every mutant runs in a fork of a
process that has imported torch and fastai already."""
import argparse, ast, collections, contextlib, difflib, hashlib, importlib, json, os, random, shutil, signal, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT/'build'/'mutants.json'
MODULES = [p.stem for p in sorted((ROOT/'fastai_softlabels').glob('*.py')) if not p.stem.startswith('_') and p.stem != 'all']
# in other processes, about other files than the package, or slow
LEFT_OUT = ('processes', 'workers', 'benchmarks', 'traffic', 'waiting', 'scale', 'demo', 'docs', 'outputs', 'notebooks', 'house', 'matrix', 'mask_matrix',
            'faults', 'fastai_beside', 'refused_demo')
BUDGET = 120 # seconds of tests for a mutant


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
    "A plugin of pytest: only the tests with these names; which of them runs is told to `coverage`, how long each took is kept"
    def __init__(self, names: set | None, coverage=None):
        self.names, self.coverage = names, coverage
        self.seconds = collections.Counter()

    def pytest_collection_modifyitems(self, items):
        if self.names is not None: items[:] = [i for i in items if i.nodeid in self.names]

    def pytest_runtest_setup(self, item):
        if self.coverage: self.coverage.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report): self.seconds[report.nodeid] += report.duration


def run_tests(folder: Path, names: set | None = None) -> int:
    "In a fork: 0 when no test failed with the package in `folder`; without names all run, and what each reaches goes to a file there"
    import coverage, pytest
    sys.dont_write_bytecode = True # which would be found again for the next fault of the same size, in the same second
    with open(folder/'log', 'w') as log:
        for fd in (1, 2): os.dup2(log.fileno(), fd)
    os.chdir(folder)
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE='1')
    sys.path.insert(0, str(folder))
    if names is None: suites = [str(p) for p in sorted(Path('tests').glob('test_*.py')) if p.stem.removeprefix('test_') not in LEFT_OUT]
    else: suites = sorted({n.split('::')[0] for n in names})
    cov = coverage.Coverage(include=[str(folder/'fastai_softlabels/*')], data_file=None) if names is None else None
    chosen = Chosen(names, cov)
    if cov: cov.start()
    code = pytest.main(['-q', *(['-x'] if names else []), '-p', 'no:cacheprovider', *suites], plugins=[chosen])
    if cov:
        cov.stop()
        number = {name: i for i, name in enumerate(['', *chosen.seconds])}
        lines = {m: cov.get_data().contexts_by_lineno(str(folder/f'fastai_softlabels/{m}.py')) for m in MODULES}
        reached = {m: {l: [number[n] for n in names if n in number] for l, names in of.items()} for m, of in lines.items()}
        (folder/'measured.json').write_text(json.dumps(dict(reached=reached, names=list(number), seconds=chosen.seconds)))
    return code


def outcome(folder: Path, limit: float, names: set | None = None) -> str:
    "'killed', 'survived' or 'timed out'"
    pid, end = os.fork(), time.monotonic() + limit
    if pid == 0:
        os.setsid()
        code = 1
        try: code = int(run_tests(folder, names))
        except BaseException: code = 1
        finally: os._exit(code)
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: return 'killed' if status else 'survived'
        time.sleep(.1)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 'timed out'


def fingerprint() -> str:
    "Of package and tests"
    files = sorted(p for d in ('fastai_softlabels', 'tests') for p in (ROOT/d).rglob('*.py'))
    return hashlib.sha256(b''.join(str(p.relative_to(ROOT)).encode() + p.read_bytes() for p in files)).hexdigest()


def measured(folder: Path) -> dict:
    "Which tests reach which line of which module, and how long each takes; an earlier measurement where nothing has changed"
    if MEASURED.exists():
        found = json.loads(MEASURED.read_text())
        if found['of'] == fingerprint(): return found
    if outcome(folder, 7200) != 'survived': sys.exit(f'A suite fails without any fault: {(folder/"log").read_text()[-2000:]}')
    found = dict(json.loads((folder/'measured.json').read_text()), of=fingerprint())
    MEASURED.parent.mkdir(exist_ok=True)
    MEASURED.write_text(json.dumps(found))
    return found


def reaching(code: str, tests: dict, module: str, line: int) -> set:
    "The tests that reach the statement on `line`; where it runs when the module is imported, those that reach any line"
    contexts = {int(k): {tests['names'][i] for i in v} for k, v in tests['reached'][module].items()}
    around = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.stmt) and n.lineno <= line <= n.end_lineno]
    names = {''} # a decorator, which no statement counts as its own line
    if around:
        innermost = max(around, key=lambda n: (n.lineno, -n.end_lineno))
        body = getattr(innermost, 'body', None)
        last = body[0].lineno - 1 if body and body[0].lineno > innermost.lineno else innermost.end_lineno # of `if`, `def` … the head
        names = {name for l in range(innermost.lineno, last + 1) for name in contexts.get(l, ())}
    if '' in names: names = set().union(*contexts.values())
    return names - {''}


def affordable(names: set, module: str, seconds: dict) -> set:
    "As many tests as the budget has, those of the module's own suites first, then the quickest"
    def rank(name): return name.split('::')[0] not in (f'tests/test_{module}.py', f'tests/test_refused_{module}.py'), seconds.get(name, 0)
    res, left = set(), BUDGET
    for name in sorted(names, key=rank):
        left -= seconds.get(name, 0)
        if left < 0: break
        res.add(name)
    return res


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sample', type=int, default=200)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--modules', nargs='+', default=MODULES, choices=MODULES)
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
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns('.*', 'nbs', '*.egg-info', '_docs', 'models', 'demo_output', 'build', '__pycache__'))
        tests = measured(folder)
        for module, operator, occurrence, line in sample:
            path, code = folder/f'fastai_softlabels/{module}.py', mutated(module, operator, occurrence)
            original = path.read_text()
            names = affordable(reaching(original, tests, module, line), module, tests['seconds'])
            path.write_text(code)
            found = outcome(folder, args.limit, names) if names else 'survived'
            counts[found] += 1
            path.write_text(original)
            print(f'{found:9} {module}:{line} {operator.split("/")[-1]}', flush=True)
            if found == 'survived': print(*[l for l in difflib.unified_diff(original.splitlines(), code.splitlines(), lineterm='', n=0)][3:], sep='\n', flush=True)
    if not sample: return
    killed = counts['killed'] + counts['timed out']
    print(f'{killed} of {len(sample)} killed ({killed/len(sample):.1%}), {counts["timed out"]} of them by hanging')


if __name__ == '__main__': main()
