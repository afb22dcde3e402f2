"""`dataset.json`, the one file that says what a dataset folder holds, and the names used in such a folder."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import parse_json
from ip2p_lightning.data.storage import LocalFolder, RemoteAccess, open_storage

SCHEMA_VERSION = 1
INFO_NAME = "dataset.json"
INDEX_NAME = "index.parquet"
SCORE_PREFIX = "score_"
"""Index columns of scores are called ``score_<name>``."""

MEMBERS = ("original", "edited", "mask", "json")
"""Members of a pair in a shard; the index has ``<member>_offset``, ``_length`` and ``_crc32`` for each."""

_SHARD_NAME = re.compile(r"shard-\d{6}\.tar")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class DatasetError(ValueError):
    """A dataset folder that is incomplete or damaged; the message names the file and the remedy."""


@dataclass(frozen=True)
class FileInfo:
    """A file of the dataset: name, size in bytes, SHA-256, and the number of pairs in it."""

    name: str
    size: int
    sha256: str
    pairs: int


@dataclass(frozen=True)
class DatasetInfo:
    """The content of `dataset.json`.

    Args:
        name, licence: of the source that the pairs came from.
        fingerprint: digest of all ids, texts and image checksums in order; equal for equal content.
        pairs: number of pairs.
        splits, kinds: number of pairs by split and by kind.
        index: the index file.
        shards: the shards in order.
        provenance: how the pairs were made, plain JSON values.
        schema_version: version of this layout.
    """

    name: str
    licence: str
    fingerprint: str
    pairs: int
    splits: dict[str, int]
    kinds: dict[str, int]
    index: FileInfo
    shards: list[FileInfo]
    provenance: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def save(self, folder: Path) -> None:
        """Write `dataset.json` into the folder."""
        (folder / INFO_NAME).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, access: RemoteAccess | None = None) -> DatasetInfo:
        """Read `dataset.json` of a dataset folder.

        Args:
            path: the folder, or its URL (``s3://bucket/name``).
            access: how to read it if it is remote.

        Raises:
            FileNotFoundError: no dataset there.
            DatasetError: a damaged file, another schema version, or a storage that does not answer.
        """
        storage = open_storage(path, access)
        try:
            content = storage.read(INFO_NAME, limits.LISTING_BYTES.value + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            local = isinstance(storage, LocalFolder)
            what = "no such folder" if local and not storage.folder.exists() else f"the folder has no {INFO_NAME}"
            raise FileNotFoundError(f"no dataset at {path} ({what}); make one with `ip2p data render`") from error
        except OSError as error:
            raise DatasetError(f"{storage.place(INFO_NAME)} cannot be read ({error}); check the path") from error
        return cls.parse(content, storage.place(INFO_NAME))

    @classmethod
    def parse(cls, content: bytes, place: str) -> DatasetInfo:
        """Read the content of a `dataset.json`.

        Args:
            content: of the file.
            place: what errors call the file.

        Raises:
            DatasetError: a damaged file or another schema version.
        """
        try:
            values = parse_json(content, limit=limits.LISTING_BYTES)
            if not isinstance(values, dict) or not _is_count(version := values.get("schema_version")):
                raise ValueError("it holds no schema_version")
            if version == SCHEMA_VERSION:
                values["index"] = FileInfo(**values["index"])
                values["shards"] = [FileInfo(**shard) for shard in values["shards"]]
                info = cls(**values)
                info._check()
                return info
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{place} is damaged ({error}); restore it from a copy or render again") from error
        raise DatasetError(
            f"{place} has schema version {version}, this package reads {SCHEMA_VERSION}; render it again"
        )

    def _check(self) -> None:
        """Raise ValueError for values of other types, other file names, and numbers that do not add up."""
        for name in ("name", "licence", "fingerprint"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is no text")
        for name in ("splits", "kinds"):
            counts = getattr(self, name)
            if not isinstance(counts, dict) or not all(map(_is_count, counts.values())):
                raise ValueError(f"{name} holds no counts")
        if not isinstance(self.provenance, dict):
            raise ValueError("provenance is no object")
        for file in (self.index, *self.shards):
            if not isinstance(file.name, str) or not _is_count(file.size) or not _is_count(file.pairs):
                raise ValueError(f"no size or number of pairs of {file.name!r:.50}")
        bad = [shard.name for shard in self.shards if not _SHARD_NAME.fullmatch(shard.name)]
        if bad or self.index.name != INDEX_NAME:
            raise ValueError(f"unexpected file names {[*bad, self.index.name]}")
        files = (self.index, *self.shards)
        if unsafe := [
            file.name for file in files if not isinstance(file.sha256, str) or not _SHA256.fullmatch(file.sha256)
        ]:
            raise ValueError(f"no SHA-256 of {unsafe}")
        if len({shard.name for shard in self.shards}) < len(self.shards):
            raise ValueError("a shard is listed twice")
        counted = {"shards": sum(shard.pairs for shard in self.shards), "index": self.index.pairs}
        counted["splits"] = sum(self.splits.values())
        if not _is_count(self.pairs) or not self.pairs or set(counted.values()) != {self.pairs}:
            raise ValueError(f"pairs is {self.pairs!r:.30}, but the numbers of {counted} must sum to it and be above 0")


def _is_count(value: Any) -> bool:
    """True if a value is a whole number that a file of this world may have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
