"Small data and learners that the suites share."
import matplotlib
matplotlib.use('Agg') # no screen needed

import functools, os, subprocess, sys, tempfile
from pathlib import Path

import matplotlib.pyplot as plt, pandas as pd, pytest, torch
from fastai.torch_core import default_device, set_seed
from hypothesis import HealthCheck, settings
from scipy.stats import dirichlet_multinomial

from fastai_softlabels.datasets import digits_votes
from fastai_softlabels.errors import SoftLabelError

default_device(use=False) # the suites' expectations are of the CPU, on a machine with a GPU too; what is for one says so
DIGITS = [str(c) for c in range(10)]
TABLES = {} # title → text of the matrices that suites have filled


SLOW = ['formulas', 'processes', 'teach', 'losses', 'mask_matrix', 'faults', 'dice', 'workers', 'datasets', 'ood_callback', 'persist', 'matrix'] # begun first, so that none is left over at the end


def pytest_collection_modifyitems(items):
    "Slow suites first; each stays together"
    rank = {f'test_{name}.py': i for i, name in enumerate(SLOW)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_sessionfinish(session):
    "What a worker of pytest-xdist hands over"
    if hasattr(session.config, 'workeroutput'): session.config.workeroutput['tables'] = TABLES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node): TABLES.update(getattr(node, 'workeroutput', {}).get('tables', {}))


def pytest_terminal_summary(terminalreporter):
    "Print the matrices, so that a test run shows what was tried"
    for title, text in TABLES.items():
        terminalreporter.section(title)
        terminalreporter.write_line(text)

# how hard test_properties.py searches: `ci` draws the same examples each time, `quick` the first of them, `nightly` others; no time is measured
_UNTIMED = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile('ci', max_examples=100, derandomize=True, database=None, **_UNTIMED)
settings.register_profile('quick', settings.get_profile('ci'), max_examples=20)
settings.register_profile('nightly', max_examples=1000, print_blob=True, **_UNTIMED)
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'ci'))


def check_line(line, block, lines: dict, case, outcomes: dict, request):
    "Run one line of a matrix, with the fixtures that it asks for beside its case, and note what came of it"
    outcomes[line, block] = 'FAILED'
    check = lines[line]
    asked = check.__code__.co_varnames[1:check.__code__.co_argcount]
    note = check(case, *map(request.getfixturevalue, asked))
    outcomes[line, block] = 'ok' + (f' ({note})' if note else '')

def check_matrix(title: str, lines: dict, blocks, outcomes: dict):
    "Print a matrix at the end; every line must have run and passed"
    table = pd.DataFrame({b: {l: outcomes.get((l, b), 'not run') for l in lines} for b in blocks})
    TABLES[title] = table.to_string()
    assert table.map(lambda s: s.startswith('ok')).all(axis=None)


def by_torch(logits, targets, multi: bool):
    "The loss by torch's own functions, one value an item"
    if multi: return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean(-1)
    return torch.nn.functional.cross_entropy(logits, targets, reduction='none')

def by_scipy(outputs, counts):
    "The negative log-likelihood of counts by SciPy, one value an item"
    alpha = (torch.nn.functional.softplus(outputs) + 1e-3).double().numpy()
    return -torch.tensor([dirichlet_multinomial.logpmf(k.astype(int), a, int(k.sum())) for k, a in zip(counts.numpy(), alpha)])

def activated(logits, multi: bool, counts: bool):
    "What a loss makes of logits, by torch's own functions"
    if multi: return logits.sigmoid()
    return torch.nn.functional.normalize(torch.nn.functional.softplus(logits) + 1e-3, 1, -1) if counts else logits.softmax(-1)

def displayed(monkeypatch, *modules) -> list:
    "The tables that these modules display from now on"
    found = []
    for module in modules: monkeypatch.setattr(f'{module}.display_df', found.append)
    return found


def refused(call, *words, error=SoftLabelError):
    "`call` raises, and its message has all `words`"
    with pytest.raises(error) as e: call()
    text = ' '.join(str(e.value).split())
    for w in words: assert w in text, text


@functools.cache
def _predictor(): return subprocess.Popen([sys.executable, Path(__file__).parent/'run'/'predict_afresh.py'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

def predicted_afresh(learn, item) -> tuple:
    "What an exported learner predicts of an item, loaded in a process that knows nothing of the tests: text, decoded, probabilities"
    with tempfile.TemporaryDirectory() as tmp:
        learner, out = Path(tmp).absolute()/'learner.pkl', Path(tmp)/'out.pt'
        learn.export(learner)
        print(learner, item, out, sep='\t', file=_predictor().stdin, flush=True)
        assert _predictor().stdout.readline() == '0\n'
        return torch.load(out)


@pytest.fixture(scope='session')
def digits() -> Path: return digits_votes()


@pytest.fixture(scope='session')
def votes(digits) -> pd.DataFrame:
    "120 rows of the digits' votes"
    return pd.read_csv(digits/'votes.csv').head(120)


@pytest.fixture(autouse=True)
def seeded():
    set_seed(42, reproducible=True)
    yield
    plt.close('all')
