"Each benchmark runs, at a size that says nothing about time, and prints all of its lines."
import json, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MASKS = ('6 of 21 classes', '21 of 21 classes', 'one class, five raters', 'one class, a soft mask')
LINES = {'labels': [('set up, labels alone', 'CategoryBlock, inferring'), ('set up, labels alone', 'CategoryBlock, vocab given'), ('set up, with an ImageBlock', 'CategoryBlock, inferring'),
                    ('set up, with an ImageBlock', 'CategoryBlock, vocab given'), ('a label, list of paths', 'ColReader of ten columns'), ('a label, DataFrame', 'ColReader of ten columns'),
                    ('df.iloc[i] and no more', 'ColReader of ten columns'), *([(m, 'the float32 table') for m in ('memory, freed given back', 'memory, as allocated')] if sys.platform == 'linux' else [])],
         'epoch': [line for prefix, block in (('', 'CategoryBlock'), ('U-Net: ', 'MaskBlock'))
                   for line in ((f'{prefix}our share of an epoch', f"beyond {block}'s"), (f'{prefix}our code', 'its epoch'),
                                (f'{prefix}{block}, its loss and metrics', 'its epoch'), (f'{prefix}the whole epoch, profiled', f"{block}'s"))],
         'operations': [*((f'{c}, operations', w) for c in ('BCE', 'CE') for w in ('ours', "PyTorch's")), ('a write of one T', 'fresh memory'), ('a write of one T', 'memory kept')],
         'masks': [*((c, 'MaskBlock') for c in MASKS), ('6 of 21 classes, augmented batches', 'MaskBlock'), *((f'{c}, memory', 'MaskBlock') for c in MASKS if sys.platform == 'linux')],
         'votes': [('0.02 M votes', 'DuckDB'), ('0.02 M votes', 'Polars'), ('0.002 M votes', 'DuckDB'), ('0.002 M votes', 'Polars'), ('0.002 M votes', 'pandas')],
         'ood': [('metrics, streamed', 'scikit-learn, exact'), ('a histogram, full', 'an empty one'), ('error of the AUROC', 'its own bound'), ('OODConfidence, the rest', 'the forward pass')]}


@pytest.mark.parametrize('script', LINES)
def test_prints_every_line(script, tmp_path, monkeypatch):
    monkeypatch.delenv('FASTAI_SOFTLABELS_DATA', raising=False)
    res = subprocess.run([sys.executable, ROOT/'benchmarks'/f'{script}.py', '--tiny', '--json', tmp_path/'rows.json'], capture_output=True, text=True, timeout=300)
    assert res.returncode == 0, res.stderr
    found = json.loads((tmp_path/'rows.json').read_text())
    assert [(r['case'], r['who']) for r in found['rows']] == LINES[script] and found['machine'] in res.stdout.splitlines()[0]
    assert all(any(case in l and who in l for l in res.stdout.splitlines()) for case, who in LINES[script])
    for r in found['rows']: assert r['low'] <= r.get('ratio', r.get('median')) <= r['high']
    if script == 'ood': assert found['rows'][1]['median'] == 1 and found['rows'][2]['median'] <= 100, 'memory is constant, and the bound holds'
    if script == 'epoch': assert all(0 < r['median'] < 100 for i in (1, 2, 5, 6) for r in [found['rows'][i]]), 'shares of an epoch'
