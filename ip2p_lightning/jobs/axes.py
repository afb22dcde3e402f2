"""Metrics and axes of trade-off curves that the pairs at hand allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig
from rich.console import Console

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.metrics import EditMetric

AXES = (("clip_direction", "clip_input"), ("true_change", "kept"))
"""Pairs of axes, edit done against input kept; the first of which a set of metrics has both counts."""


def metrics_and_axes(
    config: DictConfig, job: str, pairs: PairSource, terminal: Console
) -> tuple[Mapping[str, EditMetric], str, str]:
    """The metrics of a job, and the x and y of its curves; says which they are where it chose them.

    Args:
        config: has `metrics`, `missing`, `x` and `y`; null axes are chosen.
        job: whose configuration it is.
        pairs: of which the first is looked at where `metrics=auto`.
        terminal: prints the choice.

    Raises:
        ValueError: metrics without any known axes, where none are named.
    """
    chosen = ""
    if "auto" in config.metrics:
        name, reason = _fitting(pairs)
        try:
            metrics = _metrics(job, name, config.missing)
        except InstantiationException:  # no network, no copy in the cache
            if name != "ip2p":
                raise
            name, reason = "strength", "CLIP's weights cannot be had"
            metrics = _metrics(job, name, config.missing)
        chosen = f"metrics={name} ({reason}), "
    else:
        metrics = build(config.metrics)
    known = next((axes for axes in AXES if set(axes) <= set(metrics)), None)
    if known is None and None in (config.x, config.y):
        raise ValueError(f"these metrics need x=... and y=..., two of {', '.join(metrics)}")
    x, y = (own or axis for own, axis in zip((config.x, config.y), known or ("", ""), strict=True))
    if chosen:
        terminal.print(f"{chosen}x={x}, y={y}", highlight=False, soft_wrap=True)
    if y in metrics and metrics[y].higher_is_better is not True and y not in {axes[1] for axes in AXES}:
        caution = f"y={y}: more of it is not better, as areas and verdicts on them suppose; read the figure alone"
        terminal.print(caution, highlight=False, soft_wrap=True)
    return metrics, x, y


def _metrics(job: str, name: str, missing: str) -> Any:
    return build(compose(job, [f"metrics={name}", f"missing={missing}"]).metrics)


def _fitting(pairs: PairSource) -> tuple[str, str]:
    """The metrics that the first pair allows, and why these."""
    pair = pairs[0]
    if (pair.metadata or {}).get("attributes"):
        return "world", "the pairs say what they show"
    if pair.original_caption and pair.edited_caption:
        return "ip2p", "the pairs have captions"
    return "strength", "the pairs have neither captions nor attributes"
