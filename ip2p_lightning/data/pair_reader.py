"""From a row of the index to the checked bytes and texts of its pair."""

from __future__ import annotations

import zlib

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo
from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.index import DatasetIndex
from ip2p_lightning.data.pair import TEXT_FIELDS
from ip2p_lightning.data.positions import PairPosition, id_crc32
from ip2p_lightning.data.shard_files import Shards
from ip2p_lightning.data.storage import Storage

REMEDY = "find all damage with `ip2p data verify`, then restore the shard from a copy or render the dataset again"

_KEYS: dict[str, type] = dict.fromkeys(("id", "group", "split", *TEXT_FIELDS), str) | {"metadata": dict}
"""Keys of a pair's JSON member."""
_APART = 2**16  # bytes of headers and padding between a pair's members, at most


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
        """Images as bytes, and texts, of a row.

        Raises:
            DatasetError: missing or damaged bytes, another pair's bytes, or texts that are none; names shard and id.
        """
        position = self._index.positions[row]
        members, wrong = self._members(position, row)
        if wrong and self._shards.forget(self.info.shards[position.shard]):
            members, wrong = self._members(position, row)
        if wrong:
            raise DatasetError(f"{self.place(row)}: pair {self._index.id(row)!r}: {wrong}; {REMEDY}")
        try:
            return self._pair(members, position)
        except ValueError as error:
            raise DatasetError(f"{self.place(row)}: pair {self._index.id(row)!r}: {error}; {REMEDY}") from error

    def _pair(self, members: dict[str, bytes], position: PairPosition) -> EncodedPair:
        """The pair of the members' bytes; ValueError says what is wrong with its texts."""
        try:
            values = parse_json(members["json"], limit=limits.MEMBER_BYTES)
        except TextError as error:
            raise ValueError(f"its JSON member is damaged: {error}") from error
        if not isinstance(values, dict) or (lost := sorted({*_KEYS} - set(values))):
            raise ValueError(f"its JSON member lacks {', '.join(lost) if isinstance(values, dict) else 'everything'}")
        wrong = [name for name, type_ in _KEYS.items() if not isinstance(values[name], type_)]
        if wrong:
            raise ValueError(f"its JSON member has no {_KEYS[wrong[0]].__name__} under {wrong[0]!r}")
        if id_crc32(values["id"]) != position.id_crc32:
            raise ValueError(f"the index leads to the bytes of another pair, {values['id'][:100]!r}")
        return EncodedPair(
            original_image=members["original"],
            edited_image=members["edited"],
            mask=members.get("mask"),
            **{name: values[name] for name in _KEYS},
        )

    def _members(self, position: PairPosition, row: int) -> tuple[dict[str, bytes], str]:
        """The members' bytes, and what is wrong with them."""
        shard = self.info.shards[position.shard]
        sizes = {name: member.length for name, member in position.members.items()}
        if too_long := [name for name, size in sizes.items() if size > _limit(name).value]:
            name = too_long[0]
            return {}, f"{name} has {sizes[name]:,} bytes, more than {_limit(name).value:,} ({_limit(name).variable})"
        try:
            if position.length > sum(sizes.values()) + _APART:  # what lies between the members is not read
                parts = {
                    name: self._shards.read(shard, position.start + m.offset, m.length)
                    for name, m in position.members.items()
                }
            else:
                block = self._shards.read(shard, position.start, position.length)
                parts = {name: block[m.offset : m.offset + m.length] for name, m in position.members.items()}
        except OSError as error:
            raise DatasetError(
                f"{self.place(row)}: pair {self._index.id(row)!r} cannot be read ({error}); {REMEDY}"
            ) from error
        for name, member in position.members.items():
            if len(parts[name]) < member.length:
                return {}, f"{name} ends after {len(parts[name]):,} of {member.length:,} bytes"
            if zlib.crc32(parts[name]) != member.crc32:
                return {}, f"{name} does not have the checksum of the index"
        return parts, ""


def _limit(member: str) -> limits.Limit:
    return limits.MEMBER_BYTES if member == "json" else limits.IMAGE_BYTES
