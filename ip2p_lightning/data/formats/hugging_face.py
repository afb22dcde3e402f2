"""Tables of Hugging Face datasets on the local disk: parquet or arrow files whose images are {bytes, path}."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from ip2p_lightning import limits
from ip2p_lightning.data.encoded import EncodedPair, UnusablePair, decode_pair, picture_formats
from ip2p_lightning.data.formats.base import texts_of
from ip2p_lightning.data.formats.columns import FIELDS, PICTURES, SPLITS, ColumnFormat, Columns
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.tables import DAMAGE, open_parquet, rows_at_once

_ROWS = 16  # of a parquet file held at once
_GROUP_BYTES = 64 * 2**20
_FILE_BYTES = 512 * 2**20
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_SPLIT = re.compile(rf"(?:^|[-_/])({'|'.join((*SPLITS, 'validation'))})(?=[-_./]|$)")


class HuggingFace(ColumnFormat):
    """The format; its arguments are those of `ColumnFormat`."""

    name: ClassVar[str] = "hugging_face"

    def open(self, path: str | Path, licence: str = "unknown") -> HuggingFaceSource:
        """See `Format.open`; ``path`` is a file, or a folder searched with its sub-folders."""
        return HuggingFaceSource(path, self.map, licence=licence)

    def writer(self, folder: Path) -> HuggingFaceWriter:
        """See `Format.writer`."""
        return HuggingFaceWriter(folder, self.map)


class HuggingFaceSource:
    """The rows of parquet files, or of arrow files as `save_to_disk` leaves them.

    The split is that of a column, or what the file or its folder is called after (`train-00000-of-00051.parquet`,
    `dev/data-00000-of-00001.arrow`; dev, val and valid are "validation"). Images are read a few rows at a time.

    Args:
        path: a file, or a folder that is searched with its sub-folders.
        columns: which column means what.
        licence: of the images.

    Raises:
        FileNotFoundError: no such file there.
        ValueError: damaged files alone, or tables that have none of the columns that a pair needs. Damaged files among
            others are ``faults``.
    """

    name = "hugging_face"

    def __init__(self, path: str | Path, columns: Columns, licence: str = "unknown") -> None:
        self.path, self.columns, self.licence = Path(path), columns, licence
        self.left_out = LeftOut()
        self.files, self._counts, self.faults = [], [], []
        for file in _files(self.path, self.left_out):
            try:
                self._counts.append(self._check(file))
                self.files.append(file)
            except UnusablePair as error:
                self.faults.append(error)
        if not self.files:
            raise self.faults[0]
        self._ends = list(accumulate(self._counts))
        self._reader: tuple[int, _Rows] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_reader": None}

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index))

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` with the bytes in its row; UnusablePair names file and row."""
        if not 0 <= index < self._ends[-1]:
            raise IndexError(f"pair {index} of {self._ends[-1]} in {self.path}")
        number, file, row = self._locate(index)
        place = f"{file} row {row}"
        if self._reader is None or self._reader[0] != number:
            self._reader = number, _Rows(file, self.columns.needed())
        try:
            values = self._reader[1].row(row, place)
        except UnusablePair:
            raise
        except DAMAGE as error:
            self._reader = None
            raise UnusablePair(place, "damaged file", str(error) or "it ends before") from error

        def picture(value: Any, column: str) -> bytes:
            data = value.get("bytes") if isinstance(value, Mapping) else value
            if not isinstance(data, bytes):
                where = value.get("path") if isinstance(value, Mapping) else type(value).__name__
                raise UnusablePair(place, f"no bytes in column {column!r}", f"{where}; embed the images in the table")
            return data

        id = f"{file.relative_to(self.path).with_suffix('') if self.path.is_dir() else file.stem}/{row:08d}"
        return self.columns.pair(values, picture, place=place, id=id, split=self._split(file))

    def fingerprint(self) -> str:
        """Hash of the files' names, sizes and numbers of rows, and of the columns' meaning."""
        sizes = [(file.name, file.stat().st_size) for file in self.files]
        return hashlib.sha256(repr((sizes, self._counts, self.columns)).encode()).hexdigest()[:16]

    def split_of(self, index: int) -> str:
        """The split that a pair's file or folder is called after; "" if none."""
        return self._split(self._locate(index)[1])

    def _locate(self, index: int) -> tuple[int, Path, int]:
        """Number of the file, the file, and the row in it."""
        number = bisect_right(self._ends, index)
        return number, self.files[number], index - (self._ends[number - 1] if number else 0)

    def _split(self, file: Path) -> str:
        name = file.relative_to(self.path).as_posix() if self.path.is_dir() else file.name
        found = _SPLIT.search(name)
        return SPLITS.get(found[1], found[1]) if found else ""

    def _check(self, file: Path) -> int:
        """The number of rows of a file that has the columns of a pair."""
        try:
            if file.suffix == ".parquet":
                with open_parquet(file) as opened:
                    names, rows = opened.schema_arrow.names, opened.metadata.num_rows
            else:
                with pa.memory_map(str(file)) as mapped:
                    table = _arrow(mapped)
                    names, rows = table.schema.names, table.num_rows
        except DAMAGE as error:
            what = f"no readable {file.suffix[1:]} file"
            raise UnusablePair(str(file), what, f"{error}; fetch it again") from error
        for field in ("original_image", "edited_image", "instruction"):
            known = self.columns.names[field]
            if not set(known) & set(names) and field not in self.columns.constants:
                raise ValueError(
                    f"{file} has no column for {field}: none of {', '.join(known)} is among {', '.join(names)}; give "
                    f"its name, such as format.columns.{field}={names[0]}"
                )
        return rows


class _Rows:
    """Reads rows of one file, fastest in ascending order."""

    def __init__(self, file: Path, columns: set[str]) -> None:
        self.file, self.columns = file, columns
        self._table: pa.Table | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch | None = None
        self._start = 0

    def row(self, number: int, place: str) -> dict[str, Any]:
        """A row as plain values; UnusablePair for a cell beyond the limits."""
        if self.file.suffix != ".parquet":
            table = self._table
            if table is None:
                whole = _arrow(pa.memory_map(str(self.file)))
                table = self._table = whole.select([name for name in whole.schema.names if name in self.columns])
            return _plain(table.slice(number, 1).combine_chunks().to_batches()[0], place)
        if self._batch is None or number < self._start:
            self._batches, self._batch, self._start = self._read(), None, 0
        while self._batch is None or number >= self._start + self._batch.num_rows:
            self._start += 0 if self._batch is None else self._batch.num_rows
            self._batch = next(self._batches)
        return _plain(self._batch.slice(number - self._start, 1), place)

    def _read(self) -> Iterator[pa.RecordBatch]:
        with open_parquet(self.file) as file:
            names = [name for name in file.schema_arrow.names if name in self.columns]
            for group in range(file.metadata.num_row_groups):
                rows = rows_at_once(file, group, _ROWS)
                yield from file.iter_batches(rows, row_groups=[group], columns=names)


def _plain(row: pa.RecordBatch, place: str) -> dict[str, Any]:
    """The values of a batch of one row, none of which is larger than an image, or a text, may be."""
    for name, column in zip(row.schema.names, row.columns, strict=True):
        fields = column.type.num_fields if pa.types.is_struct(column.type) else 0
        for leaf in [column.field(number) for number in range(fields)] or [column]:
            binary = pa.types.is_binary(leaf.type) or pa.types.is_large_binary(leaf.type)
            limit = limits.IMAGE_BYTES if binary else limits.ROW_BYTES
            if (size := leaf.nbytes) > limit.value + 64:
                reason = f"a cell of column {name!r} is too large"
                raise UnusablePair(place, reason, f"{size:,} of {limit.value:,} bytes, {limit.variable}")
    return row.to_pylist()[0]


class HuggingFaceWriter:
    """Writes `data/<split>-00000-of-00001.parquet` with the features' types, as `datasets` reads them."""

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.folder, self.columns = folder / "data", columns
        self.folder.mkdir()
        names = [(field, columns.written(field)) for field in FIELDS]
        types = {name: _PICTURE if field in PICTURES else pa.string() for field, name in names}
        features = {
            name: {"_type": "Image"} if type_ == _PICTURE else {"dtype": "string", "_type": "Value"}
            for name, type_ in (types | {"metadata": pa.string()}).items()
        }
        described = json.dumps({"info": {"features": features}})
        self._schema = pa.schema([*types.items(), ("metadata", pa.string())], {"huggingface": described})
        self._parts: dict[str, _Part] = {}

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        _, _, endings = picture_formats(pair)
        texts = texts_of(pair)
        row: dict[str, Any] = {self.columns.written(field): texts.get(field, "") for field in FIELDS}
        row["metadata"] = json.dumps(texts.get("metadata", {}), ensure_ascii=False)
        data = {field: next((v for k, v in pair.pictures().items() if field.startswith(k)), None) for field in PICTURES}
        for field, content in data.items():
            member = field.removesuffix("_image")
            path = None if content is None else f"{member}.{endings[member]}"
            row[self.columns.written(field)] = None if content is None else {"bytes": content, "path": path}
        split = pair.split or "train"
        part = self._parts.setdefault(split, _Part(self.folder, split, self._schema))
        part.add(row, sum(len(content) for content in data.values() if content is not None))

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        for part in self._parts.values():
            part.close()
        return []


class _Part:
    """The parquet files of one split."""

    def __init__(self, folder: Path, split: str, schema: pa.Schema) -> None:
        if not re.fullmatch(r"\w+", split):
            raise ValueError(f"split {split!r} cannot be the name of a file; use letters, digits and _")
        self.folder, self.split, self.schema = folder, split, schema
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._waiting = self._written = 0

    def add(self, row: dict[str, Any], size: int) -> None:
        self._rows.append(row)
        self._waiting += size
        if self._waiting >= _GROUP_BYTES or len(self._rows) >= 1000:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
        for number, file in enumerate(self._files):
            file.rename(self.folder / f"{self.split}-{number:05d}-of-{len(self._files):05d}.parquet")

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None or self._written >= _FILE_BYTES:
            if self._writer is not None:
                self._writer.close()
            self._files.append(self.folder / f"{self.split}-{len(self._files):05d}.part")
            self._writer, self._written = pq.ParquetWriter(self._files[-1], self.schema), 0
        self._writer.write_table(pa.Table.from_pylist(self._rows, self.schema))
        self._written += self._waiting
        self._rows, self._waiting = [], 0


def _files(path: Path, left_out: LeftOut) -> list[Path]:
    if path.is_file():
        found = [path] if path.suffix in (".parquet", ".arrow") else []
    else:
        found = listed(path, (".parquet", ".arrow"), left_out, deep=True) if path.is_dir() else []
        found = [file for file in found if not file.name.startswith("cache-")]  # what `map` left there
    if not found:
        aside = f" (there is {left_out})" if left_out else ""
        raise FileNotFoundError(f"{path} holds no parquet or arrow file{aside}; fetch the dataset's files first")
    return found


def _arrow(source: Any) -> pa.Table:
    """A table that stays in its file: of the streaming layout, which `datasets` writes, or of the file layout."""
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source).read_all()
