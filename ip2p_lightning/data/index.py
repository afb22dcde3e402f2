"""The index of a dataset: columns read when asked for, and positions of bytes that need no memory at any size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo, file_sha256
from ip2p_lightning.data.positions import IN_MEMORY, Positions, positions_of
from ip2p_lightning.data.shard_cache import FileCache
from ip2p_lightning.data.storage import LocalFolder, RemoteAccess, Storage
from ip2p_lightning.files import write_whole

_REPETITIVE = ["shard", "split", "kind"]  # columns of few values: read as numbers into a list of values


class DatasetIndex:
    """`index.parquet` of a dataset, checked against `dataset.json`. Picklable.

    Args:
        storage: the dataset's folder.
        info: its description.
        access: where local copies go.

    Raises:
        DatasetError: a missing or damaged index, or one that does not belong to the shards.
    """

    def __init__(self, storage: Storage, info: DatasetInfo, access: RemoteAccess) -> None:
        self.info, self.access = info, access
        self.place = storage.place(info.index.name)
        self.file = self._local_file(storage)
        try:
            self._names = pq.read_schema(self.file).names
        except pa.ArrowException as error:
            raise DatasetError(f"{self.place} cannot be read ({error}); restore it from a copy") from error
        self.positions = self._positions()

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        return self._names

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows, read from the disk.

        Raises:
            KeyError: an unknown column.
        """
        if unknown := set(columns) - set(self._names):
            raise KeyError(f"{self.place} has no column {', '.join(sorted(unknown))}; it has {', '.join(self._names)}")
        return pq.read_table(self.file, columns=list(columns), read_dictionary=_REPETITIVE)

    def id(self, row: int) -> str:
        """The id of a row, for messages; takes milliseconds where there are many rows."""
        return _ids(self.file)[row].as_py()

    def _local_file(self, storage: Storage) -> Path:
        index = self.info.index
        wrong = (
            f"{self.place} is not the index that dataset.json describes: it is damaged or of another version than the "
            "shards; restore it from a copy or render again"
        )
        try:
            if isinstance(storage, LocalFolder):
                file = storage.folder / index.name
                if file.stat().st_size != index.size or file_sha256(file) != index.sha256:
                    raise DatasetError(wrong)
                return file
            copy = FileCache(self.access.folder / "index").get(storage, index)
        except OSError as error:
            raise DatasetError(f"{self.place} cannot be read ({error}); restore it from a copy") from error
        if copy is None:
            raise DatasetError(wrong)
        return copy

    def _positions(self) -> Positions:
        if self.info.pairs <= IN_MEMORY:
            return Positions(b"".join(positions_of(self.file, self.info)))
        shards = [[shard.name, shard.size, shard.pairs] for shard in self.info.shards]
        key = hashlib.sha256(json.dumps(["positions 1", self.info.index.sha256, shards]).encode()).hexdigest()
        target = self.access.folder / "index" / f"{key}.positions"
        if not target.is_file():
            write_whole(target, lambda file: file.writelines(positions_of(self.file, self.info)), shared=True)
        return Positions(target)


@lru_cache(maxsize=1)
def _ids(file: Path) -> pa.ChunkedArray:
    return pq.read_table(file, columns=["id"]).column("id")
