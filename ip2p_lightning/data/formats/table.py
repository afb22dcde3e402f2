"""A CSV or TSV file next to a folder of images: a header, then a row for each pair, in which images are paths."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_lightning import limits
from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.formats.base import texts_of
from ip2p_lightning.data.formats.columns import ColumnFormat, Columns
from ip2p_lightning.data.formats.images_folder import ImagesFolder
from ip2p_lightning.data.formats.rows import ListedRows, Row, counted
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed
from ip2p_lightning.untrusted import csv_cell, from_csv_cell

_ENCODINGS = ("utf-8-sig", "cp1252")
_DELIMITERS = {",": "csv", ";": "csv", "\t": "tsv", "|": "csv"}
_NEEDED = ("original_image", "edited_image", "instruction")


@dataclass
class Table(ColumnFormat):
    """The format.

    Args:
        images: the folder that paths are relative to; None for that of the file.
        delimiter: between cells; None for the one of , ; tab and | that finds the most columns in the header.
        encoding: of the text; None for UTF-8 or UTF-16 by their marks, else UTF-8, else Windows-1252 with a note.
        ending: of the files in a folder: "csv" or "tsv"; also what an export writes.
        **columns: see `ColumnFormat`. Headers are compared without regard to case, spaces and hyphens ("Edit prompt"
            is edit_prompt).
    """

    images: str | Path | None = None
    delimiter: str | None = None
    encoding: str | None = None
    ending: str = "csv"

    @property
    def name(self) -> str:
        """Name of the format: its ending."""
        return self.ending

    def open(self, path: str | Path, licence: str = "unknown") -> ListedRows:
        """See `Format.open`; ``path`` is the file, or a folder with one or more of them.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file without rows or with a header that lacks a column, or text of another encoding.
        """
        path = Path(path)
        left_out = LeftOut()
        others = (".json", ".jsonl", ".csv", ".tsv", ".xlsx", ".parquet", ".zip")
        found = listed(path, (f".{self.name}",), left_out, likely=others) if path.is_dir() else [path]
        files = [file for file in found if file.is_file()]
        if not files:
            raise FileNotFoundError(f"{path} is no {self.name} file and no folder with files that end in .{self.name}")
        rows: list[Row] = []
        notes: list[str] = []
        for file in files:
            root = Path(self.images) if self.images is not None else file.parent
            rows += table_rows(file, root, self.map, notes, delimiter=self.delimiter, encoding=self.encoding)
        if not rows:
            raise ValueError(f"{path} has a header but no rows; it should hold one row for each pair")
        return ListedRows(rows, self.map, self.name, licence, notes, left_out)

    def writer(self, folder: Path) -> TableWriter:
        """See `Format.writer`."""
        return TableWriter(folder, self.map, self.name)


class TableWriter:
    """Writes `pairs.csv` (or .tsv) and a folder `images`."""

    def __init__(self, folder: Path, columns: Columns, ending: str) -> None:
        self.file, self.columns = folder / f"pairs.{ending}", columns
        self._images = ImagesFolder(folder)
        self._rows: list[dict[str, Any]] = []

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        texts = texts_of(pair)
        row = {self.columns.written(name) if name != "metadata" else name: value for name, value in texts.items()}
        row |= {self.columns.written(field): name for field, name in self._images.add(pair).items()}
        if "metadata" in row:
            row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False)
        self._rows.append(row)

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        with self.file.open("x", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, names, delimiter="\t" if self.file.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows({name: csv_cell(value) for name, value in row.items()} for row in self._rows)
        return []


def table_rows(
    file: Path,
    root: Path,
    columns: Columns,
    notes: list[str],
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    needed: Sequence[str] = _NEEDED,
    renamed: Callable[[str], str] = str,
    prefix: str | None = None,
    split: str = "",
) -> list[Row]:
    """The rows of a file.

    Args:
        file: with a header.
        root: the folder that paths are relative to.
        columns: which column means what.
        notes: what readers should know of the file is added here.
        delimiter: see `Table`.
        encoding: see `Table`.
        needed: fields for which there must be a column.
        renamed: turns a name of the header into the one by which the columns know it.
        prefix: of the ids of rows without one; None for the file's name.
        split: of rows that name none.

    Raises:
        ValueError: a header that lacks a needed column or holds a name twice, or text of another encoding.
    """
    text = _text(file, encoding, notes)
    mark = delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    rows: list[Row] = []
    joined: list[str] = []
    try:
        lines = _lines(reader)
        header, _ = next(lines, ([], 0))
        names = _names(header, columns, renamed)
        _check_header(file, header, names, columns, needed)
        text_last = names[-1:] and names[-1] in columns.names["instruction"]
        for cells, line in lines:
            place, fault = f"{file} line {line}", None
            if len(cells) > len(names) and text_last:  # a text with an unquoted comma
                cells = [*cells[: len(names) - 1], mark.join(cells[len(names) - 1 :])]
                joined.append(str(line))
            elif len(cells) > len(names):
                fault = (
                    "more cells than the header",
                    f"{len(cells)} of {len(names)}; put quotes around texts with {mark!r}",
                )
            texts = (from_csv_cell(cell.strip()) for cell in cells)
            values = {name: cell for name, cell in zip(names, texts, strict=False) if name and cell}
            rows.append(Row(place, f"{prefix or file.stem}/{line:08d}", root, values, split, fault))
    except csv.Error as error:
        raise ValueError(f"{file} line {reader.line_num}: damaged table ({error}); save it again as CSV") from error
    if joined:
        found = counted(joined, "line has", "lines have")
        notes.append(f"{file.name}: {found} an unquoted {mark!r} in the last text, which was taken as one")
    return rows


def _lines(reader: Any) -> Iterator[tuple[list[str], int]]:
    """Cells and first line of each row that is not empty."""
    start = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield cells, start
        start = reader.line_num + 1


def _text(file: Path, encoding: str | None, notes: list[str]) -> str:
    limits.LISTING_BYTES.check(file.stat().st_size, file)
    data = file.read_bytes()
    if encoding is None and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    try:
        for name in [encoding] if encoding else _ENCODINGS:
            try:
                text = data.decode(name)
            except UnicodeDecodeError:
                continue
            if name == "cp1252":
                notes.append(f"{file.name} is no UTF-8 and was read as Windows-1252; another: format.encoding=...")
            return text
    except LookupError as error:
        raise ValueError(f"format.encoding={encoding!r} is no encoding; try utf-8, cp1252 or latin-1") from error
    raise ValueError(
        f"{file} is not text in {encoding or 'UTF-8 or Windows-1252'}; say format.encoding=latin-1 or another"
    )


def _delimiter(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip()).lower()


def _names(header: Sequence[str], columns: Columns, renamed: Callable[[str], str]) -> list[str]:
    """Names of the columns as the map knows them."""
    known = {_plain(name): name for name in sorted(columns.needed())}
    stripped = [renamed(name.strip()) for name in header]
    return [name if name in columns.needed() else known.get(_plain(name), name) for name in stripped]


def _check_header(
    file: Path, header: Sequence[str], names: Sequence[str], columns: Columns, needed: Sequence[str]
) -> None:
    listed = ", ".join(name.strip() or "(empty)" for name in header)
    if twice := sorted({name for name in names if name and list(names).count(name) > 1}):
        raise ValueError(f"{file}: the header has {', '.join(twice)} twice ({listed}); rename one of them")
    chosen = {}
    for field in needed:
        known = columns.names[field]
        chosen[field] = next((name for name in known if name in names or "{" in name), None)
        if chosen[field] is None and field not in columns.constants:
            raise ValueError(
                f"{file} has no column for {field} in its header ({listed}); name it: format.columns.{field}="
                f"'{(header or ['NAME'])[0].strip()}'"
            )
    if chosen.get("original_image") and chosen.get("original_image") == chosen.get("edited_image"):
        raise ValueError(
            f"{file}: {chosen['original_image']!r} is the only column of images ({listed}); name the other one: "
            "format.columns.original_image=... or format.columns.edited_image=..."
        )
