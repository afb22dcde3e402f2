"""Hugging Face's `imagefolder`: images next to `metadata.csv`, `.jsonl` or `.parquet` with `file_name` columns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ip2p_lightning.data.encoded import EncodedPair, UnusablePair
from ip2p_lightning.data.formats.base import texts_of
from ip2p_lightning.data.formats.columns import SPLITS, ColumnFormat, Columns
from ip2p_lightning.data.formats.images_folder import ImagesFolder
from ip2p_lightning.data.formats.json_lines import JsonLinesSource
from ip2p_lightning.data.formats.rows import ListedRows, Row
from ip2p_lightning.data.formats.table import table_rows
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed
from ip2p_lightning.data.tables import TableError, read_rows

_LISTINGS = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_MARK = "file_name"


class ImageFolder(ColumnFormat):
    """The format.

    A column `file_name` is the image itself, `<name>_file_name` the image column `<name>`, and `<name>_file_names` a
    list of images; what lies in a folder `train`, `validation` or `test` is of that split.

    Its arguments are those of `ColumnFormat`; columns are named without `_file_name`.
    """

    name: ClassVar[str] = "imagefolder"

    def open(self, path: str | Path, licence: str = "unknown") -> ListedRows:
        """See `Format.open`; ``path`` is the folder, searched with its sub-folders.

        Raises:
            FileNotFoundError: no metadata file in it.
            ValueError: a damaged one, or one without rows.
        """
        path = Path(path)
        left_out = LeftOut()
        tables = listed(path, (".csv", ".jsonl", ".parquet"), left_out, deep=True, likely=()) if path.is_dir() else []
        files = [file for file in tables if file.name in _LISTINGS]
        if not files:
            raise FileNotFoundError(f"{path} holds none of {', '.join(_LISTINGS)}; they name the images of each pair")
        rows: list[Row] = []
        notes: list[str] = []
        for file in files:
            inner = file.relative_to(path).parts[:-1]
            split = next((SPLITS.get(part, part) for part in reversed(inner) if part in (*SPLITS, "validation")), "")
            rows += self._rows(file, "/".join((*inner, file.stem)), split, notes)
        if not rows:
            raise ValueError(f"{path}: the metadata has no rows; it should hold one for each pair")
        return ListedRows(rows, self.map, self.name, licence, notes, left_out)

    def writer(self, folder: Path) -> ImageFolderWriter:
        """See `Format.writer`."""
        return ImageFolderWriter(folder, self.map)

    def _rows(self, file: Path, prefix: str, split: str, notes: list[str]) -> list[Row]:
        root = file.parent
        if file.suffix == ".csv":
            return table_rows(file, root, self.map, notes, renamed=_named, prefix=prefix, split=split)
        if file.suffix == ".parquet":
            try:
                values = read_rows(file)
            except TableError as error:
                raise ValueError(f"{file} is no readable parquet file ({error}); fetch it again") from error
            return [
                Row(f"{file} row {number}", f"{prefix}/{number:08d}", root, _renamed(row), split)
                for number, row in enumerate(values)
            ]
        source = JsonLinesSource(file, self.map)
        rows = []
        for index in range(len(source)):
            try:
                row = source.row(index)
                rows.append(Row(row.place, f"{prefix}/{index:08d}", root, _renamed(row.values), split))
            except UnusablePair as error:
                rows.append(Row(error.place, f"{prefix}/{index:08d}", root, {}, split, (error.reason, error.detail)))
        return rows


class ImageFolderWriter:
    """Writes `metadata.jsonl` with columns `<name>_file_name`, and a folder `images`."""

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.columns, self._images = columns, ImagesFolder(folder)
        self._file = (folder / "metadata.jsonl").open("x", encoding="utf-8")

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        row: dict[str, Any] = {
            self.columns.written(name) if name != "metadata" else name: value for name, value in texts_of(pair).items()
        }
        images = {self.columns.written(field): name for field, name in self._images.add(pair).items()}
        row |= {f"{column}_{_MARK}": name for column, name in images.items()}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        self._file.close()
        return []


def _named(column: str) -> str:
    """The image column that a `file_name` column stands for."""
    column = column.strip()
    if column in (_MARK, f"{_MARK}s"):
        return "image"
    return re.sub(rf"_{_MARK}s?$", "", column)


def _renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {_named(name): value for name, value in row.items() if value not in (None, "")}
