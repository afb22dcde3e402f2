"""Several metrics of which some share an encoder: opened once, and only if a metric asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ip2p_lightning.metrics.base import EditMetric

_SHARED = ("encoder", "judge")
"""Arguments of metrics that name a shared part."""


def metric_set(
    metrics: Mapping[str, EditMetric | partial[EditMetric] | None], shared: Mapping[str, Callable[[], nn.Module]]
) -> dict[str, EditMetric]:
    """Metrics by column name.

    Args:
        metrics: ready ones, or constructors whose `encoder` or `judge` is the name of a shared part; None leaves a
            column out.
        shared: name -> what opens it.

    Raises:
        ValueError: a metric names a part that is not there.
    """
    opened: dict[str, nn.Module] = {}

    def part(name: Any) -> nn.Module:
        if name not in shared:
            raise ValueError(f"there is no shared part {name!r}, only {', '.join(shared) or 'none'}; add it to shared")
        if name not in opened:
            opened[name] = shared[name]()
        return opened[name]

    def finished(value: Any) -> Any:
        if not isinstance(value, partial):
            return value
        given = {key: part(item) if key in _SHARED else finished(item) for key, item in value.keywords.items()}
        return value.func(*value.args, **given)

    return {column: finished(metric) for column, metric in metrics.items() if metric is not None}
