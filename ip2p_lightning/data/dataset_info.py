"""`dataset.json`, the one file that says what a dataset folder holds, and the names used in such a folder."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
INFO_NAME = "dataset.json"
INDEX_NAME = "index.parquet"
SCORE_PREFIX = "score_"
"""Index columns of scores are called ``score_<name>``."""

MEMBERS = ("original", "edited", "mask", "json")
"""Members of a pair in a shard; the index has ``<member>_offset``, ``_length`` and ``_crc32`` for each."""

_SHARD_NAME = re.compile(r"shard-\d{6}\.tar")


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
        fingerprint: digest of all ids, texts and picture checksums in order; equal for equal content.
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
    def load(cls, folder: str | Path) -> DatasetInfo:
        """Read `dataset.json` of a dataset folder.

        Raises:
            FileNotFoundError: no dataset there.
            DatasetError: a damaged file or another schema version.
        """
        path = Path(folder) / INFO_NAME
        if not path.is_file():
            what = "no such folder" if not Path(folder).exists() else f"the folder has no {INFO_NAME}"
            raise FileNotFoundError(f"no dataset at {folder} ({what}); make one with `ip2p data render`")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values["schema_version"]
            if version == SCHEMA_VERSION:
                values["index"] = FileInfo(**values["index"])
                values["shards"] = [FileInfo(**shard) for shard in values["shards"]]
                info = cls(**values)
                bad = [shard.name for shard in info.shards if not _SHARD_NAME.fullmatch(shard.name)]
                if bad or info.index.name != INDEX_NAME:
                    raise ValueError(f"unexpected file names {[*bad, info.index.name]}")
                return info
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path} is damaged ({error}); restore it from a copy or render again") from error
        raise DatasetError(f"{path} has schema version {version}, this package reads {SCHEMA_VERSION}; render it again")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
