"""Is a dataset folder whole? Checks every file and every member against the checksums taken when it was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ip2p_lightning.data.dataset_info import (
    INDEX_NAME,
    INFO_NAME,
    MEMBERS,
    DatasetError,
    DatasetInfo,
    FileInfo,
    file_sha256,
)
from ip2p_lightning.data.encoded import decode_pair
from ip2p_lightning.data.reader import ShardFiles, load_index


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        file: the shard or other file, by its name in the dataset folder.
        id: the pair concerned; "" if the whole file is.
        text: what is wrong with it.
    """

    file: str
    id: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {f'pair {self.id!r}: ' if self.id else ''}{self.text}"


@dataclass
class VerifyReport:
    """What `verify` found.

    Args:
        path: the dataset folder.
        shards: number of shards that there should be.
        pairs: number of pairs that there should be.
        sound_pairs: pairs whose members are all as they were written.
        problems: in the order of the shards; empty if the dataset is whole.
    """

    path: Path
    shards: int = 0
    pairs: int = 0
    sound_pairs: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: str | Path, *, decode: bool = False, advance: Callable[[int], None] | None = None) -> VerifyReport:
    """Check a dataset folder: missing, truncated, changed, exchanged or unknown shards, and damaged pairs by id.

    Args:
        path: the dataset folder.
        decode: decode every picture too; finds pictures that were broken already when they were imported.
        advance: called with the number of pairs after each shard, for a progress bar.

    Raises:
        FileNotFoundError: no dataset at ``path``.
    """
    path = Path(path)
    report = VerifyReport(path)
    try:
        info = DatasetInfo.load(path)
        report.shards, report.pairs = len(info.shards), info.pairs
        index = load_index(path, info)
    except DatasetError as error:
        report.problems.append(Problem(INDEX_NAME if report.pairs else INFO_NAME, "", str(error)))
        return report
    index_sound = file_sha256(path / INDEX_NAME) == info.index.sha256
    if not index_sound:
        report.problems.append(Problem(INDEX_NAME, "", "does not have the checksum in dataset.json"))
    repeated = [id for id, count in Counter(index.column("id").to_pylist()).items() if count > 1]
    report.problems += [Problem(INDEX_NAME, id, "is listed more than once") for id in repeated]
    by_digest = {shard.sha256: shard.name for shard in info.shards}
    report.problems += _unlisted_shards(path, by_digest)
    files, shard_names = ShardFiles(path), index.column("shard").to_numpy()
    for shard in info.shards:
        whole = _check_shard(path, shard, by_digest, report)
        if whole is not None:
            rows = index.take(np.flatnonzero(shard_names == shard.name)).to_pylist()
            _check_pairs(files, shard, rows, whole and index_sound, decode, report)
        if advance is not None:
            advance(shard.pairs)
    return report


def _unlisted_shards(path: Path, by_digest: dict[str, str]) -> list[Problem]:
    """Tar files in the folder that do not belong there."""
    problems = []
    for file in sorted(set(path.glob("*.tar")) - {path / name for name in by_digest.values()}):
        twin = by_digest.get(file_sha256(file))
        what = f"is a duplicate of {twin}" if twin else "is not listed in dataset.json"
        problems.append(Problem(file.name, "", f"{what}; move it away"))
    return problems


def _check_shard(path: Path, shard: FileInfo, by_digest: dict[str, str], report: VerifyReport) -> bool | None:
    """True if the shard is as it was written, False if its pairs need a look one by one, None if that is pointless."""
    file = path / shard.name
    if not file.is_file():
        report.problems.append(Problem(shard.name, "", f"is missing, and {shard.pairs} pairs with it"))
        return None
    digest = file_sha256(file)
    if digest == shard.sha256:
        return True
    if twin := by_digest.get(digest):
        text = f"holds the content of {twin}: the shards were exchanged or one was copied over the other"
        report.problems.append(Problem(shard.name, "", text))
        return None
    size = file.stat().st_size
    change = "was changed" if size == shard.size else f"has {size:,} bytes instead of {shard.size:,}"
    report.problems.append(Problem(shard.name, "", change))
    return False


def _check_pairs(
    files: ShardFiles, shard: FileInfo, rows: list[dict[str, Any]], whole: bool, decode: bool, report: VerifyReport
) -> None:
    for row in rows:
        try:
            if not whole:
                for member in MEMBERS:
                    if row[f"{member}_length"] is not None:
                        files.read_member(row, member)
            if decode:
                decode_pair(files.read_pair(row))
        except ValueError as error:
            text = str(error).removeprefix(f"{files.folder / shard.name}: ").removeprefix(f"pair {row['id']!r}: ")
            report.problems.append(Problem(shard.name, row["id"], text))
        else:
            report.sound_pairs += 1
