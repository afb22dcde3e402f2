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
        self._members = _members_by_group(source) if one_per_group else None

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
            index = members[addressed_random(self.transform.seed, epoch, "candidate", index).randrange(len(members))]
        return self.transform(self.source[index], epoch)

    @cached_property
    def shards(self) -> np.ndarray | None:
        """The number of each item's shard (of a group: its first pair's), int32; None for a source without shards."""
        shards = getattr(self.source, "shards", None)
        return shards if shards is None or self._members is None else shards[[members[0] for members in self._members]]

    @cached_property
    def buckets(self) -> np.ndarray | None:
        """The number of each item's shape (of a group: its first pair's), int64; None where all have one shape."""
        if not isinstance(self.transform, BucketTransform):
            return None
        buckets = self.transform.buckets(picture_sizes(self.source))
        return buckets if self._members is None else buckets[[members[0] for members in self._members]]

    def fingerprint(self) -> str:
        """A string that changes with the pairs, with what an item is, and with the shapes that keep items apart."""
        shapes = f" in {self.transform.shapes}" if isinstance(self.transform, BucketTransform) else ""
        return f"{self.source.fingerprint()} {'pairs' if self._members is None else 'groups'}{shapes}"


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
