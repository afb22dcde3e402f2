"""Items by address, candidates drawn by group, and what orders and checkpoints want to know of the items."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.transforms import PairTransform


def test_items_are_transformed_for_their_epoch(pairs) -> None:
    transform = PairTransform(8)
    items = TransformedPairs(pairs(5), transform)
    assert len(items) == 5
    assert torch.equal(items[3].original_image, items[0, 3].original_image)
    assert torch.equal(items[2, 3].original_image, transform(pairs(5)[3], 2).original_image)
    assert [item.id for item in items[[(0, 4), (2, 3)]]] == ["pair/4", "pair/3"]
    assert torch.equal(items[[(2, 3)]][0].original_image, items[2, 3].original_image)


def test_one_pair_a_group_and_epoch(dataset: Path) -> None:
    source = ShardDataset(dataset)
    items = TransformedPairs(source, PairTransform(8), one_per_group=True)
    assert len(items) == 50
    drawn = [[items[epoch, index].id for index in range(50)] for epoch in range(8)]
    for ids in drawn:
        assert [int(id.removeprefix("pair/")) // 2 for id in ids] == list(range(50))
    assert drawn[0] == [items[0, index].id for index in range(50)]
    assert len({id for ids in drawn for id in ids}) > 90, "over the epochs all candidates have their turn"


def test_one_pair_a_group_needs_groups(pairs) -> None:
    with pytest.raises(ValueError, match="NoisePairs does not; render it to shards first"):
        TransformedPairs(pairs(4), PairTransform(8), one_per_group=True)


def test_shards_of_items(dataset: Path, pairs) -> None:
    source = ShardDataset(dataset)
    assert TransformedPairs(source, PairTransform(8)).shards.tolist() == source.shards.tolist()
    assert TransformedPairs(source, PairTransform(8), True).shards.tolist() == source.shards[::2].tolist()
    assert TransformedPairs(pairs(4), PairTransform(8)).shards is None


def test_fingerprints_tell_items_apart(dataset: Path, pairs) -> None:
    source, transform = ShardDataset(dataset), PairTransform(8)
    items = [
        TransformedPairs(source, transform),
        TransformedPairs(source, transform, True),
        TransformedPairs(pairs(4), transform),
        TransformedPairs(pairs(5), transform),
    ]
    assert len({item.fingerprint() for item in items}) == 4
    assert items[0].fingerprint() == TransformedPairs(ShardDataset(dataset), PairTransform(12)).fingerprint()
