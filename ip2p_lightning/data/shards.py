"""Writing a dataset folder: WebDataset tar shards, `index.parquet` with a checksum per member, `dataset.json`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import parse_json
from ip2p_lightning.data.dataset_info import (
    INDEX_NAME,
    INFO_NAME,
    MEMBERS,
    SCORE_PREFIX,
    DatasetInfo,
    FileInfo,
    file_sha256,
)
from ip2p_lightning.data.encoded import SCORES, EncodedPair, check_texts, encode_pair, has_text, picture_formats
from ip2p_lightning.data.making import FolderInTheMaking
from ip2p_lightning.data.pair import TEXT_FIELDS, EditPair

MAX_SHARD_BYTES = 256 * 2**20
"""A shard is closed once it holds this much (64 px world pairs: about 30,000; 512 px JPEG pairs: about 2,000)."""

_INDEX_COLUMNS = [
    ("id", pa.string()),
    ("shard", pa.string()),
    ("key", pa.string()),
    ("split", pa.string()),
    ("group", pa.string()),
    *[(name, pa.string()) for name in TEXT_FIELDS],
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("seed", pa.int64()),
    ("threshold", pa.float64()),
    *[
        (f"{member}_{what}", type_)
        for member in MEMBERS
        for what, type_ in (("offset", pa.int64()), ("length", pa.int64()), ("crc32", pa.int64()))
    ],
    ("metadata", pa.string()),
]


class ShardWriter:
    """Writes a dataset folder; nothing is visible at ``path`` before all of it is complete.

    Use it as a context manager: the files grow in a hidden folder next to ``path``, which is renamed at the end and
    removed after an error. Equal pairs in equal order give byte-equal files.

    Args:
        path: the dataset folder to make.
        name, licence: of the source, kept in `dataset.json`.
        provenance: how the pairs were made (plain JSON values), kept in `dataset.json`.
        max_shard_bytes: close a shard once it holds this many bytes.
        overwrite: replace a dataset that is at ``path`` already.

    Raises:
        FileExistsError: something is at ``path`` and ``overwrite`` is off, or it is no dataset folder.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str = "",
        licence: str = "",
        provenance: Mapping[str, Any] | None = None,
        max_shard_bytes: int = MAX_SHARD_BYTES,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.name, self.licence, self.provenance = name, licence, dict(provenance or {})
        self.max_shard_bytes, self.overwrite = max_shard_bytes, overwrite
        self._check_target()
        self._making = FolderInTheMaking(self.path)
        self._folder = self._making.folder
        self._ids: set[str] = set()
        self._shard: _Shard | None = None
        self._shards: list[FileInfo] = []
        self._tables: list[pa.Table] = []
        self._digest = hashlib.sha256()

    def add(self, pair: EditPair | EncodedPair, split: str = "train") -> None:
        """Append a pair. PIL images are stored as PNG, the bytes of an `EncodedPair` as they are.

        Args:
            pair: the pair; its id must be new.
            split: the split it belongs to, unless an `EncodedPair` names its own.

        Raises:
            ValueError: an id that is there already, no instruction, images of different sizes, or metadata that
                JSON cannot hold; names the id.
        """
        encoded = encode_pair(pair) if isinstance(pair, EditPair) else pair
        if encoded.id in self._ids:
            raise ValueError(
                f"pair {encoded.id!r} was added twice to {self.path}; ids must be unique in a dataset (of rows: "
                "format.columns.id='{photo}-{take}' puts columns together, format.columns.id=null takes file and row)"
            )
        check_texts(encoded)
        if not has_text(encoded.instruction):
            raise ValueError(f"pair {encoded.id!r} has no instruction; write one or leave the pair out")
        if self._shard is None:
            self._shard = _Shard(self._folder, len(self._shards))
        row = self._shard.add(encoded, encoded.split or split)
        self._ids.add(encoded.id)
        parts = [row[name] for name in ("id", "original_crc32", "edited_crc32", "mask_crc32", "json_crc32")]
        self._digest.update(json.dumps(parts).encode())
        if self._shard.size >= self.max_shard_bytes:
            self._finish_shard()

    def close(self) -> DatasetInfo:
        """Write index and `dataset.json`, then move the folder to its place.

        Raises:
            ValueError: no pair was added.
        """
        if self._shard is not None:
            self._finish_shard()
        if not self._tables:
            self.abort()
            raise ValueError(f"no pair was added to {self.path}; the source is empty")
        table = pa.concat_tables(self._tables, promote_options="default")
        index = self._folder / INDEX_NAME
        pq.write_table(table, index, compression="zstd")
        info = DatasetInfo(
            name=self.name,
            licence=self.licence,
            fingerprint=self._digest.hexdigest(),
            pairs=table.num_rows,
            splits=_counts(table, "split"),
            kinds=_counts(table, "kind"),
            index=FileInfo(INDEX_NAME, index.stat().st_size, file_sha256(index), table.num_rows),
            shards=self._shards,
            provenance=self.provenance,
        )
        info.save(self._folder)
        self._check_target()  # again: somebody else may have finished meanwhile
        self._making.finish()
        return info

    def abort(self) -> None:
        """Remove everything written so far."""
        if self._shard is not None:
            with suppress(OSError):  # a full disk does not take its end
                self._shard.close()
        self._making.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _finish_shard(self) -> None:
        assert self._shard is not None
        self._shards.append(self._shard.close())
        self._tables.append(self._shard.table())
        self._shard = None

    def _check_target(self) -> None:
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not (self.path / INFO_NAME).is_file():
            raise FileExistsError(f"{self.path} exists and is no dataset folder; choose another path")
        if not self.overwrite:
            raise FileExistsError(f"there is a dataset at {self.path}; choose another path or set overwrite=true")


class _Shard:
    """One tar file that is being written, and the index rows of its pairs."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name, self._number = f"shard-{number:06d}.tar", number
        self._file = _HashingFile((folder / self.name).open("xb"))
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115
        self._rows: list[dict[str, Any]] = []

    @property
    def size(self) -> int:
        return self._tar.offset

    def add(self, pair: EncodedPair, split: str) -> dict[str, Any]:
        """Append a pair's members to the tar and return its row of the index."""
        width, height, endings = picture_formats(pair)
        texts = {name: getattr(pair, name) for name in ("id", *TEXT_FIELDS)} | {"group": pair.group or pair.id}
        metadata = _json(pair.metadata, pair.id)
        content = json.dumps(texts | {"split": split, "metadata": json.loads(metadata)}, ensure_ascii=False)
        row: dict[str, Any] = texts | {
            "shard": self.name,
            "key": f"{self._number:06d}-{len(self._rows):06d}",
            "split": split,
            "width": width,
            "height": height,
            "seed": _number(pair, "seed", int),
            "threshold": _number(pair, "threshold", float),
            "mask_crc32": None,
            "metadata": metadata,
        }
        row |= _scores(json.loads(metadata), pair.id)
        members = {f"{member}.{endings[member]}": data for member, data in pair.pictures().items()}
        for ending, data in (members | {"json": content.encode("utf-8")}).items():
            row |= self._write(row["key"], ending, data)
        self._rows.append(row)
        return row

    def _write(self, key: str, ending: str, data: bytes) -> dict[str, int]:
        info = tarfile.TarInfo(f"{key}.{ending}")
        info.size, info.mode = len(data), 0o644
        member = ending.split(".")[0]
        offset = self._tar.offset + tarfile.BLOCKSIZE  # the header of a short USTAR name is one block
        self._tar.addfile(info, io.BytesIO(data))
        return {f"{member}_offset": offset, f"{member}_length": len(data), f"{member}_crc32": zlib.crc32(data)}

    def close(self) -> FileInfo:
        self._tar.close()
        self._file.close()
        return FileInfo(self.name, self._file.size, self._file.digest.hexdigest(), len(self._rows))

    def table(self) -> pa.Table:
        scores = sorted({name for row in self._rows for name in row if name.startswith(SCORE_PREFIX)})
        return pa.Table.from_pylist(self._rows, pa.schema(_INDEX_COLUMNS + [(name, pa.float64()) for name in scores]))


class _HashingFile:
    """A file that is only written to, with its SHA-256 and size so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        self._file.close()


def _json(metadata: Mapping[str, Any], id: str) -> str:
    """Metadata as JSON that any reader takes, within its limits."""
    try:
        text = json.dumps(metadata, ensure_ascii=False, sort_keys=True, allow_nan=False, default=_plain)
        if not isinstance(parse_json(text), dict):
            raise ValueError("they are no object")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"pair {id!r}: metadata must be plain JSON values ({error})") from error
    return text


def _scores(metadata: Mapping[str, Any], id: str) -> dict[str, float]:
    """Columns of scores."""
    scores = metadata.get(SCORES) or {}
    if not isinstance(scores, dict):
        raise ValueError(f"pair {id!r}: metadata 'scores' must be an object of numbers ({type(scores).__name__})")
    if len(scores) > limits.SCORES.value:
        raise ValueError(f"pair {id!r}: too many scores ({len(scores):,} of {limits.SCORES.value}; see SCORES)")
    for name, score in scores.items():
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise ValueError(f"pair {id!r}: a score must be a number ({name[:50]!r} is {score!r:.50})")
    try:
        return {f"{SCORE_PREFIX}{name}": float(score) for name, score in scores.items() if score is not None}
    except OverflowError as error:
        raise ValueError(f"pair {id!r}: a score must be a number ({error})") from error


def _number(pair: EncodedPair, name: str, type_: type[int] | type[float]) -> int | float | None:
    value = pair.metadata.get(name)
    try:
        number = None if value is None else type_(value)
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise ValueError("it does not fit into 64 bits")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"pair {pair.id!r}: metadata {name}={value!r:.50} must be a number ({error})") from error
    return number


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # NumPy and torch scalars
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _counts(table: pa.Table, column: str) -> dict[str, int]:
    return dict(sorted(Counter(table.column(column).to_pylist()).items()))
