"""Reading a dataset folder: a map-style dataset over tar shards that checks every byte it hands out."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import Dataset

from ip2p_lightning.data.dataset_info import SCORE_PREFIX, DatasetError, DatasetInfo
from ip2p_lightning.data.encoded import EncodedPair, decode_pair
from ip2p_lightning.data.images import MAX_PIXELS
from ip2p_lightning.data.pair import TEXT_FIELDS, EditPair
from ip2p_lightning.data.selection import Selection

_REMEDY = "find all damage with `ip2p data verify`, then restore the shard from a copy or render the dataset again"


class ShardDataset(Dataset[EditPair]):
    """The pairs of a dataset folder, or a selection of them; also a `PairSource`.

    Lengths and CRC-32 of each member are checked when it is read; that all shards are there with their full size is
    checked at construction. Picklable; each process opens its own files.

    Args:
        path: the dataset folder.
        selection: which rows of the index; all of them by default.
        max_pixels: refuse larger pictures without decoding them.

    Raises:
        FileNotFoundError: no dataset at ``path``.
        DatasetError: damaged index, missing or truncated shards; names the file.
        ValueError: the selection leaves no pair, or fewer than it asks for.
    """

    def __init__(self, path: str | Path, selection: Selection | None = None, *, max_pixels: int = MAX_PIXELS) -> None:
        self.path, self.selection, self.max_pixels = Path(path), selection or Selection(), max_pixels
        self.info = DatasetInfo.load(self.path)
        self.name, self.licence = self.info.name, self.info.licence
        index = load_index(self.path, self.info)
        rows = self.selection.rows(index, str(self.path))
        self.index: pa.Table = index.take(pa.array(rows)).combine_chunks()
        self._check_shards()
        self._files = ShardFiles(self.path)

    def __len__(self) -> int:
        return self.index.num_rows

    def __getitem__(self, index: int) -> EditPair:
        """Pair ``index`` with PIL pictures.

        Raises:
            DatasetError: damaged bytes, naming shard and id.
            ImageError: sound bytes that are no picture or too large a one, naming shard and id.
        """
        row = self._row(index)
        return decode_pair(
            self._files.read_pair(row), place=f"{self.path / row['shard']}: ", max_pixels=self.max_pixels
        )

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` as the bytes in its shard, checked but not decoded."""
        return self._files.read_pair(self._row(index))

    def column(self, name: str) -> list[Any]:
        """A column of the index for the selected pairs ("kind", "group", "score_clip_image", ...)."""
        return self.index.column(name).to_pylist()

    @property
    def groups(self) -> Sequence[str]:
        """The group of each pair."""
        return self.column("group")

    @property
    def shards(self) -> np.ndarray:
        """The number of each pair's shard, int32 [pairs]: pairs of equal numbers lie in one file."""
        number = {shard.name: position for position, shard in enumerate(self.info.shards)}
        return np.array([number[name] for name in self.column("shard")], dtype=np.int32)

    @property
    def score_names(self) -> list[str]:
        """Names of the scores that the index has."""
        return [name.removeprefix(SCORE_PREFIX) for name in self.index.column_names if name.startswith(SCORE_PREFIX)]

    def fingerprint(self) -> str:
        """Digest of the dataset and of the ids selected from it."""
        digest = hashlib.sha256(self.info.fingerprint.encode())
        digest.update(json.dumps(self.column("id")).encode())
        return digest.hexdigest()

    def _row(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.path}")
        return self.index.slice(index % len(self), 1).to_pylist()[0]

    def _check_shards(self) -> None:
        used = set(self.index.column("shard").unique().to_pylist())
        for shard in self.info.shards:
            if shard.name in used:
                file = self.path / shard.name
                if not file.is_file():
                    raise DatasetError(f"{file} is missing ({shard.pairs} pairs); {_REMEDY}")
                if (size := file.stat().st_size) != shard.size:
                    raise DatasetError(f"{file} has {size:,} bytes instead of {shard.size:,}; {_REMEDY}")


def load_index(path: str | Path, info: DatasetInfo) -> pa.Table:
    """The whole index of a dataset folder, one row a pair.

    Raises:
        DatasetError: missing or damaged index.
    """
    file = Path(path) / info.index.name
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{file} cannot be read ({error}); restore it from a copy or render again") from error
    if table.num_rows != info.pairs:
        raise DatasetError(f"{file} has {table.num_rows} rows but dataset.json says {info.pairs}; render again")
    unknown = set(table.column("shard").unique().to_pylist()) - {shard.name for shard in info.shards}
    if unknown:
        raise DatasetError(f"{file} names shards that dataset.json does not list ({sorted(unknown)}); render again")
    return table


class ShardFiles:
    """Open shards of this process, opened on demand and never shared through fork or pickle.

    Args:
        folder: the dataset folder.
        limit: how many shards stay open at once.
    """

    def __init__(self, folder: Path, limit: int = 32) -> None:
        self.folder, self.limit = folder, limit
        self._open: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def read_pair(self, row: dict[str, Any]) -> EncodedPair:
        """Texts of an index row with the checked bytes of its pictures.

        Raises:
            DatasetError: missing or damaged bytes, naming shard, id and member.
        """
        mask = None if row["mask_length"] is None else self.read_member(row, "mask")
        return EncodedPair(
            id=row["id"],
            original_image=self.read_member(row, "original"),
            edited_image=self.read_member(row, "edited"),
            mask=mask,
            group=row["group"],
            split=row["split"],
            metadata=json.loads(row["metadata"]),
            **{name: row[name] for name in TEXT_FIELDS},
        )

    def __del__(self) -> None:
        for file in self.__dict__.get("_open", {}).values():
            file.close()

    def read_member(self, row: dict[str, Any], member: str) -> bytes:
        """Bytes of one member ("original", "edited", "mask", "json"); errors as `read_pair`."""
        offset, length = row[f"{member}_offset"], row[f"{member}_length"]
        file = self._file(row["shard"])
        file.seek(offset)
        data = file.read(min(length, os.fstat(file.fileno()).st_size))
        if len(data) != length:
            wrong = f"ends after {len(data):,} of {length:,} bytes"
        elif zlib.crc32(data) != row[f"{member}_crc32"]:
            wrong = "does not have the checksum of the index"
        else:
            return data
        raise DatasetError(f"{self.folder / row['shard']}: pair {row['id']!r}: {member} {wrong}; {_REMEDY}")

    def _file(self, shard: str) -> IO[bytes]:
        if self._process != os.getpid():  # after a fork the handles share one position with the parent's
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            if len(self._open) >= self.limit:
                self._open.popitem(last=False)[1].close()
            try:
                self._open[shard] = (self.folder / shard).open("rb")
            except OSError as error:
                raise DatasetError(f"{self.folder / shard} cannot be opened ({error}); {_REMEDY}") from error
        self._open.move_to_end(shard)
        return self._open[shard]
