"""The judge's readings are held against what the edit had to bring about and to leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation.rows import tensors_of
from ip2p_lightning.metrics import AttributeSuccess
from ip2p_lightning.metrics.encoders import JudgeReader


def test_shares_are_counted_attribute_by_attribute(scenes: PairBatch, judge: JudgeReader) -> None:
    read = judge.read(scenes.edited_image)
    wrong = [{"time": "day" if reading["time"] != "day" else "night"} for reading in read]
    before = [reading | {"season": "spring"} for reading in read]
    after = [reading | {"season": "winter"} | other for reading, other in zip(read, wrong, strict=True)]
    sides = [{"original": one, "edited": other} for one, other in zip(before, after, strict=True)]
    pairs = replace(scenes, metadata=[{"attributes": side} for side in sides])
    seen = torch.tensor([float(reading["season"] == "winter") for reading in read])
    brought = AttributeSuccess(judge, "changed").measure(scenes.edited_image, pairs)
    torch.testing.assert_close(brought, seen / 2)  # season as read, time not
    assert (AttributeSuccess(judge, "kept").measure(scenes.edited_image, pairs) == 1).all()
    assert (AttributeSuccess(judge, "both", whole=True).measure(scenes.edited_image, pairs) == 0).all()


def test_pairs_without_attributes(scenes: PairBatch, judge: JudgeReader) -> None:
    bare = replace(scenes, metadata=[{}, *scenes.metadata[1:]])
    with pytest.raises(ValueError, match=rf"brought about needs .*attributes.* which '{scenes.id[0]}' lacks"):
        AttributeSuccess(judge).measure(scenes.edited_image, bare)
    values = AttributeSuccess(judge, missing="gap").measure(scenes.edited_image, bare)
    assert values.isnan().tolist() == [True] + [False] * 5
    everything = replace(scenes, metadata=[])
    assert AttributeSuccess(judge, missing="gap").measure(scenes.edited_image, everything).isnan().all()
    with pytest.raises(ValueError, match="of='some'"):
        AttributeSuccess(judge, "some")  # type: ignore[arg-type]


def test_the_shipped_judge_tells_edits_from_copies() -> None:
    judge = JudgeReader.from_pretrained("zoo:judge")
    source = WorldSource(40, level="full", split="validation", kinds=["season", "recolour", "background", "add"])
    pairs = PairBatch.collate([tensors_of(source[index], None) for index in range(40)])
    success, left = AttributeSuccess(judge, "changed", whole=True), AttributeSuccess(judge, "kept")
    assert success.measure(pairs.edited_image, pairs).mean() > 0.6  # the ceiling
    assert success.measure(pairs.original_image, pairs).mean() < 0.1
    assert left.measure(pairs.original_image, pairs).mean() > 0.9
    assert success.measure(pairs.edited_image.roll(1, 0), pairs).mean() < 0.3
    assert judge.provenance()["weights"] == "zoo:judge"
