"""Are the stored outputs of the notebooks those of a fresh run? `python scripts/check_outputs.py [--exact] [--save] [notebook …]`

Each notebook runs from top to bottom in a kernel of its own, two at a time, on one thread each; an error fails, as in `nbdev-test`. Then its outputs are
compared with the stored ones: number by number, the text around them, pictures by size and look. `--save` stores the fresh outputs instead.

How equal is equal? Seeds are fixed, so two runs on one kind of machine show the same, to the pixel. On another processor sums are taken in another order, and
a training multiplies the difference: with AVX2 in place of AVX-512 the index's first validation loss was 3.27 for 2.10, and an AUROC .81 for .62. No tolerance
is both wide enough for that and of any use. So the machine is asked first: two training steps of a small network, whose weights are compared with those that
the machine got that stored the outputs (nbs/stored_on.json). Where they are equal, all numbers and pictures have to be. Where they are not, cells before a
notebook's first training may differ by rounding, and of the others the kinds of output are compared, and the size of pictures; that they run and that their
assertions hold is checked everywhere. `--exact` asks for every digit, also those of rounding errors that a notebook shows.

Times, progress bars and the warnings of other libraries (which name paths of this machine) are not compared; a warning from our own code is a fault."""
import argparse, base64, io, json, os, re, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat, numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from make_readme import PROGRESS

ROOT = Path(__file__).resolve().parents[1]
STORED_ON = ROOT/'nbs'/'stored_on.json' # what `machine` gives where outputs were stored: '*' for all, by name for those stored elsewhere
SAME, ROUNDED = (0., 1e-6, .002), (.01, .0021, .05) # relative and absolute difference of numbers, and of pictures (shrunk to 32×32, mean, from 0 to 1)
TRAINS = re.compile(r'\bfit\b|\bfit_|fine_tune|\.step\(|train_two_heads|\bcompare\(|compare_losses|lr_find')
NUMBER = re.compile(r'(?<![\w.])[-+−]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?(?![\w.]*\w)', re.I)
TIME = re.compile(r'\b\d\d:\d\d(?::\d\d)?\b')
OURS = re.compile(r'fastai_softlabels/\w+\.py:\d+: \w*Warning.*')


def join(text) -> str: return text if isinstance(text, str) else ''.join(text)


def shown(cell) -> list:
    "What a reader sees of a cell's outputs, as (kind, content): printed text in one piece, then each output's text, table and picture"
    printed = join([join(o['text']) for o in cell.get('outputs', []) if o['output_type'] == 'stream' and o.get('name') != 'stderr'])
    out = [('printed', TIME.sub('--:--', printed))] if printed.strip() else []
    for o in cell.get('outputs', []):
        data = o.get('data', {})
        plain = join(data.get('text/plain', ''))
        if re.match(PROGRESS, plain) and 'fastprogress' not in plain: continue # an empty bar
        if 'image/png' in data: out.append(('picture', join(data['image/png']).strip()))
        elif 'text/html' in data: out.append(('table', TIME.sub('--:--', join(data['text/html']))))
        elif plain: out.append(('text', TIME.sub('--:--', plain)))
    return out


def warnings_of_ours(cell) -> list:
    "Warnings that our own modules gave in this cell"
    return [m[0] for o in cell.get('outputs', []) if o.get('name') == 'stderr' for m in OURS.finditer(join(o['text']))]


def text_difference(old: str, new: str, within: tuple | None = SAME) -> str:
    "How two texts differ, '' if they don't: the words between numbers, then the numbers; `within` None asks for the same text"
    if not within or old == new: return '' if old == new else first_line(old, new)
    rtol, atol, _ = within
    words = lambda s: ' '.join(NUMBER.sub(' # ', s).split())
    if words(old) != words(new): return first_line(old, new)
    value = lambda s: float(s.replace('−', '-'))
    for a, b in zip(NUMBER.findall(old), NUMBER.findall(new)):
        if abs(value(a) - value(b)) > atol + rtol*abs(value(a)): return f'{a} is now {b}'
    return ''


def first_line(old: str, new: str) -> str:
    "The first line that differs"
    a, b = old.split('\n'), new.split('\n')
    i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f'line {i + 1}: {a[i].strip() if i < len(a) else "(no more)"!r} is now {b[i].strip() if i < len(b) else "(no more)"!r}'


def picture_difference(old: str, new: str, within: tuple | None = SAME) -> str:
    "How two pictures (base64) differ, '' if they don't: in size, by more than a tick label takes, or in look"
    a, b = (Image.open(io.BytesIO(base64.b64decode(x))).convert('RGB') for x in (old, new))
    if max(abs(m/n - 1) for m, n in zip(a.size, b.size)) > (.1 if within else 0): return f'a picture of {a.size[0]}×{a.size[1]} is now {b.size[0]}×{b.size[1]}'
    if not within: return '' if a.tobytes() == b.tobytes() else 'a picture has other pixels'
    small = [np.asarray(x.resize((32, 32), Image.Resampling.BOX), dtype=float)/255 for x in (a, b)]
    off = np.abs(small[0] - small[1]).mean()
    return f'a picture looks different: mean difference {off:.3f}' if off > within[2] else ''


def cell_difference(old, new, within: tuple | None = SAME, kinds_only: bool = False) -> str:
    "How the outputs of two runs of a cell differ, '' if they don't; `kinds_only` where a training on another processor went elsewhere"
    gone, come = set(warnings_of_ours(old)), set(warnings_of_ours(new))
    if come and not gone: return f'a warning from our own code: {sorted(come)[0]}'
    a, b = shown(old), shown(new)
    if [k for k, _ in a] != [k for k, _ in b]: return f'shows {", ".join(k for k, _ in b) or "nothing"} where {", ".join(k for k, _ in a) or "nothing"} is stored'
    for (kind, x), (_, y) in zip(a, b):
        if kind == 'picture': found = picture_difference(x, y, (0, 0, 1) if kinds_only else within)
        else: found = '' if kinds_only else text_difference(x, y, within)
        if found: return found
    return ''


STEPS = '''
import hashlib, torch, numpy as np
from torchvision.models import resnet18
torch.manual_seed(0)
net, x, y = resnet18(num_classes=4), torch.randn(8, 3, 32, 32), torch.arange(8) % 4
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for _ in range(2): opt.zero_grad(); torch.nn.functional.cross_entropy(net(x), y).backward(); opt.step()
a = np.random.default_rng(0).normal(size=(64, 64))
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters()) + np.linalg.solve(a, a[0]).tobytes()).hexdigest()[:16])'''

def machine() -> str:
    "How this machine computes: a digest of the weights after two training steps"
    return subprocess.run([sys.executable, '-c', STEPS], check=True, capture_output=True, text=True).stdout.strip()


def run(path: Path):
    "The notebook, executed anew in a kernel of its own; cells that say `#| eval: false` stay as they are"
    nb = nbformat.read(path, as_version=4)
    cells, nb.cells = nb.cells, [c for c in nb.cells if not re.search(r'^#\|\s*eval:\s*false', c.source, re.M)]
    for c in nb.cells:
        if c.cell_type == 'code': c.outputs = []
    NotebookClient(nb, timeout=600, startup_timeout=300, kernel_name='python3', resources={'metadata': {'path': str(path.parent)}}).execute()
    nb.cells = cells
    return nb


def save(nb, path: Path):
    "Store fresh outputs, without warnings: they name paths of this machine"
    for c in nb.cells:
        if c.cell_type == 'code': c.outputs = [o for o in c.outputs if o.get('name') != 'stderr']
    nbformat.write(nb, path)


def differences(stored, fresh, same: bool, exact: bool = False) -> list:
    "What differs between two runs of a notebook, cell by cell; `same` if the machines compute alike"
    found, trained = [], False
    for a, b in zip(stored.cells, fresh.cells):
        if a.cell_type != 'code': continue
        trained = trained or bool(TRAINS.search(a.source)) and not a.source.startswith('#| export')
        d = cell_difference(a, b, None if exact else SAME if same else ROUNDED, kinds_only=trained and not same and not exact)
        if d: found.append(f'cell {a.id}: {d}')
    return found


def check(path: Path, same: bool = True, exact: bool = False, store: bool = False) -> tuple:
    "Run a notebook; what differs, and the seconds it took"
    start, stored = time.time(), nbformat.read(path, as_version=4)
    try: fresh = run(path)
    except CellExecutionError as e: return [str(e)], time.time() - start
    if store: save(fresh, path)
    return ([] if store else differences(stored, fresh, same, exact)), time.time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('notebooks', nargs='*', type=Path, help='by default all in nbs/')
    parser.add_argument('--exact', action='store_true', help='each digit and each pixel')
    parser.add_argument('--save', action='store_true', help='store the fresh outputs instead of comparing')
    args = parser.parse_args()
    os.environ |= {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    every = sorted((p for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts), reverse=True) # tutorials first: they take longest
    books = [p.resolve() for p in args.notebooks] or every
    names = {p: p.relative_to(ROOT).as_posix() for p in books}
    here, there = machine(), json.loads(STORED_ON.read_text())
    same = {p: there.get(names[p], there['*']) == here for p in books}
    if not args.save and not all(same.values()):
        print(f'This machine computes otherwise than the one that stored {"these outputs" if not any(same.values()) else "some of these outputs"}: after a training, kinds of output are compared, no numbers.')
    wrong = []
    with ThreadPoolExecutor(2) as pool:
        for path, (found, took) in zip(books, pool.map(lambda p: check(p, same[p], args.exact, args.save), books)):
            print(f'{names[path]}: {took:.0f} s' + (''.join(f'\n  {f}' for f in found) if found else ', stored anew' if args.save else ', as stored'), flush=True)
            if found: wrong.append(path)
    if args.save:
        if set(books) == set(every) and not wrong: there = {'*': here}
        else: there |= {names[p]: here for p in books if p not in wrong}
        STORED_ON.write_text(json.dumps({k: v for k, v in sorted(there.items()) if k == '*' or v != there['*']}, indent=1) + '\n')
    if wrong: sys.exit(f'{len(wrong)} of {len(books)} notebooks fail or differ from what they store. If the new outputs are right: python scripts/check_outputs.py --save NOTEBOOK, and read the prose around them again.')


if __name__ == '__main__': main()
