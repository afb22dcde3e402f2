"""CSV files: result tables that spreadsheets open without running anything, and tables that people send back."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from ip2p_lightning.limits import CSV_BYTES
from ip2p_lightning.untrusted import csv_cell


@contextmanager
def open_csv(path: str | Path, remedy: str) -> Iterator[csv.DictReader[str]]:
    """Read a CSV file of UTF-8 text that people have written or spreadsheets have saved.

    Args:
        path: of the file.
        remedy: ends the message where the file is missing.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file beyond the limit CSV_BYTES, no text, or damaged; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {remedy}")
    CSV_BYTES.check(path.stat().st_size, path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: damaged CSV ({error})") from error


def write_csv(table: pa.Table, path: str | Path) -> None:
    """Write `table` with a header line; texts that a spreadsheet would take for formulas begin with an apostrophe."""
    columns = [
        pa.array([csv_cell(text) for text in column.to_pylist()], column.type) if _is_text(column.type) else column
        for column in table.columns
    ]
    pyarrow.csv.write_csv(pa.table(columns, names=table.column_names), path)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
