"""What the figures admit: worse kinds, undecided ones, too few pairs, unedited pictures and wrong texts."""

from __future__ import annotations

from typing import Any

import pytest

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.limits import limits

pytestmark = pytest.mark.numeric


def found(quality: Any, metrics: Any, part_way: Any, count: int = 60, noise: float = 0.0) -> dict[str, str]:
    scenes = WorldSource(count, split="test", kinds=["recolour", "time"])
    result = evaluate(part_way(scenes, quality, noise), scenes, metrics())
    return {limit.where: limit.what for limit in limits(result)}


def test_a_kind_that_goes_the_wrong_way(metrics: Any, part_way: Any) -> None:
    told = found({"recolour": -0.5, "time": 0.9}, metrics, part_way)
    assert told["recolour"].startswith("Further from the truth")
    assert "time" not in told


def test_a_right_edit_under_noise_is_told_apart_from_a_wrong_one(metrics: Any, part_way: Any) -> None:
    told = found(0.9, metrics, part_way, noise=0.25)
    assert "The right place does come nearer" in told["recolour"]
    assert "lost where nothing should change" in told["recolour"]


def test_pictures_left_alone_and_texts_wrong(metrics: Any, part_way: Any) -> None:
    told = found({"recolour": 0.0, "time": 0.9}, metrics, part_way)
    assert told["recolour"].startswith("No better than leaving the image alone")
    assert "left as they were" in told["not edited"]
    assert "right to the word" in told["its own words"]


def test_few_pairs_are_not_judged(metrics: Any, part_way: Any) -> None:
    told = found(-0.5, metrics, part_way, count=6)
    assert "Fewer than 6 pairs each" in told["not known"]
    assert "recolour" not in told
