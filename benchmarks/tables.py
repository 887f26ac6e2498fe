"""README.md's tables from the JSON of the last run: `python benchmarks/tables.py`

Each benchmark writes its rows with `--json benchmarks/results/NAME.json`; the tables stand between the marks in README.md."""
import json, re
from pathlib import Path

HERE = Path(__file__).parent
# what a table's headline does without: the losses' own processes have one thread; the others have no such peers
LEFT_OUT = {'losses': ('threads',), 'traffic': ('machine', 'threads', 'segmentation_models_pytorch'), 'gpu': ('threads', 'segmentation_models_pytorch', 'copy bytes per second')}


def about(run: dict, leave: tuple = ()) -> str: return ', '.join(f'{k} {v}' if k != 'machine' else v for k, v in run.items() if k not in ('rows', 'checks', *leave))

def times(r: dict) -> str: return f"{r['ratio']:.2f} ({r['low']:.2f} – {r['high']:.2f})"


def losses(run: dict) -> list:
    "A line for each case and peer: both regimes side by side"
    lines = ['| case | against | default allocator | no page faults | our peak | its peak |', '|---|---|---|---|---|---|']
    regimes = list(dict.fromkeys(r['regime'] for r in run['rows']))
    found = {(r['regime'], r['case'], r['who']): r for r in run['rows'] if 'ratio' in r}
    for case, who in dict.fromkeys((c, w) for _, c, w in found):
        if who == 'ours': continue
        rows = [found[regime, case, who] for regime in regimes]
        ours = found[regimes[0], case, 'ours']
        lines.append(f"| {case} | {who} | {' | '.join(map(times, rows))} | {ours['peak']:.2f} T | {rows[0]['peak']:.2f} T |")
    return lines


def traffic(run: dict) -> list:
    "A line for each loss: ours and the peer's, in two precisions"
    lines = ['| loss | | float32: traffic | peak | bfloat16: traffic | peak |', '|---|---|---|---|---|---|']
    found = {(r['case'], r['who'], r['logits']): r for r in run['rows']}
    for case, who in dict.fromkeys(key[:2] for key in found):
        cells = [f"{r['traffic']:.1f} T | {r['peak']:.2f} T" for r in (found[case, who, logits] for logits in ('float32', 'bfloat16'))]
        lines.append(f"| {case} | {who} | {' | '.join(cells)} |")
    return lines


def gpu(run: dict) -> list:
    "A line for each loss and shape: ours and the peer, in two precisions; where the launch of kernels is most of the time, no ratio to the bandwidth"
    lines = ['| loss | logits | | float32: ms | peak | × the least | bfloat16: ms | peak | × the least |', '|---|---|---|---|---|---|---|---|---|']
    found = {(r['loss'], r['shape'], r['who'], r['logits']): r for r in run['rows']}
    for loss, shape, who in dict.fromkeys(key[:3] for key in found):
        cells = [f"{r['ms']:.2f} | {r['peak']:.2f} T | {r['floors']:.1f}" if r['floors'] < 100 else f"{r['ms']:.2f} | {r['peak']:.2f} T | –" for r in (found[loss, shape, who, logits] for logits in ('float32', 'bfloat16'))]
        lines.append(f"| {loss} | {shape} | {who} | {' | '.join(cells)} |")
    return lines


def checks(run: dict) -> list:
    "A line for each check on the GPU"
    return ['', '| check | | |', '|---|---|---|'] + [f"| {c['check']} | {'ok' if c['ok'] else 'failed'} | {c['said']} |" for c in run['checks']]


def notes(run: dict) -> list:
    "A line for each row that is told in words"
    return ['| line | against | measured (quartiles) |', '|---|---|---|'] + [f"| {r['case']} | {r['who']} | {r['note']} |" for r in run['rows']]


def main():
    text = (HERE/'README.md').read_text()
    for file in sorted((HERE/'results').glob('*.json')):
        run = json.loads(file.read_text())
        leave = LEFT_OUT.get(file.stem, ('monai', 'segmentation_models_pytorch'))
        lines = {'losses': losses, 'traffic': traffic, 'gpu': gpu}.get(file.stem, notes)(run)
        table = '\n'.join([f'*{about(run, leave)}*', '', *lines, *(checks(run) if 'checks' in run else [])])
        mark = re.compile(f'(<!-- {file.stem} -->\n).*?(<!-- end -->)', re.S)
        if not mark.search(text): raise SystemExit(f'README.md has no place for {file.name}: add <!-- {file.stem} --> and <!-- end -->.')
        text = mark.sub(lambda m: f'{m[1]}{table}\n{m[2]}', text)
    (HERE/'README.md').write_text(text)


if __name__ == '__main__': main()
