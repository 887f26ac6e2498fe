"Workers that load the batches: as many, the same, whether they are forked or spawned."
import json, os, subprocess, sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent/'run'/'loader_workers.py'


@pytest.fixture(scope='module', params=['fork', 'spawn'])
def found(request, tmp_path_factory):
    "in a process of its own, as a program has one way of starting processes"
    out = tmp_path_factory.mktemp('workers')/'found.json'
    done = subprocess.run([sys.executable, str(SCRIPT), request.param, str(out)], env={**os.environ, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param, json.loads(out.read_text())


def test_batches_are_those_without_workers(found):
    "types and values: one distribution, independent classes, masks; their readers travel to spawned workers"
    assert found[1]['batches'] == ''


def test_the_callback_hears_the_same(found):
    alone, helped = found[1]['OODConfidence']
    assert len(alone) > 10 and helped == pytest.approx(alone, abs=1e-6)


def test_a_lambda_stays_at_home(found):
    "a forked worker inherits it; it cannot be sent to a spawned one, and Python says so"
    how, complaint = found[0], found[1]['lambda']
    assert complaint == '' if how == 'fork' else 'pickle' in complaint and 'lambda' in complaint
