"""One stream of steps: every item once an epoch but for the tail, however many ranks and batches share a step."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data.distributed import DistributedSampler

from ip2p_lightning.data.sampler import ElasticSampler


def steps(length: int, ranks: int, batch: int, accumulate: int, epoch: int, **options) -> list[set]:
    """The pairs of each step, put together from all ranks' batches."""
    samplers = [
        ElasticSampler(
            range(length), batch_size=batch, replicas=ranks, rank=rank, accumulate=accumulate, epoch=epoch, **options
        )
        for rank in range(ranks)
    ]
    batches = [list(sampler) for sampler in samplers]
    assert {len(share) for share in batches} == {len(samplers[0])}, "even batches on all ranks"
    assert {len(addresses) for share in batches for addresses in share} <= {batch}, "full batches"
    return [
        {address for share in batches for addresses in share[first : first + accumulate] for address in addresses}
        for first in range(0, len(samplers[0]), accumulate)
    ]


@pytest.mark.parametrize(("length", "batch_size", "replicas"), [(1003, 4, 1), (1003, 4, 2), (17, 1, 3), (64, 8, 4)])
def test_ranks_share_an_epoch_without_overlap(length: int, batch_size: int, replicas: int) -> None:
    found = steps(length, replicas, batch_size, 1, 0, seed=3)
    seen = [index for step in found for _, index in step]
    assert len(set(seen)) == len(seen) == length // (batch_size * replicas) * batch_size * replicas
    assert set(seen) <= set(range(length))


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(24, 90),
    shape=st.sampled_from([(1, 6, 2), (3, 4, 1), (2, 2, 3), (4, 3, 1), (1, 12, 1), (12, 1, 1)]),
    tail=st.sampled_from(["drop", "strict"]),
    buckets=st.booleans(),
    epoch=st.integers(0, 4),
    seed=st.integers(0, 3),
)
def test_a_step_is_the_same_however_it_is_shared(length, shape, tail, buckets, epoch, seed) -> None:
    options = {"tail": tail, "seed": seed, "buckets": np.arange(length) % 2 if buckets else None}
    assert steps(length, *shape, epoch, **options) == steps(length, 2, 6, 1, epoch, **options)


def test_order_depends_on_seed_and_epoch_and_carries_the_epoch() -> None:
    sampler = ElasticSampler(range(100), seed=1)
    first = list(sampler)
    assert first == list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {turn for batch in second for turn, _ in batch} == {1}
    assert [index for [(_, index)] in first] != [index for [(_, index)] in second]
    assert second == list(ElasticSampler(range(100), seed=1, epoch=1))
    assert first != list(ElasticSampler(range(100), seed=2))
    assert isinstance(sampler, DistributedSampler), "Lightning replaces other samplers in distributed runs"


def test_an_epoch_is_entered_in_the_middle_and_left_for_the_next() -> None:
    whole, sampler = (ElasticSampler(range(21), batch_size=2, replicas=2, rank=1) for _ in range(2))
    sampler.start = sampler.position = 3
    sampler.set_epoch(0)
    assert list(sampler) == list(whole)[3:]
    assert len(sampler) == 5
    sampler.set_epoch(1)
    whole.set_epoch(1)
    assert list(sampler) == list(whole)


@pytest.mark.parametrize("buckets", [None, np.array([0] * 3 + [1] * 20 + [2] * 24)])
def test_strict_loses_and_repeats_nothing(buckets) -> None:
    """47 pairs, steps of 8, one bucket with fewer pairs than a step: after 8 epochs of 5 steps."""
    seen = Counter()
    for epoch in range(8):
        found = steps(47, 2, 4, 1, epoch, tail="strict", buckets=buckets)
        assert len(found) == 5
        seen.update(address for step in found for address in step)
        if buckets is not None:
            assert all(len({buckets[index] for _, index in step}) == 1 for step in found)
    assert set(seen.values()) == {1}
    turns = Counter(turn for turn, _ in seen)
    if buckets is None:
        assert turns == dict.fromkeys(range(6), 47) | {6: 320 - 6 * 47}
    assert turns[0] == turns[1] == turns[2] == 47


def test_drop_leaves_others_out_in_each_epoch() -> None:
    left_out = []
    for epoch in range(6):
        seen = {index for step in steps(47, 2, 4, 1, epoch) for _, index in step}
        left_out.append(set(range(47)) - seen)
        assert len(left_out[-1]) == 7
    assert len(set.union(*left_out)) > 20


def test_buckets_are_dropped_from_each_alone() -> None:
    buckets = np.array([0] * 20 + [1] * 27)
    found = steps(47, 2, 4, 1, 3, buckets=buckets)
    assert sorted({buckets[index] for _, index in step}.pop() for step in found) == [0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match=r"3 training pairs of one bucket do not fill .* or data\.tail=strict"):
        ElasticSampler(range(47), batch_size=8, buckets=np.array([0] * 3 + [1] * 44))


def test_too_few_items_for_a_step_are_refused() -> None:
    with pytest.raises(ValueError, match=r"7 training pairs .* 4 on each of 2 .*data\.batch_size to at most 3"):
        ElasticSampler(range(7), batch_size=4, replicas=2)
    with pytest.raises(ValueError, match=r"batch of 4 on each of 1 process\(es\), 2 times accumulated"):
        ElasticSampler(range(7), batch_size=4, accumulate=2, tail="strict")
    with pytest.raises(ValueError, match=r"data\.tail='pad' must be 'drop' or 'strict'"):
        ElasticSampler(range(7), tail="pad")
