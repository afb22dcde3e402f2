"""The time of an edit is the editor's alone, without the first batch, and whatever else an evaluation does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.sweeps import EditorSweep
from ip2p_lightning.evaluation.timing import EditClock
from ip2p_lightning.evaluation.tradeoff import tradeoff
from ip2p_lightning.metrics import L1
from ip2p_lightning.metrics.strength import ChangeFromInput


class Slow(CopyInput):
    """Takes a second for its first call, and then no more than a moment for each picture."""

    def __init__(self) -> None:
        self.calls = 0

    def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
        time.sleep(0.005 * len(requests) if self.calls else 1.0)
        self.calls += 1
        return super().edit_prepared(requests, on_step)


class SlowL1(L1):
    """Takes far longer than the editor."""

    def measure(self, images: Tensor, pairs: Any) -> Tensor:
        time.sleep(0.2)
        return super().measure(images, pairs)


def test_neither_metrics_nor_the_first_batch_count(scenes: WorldSource, tmp_path: Path) -> None:
    result = evaluate(Slow(), scenes, {"error": SlowL1(255)}, count=12, batch_size=4, journal=tmp_path)
    assert 0.005 <= result.provenance["seconds_per_edit"] < 0.05
    again = evaluate(Slow(), scenes, {"error": SlowL1(255)}, count=12, batch_size=4, journal=tmp_path)
    assert again.provenance["seconds_per_edit"] is None  # the journal held all of them


def test_a_single_batch_counts(scenes: WorldSource) -> None:
    result = evaluate(Slow(), scenes, {"error": L1(255)}, count=4, batch_size=4)
    assert result.provenance["seconds_per_edit"] == pytest.approx(0.25, rel=0.2)


def test_sweeps_are_timed_likewise(scenes: WorldSource) -> None:
    metrics = {"error": SlowL1(255), "strength": ChangeFromInput()}
    sweep = EditorSweep("slow", Slow)
    result = tradeoff([sweep], scenes, metrics, x="strength", y="error", count=12, batch_size=4)
    assert 0.005 <= result.provenance["seconds_per_edit"] < 0.05


def test_edits_of_several_points_are_counted() -> None:
    clock = EditClock()
    assert clock.seconds_per_edit is None
    clock.next_batch()
    pictures = [torch.zeros(2, 3, 4, 4)] * 3
    assert len(list(clock.over(iter(pictures)))) == 3
    assert clock._edits == [6]
