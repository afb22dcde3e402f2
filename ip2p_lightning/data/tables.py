"""Parquet files that came from elsewhere: what they state is compared with what they can hold before it is unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ip2p_lightning import limits

_SMALL = 256 * 2**20
_MOST = 1000
"""Columns above 256 MiB that unpack to more than so many times their size are no data: real texts reach some ten."""

DAMAGE = (pa.ArrowException, OSError, ValueError, StopIteration)
"""Errors of pyarrow about files that are no sound parquet."""


class TableError(ValueError):
    """A parquet file that is damaged, or states what it cannot hold; the message does not name the file."""


def open_parquet(path: Path, dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    """A parquet file whose columns unpack to what such a file can hold; close it after use.

    Args:
        path: the file.
        dictionary: columns of bytes or texts to read as numbers into a list of values, which keeps equal ones once.

    Raises:
        TableError: no parquet, or one that unpacks to far more than it is.
    """
    try:
        file = pq.ParquetFile(path, read_dictionary=list(dictionary))
    except DAMAGE as error:
        raise TableError(str(error)) from error
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            unpacked, packed = column.total_uncompressed_size, max(1, column.total_compressed_size)
            if not 0 <= unpacked <= max(_SMALL, _MOST * packed):
                file.close()
                raise TableError(f"column {column.path_in_schema!r} of {packed:,} bytes unpacks to {unpacked:,}")
    return file


def rows_at_once(file: pq.ParquetFile, group: int, most: int) -> int:
    """Rows of a row group that have room in memory even if each is as long as its column lets the longest be.

    A value that stands once in the file, in a column's dictionary, may be the value of every row.
    """
    columns = file.metadata.row_group(group)
    sizes = [columns.column(number).total_uncompressed_size for number in range(columns.num_columns)]
    return max(1, min(most, _SMALL // max([1, *sizes])))


def texts(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> list[str]:
    """Columns of bytes or texts of a parquet file, those inside lists left out: what `open_parquet` can keep once."""
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    flat = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and not leaf.max_repetition_level]
    return [path for path in flat if columns is None or path.split(".")[0] in columns]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a parquet file of texts, as plain values.

    Raises:
        TableError: no parquet, or one beyond the limit of a listing.
    """
    rows: list[dict[str, Any]] = []
    size = 0
    with open_parquet(path) as file:
        for group in range(file.metadata.num_row_groups):
            try:
                for batch in file.iter_batches(rows_at_once(file, group, 1024), row_groups=[group]):
                    size = limits.LISTING_BYTES.check(size + batch.nbytes, path)
                    rows += batch.to_pylist()
            except DAMAGE as error:
                raise TableError(str(error)) from error
    return rows


def in_full(column: pa.Array, origin: str, limit: limits.Limit) -> pa.Array:
    """A column with its values in place of numbers into a list of values, if they have room in the limit.

    Raises:
        LimitError: they take more bytes in full; names the origin.
    """
    if not isinstance(column, pa.DictionaryArray):
        return column
    lengths = pc.binary_length(column.dictionary).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]
    places = column.indices.drop_null().to_numpy(zero_copy_only=False)
    limit.check(int(lengths[places].sum()) if len(places) else 0, origin)
    return column.dictionary_decode()
