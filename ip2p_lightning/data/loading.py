"""From a source of pairs to the items of a DataLoader: addressed epochs and their shuffling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.transforms import PairTransform

Address = tuple[int, int]
"""(epoch, index): which item, in which epoch. It travels from the sampler to the workers, so that a worker that
prefetches or lives for many epochs never draws from the wrong epoch."""


class TransformedPairs(Dataset[EditPair]):
    """The transformed pairs of a source.

    Args:
        source: of PIL pairs.
        transform: makes tensors of a pair.
        one_per_group: an item is a group (a prompt) rather than a pair, and each epoch draws one of its pairs, as
            InstructPix2Pix does with the candidates of a prompt; the source must have ``groups``.
    """

    def __init__(self, source: PairSource, transform: PairTransform, one_per_group: bool = False) -> None:
        self.source, self.transform = source, transform
        self._members = _members_by_group(source) if one_per_group else None

    def __len__(self) -> int:
        return len(self.source) if self._members is None else len(self._members)

    def __getitem__(self, address: int | Address) -> EditPair:
        """An item by (epoch, index), or by its index alone for epoch 0."""
        epoch, index = (0, address) if isinstance(address, int) else address
        if self._members is not None:
            members = self._members[index]
            index = members[addressed_random(self.transform.seed, epoch, "candidate", index).randrange(len(members))]
        return self.transform(self.source[index], epoch)


class EpochSampler(DistributedSampler):
    """Addresses of one rank's share of an epoch, shuffled by (seed, epoch) and independent of everything else.

    A `DistributedSampler`, so that Lightning leaves it in place and tells it the epoch. All ranks together visit each
    item once, less a tail that is dropped to give every rank the same number of full batches.

    Args:
        length: number of items.
        seed: of the order.
        batch_size: pairs a rank takes at once.
        replicas, rank: of the process.
        epoch: the first epoch, for runs that go on from a checkpoint.

    Raises:
        ValueError: fewer items than one batch on each rank needs.
    """

    def __init__(
        self, length: int, *, seed: int = 0, batch_size: int = 1, replicas: int = 1, rank: int = 0, epoch: int = 0
    ) -> None:
        if length < replicas * batch_size:
            raise ValueError(
                f"{length} training pairs do not fill one batch of {batch_size} on each of {replicas} process(es); "
                f"lower data.batch_size to at most {max(1, length // replicas)} or use more pairs"
            )
        super().__init__(range(length), num_replicas=replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.length, self.epoch = length, epoch
        self.num_samples = length // (replicas * batch_size) * batch_size
        self.total_size = self.num_samples * replicas

    def __iter__(self) -> Iterator[Address]:  # type: ignore[override]
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
        return ((epoch, int(index)) for index in order[self.rank : self.total_size : self.num_replicas])


def _members_by_group(source: Any) -> list[list[int]]:
    if not hasattr(source, "groups"):
        raise ValueError(
            f"one_per_group needs a source that knows its groups, {type(source).__name__} does not; render it to "
            "shards first (`ip2p data render`) or set one_per_group=false"
        )
    members: dict[str, list[int]] = {}
    for index, group in enumerate(source.groups):
        members.setdefault(group, []).append(index)
    return list(members.values())
