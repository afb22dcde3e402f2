"""`ip2p calibrate`: how far a metric's choices between systems agree with people's."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig
from rich.table import Table

from ip2p_lightning.config import plain
from ip2p_lightning.evaluation.calibration import CHOICES, Calibration, calibrate, read_choices
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Print agreement, kappa and the table of choices; write them to `output` if there is one.

    Raises:
        FileNotFoundError: no choices or no evaluation there.
        ValueError: a metric that an evaluation does not have, or choices about systems without marks.
    """
    sign = 1.0 if config.higher_is_better else -1.0
    marks = {system: read_marks(folder, config.metric, sign) for system, folder in plain(config.marks).items()}
    result = calibrate(
        read_choices(config.choices),
        marks,
        config.margin,
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
    )
    console = Terminal()
    console.print(_table(result, config.metric))
    for line in sentences(result, config.metric):
        console.print(line, highlight=False, soft_wrap=True)
    if config.output:
        Path(config.output).parent.mkdir(parents=True, exist_ok=True)
        Path(config.output).write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def read_marks(folder: str | Path, metric: str, sign: float = 1.0) -> dict[str, float]:
    """Pair -> mean of a metric over its seeds, from the folder of an evaluation; NaN values are left out.

    Args:
        folder: as `ip2p evaluate` wrote it.
        metric: column of its rows.
        sign: -1 turns distances into marks.

    Raises:
        FileNotFoundError: no evaluation there.
        ValueError: the evaluation has no such metric.
    """
    rows = EvaluationResult.load(folder).rows
    if metric not in rows.column_names:
        numbers = [field.name for field in rows.schema if str(field.type) == "double"]
        raise ValueError(f"{folder} was not evaluated by {metric!r}; it has {', '.join(numbers)}")
    values: dict[str, list[float]] = defaultdict(list)
    for pair, value in zip(rows.column("pair").to_pylist(), rows.column(metric).to_pylist(), strict=True):
        if value is not None:
            values[pair].append(sign * value)
    return {pair: sum(found) / len(found) for pair, found in values.items()}


def sentences(result: Calibration, metric: str) -> list[str]:
    """The figures in plain words."""
    lines = [
        f"{metric} makes {_percent(result.agreement)} of {result.choices:,} choices as people do; "
        f"Cohen's kappa {result.kappa.estimate:.2f} ({result.kappa.low:.2f} to {result.kappa.high:.2f})."
    ]
    if result.people is not None:
        lines.append(f"Two people agree about the same question in {_percent(result.people)} of cases.")
    if result.missing:
        lines.append(f"{result.missing:,} choices are left out, as {metric} is unknown for one of their systems.")
    return lines


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def _table(result: Calibration, metric: str) -> Table:
    table = Table(title="people's choices by row, the metric's by column", title_justify="left")
    table.add_column("people")
    for choice in CHOICES:
        table.add_column(f"{metric}: {choice}", justify="right")
    counts: Mapping[str, Mapping[str, int]] = result.table
    for choice in CHOICES:
        table.add_row(choice, *(f"{counts[choice][other]:,}" for other in CHOICES))
    return table
