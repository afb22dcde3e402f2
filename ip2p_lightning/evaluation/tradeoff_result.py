"""Result of a trade-off sweep: the values of every edit at every point, curves, and edits that are shown."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ip2p_lightning.csv_table import write_csv
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.sweeps import Point
from ip2p_lightning.evaluation.tradeoff_curves import Curves, Measured, make_curves, point_intervals


@dataclass(frozen=True)
class Place:
    """One point of one sweep.

    Args:
        sweep: its name.
        point: parameters.
        across: the parameter along which the curve runs.
    """

    sweep: str
    point: Point
    across: str

    @property
    def curve(self) -> str:
        """Name of the curve: the sweep and the parameters that stay the same along it."""
        fixed = [f"{_SYMBOLS.get(key, key)} = {value:g}" for key, value in self.point.items() if key != self.across]
        return ", ".join([self.sweep, *fixed])


_SYMBOLS = {"text_scale": "s_T", "image_scale": "s_I"}


def parameter_columns(places: Sequence[Place], metrics: Collection[str]) -> dict[str, str]:
    """Parameter -> its column: its own name, or "parameter_<name>" where a metric has that (SDEdit's strength)."""
    names = dict.fromkeys(key for place in places for key in place.point)
    return {name: f"parameter_{name}" if name in metrics else name for name in names}


@dataclass(frozen=True)
class PointExample:
    """One pair's edits at every point.

    Args:
        pair: its id.
        instruction: what was asked.
        original: the input.
        edited: an image for each place.
        truth: the true image.
    """

    pair: str
    instruction: str
    original: Image.Image
    edited: Sequence[Image.Image]
    truth: Image.Image

    def save(self, folder: Path, name: str) -> None:
        """Write `<name>-original.png`, `<name>-<place>.png` for each place, and `<name>-truth.png`."""
        folder.mkdir(parents=True, exist_ok=True)
        numbered = {f"{place:02d}": picture for place, picture in enumerate(self.edited)}
        for part, picture in {"original": self.original, **numbered, "truth": self.truth}.items():
            picture.save(folder / f"{name}-{part}.png")


@dataclass
class Tradeoff:
    """Values of every edit at every point.

    Args:
        places: the points of all sweeps.
        rows: a row for each place, pair and seed: place, sweep, curve, the parameters, pair, group, kind, seed, and the
            metrics.
        metrics: what the metric columns mean.
        x: metric of how much is edited.
        y: metric of how much is kept.
        provenance: where the figures come from, JSON values.
        intervals: how intervals are made.
        examples: edits that are shown.
    """

    places: list[Place]
    rows: pa.Table
    metrics: dict[str, MetricInfo]
    x: str
    y: str
    provenance: dict[str, Any] = field(default_factory=dict)
    intervals: IntervalSettings = field(default_factory=IntervalSettings)
    examples: list[PointExample] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(set(self.rows.column("pair").to_pylist()))

    def values(self, metric: str) -> np.ndarray:
        """[places, N] values of a metric, the N edits of each place in one order."""
        return self.rows.column(metric).to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(self.places), -1)

    def groups(self) -> list[str]:
        """Groups by which the N edits of a position are resampled together."""
        names = self.rows.column(self.intervals.grouped_by).to_pylist()
        return names[: len(names) // len(self.places)]

    @cached_property
    def curves(self) -> Curves:
        """`y` against `x` along each curve, with areas and intervals."""
        return self.against(self.x, self.y)

    def against(self, x: str, y: str) -> Curves:
        """Any two metrics against each other.

        Raises:
            ValueError: a metric that was not measured.
        """
        for name in (x, y):
            if name not in self.metrics:
                raise ValueError(f"{name!r} was not measured; choose from {', '.join(self.metrics)}")
        xs, ys = self.values(x), self.values(y)
        measured = []
        for name in dict.fromkeys(place.curve for place in self.places):
            at = [number for number, place in enumerate(self.places) if place.curve == name]
            across = self.places[at[0]].across
            values = tuple(self.places[number].point[across] if across else math.nan for number in at)
            measured.append(Measured(name, across, values, xs[at], ys[at], self.statistics(x, y)))
        return make_curves(measured, self.groups(), self.intervals)

    def statistics(self, x: str, y: str) -> tuple[str, str]:
        """Aggregation of two metrics' values into figures."""
        return self.metrics[x].statistic, self.metrics[y].statistic

    def summary(self) -> dict[str, Any]:
        """Curves, areas and provenance as JSON values (NaN as null)."""
        return _no_nan(
            {
                "x": self.x,
                "y": self.y,
                "pairs": self.pairs,
                "shared_range": self.curves.shared,
                "curves": [asdict(curve) for curve in self.curves.curves],
                "metrics": {name: asdict(info) for name, info in self.metrics.items()},
                "intervals": asdict(self.intervals),
                "examples": [{"pair": one.pair, "instruction": one.instruction} for one in self.examples],
                "provenance": self.provenance,
            }
        )

    def save(self, folder: str | Path) -> Path:
        """Write `rows.parquet`, `points.csv` (every metric's figure at every point), `summary.json` and `pictures/`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.rows, folder / "rows.parquet", compression="zstd")
        write_csv(self.points(), folder / "points.csv")
        text = json.dumps(self.summary(), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        for number, example in enumerate(self.examples):
            example.save(folder / "pictures", f"{number:03d}")
        return folder

    def points(self) -> pa.Table:
        """A row for each point: sweep, curve, parameters, and figure, low and high of every metric, `x` and `y` first.

        A figure is what `ip2p evaluate` makes of the values: their mean, or the metric's own statistic.
        """
        groups, names = self.groups(), parameter_columns(self.places, self.metrics)
        metrics = dict.fromkeys((self.x, self.y, *self.metrics))
        figures = {
            name: point_intervals(self.values(name), groups, self.intervals, self.metrics[name].statistic)
            for name in metrics
        }
        rows = []
        for number, place in enumerate(self.places):
            row: dict[str, Any] = {"sweep": place.sweep, "curve": place.curve}
            row |= {column: place.point.get(key) for key, column in names.items()}
            for name, intervals in figures.items():
                interval = intervals[number]
                row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
            rows.append(row)
        return pa.Table.from_pylist(rows)


def _no_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _no_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
