"""What a run's folder says in numbers: the figures of an evaluation, or the last values that a training logged."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAILURE = "failure.txt"
"""File in the folder of a job of a sweep that ended in an error; holds the message."""


@dataclass(frozen=True)
class Value:
    """A number and its interval.

    Args:
        estimate: the figure.
        low, high: ends of its bootstrap interval over pairs; NaN where there is none.
    """

    estimate: float
    low: float = math.nan
    high: float = math.nan


def read_values(folder: Path) -> dict[str, Value]:
    """Name -> value of what a job left in a folder.

    An evaluation gives each metric ("error"), copying the input ("copying/error"), each kind of edit
    ("recolour/error"), "pairs" and "seconds_per_edit"; a training the last value of everything that it logged
    ("val/editing_loss").

    Raises:
        FileNotFoundError: nothing of the kind in the folder.
    """
    if (folder / "summary.json").is_file():
        return dict(_evaluation(json.loads((folder / "summary.json").read_text(encoding="utf-8"))))
    if (folder / "metrics" / "metrics.csv").is_file():
        return _logged(folder / "metrics" / "metrics.csv")
    raise FileNotFoundError(f"{folder} holds neither an evaluation (summary.json) nor a training (metrics/metrics.csv)")


def read_points(folder: Path) -> list[dict[str, Value]]:
    """Name -> value at each point of a sweep of `ip2p tradeoff`, in its order.

    Raises:
        FileNotFoundError: no sweep in the folder.
    """
    path = folder / "points.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no sweep of trade-offs (points.csv)")
    with path.open(newline="", encoding="utf-8") as handle:
        return [_point(row) for row in csv.DictReader(handle)]


def read_summary(folder: Path) -> dict[str, Any]:
    """The `summary.json` of an evaluation."""
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def _evaluation(summary: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for prefix, figures in {"": summary["figures"], **{f"{k}/": v for k, v in summary["kinds"].items()}}.items():
        for name, figure in figures.items():
            yield prefix + name, _value(figure["ours"])
            if figure["copying"] is not None:
                yield f"{prefix}copying/{name}", _value(figure["copying"])
    yield "pairs", Value(summary["pairs"])
    if (seconds := summary["provenance"].get("seconds_per_edit")) is not None:
        yield "seconds_per_edit", Value(seconds)


def _point(row: Mapping[str, str]) -> dict[str, Value]:
    names = [name for name in row if f"{name}_low" in row and row[name]]
    return {
        name: Value(*(float(row[key] or math.nan) for key in (name, f"{name}_low", f"{name}_high"))) for name in names
    }


def _value(interval: Mapping[str, Any]) -> Value:
    return Value(*(math.nan if interval[key] is None else interval[key] for key in ("estimate", "low", "high")))


def _logged(path: Path) -> dict[str, Value]:
    values = {}
    with path.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            values |= {name: Value(float(text)) for name, text in row.items() if name and text}
    return values
