"""Edits that move what they should leave alone."""

from __future__ import annotations

from random import Random

import pytest
import torch

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.alignment import EditAlignment
from tests.data.doctor.planting import crop, moved, photographs


@pytest.fixture(scope="module")
def pairs() -> PairBatch:
    """Two photographs, unchanged."""
    images = torch.stack([to_tensor(crop(photo, Random(2), (128, 96))) for photo in photographs()[1:3]])
    texts = ["make it red"] * 2
    return PairBatch(["a", "b"], images, images, texts, texts, texts, texts, texts)


@pytest.mark.parametrize(
    ("of", "change", "expected"),
    [
        ("shift", {"dx": 3.0, "dy": -4.0}, 5.0),
        ("displacement", {"dx": 3.0, "dy": -4.0}, 5.0),
        ("zoom", {"zoom": 0.98}, 2.0),
        ("rotation", {"turn": -1.5}, 1.5),
    ],
)
def test_planted_movements(of: str, change: dict[str, float], expected: float, pairs: PairBatch):
    photos = [crop(photo, Random(2), (128, 96)) for photo in photographs()[1:3]]
    images = torch.stack([to_tensor(moved(photo, **change)) for photo in photos])
    metric = EditAlignment(of)  # type: ignore[arg-type]
    metric.update(images, pairs)
    assert metric.compute() == pytest.approx(expected, abs=0.1)
    assert metric.measure(pairs.original_image, pairs) == pytest.approx(torch.zeros(2), abs=0.05)


def test_what_cannot_be_aligned_has_no_value_and_a_reason(pairs: PairBatch):
    metric = EditAlignment()
    values = metric.measure(pairs.original_image.flip(0), pairs)
    assert values.isnan().all()
    assert all("too little in common" in reason for reason in metric.reasons)
    with pytest.raises(ValueError, match="of='size': choose one of displacement, shift"):
        EditAlignment("size")  # type: ignore[arg-type]
