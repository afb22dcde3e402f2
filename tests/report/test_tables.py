"""Terminal tables: every metric, every kind, the clearest gains first, and they fit 80 columns."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation import EvaluationResult, evaluate
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.progress import edit_progress
from ip2p_lightning.metrics import L1, PSNR, CopyRate, EditMetric, KeptRegionError
from ip2p_lightning.report.report import Report, render_report
from ip2p_lightning.report.tables import kinds_table, metrics_table
from tests.evaluation.test_evaluate import Listed


def printed(table: Table, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_metric_has_a_row(scene_result: EvaluationResult) -> None:
    text = printed(metrics_table(scene_result), width=120)
    assert "40 pairs, 40 edits, 95% intervals" in text
    assert all(info.label in text for info in scene_result.metrics.values())
    assert max(map(len, printed(metrics_table(scene_result)).splitlines())) <= 80


def test_kinds_are_sorted_by_their_gain(scene_result: EvaluationResult) -> None:
    table = kinds_table(scene_result)
    kinds = list(table.columns[0].cells)
    gains = [scene_result.kinds[str(kind)]["error"].difference for kind in kinds]
    estimates = [gain.estimate for gain in gains if gain]
    assert estimates == sorted(estimates)
    assert len(kinds) == len(scene_result.kinds)
    with pytest.raises(ValueError, match="'clip' was not measured; choose one of error"):
        kinds_table(scene_result, "clip")


def test_kinds_by_the_first_metric_that_compares(scenes: WorldSource, part_way: Any) -> None:
    result = evaluate(part_way(scenes), scenes, {"copy_rate": CopyRate(), "psnr": PSNR(), "l1": L1()}, count=12)
    assert printed(kinds_table(result)).startswith("PSNR (dB) by kind of edit")
    nothing = evaluate(part_way(scenes), scenes, {"copy_rate": CopyRate()}, count=2)
    with pytest.raises(ValueError, match="was not measured; choose one of copy_rate"):
        kinds_table(nothing)


def test_numbers_of_values_and_metrics_without_any(scenes: WorldSource, part_way: Any) -> None:
    """Half of the pairs have a mask."""
    pairs = [scenes[place] if place % 2 else replace(scenes[place], mask=None) for place in range(12)]
    source = Listed(pairs)
    metrics = {"l1": L1(), "kept": KeptRegionError(), "direction": NoValue()}
    result = evaluate(part_way(source), source, metrics, intervals=IntervalSettings(resamples=20))
    known = sum(value is not None for value in result.rows.column("kept").to_pylist())
    assert 0 < known <= 6
    text = printed(metrics_table(result), width=140)
    assert f"{known} of 12" in next(line for line in text.splitlines() if KeptRegionError.label in line)
    assert "of 12" not in next(line for line in text.splitlines() if "L1" in line)
    assert "no value" in next(line for line in text.splitlines() if NoValue.label in line)
    page = render_report(Report("title", "lede", [result]))
    table = page.split("Every figure for")[1]
    assert f"{KeptRegionError.label} <small>(/255)</small> <small>{known} of 12</small>" in table
    assert f"{NoValue.label}</td>\n<td>no value</td>" in table


class NoValue(EditMetric):
    """Applies to no pair."""

    label, higher_is_better = "what no pair has", True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return torch.full((len(images),), torch.nan)


def test_progress_needs_no_terminal() -> None:
    with edit_progress(Console(file=io.StringIO()), "editing", 3) as advance:
        advance(2)
        advance(1)
