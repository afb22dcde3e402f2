"""In which order an epoch visits the pairs: functions of (seed, turn) alone, whatever the number of processes."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Order(Protocol):
    """A way to shuffle. Its `repr` stands in checkpoints: a run goes on only in the order in which it began."""

    def permutation(self, items: Sized, seed: int, turn: int) -> np.ndarray:
        """All positions 0 ... len(items) - 1, integers, in the order of one turn through the items.

        Args:
            items: what is visited.
            seed: of the run.
            turn: how often all items have been visited before.
        """
        ...


@dataclass(frozen=True)
class Shuffled:
    """Every order is equally likely."""

    def permutation(self, items: Sized, seed: int, turn: int) -> np.ndarray:
        positions = np.arange(len(items), dtype=np.uint32)  # four bytes a pair
        np.random.default_rng([seed, turn]).shuffle(positions)
        return positions


@dataclass(frozen=True)
class Nearby:
    """Shards in random order, and pairs shuffled among those that lie near each other.

    At any time the reads go to few shards, so that each is fetched once an epoch where storage is remote, at the price
    of batches that are mixed less well. A pair moves at most ``window`` positions away from its shard's.

    Args:
        window: pairs that are shuffled together; several shards' worth mixes well.

    Raises:
        ValueError: a window below 1, or items of a source that has no shards.
    """

    window: int = 10_000

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"order.window={self.window} must be at least 1 pair")

    def permutation(self, items: Sized, seed: int, turn: int) -> np.ndarray:
        shards = getattr(items, "shards", None)
        if shards is None:
            raise ValueError(
                "an order of nearby pairs needs a source that knows its shards; render it to shards first "
                "(`ip2p data render`) or use the shuffled order"
            )
        draw = np.random.default_rng([seed, turn])
        rank_of_shard = draw.permutation(int(shards.max()) + 1)
        places = np.argsort(rank_of_shard[shards], kind="stable")
        # each pair moves forward by less than a window: a shuffle that has no seams between windows
        return places[np.argsort(np.arange(len(places)) + draw.uniform(0, self.window, len(places)), kind="stable")]
