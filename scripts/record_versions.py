"""What a run of the suites on some set of versions came to: `python scripts/record_versions.py NAME JUNIT.xml`

Its row in results/versions.csv is replaced, and VERSIONS.md, the table to read, is written from all rows."""
import platform, sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
TABLE, PAGE = ROOT/'results'/'versions.csv', ROOT/'VERSIONS.md'
PACKAGES = ['fastai', 'fastcore', 'torch', 'torchvision', 'numpy', 'pandas', 'matplotlib', 'pillow', 'scikit-learn', 'scipy', 'safetensors', 'krippendorff']
TEXT = """<!-- Generated from results/versions.csv by scripts/record_versions.py -->

# Versions

`make test-versions` runs all suites under pytest on the oldest versions that `settings.ini` allows and on the newest that pip finds, on each Python that the machine has. `pinned` is what `constraints.txt` has and `make test` uses. This is what the last run of each came to, failures included; an environment without a column has not been run to its end:

{table}

An older Python than 3.11, and older versions than the bounds in `settings.ini`, are not supported. The notebooks run on the pinned versions alone.
"""


def counts(junit: Path) -> dict:
    "Tests by outcome"
    suites = ElementTree.parse(junit).getroot().iter('testsuite')
    n = {k: 0 for k in ('tests', 'failures', 'errors', 'skipped')}
    for s in suites:
        for k in n: n[k] += int(s.get(k, 0))
    return dict(passed=n['tests'] - n['failures'] - n['errors'] - n['skipped'], failed=n['failures'] + n['errors'], skipped=n['skipped'])


def page(rows: pd.DataFrame) -> str:
    "The rows as a table with a column for each environment"
    columns = {r.environment: r.drop('environment') for _, r in rows.iterrows()}
    lines = [f'| | {" | ".join(columns)} |', f'|---|{"---|"*len(columns)}']
    lines += [f'| {k} | {" | ".join(str(c[k]) for c in columns.values())} |' for k in rows.columns if k != 'environment']
    return TEXT.format(table='\n'.join(lines))


def main(name: str, junit: Path):
    row = dict(environment=name, date=str(date.today()), Python=platform.python_version(), **{p: version(p) for p in PACKAGES}, **counts(junit))
    rows = [pd.read_csv(TABLE, dtype=str)] if TABLE.exists() else []
    rows = pd.concat([*rows, pd.DataFrame([row]).astype(str)]).drop_duplicates('environment', keep='last').sort_values('environment', key=lambda s: s.str.replace('oldest', ''))
    rows.to_csv(TABLE, index=False)
    PAGE.write_text(page(rows))
    print(pd.Series(row).to_string())


if __name__ == '__main__': main(sys.argv[1], Path(sys.argv[2]))
