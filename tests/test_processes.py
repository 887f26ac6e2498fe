"Two processes measure what one does."
import json, os, subprocess, sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('two_processes.py')


def run(out, *launcher):
    env = {**os.environ, 'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([sys.executable, *launcher, str(SCRIPT), str(out)], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def test_two_processes_measure_what_one_does(tmp_path):
    "metrics and OODConfidence count every item once, though fastai pads odd sets so that each process has as many"
    one = run(tmp_path/'one.json')
    two = run(tmp_path/'two.json', '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2')
    assert len(one) == 9 and list(one) == list(two)
    for case, values in one.items(): assert two[case] == pytest.approx(values, abs=1e-5), case
