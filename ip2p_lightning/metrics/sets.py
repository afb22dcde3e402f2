"""Several metrics of which some share an encoder: opened once, and only if a metric asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.missing import Missing
from ip2p_lightning.metrics.unmeasured import Unmeasured

_SHARED = ("encoder", "judge")
"""Arguments of metrics that name a shared part."""


def metric_set(
    metrics: Mapping[str, EditMetric | partial[EditMetric] | None],
    shared: Mapping[str, Callable[[], nn.Module]],
    missing: Missing = "error",
) -> dict[str, EditMetric]:
    """Metrics by column name.

    Args:
        metrics: ready ones, or constructors whose `encoder` or `judge` is the name of a shared part, and whose `metric`
            (of `InRegion`) is the name of another column. None leaves a column out, and those that are made of it.
        shared: name -> what opens it.
        missing: where weights cannot be had (no file, no network), "error" raises what opening them raised, and "gap"
            leaves the columns that need them without values, see `Unmeasured`.

    Raises:
        ValueError: a metric names a part or a column that is not there.
        OSError: weights cannot be had, and missing is "error".
    """
    opened: dict[str, nn.Module] = {}
    failed: dict[str, OSError] = {}
    made: dict[str, EditMetric | None] = {}

    def part(name: str) -> nn.Module:
        if name not in shared:
            raise ValueError(f"there is no shared part {name!r}, only {', '.join(shared) or 'none'}; add it to shared")
        if name in failed:  # asked for by another metric: not tried again
            raise failed[name]
        if name not in opened:
            try:
                opened[name] = shared[name]()
            except OSError as error:
                failed[name] = error
                raise
        return opened[name]

    def column(name: str) -> EditMetric | None:
        if name not in metrics:
            raise ValueError(f"there is no metric {name!r} to measure in a region, only {', '.join(metrics)}")
        if name not in made:
            made[name] = finished(metrics[name])
        return made[name]

    def finished(metric: EditMetric | partial[EditMetric] | None) -> EditMetric | None:
        if not isinstance(metric, partial):
            return metric
        given: dict[str, Any] = dict(metric.keywords)
        if "metric" in given:
            given["metric"] = column(given["metric"])
            if given["metric"] is None:
                return None
        try:
            given |= {key: part(given[key]) for key in _SHARED if key in given}
            return metric.func(*metric.args, **given)
        except OSError as error:
            if missing == "error":
                raise
            label = given.get("label") or getattr(metric.func, "label", None) or type(error).__name__
            return Unmeasured(label, f"{type(error).__name__}: {error}")

    return {name: metric for name in metrics if (metric := column(name)) is not None}
