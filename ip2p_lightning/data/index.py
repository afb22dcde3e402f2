"""The index of a dataset: columns read when asked for, and positions of bytes that need no memory at any size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ip2p_lightning import limits
from ip2p_lightning.data.dataset_info import SCORE_PREFIX, DatasetError, DatasetInfo, file_sha256
from ip2p_lightning.data.pair import TEXT_FIELDS
from ip2p_lightning.data.positions import IN_MEMORY, Positions, positions_of
from ip2p_lightning.data.shard_cache import FileCache
from ip2p_lightning.data.storage import LocalFolder, RemoteAccess, Storage
from ip2p_lightning.data.tables import DAMAGE, TableError, in_full, open_parquet, texts
from ip2p_lightning.files import write_whole

_REPETITIVE = ["shard", "split", "kind"]  # columns of few values: read as numbers into a list of values
_FILLED = ("id", "shard", "split", "group", *TEXT_FIELDS)  # columns of texts without gaps
_BATCH = 65_536  # rows that are looked at together


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
        self._ids: Any = None
        self.place = storage.place(info.index.name)
        self.file = self._local_file(storage)
        self._names = self._checked_names()
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
        try:
            with open_parquet(self.file) as file:
                kept_once = [name for name in texts(file) if name in columns]
            with open_parquet(self.file, kept_once) as file:
                batches = [self._checked(batch) for batch in file.iter_batches(_BATCH, columns=list(columns))]
                table = pa.Table.from_batches(batches, None if batches else file.schema_arrow)
        except DatasetError:
            raise
        except DAMAGE as error:
            raise DatasetError(f"{self.place} cannot be read ({error}); restore it from a copy") from error
        return table.unify_dictionaries()

    def id(self, row: int) -> str:
        """The id of a row, for messages; takes milliseconds where there are many rows."""
        if self._ids is None:
            self._ids = self.table(["id"]).column("id")
        return self._ids[row].as_py()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ids": None}

    def _checked_names(self) -> list[str]:
        """Names of the columns, which must be of the types that were written."""
        try:
            with open_parquet(self.file) as file:
                schema = file.schema_arrow
        except TableError as error:
            raise DatasetError(f"{self.place} cannot be read ({error}); restore it from a copy") from error
        kinds = dict(zip(schema.names, schema.types, strict=True))
        missing = [name for name in _FILLED if not pa.types.is_string(kinds.get(name, pa.null()))]
        missing += [name for name in ("width", "height") if not pa.types.is_integer(kinds.get(name, pa.null()))]
        missing += [n for n, kind in kinds.items() if n.startswith(SCORE_PREFIX) and not pa.types.is_floating(kind)]
        if missing or len(kinds) < len(schema.names):
            raise DatasetError(
                f"{self.place} lacks columns, or has others in their place ({', '.join(missing) or 'names twice'}); "
                "restore it from a copy or render again"
            )
        return schema.names

    def _checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch whose texts have no gaps and, put in full, a bounded size; columns of many values in full."""
        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name in _FILLED and column.null_count:
                raise DatasetError(f"{self.place} has rows without {name}; restore it from a copy or render again")
            try:
                full = in_full(column, f"{self.place}: column {name!r}", limits.INDEX_TEXT_BYTES)
            except limits.LimitError as error:
                raise DatasetError(str(error)) from error
            columns.append(column if name in _REPETITIVE else full)
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

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
        key = hashlib.sha256(json.dumps(["positions 2", self.info.index.sha256, shards]).encode()).hexdigest()
        target = self.access.folder / "index" / f"{key}.positions"
        if not target.is_file():
            write_whole(target, lambda file: file.writelines(positions_of(self.file, self.info)), shared=True)
        return Positions(target)
