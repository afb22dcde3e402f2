"""Orders are permutations of (seed, turn); nearby pairs stay near and yet are mixed."""

from __future__ import annotations

import numpy as np
import pytest

from ip2p_lightning.data.order import Nearby, Order, Shuffled


class Sharded:
    """Items of shards of 50."""

    def __init__(self, count: int) -> None:
        self.shards = np.arange(count, dtype=np.int32) // 50

    def __len__(self) -> int:
        return len(self.shards)


@pytest.mark.parametrize("order", [Shuffled(), Nearby(80), Nearby(1), Nearby(100_000)])
def test_every_order_is_a_permutation_of_seed_and_turn(order: Order) -> None:
    items = Sharded(1003)
    first = order.permutation(items, 1, 0)
    assert sorted(first) == list(range(1003))
    assert np.array_equal(first, order.permutation(items, 1, 0))
    for other in (order.permutation(items, 1, 1), order.permutation(items, 2, 0)):
        assert (first != other).mean() > 0.9


def test_reads_go_to_few_shards_at_a_time() -> None:
    items = Sharded(5000)
    near, far = (items.shards[order.permutation(items, 0, 0)].reshape(-1, 50) for order in (Nearby(100), Shuffled()))
    assert np.mean([len(set(batch)) for batch in near]) < 5
    assert np.mean([len(set(batch)) for batch in far]) > 30
    visits = np.concatenate(near)
    spans = [np.ptp(np.flatnonzero(visits == shard)) for shard in range(100)]
    assert max(spans) < 50 + 2 * 100, "a shard is done with soon after it was opened"


def test_pairs_of_a_shard_are_mixed_with_its_neighbours() -> None:
    order = Nearby(200).permutation(Sharded(5000), 0, 0)
    assert (np.diff(order) == 1).mean() < 0.05
    assert len(set(order[:200] // 50)) > 4


def test_what_an_order_of_nearby_pairs_needs() -> None:
    with pytest.raises(ValueError, match="needs a source that knows its shards"):
        Nearby().permutation(range(10), 0, 0)
    with pytest.raises(ValueError, match=r"order\.window=0 must be at least 1"):
        Nearby(0)
