"""Figures with intervals from a table of values: ours, copying the input, and the paired difference of the two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ip2p_lightning.metrics import EditMetric, Interval, bootstrap_interval
from ip2p_lightning.rounding import difference

ERROR = "error"
"""Column of the distance to the truth in grey levels, which leads tables and the page where it was measured."""
COPYING = "copying_"
"""Prefix of the columns that hold the values of copying the input."""
TRUTH = "truth_"
"""Prefix of the columns that hold the values of the true images, for metrics that are not perfect there."""
TEXT_EXACT = "text_exact"
"""Column that says whether the expressive instruction the model wrote is exactly the true one."""

Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class MetricInfo:
    """Meaning of a metric column.

    Args:
        label: what tables call it.
        unit: "/255", "dB", "share" or "".
        higher_is_better: direction; None where neither is.
        statistic: how values become a figure ("mean", "median").
        against_copying: whether the values compare with copying the input already.
        ceiling: whether the value of the true images stands next to it, since it says how much can be reached.
    """

    label: str
    unit: str = ""
    higher_is_better: bool | None = None
    statistic: str = "mean"
    against_copying: bool = False
    ceiling: bool = False

    @classmethod
    def of(cls, metric: EditMetric) -> MetricInfo:
        """The description of a metric."""
        return cls(
            metric.label,
            metric.unit,
            metric.higher_is_better,
            metric.statistic,
            metric.against_copying,
            metric.ceiling,
        )


TEXT_EXACT_INFO = MetricInfo("expressive instruction exactly the true one", "share", True, against_copying=True)


def main_metric(metrics: Mapping[str, MetricInfo | EditMetric]) -> str | None:
    """The metric that says how edits stand to copying the input: the error, else the first with a better and a worse.

    Args:
        metrics: column name -> metric, or what it means.

    Returns:
        Its column; None if none of them compares.
    """
    comparing = [name for name, one in metrics.items() if one.higher_is_better is not None and not one.against_copying]
    return ERROR if ERROR in comparing else next(iter(comparing), None)


@dataclass(frozen=True)
class IntervalSettings:
    """Settings for bootstrap intervals.

    Args:
        confidence: share of the resamples inside.
        resamples: number of bootstrap resamples.
        seed: of the resamples.
        grouped_by: column whose equal values are drawn together: "pair" (seeds of a pair), or "group" (pairs of one
            scene or photograph: says how the figure would move on other photographs, and needs many of them).
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    grouped_by: Literal["pair", "group"] = "pair"

    def interval(self, values: np.ndarray, groups: Sequence[str], info: MetricInfo) -> Interval:
        """The figure of a metric's `values` [N], of which those of one of the N `groups` are drawn together."""
        return bootstrap_interval(
            values,
            groups,
            statistic=info.statistic,
            share=info.unit == "share",
            resamples=self.resamples,
            confidence=self.confidence,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Figure:
    """One metric over a set of pairs.

    Args:
        ours: the editor's figure.
        copying: that of copying the input; None where the metric compares with it already.
        difference: ours minus copying, paired; None likewise.
        verdict: whether the interval of the difference lies wholly on the good side; None without a difference.
        truth: that of the true images, the most that can be reached; None where that is perfect anyway.
    """

    ours: Interval
    copying: Interval | None = None
    difference: Interval | None = None
    verdict: Verdict | None = None
    truth: Interval | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON values (NaN becomes null)."""
        return _no_nan(asdict(self))


def table_figures(rows: pa.Table, metrics: Mapping[str, MetricInfo], settings: IntervalSettings) -> dict[str, Figure]:
    """The figure of each metric over all rows; metrics without any value are left out (tables say "no value")."""
    groups = rows.column(settings.grouped_by).to_pylist()
    figures = {}
    for name, info in metrics.items():
        ours = column_values(rows, name)
        if np.isnan(ours).all():
            continue
        interval = settings.interval(ours, groups, info)
        truth = settings.interval(column_values(rows, TRUTH + name), groups, info) if info.ceiling else None
        if info.against_copying:
            figures[name] = Figure(interval, truth=truth)
            continue
        copying = column_values(rows, COPYING + name)
        gain = settings.interval(difference(ours, copying), groups, replace(info, unit=""))  # which is no share
        verdict = _verdict(gain, info.higher_is_better)
        figures[name] = Figure(interval, settings.interval(copying, groups, info), gain, verdict, truth)
    return figures


def figures_by_kind(
    rows: pa.Table, metrics: Mapping[str, MetricInfo], settings: IntervalSettings
) -> dict[str, dict[str, Figure]]:
    """`table_figures` for each kind of edit, in alphabetical order."""
    return figures_by("kind", rows, metrics, settings)


def figures_by(
    column: str, rows: pa.Table, metrics: Mapping[str, MetricInfo], settings: IntervalSettings
) -> dict[str, dict[str, Figure]]:
    """`table_figures` for each value of a column of strings, in alphabetical order; rows with "" are left out."""
    names = rows.column(column).to_pylist()
    masks = {name: pa.array([name == other for other in names]) for name in sorted(set(names) - {""})}
    return {name: table_figures(rows.filter(mask), metrics, settings) for name, mask in masks.items()}


def column_values(rows: pa.Table, name: str) -> np.ndarray:
    """A column as float64 with NaN for null."""
    return rows.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _verdict(difference: Interval, higher_is_better: bool | None) -> Verdict | None:
    if higher_is_better is None:
        return None
    if not difference.excludes(0):
        return "undecided"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def _no_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _no_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
