"""The pairs that a process takes at each step: one stream of steps for the whole run, cut among the processes."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Literal, NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from ip2p_lightning.data.order import Order, Shuffled

Address = tuple[int, int]
"""(turn, index): the item, and the number of completed passes over the items. It travels from the sampler to the
workers, so that a worker that prefetches or lives for many epochs never draws from the wrong epoch."""

Tail = Literal["drop", "strict"]


class Steps(NamedTuple):
    """Optimizer steps in order, as uint32 [steps, pairs in a step] each: turn and index of every pair."""

    turns: np.ndarray
    indices: np.ndarray


class ElasticSampler(DistributedSampler):
    """One rank's batches of addresses; the pairs of a step depend on (seed, epoch, step) alone.

    How many processes share a step, in how many accumulated batches and by how many workers changes nothing about
    which pairs are in it. All steps are full and every rank has the same number of batches. A `DistributedSampler`, so
    that Lightning leaves it in place and tells it the epoch.

    Args:
        items: what is visited; the order may want to know more of it than its length.
        seed: of the order.
        batch_size: pairs a rank takes at once.
        replicas, rank: of the process.
        accumulate: batches for each optimizer step.
        epoch: the first epoch.
        order: of the items.
        tail: what becomes of pairs that do not fill the last step of an epoch. "drop" leaves them out, others in each
            epoch; "strict" lets them open the next epoch, so that over the epochs no pair is lost or comes more often.
        buckets: a number for each item; all pairs of a step have the same one. None: all are alike.

    Raises:
        ValueError: fewer items (in a bucket) than one step needs, or an unknown tail.
    """

    def __init__(
        self,
        items: Sized,
        *,
        seed: int = 0,
        batch_size: int = 1,
        replicas: int = 1,
        rank: int = 0,
        accumulate: int = 1,
        epoch: int = 0,
        order: Order | None = None,
        tail: Tail = "drop",
        buckets: np.ndarray | None = None,
    ) -> None:
        super().__init__(items, num_replicas=replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.items, self.length, self.epoch, self.tail = items, len(items), epoch, tail
        self.order: Order = order or Shuffled()
        self.global_batch, self.accumulate = batch_size * replicas, accumulate
        self.step_size = self.global_batch * accumulate
        self.start = self.position = 0
        self._buckets = None if buckets is None else np.asarray(buckets)
        numbers, counts = ([0], [self.length]) if buckets is None else np.unique(buckets, return_counts=True)
        self._counts = dict(zip(map(int, numbers), map(int, counts), strict=True))
        if tail not in ("drop", "strict"):
            raise ValueError(f"data.tail={tail!r} must be 'drop' or 'strict'")
        self._check_counts(batch_size, replicas)
        strict = self.length // self.step_size
        self.steps_per_epoch = strict if tail == "strict" else sum(n // self.step_size for n in self._counts.values())

    def __len__(self) -> int:
        """Batches of a whole epoch, also where it is entered in the middle."""
        return self.steps_per_epoch * self.accumulate

    def __iter__(self) -> Iterator[list[Address]]:  # type: ignore[override]
        """The batches from `start` on."""
        turns, indices = (part.reshape(len(self), self.global_batch) for part in self.steps(self.epoch))
        share = slice(self.rank, None, self.num_replicas)
        return (
            list(zip(turns[batch, share].tolist(), indices[batch, share].tolist(), strict=True))
            for batch in range(self.start, len(self))
        )

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; stay where we are if we are in it (Lightning calls this after a resume)."""
        if epoch != self.epoch:
            self.epoch, self.start, self.position = epoch, 0, 0

    def steps(self, epoch: int) -> Steps:
        """All optimizer steps of an epoch.

        The items come in the order's stream, each into the open step of its bucket; a step is taken when it is full.
        """
        if self.tail == "drop":
            found, _ = self._turn(epoch, {})
            return found
        first = epoch * self.steps_per_epoch
        turn = self._turn_before(first)
        taken, left = self._taken(turn), self._left_by(turn)
        parts: list[Steps] = []
        while taken < first + self.steps_per_epoch:
            found, left = self._turn(turn, left)
            parts.append(Steps(*(part[max(0, first - taken) :] for part in found)))
            turn, taken = turn + 1, taken + len(found.turns)
        return Steps(*(np.concatenate(part)[: self.steps_per_epoch] for part in zip(*parts, strict=True)))

    def _turn(self, turn: int, left: dict[int, Steps]) -> tuple[Steps, dict[int, Steps]]:
        """The steps that fill up during one turn, after what is left of earlier ones; and what is left after it."""
        order = self._permutation(turn)
        filled_at, found, open_steps = [], [], {}
        for bucket in self._counts:
            at = self._places(order, bucket)
            indices = order[at]
            turns = np.broadcast_to(np.uint32(turn), len(indices))  # takes no memory
            before = 0
            if bucket in left:
                before = len(left[bucket].turns)
                turns, indices = np.append(left[bucket].turns, turns), np.append(left[bucket].indices, indices)
            full = len(turns) // self.step_size * self.step_size
            found.append(Steps(*(part[:full].reshape(-1, self.step_size) for part in (turns, indices))))
            open_steps[bucket] = Steps(turns[full:], indices[full:])
            if isinstance(at, np.ndarray):
                filled_at.append(at[self.step_size - 1 - before :: self.step_size])
        if not filled_at:
            return found[0], open_steps
        sequence = np.argsort(np.concatenate(filled_at), kind="stable")
        return Steps(*(np.concatenate(part)[sequence] for part in zip(*found, strict=True))), open_steps

    def _permutation(self, turn: int) -> np.ndarray:
        return self.order.permutation(self.items, self.seed, turn).astype(np.uint32, copy=False)

    def _places(self, order: np.ndarray, bucket: int) -> np.ndarray | slice:
        """Positions of a bucket's items in an order."""
        return slice(None) if self._buckets is None else np.flatnonzero(self._buckets[order] == bucket)

    def _taken(self, turns: int) -> int:
        """Steps that are full after so many turns."""
        return sum(turns * count // self.step_size for count in self._counts.values())

    def _turn_before(self, step: int) -> int:
        """The last turn that begins before a step is full."""
        turn = step * self.step_size // self.length + len(self._counts)
        while self._taken(turn) > step:
            turn -= 1
        return turn

    def _left_by(self, turn: int) -> dict[int, Steps]:
        """Items that earlier turns leave in the open step of each bucket."""
        left = {}
        for bucket, count in self._counts.items():
            missing = turn * count % self.step_size
            turns, indices = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.uint32)
            for earlier in range(turn - 1, -1, -1):
                if len(turns) >= missing:
                    break
                order = self._permutation(earlier)
                order = order[self._places(order, bucket)]
                turns, indices = np.append(np.full(count, earlier, dtype=np.uint32), turns), np.append(order, indices)
            left[bucket] = Steps(turns[len(turns) - missing :], indices[len(indices) - missing :])
        return left

    def _check_counts(self, batch_size: int, replicas: int) -> None:
        smallest = min(self._counts.values()) if self.tail == "drop" else self.length
        if smallest >= self.step_size:
            return
        where = "training pairs" if smallest == self.length else "training pairs of one bucket"
        accumulated = f", {self.accumulate} times accumulated" if self.accumulate > 1 else ""
        raise ValueError(
            f"{smallest} {where} do not fill one batch of {batch_size} on each of {replicas} process(es){accumulated}; "
            f"lower data.batch_size to at most {max(1, smallest // (replicas * self.accumulate))}, use more pairs"
            + (" or data.tail=strict" if smallest < self.step_size <= self.length else "")
        )
