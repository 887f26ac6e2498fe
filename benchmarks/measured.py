"Lines of a table in words, and whose time it was: shares of a cProfile by the files that functions come from."
from __future__ import annotations
from cProfile import Profile
from pstats import Stats
from typing import Callable

from timing import about, quartiles, row, show, write_json


def measured(case: str, who: str, values: list, unit: str, wanted: str = '') -> dict:
    "One line: median and quartiles of `values`, in words"
    low, median, high = quartiles(list(values))
    return dict(case=case, who=who, median=median, low=low, high=high, unit=unit, wanted=wanted, note=f'{median:.2f} {unit} ({low:.2f} – {high:.2f})' + (f', wanted: {wanted}' if wanted else ''))


def faster(case: str, who: str, times: dict, ours: str, theirs: str, wanted: str = '') -> dict:
    "One line: how many times as fast `ours` was as `theirs`, which is `who`, round by round"
    r = row(case, theirs, times, ours)
    words = f"{r['ratio']:.2f} × ({r['low']:.2f} – {r['high']:.2f}) of {r['ms']:.3g} ms" + (f', wanted: {wanted}' if wanted else '')
    return {**r, 'who': who, 'wanted': wanted, 'note': words}


def report(args, rows: list):
    "The machine in words, the table, and both as JSON"
    print(*(f'{k}: {v}' for k, v in about().items()), sep='; ')
    show(rows)
    write_json(rows, args.json)


def profiled(f: Callable) -> Stats:
    "The profile of a call of `f`"
    profile = Profile()
    profile.runcall(f)
    return Stats(profile)


def in_files(*parts: str) -> Callable: return lambda file: any(p in file.replace('\\', '/') for p in parts)

def crossing(stats: Stats, into: Callable, outof: Callable = lambda file: True) -> float:
    "Seconds of all calls, with what they call in turn, from a function whose file is `outof` (and not `into`) to one whose file is `into`"
    return sum(seconds for (file, *_), (*_, callers) in stats.stats.items() if into(file)
               for (caller, *_), (*_, seconds) in callers.items() if outof(caller) and not into(caller))
