"""The curve of a run, as it is kept besides the weights: what Lightning's CSV logger wrote, thinned to a small file."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from ip2p_lightning.evaluation.run_values import logged_rows
from ip2p_lightning.report.curves import log_files

CURVE = "curve.csv"
MOST_ROWS = 120
"""Rows of training losses; those of validation come on top."""


def save_curve(run: Path, file: Path) -> bool:
    """Write the losses and validation figures of a run folder as a table with the column "step".

    Training losses are means over equal stretches of steps, each at its last step; validation figures stay as they are.

    Args:
        run: run folder of `ip2p train`, with the logs of interrupted attempts.
        file: to write.

    Returns:
        Whether the run folder holds a log.
    """
    points = _points(run)
    if not points:
        return False
    last = max(step for values in points.values() for step in values)
    rows: dict[int, dict[str, float]] = {}
    for name, values in points.items():
        kept = values if name.startswith("val/") else _means(values, max(1, math.ceil(last / MOST_ROWS)))
        for step, value in kept.items():
            rows.setdefault(step, {})[name] = value
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["step", *points])
        for step in sorted(rows):
            writer.writerow([step, *(f"{rows[step][name]:.4g}" if name in rows[step] else "" for name in points)])
    return True


def _points(run: Path) -> dict[str, dict[int, float]]:
    """Column -> step -> finite value; where an attempt began again, its values take the place of the earlier ones."""
    points: dict[str, dict[int, float]] = {}
    for file in log_files(run):
        rows = [row for row in logged_rows(file) if "step" in row]
        begin = min((int(row["step"]) for row in rows), default=0)
        points = {name: {s: v for s, v in values.items() if s < begin} for name, values in points.items()}
        for row in rows:
            for name, value in row.items():
                if name.startswith(("train/", "val/")) and math.isfinite(value):
                    points.setdefault(name, {})[int(row["step"])] = value
    total = points.get("train/loss")
    if total is not None and total in [values for name, values in points.items() if name != "train/loss"]:
        del points["train/loss"]  # a single loss under two names
    return dict(sorted(points.items()))


def _means(values: Mapping[int, float], stretch: int) -> dict[int, float]:
    """Means over stretches of so many steps, each at the last of its steps that has a value."""
    groups: dict[int, list[int]] = {}
    for step in sorted(values):
        groups.setdefault(step // stretch, []).append(step)
    return {steps[-1]: sum(values[step] for step in steps) / len(steps) for steps in groups.values()}
