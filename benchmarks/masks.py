"""Loading masks: an item of `SoftMaskBlock` beside one of `MaskBlock`, in time and memory.

    OMP_NUM_THREADS=1 python benchmarks/masks.py [--rounds 15] [--tiny] [--json FILE]

An item is an image and its mask, both PNG files of 512×512, opened, resized and made tensors. The masks are drawn so that each
class is scattered over the whole image. The memory is how far the resident memory of a new process rises while it loads three
items (Linux)."""
import json, os, subprocess, sys, tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from fastai.vision.all import aug_transforms, DataBlock, DataLoaders, FuncSplitter, ImageBlock, MaskBlock, Resize

from fastai_softlabels.all import SoftMaskBlock
from measured import measured, report
from timing import alternate, arguments

CODES = [f'class {i}' for i in range(21)]
WANTED = {'6 of 21 classes': '≤ 1.6', '21 of 21 classes': '≤ 5', 'one class, five raters': '≤ 2.2', 'one class, a soft mask': '≤ 1.3'}
SIZES = {'6 of 21 classes': 256, '21 of 21 classes': 256, 'one class, five raters': 128, 'one class, a soft mask': 128}


def field(rng: np.random.Generator, size: int) -> np.ndarray:
    "Smooth random numbers (size,size) with some twelve hills across"
    return np.asarray(Image.fromarray(rng.standard_normal((12, 12)).astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))


def draw(folder: Path, size: int):
    "Write an image and its masks"
    rng = np.random.default_rng(0)
    fields = np.stack([field(rng, size) for _ in CODES])
    def save(a, name): Image.fromarray(a.astype(np.uint8)).save(folder/f'{name}.png')
    save(np.stack([128 + 40*f for f in fields[:3]], -1).clip(0, 248) + rng.integers(0, 8, (size, size, 3)), 'image')
    save(fields[:6].argmax(0)*4, '6 of 21 classes')
    save(fields.argmax(0), '21 of 21 classes')
    save(fields[0] > 0, 'hard')
    save(255/(1 + np.exp(-8*fields[0])), 'soft')
    for i in range(5): save(255*(fields[0] + .1*fields[i + 1] > 0), f'rater {i}')


def loaders(folder: Path, case: str, soft: bool, batch_tfms=None) -> DataLoaders:
    "`DataLoaders` whose items are all the same"
    one_class = case.startswith('one class')
    masks = [folder/f'rater {i}.png' for i in range(5)] if case.endswith('five raters') else folder/'soft.png'
    if not one_class: masks = folder/f'{case}.png'
    elif not soft: masks = folder/'hard.png'
    if soft: block = SoftMaskBlock() if one_class else SoftMaskBlock(CODES)
    else: block = MaskBlock(['background', 'foreground'] if one_class else CODES)
    return DataBlock(blocks=(ImageBlock, block), get_x=lambda o: folder/'image.png', get_y=lambda o: masks, item_tfms=Resize(SIZES[case]),
                     batch_tfms=batch_tfms, splitter=FuncSplitter(lambda o: o == 0)).dataloaders(range(9), bs=8, num_workers=0)


def times(folder: Path, case: str, rounds: int) -> dict:
    "Line for the time of an item"
    both = {name: loaders(folder, case, name == 'soft').valid for name in ('soft', 'hard')}
    found = alternate({name: lambda dl=dl: dl.do_item(0) for name, dl in both.items()}, rounds, least=.2)
    return measured(case, 'MaskBlock', np.divide(found['soft'], found['hard']), '× as long', WANTED[case])


def batches(folder: Path, case: str, rounds: int) -> dict:
    "Line for the time of a batch with fastai's augmentation"
    both = {name: loaders(folder, case, name == 'soft', aug_transforms(size=128)).train for name in ('soft', 'hard')}
    found = alternate({name: dl.one_batch for name, dl in both.items()}, rounds)
    return measured(f'{case}, augmented batches', 'MaskBlock', np.divide(found['soft'], found['hard']), '× as long')


def risen(dl) -> int:
    "By how many kB the memory of this process rises while it loads items"
    dl.do_item(0) # what is loaded at the first use is nobody's
    def status(key): return int(next(l for l in Path('/proc/self/status').read_text().splitlines() if l.startswith(key)).split()[1])
    Path('/proc/self/clear_refs').write_text('5') # from now on the peak is a new one
    before = status('VmRSS')
    for _ in range(3): dl.do_item(0)
    return status('VmHWM') - before


def memory(folder: Path) -> list:
    "Lines for the memory that items take, in a process that gives back what was freed"
    env = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '131072', 'MALLOC_TRIM_THRESHOLD_': '131072'}
    found = json.loads(subprocess.run([sys.executable, __file__, '--rise', str(folder)], env=env, capture_output=True, text=True, check=True).stdout)
    return [measured(f'{case}, memory', 'MaskBlock', [soft/hard], '× as much') for case, (soft, hard) in found.items()]


if __name__ == '__main__':
    if '--rise' in sys.argv: print(json.dumps({case: [risen(loaders(Path(sys.argv[2]), case, soft).valid) for soft in (True, False)] for case in WANTED}))
    else:
        args = arguments(__doc__).parse_args()
        with tempfile.TemporaryDirectory() as tmp:
            folder, rounds = Path(tmp), 2 if args.tiny else args.rounds
            draw(folder, 256 if args.tiny else 512)
            rows = [times(folder, case, rounds) for case in WANTED]
            rows.append(batches(folder, '6 of 21 classes', rounds))
            if Path('/proc/self/clear_refs').exists(): rows += memory(folder)
            report(args, rows)
