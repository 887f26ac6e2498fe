"""More votes than memory: `python benchmarks/votes.py [--votes 100] [--json FILE]`

Makes a Parquet file of `--votes` million votes on a million items by a thousand people for ten classes (on the spot, in a temporary folder), and
lets DuckDB, with a limit to its memory, and Polars count it for `votes_to_soft`, each in a process of its own, which says how long it took
and how much memory it had at its peak. pandas reads a tenth of the file, since the whole does not fit."""
import argparse, json, resource, subprocess, sys, tempfile, time
from pathlib import Path

from timing import about, show, write_json

MADE = """COPY (SELECT hash(i) % 1000000 AS item, hash(i + 1) % 1000 AS annotator,
              'class ' || (hash(i) % 7 + hash(i + 2) % 4) AS label FROM range({n}) t(i)) TO '{path}' (FORMAT parquet)"""


def make(path: Path, n: int):
    "Write the votes, by DuckDB, which does not hold them"
    import duckdb
    duckdb.sql(MADE.format(n=n, path=path))


def count(engine: str, path: str) -> dict:
    "Count the votes in this process: seconds, memory at the peak (GB), and sums to compare"
    import pandas as pd
    from fastai_softlabels.votes import votes_to_soft
    before = peak()
    began = time.perf_counter()
    if engine == 'DuckDB':
        import duckdb
        duckdb.sql("SET memory_limit = '1500MB'")
        table = duckdb.read_parquet(path)
    elif engine == 'Polars':
        import polars
        table = polars.scan_parquet(path)
    else: table = pd.read_parquet(path)
    soft = votes_to_soft(table, 'item', label='label')
    return dict(seconds=time.perf_counter() - began, peak=peak(), before=before, items=len(soft), votes=int(soft.n_votes.sum()), entropy=float(soft.entropy.mean()))


def count_apart(engine: str, path: str) -> dict:
    "The same in a process of its own"
    run = subprocess.run([sys.executable, __file__, '--count', engine, path], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def peak() -> float: return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20 # GB


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--votes', type=float, default=100, help='in millions')
    parser.add_argument('--tiny', action='store_true', help='few votes, all in this process: says nothing about time and memory')
    parser.add_argument('--json', type=Path)
    parser.add_argument('--count', nargs=2, metavar=('ENGINE', 'FILE'), help='what the processes are started with')
    args = parser.parse_args()
    if args.count: return print(json.dumps(count(*args.count)))
    n, rows = 20_000 if args.tiny else int(args.votes*1e6), []
    with tempfile.TemporaryDirectory() as d:
        files = {part: Path(d)/f'votes_{part}.parquet' for part in (1, 10)}
        for part, path in files.items(): make(path, n//part)
        for engine, part in (('DuckDB', 1), ('Polars', 1), ('DuckDB', 10), ('Polars', 10), ('pandas', 10)):
            found = (count if args.tiny else count_apart)(engine, str(files[part]))
            note = f"{found['seconds']:.0f} s, {found['peak']:.1f} GB at the peak ({found['before']:.1f} GB of it before the first vote)"
            once = dict.fromkeys(('low', 'median', 'high'), found['seconds'])
            rows.append(dict(case=f'{n//part/1e6:g} M votes', who=engine, note=note, **once, **found))
    for part in (1, 10):
        agreeing = [r for r in rows if r['votes'] == n//part]
        assert len(agreeing) == 2 + (part == 10) and max(r['entropy'] for r in agreeing) - min(r['entropy'] for r in agreeing) < 1e-9
    print(*(f'{k}: {v}' for k, v in about().items()), sep='; ')
    show(rows)
    write_json(rows, args.json)


if __name__ == '__main__': main()
