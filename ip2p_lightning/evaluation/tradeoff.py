"""How much of the edit is done against how much of the input is kept, for every setting of every editor.

One pass over the pairs: all points of all sweeps edit a batch of pairs under the same seeds, and metrics that share an
encoder see the originals and captions of a batch once.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.rows import Batch, Transform, batches
from ip2p_lightning.evaluation.sweeps import Point, Sweep
from ip2p_lightning.evaluation.tradeoff_curves import Curves, Measured, make_curves
from ip2p_lightning.metrics import EditMetric
from ip2p_lightning.metrics.base import check_pictures

_NO_INTERVALS = IntervalSettings()


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
    """

    places: list[Place]
    rows: pa.Table
    metrics: dict[str, MetricInfo]
    x: str
    y: str
    provenance: dict[str, Any] = field(default_factory=dict)
    intervals: IntervalSettings = field(default_factory=IntervalSettings)

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(set(self.rows.column("pair").to_pylist()))

    def values(self, metric: str) -> np.ndarray:
        """[places, N] values of a metric, the N edits of each place in one order."""
        return self.rows.column(metric).to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(self.places), -1)

    def groups(self) -> list[str]:
        """What the N edits of a place are drawn together by."""
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
            measured.append(Measured(name, across, values, xs[at], ys[at]))
        return make_curves(measured, self.groups(), self.intervals)

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
                "provenance": self.provenance,
            }
        )

    def save(self, folder: str | Path) -> Path:
        """Write `rows.parquet`, `points.csv` (every metric's mean at every point) and `summary.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.rows, folder / "rows.parquet", compression="zstd")
        pyarrow.csv.write_csv(self.points(), folder / "points.csv")
        text = json.dumps(self.summary(), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return folder

    def points(self) -> pa.Table:
        """A row for each point: curve, parameters, and mean, low and high of `x` and `y`; the mean of other metrics."""
        figures = {
            (curve.name, number): (curve.x[number], curve.y[number])
            for curve in self.curves.curves
            for number in range(len(curve.values))
        }
        others = {name: np.nanmean(self.values(name), axis=1) for name in self.metrics if name not in (self.x, self.y)}
        names = dict.fromkeys(key for place in self.places for key in place.point)
        rows, seen = [], dict.fromkeys((place.curve for place in self.places), 0)
        for number, place in enumerate(self.places):
            row: dict[str, Any] = {"sweep": place.sweep, "curve": place.curve}
            row |= {key: place.point.get(key) for key in names}
            for metric, interval in zip((self.x, self.y), figures[place.curve, seen[place.curve]], strict=True):
                row |= {metric: interval.estimate, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
            rows.append(row | {name: float(means[number]) for name, means in others.items()})
            seen[place.curve] += 1
        return pa.Table.from_pylist(rows)


def tradeoff(
    sweeps: Sequence[Sweep],
    pairs: PairSource,
    metrics: Mapping[str, EditMetric],
    *,
    x: str,
    y: str,
    count: int | None = None,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    transform: Transform | None = None,
    intervals: IntervalSettings = _NO_INTERVALS,
    provenance: Mapping[str, Any] | None = None,
    on_progress: Callable[[int], None] | None = None,
    draw: int = 0,
) -> Tradeoff:
    """Edit the same pairs under the same seeds at every point of every sweep, and measure.

    Args:
        sweeps: the first one's first curve is what others are compared with.
        pairs: held-out pairs.
        metrics: column name -> metric; those that share an encoder share its work.
        x: the metric of how much is edited.
        y: the metric of how much is kept.
        count: use so many pairs, drawn at random; None for all.
        seeds: one edit of each pair at each point for each of them.
        batch_size: pairs at once, whose edits at all points of a sweep are held together.
        transform: see `evaluate`.
        intervals: how intervals are made.
        provenance: what to record beside the figures, JSON values.
        on_progress: called with the number of edits after each point of a batch.
        draw: seed of the draw of `count` pairs.

    Raises:
        ValueError: no sweeps, two of one name, metrics that are not there, or a count that the pairs do not allow.
    """
    _check(sweeps, metrics, (x, y), len(pairs), count)
    chosen = sorted(random.Random(f"pairs/{draw}").sample(range(len(pairs)), count or len(pairs)))
    places = [Place(sweep.name, point, sweep.across) for sweep in sweeps for point in sweep.points]
    found: list[list[dict[str, Any]]] = [[] for _ in places]
    started = time.perf_counter()
    for start in range(0, len(chosen), batch_size):
        block = chosen[start : start + batch_size]
        for batch in batches(block, [pairs[place] for place in block], transform):
            for seed in seeds:
                for number, rows in enumerate(_rows(sweeps, batch, seed, metrics)):
                    found[number] += rows
                    if on_progress is not None:
                        on_progress(len(rows))
    facts = {
        "data": {"name": pairs.name, "licence": pairs.licence, "fingerprint": pairs.fingerprint()},
        "draw": {"count": len(chosen), "of": len(pairs), "seed": draw},
        "seeds": list(seeds),
        "sweeps": {sweep.name: sweep.provenance() for sweep in sweeps},
        "metrics": {name: metric.provenance() for name, metric in metrics.items()},
        "seconds": round(time.perf_counter() - started, 2),
        **(provenance or {}),
    }
    infos = {name: MetricInfo.of(metric) for name, metric in metrics.items()}
    return Tradeoff(places, _table(places, found, list(metrics)), infos, x, y, facts, intervals)


@torch.no_grad()
def _rows(
    sweeps: Sequence[Sweep], batch: Batch, seed: int, metrics: Mapping[str, EditMetric]
) -> Iterator[list[dict[str, Any]]]:
    """Rows of a batch, point by point."""
    for sweep in sweeps:
        for images in sweep.pictures(batch.tensors, seed):
            check_pictures(images, batch.tensors)
            values = {name: metric.measure(images, batch.tensors).tolist() for name, metric in metrics.items()}
            yield [
                {"pair": pair.id, "group": pair.group, "kind": pair.kind, "seed": seed}
                | {name: column[index] for name, column in values.items()}
                for index, pair in enumerate(batch.pairs)
            ]


def _table(places: Sequence[Place], found: Sequence[list[dict[str, Any]]], metrics: Sequence[str]) -> pa.Table:
    names = list(dict.fromkeys(key for place in places for key in place.point))
    texts = [(name, pa.string()) for name in ("sweep", "curve", "pair", "group", "kind")]
    numbers = [(name, pa.float64()) for name in (*names, *metrics)]
    schema = pa.schema([("place", pa.int64()), *texts[:2], *numbers[: len(names)], *texts[2:], ("seed", pa.int64()),
                        *numbers[len(names) :]])  # fmt: skip
    rows = [
        {"place": number, "sweep": place.sweep, "curve": place.curve, **place.point, **row}
        for number, (place, rows) in enumerate(zip(places, found, strict=True))
        for row in rows
    ]
    return pa.Table.from_pylist(rows, schema)


def _check(
    sweeps: Sequence[Sweep], metrics: Mapping[str, EditMetric], axes: tuple[str, str], total: int, count: int | None
) -> None:
    names = [sweep.name for sweep in sweeps]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"sweeps {names}: give at least one, and each a name of its own")
    for name in axes:
        if name not in metrics:
            raise ValueError(f"the axis {name!r} is no metric; choose from {', '.join(metrics) or '(none given)'}")
    if not 1 <= (total if count is None else count) <= total:
        raise ValueError(f"count={count} but there are {total} pairs; choose 1 to {total}, or null")


def _no_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _no_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
