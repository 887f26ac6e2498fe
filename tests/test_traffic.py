"What losses move and hold, counted on the meta device: exact, so it can be held where it is."
import json, subprocess, sys
from pathlib import Path

import pytest, torch
from torch import nn

from fastai_softlabels.all import SoftBCEWithLogitsLossFlat, SoftCrossEntropyLossFlat, SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'benchmarks'))
from traffic import count, GOALS, losses, Traffic

MAPS = 4, 21, 256, 256
LOSSES = losses()
W = [1. + i for i in range(21)]


def test_what_is_counted():
    z, row = torch.empty(10, 100, device='meta'), torch.empty(100, device='meta')
    for f, moved, peak in ((lambda: z.exp(), 2, 1), (lambda: z + z, 3, 1), (lambda: z.exp().neg(), 4, 2), (lambda: z.clone().exp_(), 4, 1), (lambda: z.view(-1)[::2], 0, 0), (lambda: torch.exp(z, out=torch.empty_like(z)), 2, 1),
                           (lambda: z.new_zeros(10, 100), 1, 1), (lambda: row.expand(10, 100) + z, 2.1, 1)):
        with Traffic() as t: f()
        assert (t.moved/4000, t.peak/4000) == pytest.approx((moved, peak))


@pytest.mark.parametrize('name', LOSSES)
def test_goals(name):
    moved, peak, half_peak = GOALS[name]
    found = count(LOSSES[name][0], MAPS, torch.float32)
    assert round(found[0], 1) <= moved and found[1] <= peak
    assert count(LOSSES[name][0], MAPS, torch.bfloat16)[1] <= half_peak


@pytest.mark.parametrize('name', LOSSES)
def test_less_memory_than_the_peer(name):
    for dtype in (torch.float32, torch.bfloat16): assert count(LOSSES[name][0], MAPS, dtype)[1] <= .9*count(LOSSES[name][2], MAPS, dtype)[1]


@pytest.mark.parametrize('name, loss', [('CE', SoftCrossEntropyLossFlat(axis=1, weight=W)), ('CE', SoftCrossEntropyLossFlat(axis=1, label_smoothing=.1)), ('CE', SoftCrossEntropyLossFlat(axis=1, kl=True)), ('CE', SoftCrossEntropyLossFlat(axis=1, reduction='sum')),
                                        ('BCE', SoftBCEWithLogitsLossFlat(axis=1, weight=W)), ('BCE', SoftBCEWithLogitsLossFlat(axis=1, reduction='sum')),
                                        ('Dice, softmax', SoftDiceLoss(aggregate='batch')), ('Dice, sigmoid', SoftDiceLoss(activation='sigmoid', classes='present', aggregate='class')), ('CE + Dice', SoftDiceCELoss(.3)), ('BCE + Dice', SoftDiceBCELoss(.3))],
                         ids=lambda o: str(o)[:60] if isinstance(o, nn.Module) else o)
def test_options_cost_little_more(name, loss):
    plain, found = count(LOSSES[name][0], MAPS, torch.float32), count(loss, MAPS, torch.float32)
    assert found[0] <= plain[0] + 8 and found[1] <= plain[1] + 1


def test_options_that_cost_more():
    "weights of the sides, and what is computed apart"
    plain = {name: count(LOSSES[name][0], MAPS, torch.float32) for name in ('BCE', 'BCE + Dice', 'CE + Dice')}
    for name, loss, traffic in (('BCE', SoftBCEWithLogitsLossFlat(axis=1, pos_weight=W), 21.1), ('BCE', SoftBCEWithLogitsLossFlat(axis=1, kl=True), 27), ('BCE + Dice', SoftDiceBCELoss(pos_weight=W), 29.1), ('CE + Dice', SoftDiceCELoss(weight=W), 17)):
        moved, peak = count(loss, MAPS, torch.float32)
        assert moved <= plain[name][0] + traffic and peak <= plain[name][1] + 1.3


@pytest.mark.parametrize('shape', [(1, 21, 512, 512), (1, 3, 64, 256, 256)], ids=str)
@pytest.mark.parametrize('name', LOSSES)
def test_one_large_image(name, shape):
    "it is worked on in rows"
    assert count(LOSSES[name][0], shape, torch.float32)[1] <= count(LOSSES[name][2], shape, torch.float32)[1] - .5


def test_benchmark(tmp_path):
    out = subprocess.run([sys.executable, ROOT/'benchmarks'/'traffic.py', '--tiny', '--json', tmp_path/'rows.json'], capture_output=True, text=True, timeout=300, check=True).stdout
    rows = json.loads((tmp_path/'rows.json').read_text())['rows']
    assert [(r['case'], r['who'], r['logits']) for r in rows] == [(name, who, logits) for name, (_, peer, _) in LOSSES.items() for who in ('ours', peer) for logits in ('float32', 'bfloat16')]
    assert all(r['traffic'] > 0 and r['peak'] >= 1 for r in rows) and len(out.splitlines()) == 1 + len(rows)
