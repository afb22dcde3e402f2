"""Values of a run's folder: the figures of an evaluation, or the last values that a training logged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.evaluation.metric_names import current_names
from ip2p_lightning.limits import LISTING_BYTES

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
        try:
            return current_names(dict(_evaluation(read_summary(folder))))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{folder / 'summary.json'} is no summary of an evaluation ({type(error).__name__}: "
                f"{str(error)[:100]}); evaluate again"
            ) from error
    if (folder / "metrics" / "metrics.csv").is_file():
        return current_names(_logged(folder / "metrics" / "metrics.csv"))
    raise FileNotFoundError(f"{folder} holds neither an evaluation (summary.json) nor a training (metrics/metrics.csv)")


def read_points(folder: Path) -> list[dict[str, Value]]:
    """Name -> value at each point of a sweep of `ip2p tradeoff`, in its order.

    Raises:
        FileNotFoundError: no sweep in the folder.
    """
    path = folder / "points.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no sweep of trade-offs (points.csv)")
    with open_csv(path, "") as rows:
        return [current_names(_point(row, path)) for row in rows]


def read_summary(folder: Path) -> dict[str, Any]:
    """The `summary.json` of an evaluation.

    Raises:
        FileNotFoundError: none there.
        ValueError: a damaged one, or something else under its name.
    """
    summary = read_json(folder / "summary.json", "an evaluation's summary", not_a_number="keep")
    if not isinstance(summary, dict) or not isinstance(summary.get("provenance", {}), dict):
        raise ValueError(f"{folder / 'summary.json'} is no summary of an evaluation; evaluate again")
    return summary


def _evaluation(summary: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for prefix, figures in {"": summary["figures"], **{f"{k}/": v for k, v in summary["kinds"].items()}}.items():
        for name, figure in figures.items():
            yield prefix + name, _value(figure["ours"])
            if figure["copying"] is not None:
                yield f"{prefix}copying/{name}", _value(figure["copying"])
    yield "pairs", Value(summary["pairs"])
    if (seconds := summary["provenance"].get("seconds_per_edit")) is not None:
        yield "seconds_per_edit", Value(seconds)


def _point(row: Mapping[str, str], path: Path) -> dict[str, Value]:
    names = [name for name in row if {f"{name}_low", f"{name}_high"} <= set(row) and row[name]]
    return {
        name: Value(*(_number(row[key] or "nan", path) for key in (name, f"{name}_low", f"{name}_high")))
        for name in names
    }


def _value(interval: Mapping[str, Any]) -> Value:
    return Value(*(math.nan if interval[key] is None else interval[key] for key in ("estimate", "low", "high")))


def logged_rows(path: Path) -> list[dict[str, float]]:
    """Name -> value of each row of a training's metrics.csv; cells that are empty are left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file; names it.
    """
    with open_csv(path, "train with logger=csv to have loss curves", LISTING_BYTES) as rows:
        if "step" not in (rows.fieldnames or ()):
            raise ValueError(f"{path} has no column 'step'; it is not a metrics.csv of Lightning's CSVLogger")
        return [{name: _number(text, path) for name, text in row.items() if text} for row in rows]


def _number(text: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {text[:40]!r} is no number; restore it, or run the job again") from error


def _logged(path: Path) -> dict[str, Value]:
    return {name: Value(value) for row in logged_rows(path) for name, value in row.items()}
