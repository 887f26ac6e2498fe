"Two processes measure what one does, learn what one does where they hold as many labels, and end when one of them is lost."
import json, os, signal, subprocess, sys
from pathlib import Path

import numpy as np, psutil, pytest

RUN = Path(__file__).parent/'run'
TWO = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
ENV = {**os.environ, 'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': '1'}


def start(script: str, *args, launcher=()):
    "Run a script beside this process"
    return subprocess.Popen([sys.executable, *launcher, str(RUN/script), *map(str, args)], env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

def end(run):
    said = run.communicate(timeout=400)[1]
    assert run.returncode == 0, said[-3000:]

@pytest.fixture(scope='module')
def found(tmp_path_factory):
    "What one process and what two write about the same"
    folder = tmp_path_factory.mktemp('processes')
    for run in [start('two_processes.py', folder/'one.json'), start('two_processes.py', folder/'two.json', launcher=TWO)]: end(run)
    return [json.loads((folder/f'{name}.json').read_text()) for name in ('one', 'two')]


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


@pytest.fixture(scope='module')
def seen(tmp_path_factory):
    "What one process and each of two find in the same image files, tables and masks"
    sys.path.insert(0, str(RUN))
    from two_processes_images import draw, find
    folder, res = tmp_path_factory.mktemp('images'), []
    draw(folder)
    run = start('two_processes_images.py', folder, folder/'two', launcher=TWO)
    find(folder, lambda o: res.append(json.loads(json.dumps(o))))
    end(run)
    return res + [json.loads((folder/f'two.{rank}').read_text()) for rank in (0, 1)]


def answers(seen, name: str, when: str):
    "Of one process, and of each of two inside of the context, after it, or of the first alone"
    one, *two = seen
    return [one[name], *(res.get(f'{name}, {when}') for res in two)]

def flat(o):
    "Numbers and names in dicts and lists, without what says how the work was shared"
    if isinstance(o, dict): return [v for k in o if k not in ('split', 'sizes') for v in flat(o[k])]
    return [v for part in o for v in flat(part)] if isinstance(o, list) else [o]

def the_same(one, *others):
    for other in others:
        assert not isinstance(other, str), other # an error
        assert len(flat(one)) == len(flat(other)) > 0
        for a, b in zip(flat(one), flat(other)): assert b == (a if isinstance(a, str) else pytest.approx(a, abs=1e-5))

KINDS = ['category', 'multi-category']
ALONE, SHARED, AFTER = [False, False, 0], [True, True, 2], [False, False, 2] # a `DistributedDL`? A wrapped model? How many processes does fastai count?

@pytest.mark.parametrize('what', [*(f'{kind}, trained' for kind in KINDS), 'compiled'])
def test_two_processes_train_and_listen_as_one_does(seen, what):
    "with images of a table, and a list of files, a table and a loader as other images; each is evaluated once, by one of the two"
    one, first, second = answers(seen, what, 'inside')
    the_same(one, first, second)
    assert [one['split'], first['split'], second['split']] == [ALONE, SHARED, SHARED]
    valid, files, table, loader = [4, 4, 1], [4, 3], [1], [4, 4, 3]
    assert one['sizes'] == [*valid, *files, *table, *loader]
    padded = [4, 1] # half of ten
    assert first['sizes'] == [*padded, *files[::2], *table[::2], *loader[::2]]
    assert second['sizes'] == [*padded, *files[1::2], *table[1::2], *loader[1::2]]

@pytest.mark.parametrize('what', ['validated', 'answering'])
@pytest.mark.parametrize('kind', KINDS)
def test_two_processes_measure_images_as_one_does(seen, kind, what):
    "`validate`, of which the callback hears nothing, and `abstain`, which asks for no order"
    one, first, second = answers(seen, f'{kind}, {what}', 'inside')
    the_same(one, first, second)
    assert [one['split'], first['split'], second['split']] == [ALONE, SHARED, SHARED]
    assert what != 'validated' or one['rows'] == first['rows'] == 0

@pytest.mark.parametrize('kind', KINDS)
def test_learners_are_compared_inside_of_the_context(seen, kind): the_same(*answers(seen, f'{kind}, compared', 'inside'))

@pytest.mark.parametrize('what, name', [('interpreted', 'SoftInterpretation'), ('softened', 'preds_to_soft'), ('scaled', 'temperature_scale')])
@pytest.mark.parametrize('kind', KINDS)
def test_what_names_items_is_refused_inside_of_the_context(seen, kind, what, name):
    for res in seen[1:]:
        assert res[f'{kind}, {what}, inside'] == (f'SoftLabelError: `{name}` names items, but inside `distrib_ctx` predictions of several processes come back in another order. '
                                                  'Call it outside of the context.')

@pytest.mark.parametrize('what', [f'category, {what}' for what in ('trained', 'answering', 'compared', 'interpreted', 'softened', 'scaled')] + ['multi-category, validated', 'multi-category, interpreted'])
def test_each_process_is_one_process_after_the_context(seen, what):
    "although fastai still counts two, and would gather what both of them have"
    one, first, second = answers(seen, what, 'after')
    the_same(one, first, second)
    if 'split' in one: assert [one['split'], first['split'], second['split']] == [ALONE, AFTER, AFTER]
    if 'sizes' in one: assert one['sizes'] == first['sizes'] == second['sizes']

@pytest.mark.parametrize('what', [f'category, {what}' for what in ('answering', 'compared', 'interpreted', 'softened', 'scaled')] + ['multi-category, interpreted'])
def test_after_the_context_one_process_need_not_wait_for_the_other(seen, what):
    "`if rank_distrib() == 0:` before what is to be done once"
    one, first, second = answers(seen, what, 'alone')
    the_same(one, first)
    assert second is None

def test_two_processes_measure_masks_as_one_does(seen):
    "soft Dice, and Dice at a threshold, of all and of each class"
    one, first, second = answers(seen, 'masked', 'inside')
    the_same(one, first, second)
    assert (one['split'], first['split'], second['split']) == (ALONE, SHARED, SHARED)
    assert (one['sizes'], first['sizes'], second['sizes']) == ([4, 4, 1], [4, 1], [4, 1])

def test_a_meter_of_two_processes_may_be_read_again(seen):
    one, first, second = answers(seen, 'metered', 'inside')
    the_same(one, first, second)
    assert one[0][0] == 30 and one[0] == one[1]


@pytest.mark.parametrize('how, words', [('exit', 'exitcode  : 3'), ('kill', 'SIGKILL'), ('hang', 'imed out')])
def test_a_lost_process_ends_the_run(how, words, tmp_path):
    "with an error, and nobody is left behind; one that hangs is waited for as long as the process group's timeout, here 10 seconds"
    run = subprocess.Popen([sys.executable, *TWO, str(RUN/'lost_process.py'), str(tmp_path), how], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
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
