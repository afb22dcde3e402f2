"""Every item once an epoch over all ranks, in an order of (seed, epoch); candidates drawn by group."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data.distributed import DistributedSampler

from ip2p_lightning.data.loading import EpochSampler, TransformedPairs
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.transforms import PairTransform


@pytest.mark.parametrize(("length", "batch_size", "replicas"), [(1003, 4, 1), (1003, 4, 2), (17, 1, 3), (64, 8, 4)])
def test_ranks_share_an_epoch_without_overlap(length: int, batch_size: int, replicas: int) -> None:
    settings = {"length": length, "batch_size": batch_size, "replicas": replicas, "seed": 3}
    ranks = [EpochSampler(rank=rank, **settings) for rank in range(replicas)]
    shares = [[index for _, index in sampler] for sampler in ranks]
    assert {len(share) for share in shares} == {len(ranks[0])}
    assert len(ranks[0]) % batch_size == 0
    seen = [index for share in shares for index in share]
    assert len(set(seen)) == len(seen) == length // (batch_size * replicas) * batch_size * replicas
    assert set(seen) <= set(range(length))


def test_order_depends_on_seed_and_epoch_and_carries_the_epoch() -> None:
    sampler = EpochSampler(100, seed=1)
    first = list(sampler)
    assert first == list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {epoch for epoch, _ in second} == {1}
    assert [index for _, index in first] != [index for _, index in second]
    assert second == list(EpochSampler(100, seed=1, epoch=1))
    assert first != list(EpochSampler(100, seed=2))
    assert isinstance(sampler, DistributedSampler), "Lightning replaces other samplers in distributed runs"


def test_too_few_items_for_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"7 training pairs .* 4 on each of 2 .*data\.batch_size to at most 3"):
        EpochSampler(7, batch_size=4, replicas=2)


def test_items_are_transformed_for_their_epoch(pairs) -> None:
    transform = PairTransform(8)
    items = TransformedPairs(pairs(5), transform)
    assert len(items) == 5
    assert torch.equal(items[3].original_image, items[0, 3].original_image)
    assert torch.equal(items[2, 3].original_image, transform(pairs(5)[3], 2).original_image)


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
