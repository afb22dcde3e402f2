"""Figures in words, the same in the report, the tables and the terminal: units, rounding, intervals, durations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Interval(Protocol):
    """The two ends of a range."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


NOTHING = "\u2013"
"""Stands where there is no figure (an en dash)."""


def percent(share: float) -> str:
    """A share as whole per cent, never 0 or 100 unless it is."""
    if share != share:
        return NOTHING
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "<1%"
    return ">99%" if rounded == 100 and share < 1 else f"{rounded}%"


def number(value: float, unit: str = "") -> str:
    """A value in its unit: per cent for a share, one decimal for grey levels and dB, two or three otherwise."""
    if value != value:
        return NOTHING
    if unit == "share":
        return percent(value)
    if unit:
        return f"{value:.1f}"
    if value and abs(value) < 0.001:
        return f"{value:.1g}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def span(interval: Interval, unit: str = "") -> str:
    """The two ends of an interval: "8.7 to 10.5"."""
    if interval.low != interval.low:
        return NOTHING
    low, high = number(interval.low, unit), number(interval.high, unit)
    if unit == "share" and low[:-1].isdigit():
        low = low[:-1]
    return f"{low}\u2013{high}" if interval.low >= 0 else f"{low} to {high}"


def duration(seconds: float) -> str:
    """Seconds as people say them: "48 s", "7 min 40 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, word: str) -> str:
    """A count with its noun: "1 pair", "1,200 pairs"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def short_names(paths: Sequence[str]) -> list[str]:
    """For each path as little as tells it from the others: neither the end that all share, nor more than is needed.

    >>> short_names(["runs/a/last.ckpt", "runs/b/last.ckpt", "mgie"])
    ['a/last.ckpt', 'b/last.ckpt', 'mgie']
    >>> short_names(["runs/a/last.ckpt", "runs/b/last.ckpt"])
    ['a', 'b']
    """
    parts = [path.strip("/").split("/") for path in paths]
    while len({tuple(part) for part in parts}) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    distinct = len({tuple(part) for part in parts})
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == distinct:
            return names
    return list(paths)
