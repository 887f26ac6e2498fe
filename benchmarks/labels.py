"""Reading labels: setting up, one label, and memory, beside fastai's own blocks.

    python benchmarks/labels.py [--rounds 15] [--tiny] [--json FILE]

A table of 100,000 rows and ten classes becomes `Datasets`, every row and every item checked; a label is read from it, where the
peer is `ColReader` of the ten columns with `MultiCategoryBlock(encoded=True)`; and a reader of 1,000,000 rows lets a new process
grow by so many times its float32 table, once with an allocator that gives back what was freed, once with it as it is."""
import gc, os, subprocess, sys, tempfile
from functools import partial
from pathlib import Path

import numpy as np, pandas as pd
from fastai.vision.all import CategoryBlock, ColReader, DataBlock, Datasets, ImageBlock, MultiCategoryBlock, PILImage, RandomSplitter

from fastai_softlabels.all import SoftCategoryBlock, SoftLabelReader
from measured import faster, measured, report
from timing import alternate, arguments

CLASSES = [str(c) for c in range(10)]


def votes(n: int) -> pd.DataFrame:
    "A table of `n` items with fifty votes each, or rather the shares of them, and the most frequent vote"
    rng = np.random.default_rng(0)
    counts = rng.multinomial(50, rng.dirichlet(np.full(10, .3), n))
    return pd.DataFrame(counts/50, columns=CLASSES).assign(fname=[f'images/{i:06d}.png' for i in range(n)], label=[CLASSES[c] for c in counts.argmax(1)])


def set_up(df: pd.DataFrame, rounds: int) -> list:
    "Lines for `Datasets` of a table: the labels alone, and with an image each"
    split = RandomSplitter(.2, seed=0)
    reader = lambda: SoftLabelReader(df, 'fname', CLASSES)
    def alone(block, get_y): return lambda: Datasets(df, tfms=[[get_y(), *block().type_tfms]], splits=split(df))
    with tempfile.TemporaryDirectory() as tmp:
        image = Path(tmp)/'image.png' # fastai opens the first one
        PILImage.create(np.zeros((4, 4), dtype=np.uint8)).save(image)
        def whole(block, get_y): return lambda: DataBlock(blocks=(ImageBlock, block), get_x=lambda o: image, get_y=get_y(), splitter=split).datasets(df)
        column, given = lambda: ColReader('label'), lambda: CategoryBlock(vocab=CLASSES)
        times = alternate({f'{kind} {name}': f(block, get_y) for kind, f in (('alone', alone), ('whole', whole))
                           for name, block, get_y in (('soft', SoftCategoryBlock, reader), ('inferred', CategoryBlock, column), ('given', given, column))}, rounds)
    return [faster('set up, labels alone', 'CategoryBlock, inferring', times, 'alone soft', 'alone inferred', '≥ 20'),
            faster('set up, labels alone', 'CategoryBlock, vocab given', times, 'alone soft', 'alone given'),
            faster('set up, with an ImageBlock', 'CategoryBlock, inferring', times, 'whole soft', 'whole inferred'),
            faster('set up, with an ImageBlock', 'CategoryBlock, vocab given', times, 'whole soft', 'whole given')]


def access(df: pd.DataFrame, rounds: int) -> list:
    "Lines for one label: from a list of paths and from a table; and what would be if ours took no time at all"
    split, table, rng = RandomSplitter(.2, seed=0), df.drop(columns='label'), np.random.default_rng(0)
    paths = [Path('/somewhere')/f for f in df.fname]
    reader = SoftLabelReader(df, 'fname', CLASSES)
    def labels(items, block, get_y): return Datasets(items, tfms=[[get_y, *block.type_tfms]], splits=split(items)).train.tls[0]
    columns = labels(table, MultiCategoryBlock(encoded=True, vocab=CLASSES), ColReader(CLASSES))
    sources = dict(columns=columns, paths=labels(paths, SoftCategoryBlock(), reader), table=labels(table, SoftCategoryBlock(), reader))
    picks = rng.integers(0, len(columns), min(len(columns), 2000)).tolist()
    def read(source):
        for i in picks: source[i]
    times = alternate({name: partial(read, s) for name, s in {**sources, 'iloc': table.iloc}.items()}, rounds)
    return [faster('a label, list of paths', 'ColReader of ten columns', times, 'paths', 'columns', '≥ 10'),
            faster('a label, DataFrame', 'ColReader of ten columns', times, 'table', 'columns', '≥ 4.5'),
            faster('df.iloc[i] and no more', 'ColReader of ten columns', times, 'iloc', 'columns')]


def grown(n: int) -> float:
    "By how many bytes of resident memory for each of the table's a reader of `n` rows lets this process grow"
    def resident():
        gc.collect()
        return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')
    df = votes(n)
    SoftLabelReader(df.head(10), 'fname', CLASSES) # what is loaded at the first use is not the reader's
    before = resident()
    reader = SoftLabelReader(df, 'fname', CLASSES)
    return (resident() - before)/reader.table.nbytes


def memory(n: int, rounds: int) -> list:
    "Lines for the growth of new processes; glibc hands back what was freed at once if it must not adapt its threshold"
    def grow(**env): return [float(subprocess.run([sys.executable, __file__, '--grown', str(n)], env={**os.environ, **env}, capture_output=True, text=True, check=True).stdout) for _ in range(rounds)]
    return [measured('memory, freed given back', 'the float32 table', grow(MALLOC_MMAP_THRESHOLD_='131072'), '×', '≤ 2'),
            measured('memory, as allocated', 'the float32 table', grow(), '×')]


if __name__ == '__main__':
    if '--grown' in sys.argv: print(grown(int(sys.argv[-1])))
    else:
        args = arguments(__doc__).parse_args()
        n, many, rounds = (500, 2000, 2) if args.tiny else (100_000, 1_000_000, args.rounds)
        df = votes(n)
        rows = set_up(df, rounds) + access(df, rounds)
        if Path('/proc/self/statm').exists(): rows += memory(many, 1 if args.tiny else min(rounds, 3)) # Linux
        report(args, rows)
