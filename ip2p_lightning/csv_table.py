"""CSV files: result tables that spreadsheets open without running anything, and tables that people send back."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_lightning.limits import CSV_BYTES, Limit
from ip2p_lightning.untrusted import csv_cell

if TYPE_CHECKING:
    import pyarrow as pa

_Reader = csv.DictReader[str] if TYPE_CHECKING else csv.DictReader


class Rows(_Reader):
    """Rows of a CSV file with a header: each column once, and no more cells in a row than the header has."""

    @property
    def fieldnames(self) -> Sequence[str] | None:
        """Names in the header.

        Raises:
            csv.Error: a name that is there twice.
        """
        names = super().fieldnames
        if twice := [name for name in names or () if name and list(names or ()).count(name) > 1]:
            raise csv.Error(f"the header has {twice[0][:50]!r} twice; rename one of them")
        return names

    def __next__(self) -> dict[str | Any, str | Any]:
        row = super().__next__()
        if None in row:
            raise csv.Error(f"line {self.line_num} has more cells than the header; put quotes around texts with commas")
        return row


@contextmanager
def open_csv(path: str | Path, remedy: str, limit: Limit = CSV_BYTES) -> Iterator[Rows]:
    """Read a CSV file of UTF-8 text that people have written or spreadsheets have saved.

    Args:
        path: of the file; its cells are divided by commas, semicolons or tabs, whichever its header has most of.
        remedy: ends the message where the file is missing.
        limit: of its size.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file beyond the limit, no text, or damaged; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {remedy}")
    limit.check(path.stat().st_size, path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            yield Rows(file, delimiter=max(",;\t", key=header.count))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: damaged CSV ({error})") from error


def write_csv(table: pa.Table, path: str | Path) -> None:
    """Write `table` with a header line; texts that a spreadsheet would take for formulas begin with an apostrophe."""
    import pyarrow as pa
    from pyarrow.csv import write_csv as write

    def plain(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            return column
        return pa.array([csv_cell(text) for text in column.to_pylist()], column.type)

    write(pa.table([plain(column) for column in table.columns], names=table.column_names), path)
