"""Pixel distances on pictures whose distance is known."""

from __future__ import annotations

import pytest
import torch
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import L1, L2

pytestmark = pytest.mark.numeric


def test_units(pairs: PairBatch) -> None:
    pairs.edited_image = torch.full_like(pairs.edited_image, -1)  # black
    grey = torch.zeros_like(pairs.edited_image)  # half way to white
    for metric, expected, unit in ((L1(), 0.5, ""), (L1(255), 127.5, "/255"), (L2(), 0.25, "")):
        metric.update(grey, pairs)
        assert metric.compute() == pytest.approx(expected)
        assert metric.unit == unit


def test_equals_torchmetrics_on_unit_range(pairs: PairBatch) -> None:
    result, truth = (pairs.original_image + 1) / 2, (pairs.edited_image + 1) / 2
    for ours, theirs in ((L1(), MeanAbsoluteError()), (L2(), MeanSquaredError())):
        ours.update(pairs.original_image, pairs)
        theirs.update(result, truth)
        torch.testing.assert_close(ours.compute(), theirs.compute())


def test_peak_must_be_positive() -> None:
    with pytest.raises(ValueError, match="peak=0"):
        L1(0)
