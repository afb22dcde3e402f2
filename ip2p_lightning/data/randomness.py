"""Randomness with an address: what is drawn depends on where it is used (seed, epoch, id), not on who draws first."""

from __future__ import annotations

import random
from hashlib import blake2b


def hashed_integer(*address: object) -> int:
    """An integer in [0, 2**64), uniform over addresses; the same in every process and on every platform."""
    return int.from_bytes(blake2b("\0".join(map(str, address)).encode("utf-8"), digest_size=8).digest(), "little")


def addressed_random(*address: object) -> random.Random:
    """A random generator that is the same for equal addresses, such as (seed, epoch, pair id)."""
    return random.Random(hashed_integer(*address))
