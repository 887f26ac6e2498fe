"The demo as a new user runs it, shortened to one epoch."
import re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def demo(*args): return subprocess.run([sys.executable, ROOT/'examples'/'demo.py', *map(str, args)], capture_output=True, text=True, timeout=300)


def test_demo_writes_report_and_learner(tmp_path):
    out = tmp_path/'out'
    res = demo('--out', out, '--epochs', 1)
    assert res.returncode == 0, res.stderr
    for words in ('Inferred loss: SoftCrossEntropyLossFlat', 'cross-entropy to the votes', 'entropy of the votes (the floor)', 'agreement with the most frequent vote', 'learner.pkl says of', 'learner.safetensors says of', 'valid_confidence', 'photos_confidence', 'photos_auroc'):
        assert words in res.stdout
    assert sorted(p.name for p in out.iterdir()) == ['learner.pkl', 'learner.safetensors', 'report.html'], 'no half-written file stays'
    report = (out/'report.html').read_text()
    assert len(re.findall('src="data:image/png;base64,', report)) == 4 and 'http' not in report
    assert all(f'<th>{c}</th>' in report for c in ('valid_confidence', 'photos_auroc'))
    assert len(set(re.findall(r'^learner\.\w+ says of (.*)$', res.stdout, re.M))) == 1, 'both say the same'
    loss, floor, kl = (float(re.search(rf'{re.escape(n)} +([\d.]+)', res.stdout)[1]) for n in ('cross-entropy to the votes', 'entropy of the votes (the floor)', 'difference: KL divergence'))
    assert floor < loss and abs(loss - floor - kl) < 2e-3
