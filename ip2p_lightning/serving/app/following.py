"""Progress of a training run: its newest validation images, and its metrics."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

SHOWN = 12
_ROWS = 20_000
_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Run:
    """A run at one moment.

    Args:
        images: newest first, each with its caption.
        losses: rows of step, name and value.
        measures: the same of what else validation measured.
        status: a line of Markdown.
    """

    images: list[tuple[str, str]]
    losses: list[tuple[int, str, float]]
    measures: list[tuple[int, str, float]]
    status: str


def follow(folder: Path) -> Run:
    """Look at the folder of a run of `ip2p train`, whether it goes on or has ended."""
    found = sorted((folder / "pictures").glob("step-*.png"), reverse=True)[:SHOWN]
    metrics = [row for file in sorted(folder.glob("metrics*/metrics.csv")) for row in _metrics(file)]
    losses, measures = _thinned(metrics, loss=True), _thinned(metrics, loss=False)
    step = max((row[0] for row in metrics), default=None)
    status = "no step has been logged yet" if step is None else f"step {step:,}, {len(found)} validation images"
    images = [(str(path), f"step {int(path.stem.partition('-')[2]):,}") for path in found]
    return Run(images, losses, measures, f"**{folder.name}**: {status}")


def _thinned(metrics: list[tuple[int, str, float]], loss: bool) -> list[tuple[int, str, float]]:
    rows = [row for row in metrics if ("loss" in row[1]) == loss]
    return rows[:: max(1, -(-len(rows) // _ROWS))]


def _metrics(file: Path) -> list[tuple[int, str, float]]:
    """Losses, and what validation measured, of a log that may be written to at this moment."""
    rows: list[tuple[int, str, float]] = []
    if file.stat().st_size > _BYTES:
        return rows
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            step = row.get("step") or ""
            for name, value in row.items():
                if step.isdigit() and name and value and ("loss" in name or name.startswith("val/")):
                    try:
                        rows.append((int(step), name, float(value)))
                    except ValueError:  # a line that is being written
                        continue
    return rows
