"""Ways of doing the same thing, timed in turns, so that what else a machine does falls on all of them alike."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table


def clock() -> float:
    """Seconds: of the processor's work on one thread of a CPU (a busy machine does not count), else of the wall."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def interleave(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, by repeat; each repeat runs all ways, in an order that turns."""
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        turn = repeat % len(names)
        for name in [*names[turn:], *names[:turn]]:
            seconds[name].append(ways[name]())
    return seconds


def ratios(seconds: Mapping[str, list[float]], base: str) -> dict[str, tuple[float, float, float]]:
    """Speed-up over `base`: median of the repeats' own ratios, the least and the greatest."""
    found = {}
    for name, times in seconds.items():
        each = [slow / fast for slow, fast in zip(seconds[base], times, strict=True)]
        found[name] = statistics.median(each), min(each), max(each)
    return found


def report(title: str, seconds: Mapping[str, list[float]], base: str, unit: str, facts: Mapping[str, object]) -> None:
    """A table, and one line of JSON."""
    compared = ratios(seconds, base)
    table = Table("", unit, "times as fast", "least", "greatest", title=title)
    for name, times in seconds.items():
        middle, least, greatest = compared[name]
        table.add_row(name, f"{statistics.median(times):.4g}", f"{middle:.2f}", f"{least:.2f}", f"{greatest:.2f}")
    Console().print(table)
    result = {
        "seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "ratio": {name: round(middle, 3) for name, (middle, _, _) in compared.items()},
        "machine": machine(),
        **facts,
    }
    print(json.dumps(result))


def machine() -> str:
    """The machine and software of the measurement."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
