"Small data and learners that the suites share."
import matplotlib
matplotlib.use('Agg') # no screen needed

from pathlib import Path

import matplotlib.pyplot as plt, pandas as pd, pytest
from fastai.torch_core import set_seed

from fastai_softlabels.datasets import digits_votes

DIGITS = [str(c) for c in range(10)]
TABLES = {} # title → text of the matrices that suites have filled


def pytest_terminal_summary(terminalreporter):
    "Print the matrices, so that a test run shows what was tried"
    for title, text in TABLES.items():
        terminalreporter.section(title)
        terminalreporter.write_line(text)


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
