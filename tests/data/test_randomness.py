"""Addresses give the same draws everywhere, and different ones to different addresses."""

from __future__ import annotations

import numpy as np

from ip2p_lightning.data.randomness import addressed_random, hashed_integer


def test_equal_addresses_draw_alike_and_stay_as_they_are() -> None:
    assert addressed_random(1, 2, "a").random() == addressed_random(1, 2, "a").random()
    assert hashed_integer(0, "pair/0") == 9104830329089572749, "changing this changes every subset and split"


def test_neighbouring_addresses_draw_differently() -> None:
    addresses = [(seed, epoch, id) for seed in range(3) for epoch in range(3) for id in "abc"]
    assert len({hashed_integer(*address) for address in addresses}) == len(addresses)
    assert hashed_integer("a", "b") != hashed_integer("ab") != hashed_integer("a", "", "b")


def test_hashes_are_uniform() -> None:
    shares = np.array([hashed_integer("x", number) for number in range(4000)], dtype=np.float64) / 2**64
    assert abs(shares.mean() - 0.5) < 0.02
    assert np.histogram(shares, bins=10, range=(0, 1))[0].min() > 320
