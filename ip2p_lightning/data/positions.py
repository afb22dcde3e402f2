"""Byte offsets of each pair, as records of fixed size: reading one takes microseconds and no memory, at any size."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ip2p_lightning import limits
from ip2p_lightning.data.dataset_info import MEMBERS, DatasetError, DatasetInfo
from ip2p_lightning.data.tables import DAMAGE, in_full, open_parquet

IN_MEMORY = 50_000
"""Up to so many pairs the records stay in memory (3 MB); those of more pairs are a file that is read in place."""

_ABSENT = 0xFFFFFFFF
_RECORD = np.dtype(
    [
        ("shard", "<u4"),
        ("id", "<u4"),
        ("start", "<u8"),
        ("members", [("offset", "<u4"), ("length", "<u4"), ("crc32", "<u4")], 4),
    ]
)
_STRUCT = struct.Struct("<IIQ12I")
_LARGEST = 2**53  # offsets and lengths above that are no numbers of files
_BATCH = 65_536  # rows that are looked at together


@dataclass(frozen=True)
class MemberPosition:
    """A member's bytes within its pair's block, and their CRC-32."""

    offset: int
    length: int
    crc32: int


@dataclass(frozen=True)
class PairPosition:
    """Location of a pair.

    Args:
        shard: number of its shard.
        id_crc32: checksum of the id that the row has, so that another pair's bytes are known.
        start, length: the block of the shard, in bytes, that has all its members.
        members: by name ("original", "edited", "mask", "json"); without "mask" if there is none.
    """

    shard: int
    id_crc32: int
    start: int
    length: int
    members: dict[str, MemberPosition]


class Positions:
    """The positions of all pairs of a dataset by row of its index; picklable, and shared by processes where large.

    Args:
        records: the records themselves, or the file that holds them.
    """

    def __init__(self, records: bytes | Path) -> None:
        self._records = records
        self._file: int | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"_records": self._records, "_file": None}

    def __del__(self) -> None:
        if self.__dict__.get("_file") is not None:
            os.close(self._file)  # type: ignore[arg-type]

    def __getitem__(self, row: int) -> PairPosition:
        at = row * _STRUCT.size
        if isinstance(self._records, bytes):
            record = self._records[at : at + _STRUCT.size]
        else:
            if self._file is None:
                self._file = os.open(self._records, os.O_RDONLY)
            record = os.pread(self._file, _STRUCT.size, at)  # has no position, so that forked processes may share it
        shard, id, start, *numbers = _STRUCT.unpack(record)
        members = {
            name: MemberPosition(*numbers[3 * place : 3 * place + 3])
            for place, name in enumerate(MEMBERS)
            if numbers[3 * place + 1] != _ABSENT
        }
        return PairPosition(shard, id, start, max(m.offset + m.length for m in members.values()), members)

    def extents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row, number of the shard, first byte and end of every member of every pair, int64 [members] each."""
        records = self._all()
        members = records["members"]
        there = members["length"] != _ABSENT
        rows = np.broadcast_to(np.arange(len(records))[:, None], there.shape)[there]
        starts = (records["start"][:, None].astype(np.int64) + members["offset"])[there]
        return rows, records["shard"].astype(np.int64)[rows], starts, starts + members["length"][there]

    def _all(self) -> np.ndarray:
        in_memory = isinstance(self._records, bytes)
        return np.frombuffer(self._records, _RECORD) if in_memory else np.memmap(self._records, _RECORD, mode="r")  # type: ignore[arg-type]

    def shards(self, rows: np.ndarray) -> np.ndarray:
        """Shard numbers of these rows, int32."""
        return self._all()["shard"].astype(np.int32)[rows]  # a copy, so that a mapped file is let go of at once


def positions_of(index: Path, info: DatasetInfo) -> Iterator[bytes]:
    """The records of an index, some thousand rows at a time.

    Args:
        index: the parquet file.
        info: the dataset's description, which the index must agree with.

    Raises:
        DatasetError: a damaged index, or one that does not belong to these shards; names a shard and a pair.
    """
    columns = [f"{member}_{what}" for member in MEMBERS for what in ("offset", "length", "crc32")]
    names = pa.array([shard.name for shard in info.shards])
    sizes = np.array([shard.size for shard in info.shards], dtype=np.int64)
    counts = np.zeros(len(info.shards), dtype=np.int64)
    try:
        with open_parquet(index, ["id", "shard"]) as file:
            if file.metadata.num_rows != info.pairs:
                raise DatasetError(
                    f"{index} has {file.metadata.num_rows:,} rows but dataset.json says {info.pairs:,} pairs: they are "
                    "of different versions; restore both from one copy or render again"
                )
            for batch in file.iter_batches(_BATCH, columns=["id", "shard", *columns]):
                shards = _shard_numbers(index, batch, names)
                numbers = shards.to_numpy(zero_copy_only=False)
                records, ends = _records(index, batch, numbers)
                _check_within(index, batch, records, ends > sizes[numbers])
                counts += np.bincount(numbers, minlength=len(counts))
                yield records.tobytes()
    except DatasetError:
        raise
    except (*DAMAGE, KeyError, OverflowError) as error:
        raise DatasetError(f"{index} cannot be read ({error}); restore it from a copy or render again") from error
    for shard, count in zip(info.shards, counts, strict=True):
        if shard.pairs != count:
            raise DatasetError(
                f"{index} has {count} pairs of {shard.name} but dataset.json says {shard.pairs}: they are of "
                "different versions; restore both from one copy or render again"
            )


def _shard_numbers(index: Path, batch: pa.RecordBatch, names: pa.Array) -> pa.Array:
    """The number of each row's shard; DatasetError for rows without id or shard, or of a shard that is not there."""
    for column in ("id", "shard"):
        if not pa.types.is_string(batch.column(column).dictionary.type) or batch.column(column).null_count:
            raise DatasetError(f"{index} has rows without {column}; restore it from a copy or render again")
    shards = pc.index_in(batch.column("shard").cast(pa.string()), names)  # pyright: ignore[reportAttributeAccessIssue]
    if shards.null_count:
        unknown = sorted(set(batch.column("shard").filter(shards.is_null()).to_pylist()))
        raise DatasetError(f"{index} names shards that dataset.json lacks ({unknown[:5]}); render again")
    return shards


def _records(index: Path, batch: pa.RecordBatch, shards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records of a batch, and where each pair ends in its shard."""
    numbers = {name: _numbers(batch.column(name)) for name in batch.schema.names if name not in ("id", "shard")}
    if any((values > _LARGEST).any() for values in numbers.values()):
        raise DatasetError(f"{index} states offsets or lengths of no file; restore it from a copy or render again")
    absent = np.stack([numbers[f"{member}_length"] < 0 for member in MEMBERS])
    offsets = np.stack([numbers[f"{member}_offset"] for member in MEMBERS])
    lengths = np.stack([numbers[f"{member}_length"] for member in MEMBERS])
    ends = np.where(absent, 0, offsets + lengths).max(0)
    starts = np.where(absent, np.iinfo(np.int64).max, offsets).min(0)
    far = ~absent & ((offsets - starts >= _ABSENT) | (lengths >= _ABSENT) | (offsets < 0))
    records = np.empty(len(shards), dtype=_RECORD)
    records["shard"], records["start"] = shards, starts
    ids = in_full(batch.column("id"), f"{index}: column 'id'", limits.INDEX_TEXT_BYTES).to_pylist()
    records["id"] = np.fromiter(map(id_crc32, ids), np.uint32, len(ids))
    for place, member in enumerate(MEMBERS):
        part = records["members"][:, place]
        part["offset"] = np.where(absent[place], 0, offsets[place] - starts)
        part["length"] = np.where(absent[place], _ABSENT, lengths[place])
        part["crc32"] = np.where(absent[place], 0, numbers[f"{member}_crc32"])
    return records, np.where(far.any(0), _LARGEST, ends)


def id_crc32(id: str) -> int:
    """Hash of an id that a record stores."""
    return zlib.crc32(id.encode("utf-8", "surrogatepass"))


def _numbers(column: pa.Array) -> np.ndarray:
    return pc.fill_null(column, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _check_within(index: Path, batch: pa.RecordBatch, records: np.ndarray, beyond: np.ndarray) -> None:
    lengths = records["members"]["length"]
    needed = [place for place, member in enumerate(MEMBERS) if member != "mask"]
    for wrong, what in (
        (beyond, "lies beyond the shard's end"),
        ((lengths[:, needed] == _ABSENT).any(1), "lacks an image or its texts"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            shard, id = batch.column("shard")[row].as_py(), batch.column("id")[row].as_py()
            raise DatasetError(
                f"{shard}: pair {id!r} {what} according to {index.name}: index and shards are of different versions; "
                "restore both from one copy or render again"
            )
