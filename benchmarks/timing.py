"What the benchmarks share: this machine in words, alternated rounds, peaks of memory, a table with its spread, and the two allocator regimes."
from __future__ import annotations
import argparse, json, os, statistics, subprocess, sys, time
from pathlib import Path
from typing import Callable

import torch

ROOT = Path(__file__).resolve().parents[1]
# Where large tensors are given back to the system at once, the next one costs a page fault for every 4 kB: glibc's default.
REGIMES = {'default allocator': {}, 'no page faults': {'MALLOC_MMAP_THRESHOLD_': '10000000000', 'MALLOC_TRIM_THRESHOLD_': '100000000000'}}


def about() -> dict:
    "This machine, the threads, and the versions of what is compared"
    sys.path.insert(0, str(ROOT))
    from experiments.runs import machine
    from importlib.metadata import PackageNotFoundError, version
    res = {'machine': machine(), 'threads': torch.get_num_threads()}
    for name in ('torch', 'fastai', 'monai', 'segmentation_models_pytorch'):
        try: res[name] = version(name)
        except PackageNotFoundError: res[name] = 'not installed'
    return res


def seconds(f: Callable, repeats: int, device: str = 'cpu') -> float:
    "Mean time of one call of `f` over `repeats`; on a GPU by its own clock"
    if device == 'cuda':
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats): f()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)/1e3/repeats
    start = time.perf_counter()
    for _ in range(repeats): f()
    return (time.perf_counter() - start)/repeats


def alternate(
    contestants: dict,        # Name → function without arguments
    rounds: int = 15,         # How often each is timed
    device: str = 'cpu',      # 'cpu' or 'cuda'
    least: float = 5e-3,      # Seconds that one timing should take: short functions are repeated
) -> dict:                    # Name → a time for each round
    "Time the contestants in turn, so that whatever disturbs the machine disturbs all of them"
    repeats = {}
    for name, f in contestants.items():
        f()
        repeats[name] = max(1, int(least/seconds(f, 2, device)))
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, f in contestants.items(): times[name].append(seconds(f, repeats[name], device))
    return times


def peak(f: Callable, device: str = 'cpu') -> int:
    "Bytes that a call of `f` holds at its worst, beyond what was there before"
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        f()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as prof: f()
    now = most = 0
    for _, size in sorted((e.start_ns(), e.nbytes()) for e in prof.profiler.kineto_results.events() if e.name() == '[memory]'):
        now += size
        most = max(most, now)
    return most


def quartiles(values: list) -> tuple:
    "First quartile, median, third quartile"
    if len(values) < 2: return (values[0],)*3
    return tuple(statistics.quantiles(values, n=4, method='inclusive'))


def row(case: str, who: str, times: dict, ours: str, **more) -> dict:
    "One line of the table: the time, and how many times as fast `ours` was, round by round"
    low, ratio, high = quartiles([t/o for t, o in zip(times[who], times[ours])])
    return {'case': case, 'who': who, 'ms': 1e3*statistics.median(times[who]), 'ratio': ratio, 'low': low, 'high': high, **more}


def show(rows: list):
    "Print rows as a table"
    for r in rows:
        if 'note' in r: print(f"{r['case']:<28} {r['who']:<30} {r['note']}", flush=True)
        else: print(f"{r['case']:<28} {r['who']:<30} {r['ms']:>9.3f} ms   {r['ratio']:>6.2f} ({r['low']:.2f} – {r['high']:.2f})   {r['peak']:>5.2f} T", flush=True)


def arguments(description: str) -> argparse.ArgumentParser:
    "What every benchmark understands"
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=15, help='timings of each contestant, in turn')
    parser.add_argument('--tiny', action='store_true', help='small sizes and 2 rounds, to see that it works')
    parser.add_argument('--json', type=Path, help='write the rows and what is known of the machine to this file')
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--regime', choices=list(REGIMES), help=argparse.SUPPRESS)
    parser.add_argument('--case', type=int, help=argparse.SUPPRESS)
    return parser


def in_regimes(script: str, args: argparse.Namespace, n_cases: int) -> list:
    "Run `script` again for each case and allocator regime, in a process of its own, as the heap that one case leaves decides the next one's time; print and collect the rows"
    rows = []
    for regime, env in (REGIMES if args.device == 'cpu' else {'default allocator': {}}).items():
        print(f'\n{regime}', flush=True)
        for case in [None] if args.tiny else range(n_cases):
            command = [sys.executable, script, *sys.argv[1:], '--regime', regime, *([] if case is None else ['--case', str(case)])]
            process = subprocess.Popen(command, env={**os.environ, **env, 'OMP_NUM_THREADS': '1'}, stdout=subprocess.PIPE, text=True)
            for line in process.stdout:
                r = json.loads(line)
                rows.append({'regime': regime, **r})
                show([r])
            if process.wait(): sys.exit(process.returncode)
    return rows


def write_json(rows: list, path: Path | None):
    "Rows and machine to `path`, if given"
    if path: path.write_text(json.dumps({**about(), 'rows': rows}, indent=1, ensure_ascii=False) + '\n')
