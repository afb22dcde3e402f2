"""From a row of the index to the checked bytes and texts of its pair."""

from __future__ import annotations

import json
import zlib
from typing import Any

from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo
from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.index import DatasetIndex
from ip2p_lightning.data.pair import TEXT_FIELDS
from ip2p_lightning.data.positions import PairPosition
from ip2p_lightning.data.shard_files import Shards
from ip2p_lightning.data.storage import Storage

REMEDY = "find all damage with `ip2p data verify`, then restore the shard from a copy or render the dataset again"


class PairReader:
    """Pairs by row of the index; one read, of all that a pair has, and a checksum for each member. Picklable.

    Args:
        storage: the dataset's folder, for messages.
        index: the dataset's index.
        shards: where the bytes come from.
    """

    def __init__(self, storage: Storage, index: DatasetIndex, shards: Shards) -> None:
        self._storage, self._index, self._shards = storage, index, shards

    @property
    def info(self) -> DatasetInfo:
        """The dataset's description."""
        return self._index.info

    def place(self, row: int) -> str:
        """The shard of a row, as errors call it."""
        return self._storage.place(self.info.shards[self._index.positions[row].shard].name)

    def read(self, row: int) -> EncodedPair:
        """Pictures as bytes, and texts, of a row.

        Raises:
            DatasetError: missing or damaged bytes, naming shard, id and member.
        """
        position = self._index.positions[row]
        members, wrong = self._members(position, row)
        if wrong and self._shards.forget(self.info.shards[position.shard]):
            members, wrong = self._members(position, row)
        if wrong:
            raise DatasetError(f"{self.place(row)}: pair {self._index.id(row)!r}: {wrong}; {REMEDY}")
        values: dict[str, Any] = json.loads(members["json"])
        return EncodedPair(
            id=values["id"],
            original_image=members["original"],
            edited_image=members["edited"],
            mask=members.get("mask"),
            group=values["group"],
            split=values["split"],
            metadata=values["metadata"],
            **{name: values[name] for name in TEXT_FIELDS},
        )

    def _members(self, position: PairPosition, row: int) -> tuple[dict[str, bytes], str]:
        """The members' bytes, and what is wrong with them."""
        shard = self.info.shards[position.shard]
        try:
            block = self._shards.read(shard, position.start, position.length)
        except OSError as error:
            raise DatasetError(
                f"{self.place(row)}: pair {self._index.id(row)!r} cannot be read ({error}); {REMEDY}"
            ) from error
        members = {}
        for name, member in position.members.items():
            data = block[member.offset : member.offset + member.length]
            if len(data) < member.length:
                return {}, f"{name} ends after {len(data):,} of {member.length:,} bytes"
            if zlib.crc32(data) != member.crc32:
                return {}, f"{name} does not have the checksum of the index"
            members[name] = data
        return members, ""
