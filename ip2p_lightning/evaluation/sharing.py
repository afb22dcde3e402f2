"""Sharing out an evaluation among the processes of a distributed run, and putting its rows together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """This process among those of the default process group; alone where there is none.

    Args:
        rank: number of this process.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """As torch.distributed says."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's items: each item is one process's, and none is repeated to make shares even."""
        return list(items[self.rank :: self.world])

    def gather(self, value: Item) -> list[Item]:
        """The values of all processes by rank, in each of them."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def first(self, work: Callable[[], Item]) -> Item:
        """Result of `work` in the first process, or the error that it raises there, for all processes."""
        outcome: list[Any] = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = work()
            except Exception as error:  # sent to the others, which would wait for it forever
                outcome[1] = error
        if self.world > 1:
            dist.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]
