"Two processes measure what one does, learn what one does where they hold as many labels, and end when one of them is lost."
import json, os, signal, subprocess, sys
from pathlib import Path

import numpy as np, psutil, pytest

HERE = Path(__file__).parent
TWO = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
ENV = {**os.environ, 'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': '1'}


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    "What one process and what two write about the same"
    def run(out, *launcher):
        done = subprocess.run([sys.executable, *launcher, str(HERE/'two_processes.py'), str(out)], env=ENV, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(out.read_text())
    folder = tmp_path_factory.mktemp('processes')
    return run(folder/'one.json'), run(folder/'two.json', *TWO)


@pytest.mark.parametrize('what, cases', [('metrics', 6), ('get_preds', 6), ('OODConfidence', 3)])
def test_two_processes_measure_what_one_does(found, what, cases):
    "every item is counted once, though fastai pads odd sets so that each process has as many"
    one, two = ({case: values for case, values in res.items() if case.startswith(what)} for res in found)
    assert len(one) == cases and list(one) == list(two)
    for case, values in one.items(): assert two[case] == pytest.approx(values, abs=1e-5), case


EXACT = ['cross-entropy', 'BCE', 'Dice', 'Dice, sigmoid', 'Dice and cross-entropy']
SUMS = ['cross-entropy, sum', 'BCE, sum', 'Dice, sum']

def gradients(found, name, unlabelled):
    "Of one process, of two, and the mean of those of two halves that one process computed one after the other"
    one, two = found
    return (np.array(g) for g in (one[f'gradients, {name} {unlabelled}'], two[f'gradients, {name} {unlabelled}'], one[f'halves, {name} {unlabelled}']))

@pytest.mark.parametrize('unlabelled', [(0, 0), (2, 2)], ids=str)
@pytest.mark.parametrize('name', EXACT)
def test_a_step_on_equal_shards_is_that_of_one_process(found, name, unlabelled):
    "equal in items, and in labelled ones"
    one, two, halves = gradients(found, name, unlabelled)
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)
    np.testing.assert_allclose(two, halves, rtol=0, atol=1e-6)

@pytest.mark.parametrize('unlabelled', [(1, 4), (0, 6)], ids=str)
@pytest.mark.parametrize('name', EXACT)
def test_a_mean_of_means_where_shards_hold_different_labels(found, name, unlabelled):
    "the gradient is then the mean over processes, in which an item counts for more where few are labelled; it is not that of one process"
    one, two, halves = gradients(found, name, unlabelled)
    np.testing.assert_allclose(two, halves, rtol=0, atol=1e-6)
    assert np.abs(two - one).max() > .05*np.abs(one).max()

@pytest.mark.parametrize('unlabelled', [(0, 0), (2, 2), (1, 4), (0, 6)], ids=str)
@pytest.mark.parametrize('name', SUMS)
def test_sums_do_not_see_the_shards(found, name, unlabelled):
    "the gradient is that of one process over the number of processes, whoever holds the labels"
    one, two, _ = gradients(found, name, unlabelled)
    np.testing.assert_allclose(two, one/2, rtol=0, atol=1e-6)

def test_dice_of_a_batch_is_of_each_process_batch(found):
    one, two, halves = gradients(found, 'Dice of the batch', (0, 0))
    np.testing.assert_allclose(two, halves, rtol=0, atol=1e-6)
    assert np.abs(two - one).max() > 1e-5


@pytest.mark.parametrize('how, words', [('exit', 'exitcode  : 3'), ('kill', 'SIGKILL'), ('hang', 'imed out')])
def test_a_lost_process_ends_the_run(how, words, tmp_path):
    "with an error, and nobody is left behind; one that hangs is waited for as long as the process group's timeout, here 10 seconds"
    run = subprocess.Popen([sys.executable, *TWO, str(HERE/'lost_process.py'), str(tmp_path), how], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        said, _ = run.communicate(timeout=200)
        pids = [int(f.read_text()) for f in tmp_path.glob('*.pid')]
        left = [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]
    finally: # whatever happens, nothing of this goes on
        for pid in [run.pid, *(int(f.read_text()) for f in tmp_path.glob('*.pid'))]:
            try: os.killpg(pid, signal.SIGKILL) # torchrun makes each of them the head of a group
            except ProcessLookupError: pass
    assert len(pids) == 2 and left == []
    assert run.returncode != 0 and words in said, said[-3000:]
    assert not (tmp_path/'finished').exists()
