"""From a source of pairs to the items of a DataLoader."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ip2p_lightning.data.buckets import BucketTransform, picture_sizes
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.sampler import Address
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.transforms import PairTransform


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
        self._members = _Groups(source) if one_per_group else None

    def __len__(self) -> int:
        return len(self.source) if self._members is None else len(self._members)

    def __getitem__(self, address: int | Address | list[Address]) -> EditPair | list[EditPair]:
        """An item by (epoch, index), or by its index alone for epoch 0; the items of a list of addresses."""
        if isinstance(address, list):
            return [self._item(epoch, index) for epoch, index in address]
        return self._item(0, address) if isinstance(address, int) else self._item(*address)

    def _item(self, epoch: int, index: int) -> EditPair:
        if self._members is not None:
            members = self._members[index]
            draw = addressed_random(self.transform.seed, epoch, "candidate", index)
            index = int(members[draw.randrange(len(members))])
        return self.transform(self.source[index], epoch)

    @cached_property
    def shards(self) -> np.ndarray | None:
        """The number of each item's shard (of a group: its first pair's), int32; None for a source without shards."""
        shards = getattr(self.source, "shards", None)
        return shards if shards is None or self._members is None else shards[self._members.first]

    @cached_property
    def buckets(self) -> np.ndarray | None:
        """The number of each item's shape (of a group: its first pair's), int64; None where all have one shape."""
        if not isinstance(self.transform, BucketTransform):
            return None
        buckets = self.transform.buckets(picture_sizes(self.source))
        return buckets if self._members is None else buckets[self._members.first]

    def fingerprint(self) -> str:
        """A string that changes with the pairs, with what an item is, and with the shapes that keep items apart."""
        shapes = f" in {self.transform.shapes}" if isinstance(self.transform, BucketTransform) else ""
        return f"{self.source.fingerprint()} {'pairs' if self._members is None else 'groups'}{shapes}"


class _Groups:
    """The pairs of each group, in the order in which the groups first come; eight bytes a pair.

    Raises:
        ValueError: a source that does not know its groups.
    """

    def __init__(self, source: Any) -> None:
        if not hasattr(source, "groups"):
            raise ValueError(
                f"one_per_group needs a source that knows its groups, {type(source).__name__} does not; render it to "
                "shards first (`ip2p data render`) or set one_per_group=false"
            )
        known: dict[str, int] = {}
        numbers = np.fromiter((known.setdefault(group, len(known)) for group in source.groups), dtype=np.uint32)
        self._pairs = np.argsort(numbers, kind="stable").astype(np.uint32)
        self._starts = np.append(0, np.cumsum(np.bincount(numbers))).astype(np.uint32)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Numbers of a group's pairs, ascending."""
        return self._pairs[self._starts[index] : self._starts[index + 1]]

    @property
    def first(self) -> np.ndarray:
        """The number of each group's first pair."""
        return self._pairs[self._starts[:-1]]
