"""Counts add up, and the size of an edit is what the pictures say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.statistics import Spread, dataset_statistics, edit_size


def test_counts_add_up(dataset: Path) -> None:
    statistics = dataset_statistics(ShardDataset(dataset), sample=20)
    assert (statistics.pairs, statistics.groups, statistics.sampled) == (100, 50, 20)
    assert sum(sum(row.values()) for row in statistics.counts.values()) == 100
    assert statistics.counts["season"] == {"train": 27, "validation": 3, "test": 3}
    assert statistics.sizes == {(16, 16): 100}
    assert statistics.words["instruction"] == Spread(3, 3, 3, 3)
    assert statistics.missing == dict.fromkeys(statistics.missing, 0)
    assert statistics.scores["clip_image"].median == pytest.approx(0.495)
    assert all(0.9 < spread.median <= 1 for spread in statistics.changed.values()), "noise changes nearly every pixel"


def test_a_selection_is_counted_alone(dataset: Path) -> None:
    statistics = dataset_statistics(ShardDataset(dataset, Selection(split="test", kinds=["remove"])))
    assert list(statistics.counts) == list(statistics.changed) == ["remove"]


def test_edit_size_of_known_edits(pairs) -> None:
    black = Image.new("RGB", (4, 4))
    pair = replace(pairs(1, (4, 4))[0], original_image=black, edited_image=black)
    assert edit_size(pair) == (0, 0)
    edited = black.copy()
    edited.paste((255, 0, 0), (0, 0, 2, 2))
    assert edit_size(replace(pair, edited_image=edited)) == pytest.approx((0.25, 0.25 / 3))
    faint = Image.new("RGB", (4, 4), (8, 8, 8))
    assert edit_size(replace(pair, edited_image=faint)) == pytest.approx((0, 8 / 255))
