"""Is a dataset folder whole? Checks every file and every member against the checksums taken when it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from ip2p_lightning.data.dataset_info import INDEX_NAME, INFO_NAME, DatasetError, DatasetInfo, FileInfo, file_sha256
from ip2p_lightning.data.encoded import check_texts, decode_pair, picture_formats
from ip2p_lightning.data.index import DatasetIndex
from ip2p_lightning.data.pair import TEXT_FIELDS
from ip2p_lightning.data.pair_reader import PairReader
from ip2p_lightning.data.shard_files import LocalShards
from ip2p_lightning.data.storage import LocalFolder, RemoteAccess, RemoteFolder, StorageError, open_storage

_TEXTS = ("id", "group", *TEXT_FIELDS)  # which shard and index both have; the split may be decided later
_CHUNK = 16 * 2**20  # bytes of a remote shard asked for at once


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
    """Result of `verify`.

    Args:
        path: the dataset folder, or its URL.
        shards: number of shards that there should be.
        pairs: number of pairs that there should be.
        sound_pairs: pairs whose members are all as they were written.
        problems: in the order of the shards; empty if the dataset is whole.
    """

    path: str | Path
    shards: int = 0
    pairs: int = 0
    sound_pairs: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems


def verify(
    path: str | Path,
    *,
    decode: bool = False,
    advance: Callable[[int], None] | None = None,
    access: RemoteAccess | None = None,
) -> VerifyReport:
    """Check a dataset: missing, truncated, changed, exchanged or unknown shards, and damaged pairs by id.

    Every pair is read: its members' checksums, that its texts are texts, that its id is that of its row, and that no
    other row has its bytes.

    Shards of a remote dataset are downloaded one at a time, to a temporary folder.

    Args:
        path: the dataset folder, or its URL.
        decode: decode every image too; finds images that were broken already when they were imported.
        advance: called with the number of pairs after each shard, for a progress bar.
        access: how to read a remote dataset.

    Raises:
        FileNotFoundError: no dataset at ``path``.
    """
    access, report = access or RemoteAccess(), VerifyReport(path)
    storage = open_storage(path, access)
    try:
        info = DatasetInfo.load(path, access)
    except DatasetError as error:
        report.problems.append(Problem(INFO_NAME, "", str(error)))
        return report
    report.shards, report.pairs = len(info.shards), info.pairs
    index = _open_index(storage, info, access, report)
    checker = _Checker(storage, info, index, decode, report)
    checker.check_unlisted()
    shards = np.empty(0) if index is None else index.positions.shards(np.arange(info.pairs))
    for number, shard in enumerate(info.shards):
        checker.check(shard, np.flatnonzero(shards == number))
        if advance is not None:
            advance(shard.pairs)
    return report


def _open_index(
    storage: LocalFolder | RemoteFolder, info: DatasetInfo, access: RemoteAccess, report: VerifyReport
) -> DatasetIndex | None:
    try:
        index = DatasetIndex(storage, info, access)
    except DatasetError as error:
        report.problems.append(Problem(INDEX_NAME, "", str(error)))
        return None
    try:
        counts = index.table(["id"]).column("id").value_counts()
        repeated = counts.field("values").filter(pa.array(counts.field("counts").to_numpy() > 1)).to_pylist()
        report.problems += [Problem(INDEX_NAME, id, "is listed more than once") for id in repeated]
        report.problems += [Problem(INDEX_NAME, id, text) for id, text in _disagreements(index)]
        for name in _TEXTS:
            index.table([name])  # raises for gaps, and for texts that have no room
    except DatasetError as error:
        report.problems.append(Problem(INDEX_NAME, "", str(error)))
        return None
    return index


def _disagreements(index: DatasetIndex) -> Iterator[tuple[str, str]]:
    """Rows whose bytes another row has as well, and counts that are not those of `dataset.json`."""
    info = index.info
    for column, stated in (("split", info.splits), ("kind", info.kinds)):
        counts = index.table([column]).column(column).cast(pa.string()).value_counts().to_pylist()
        found = {entry["values"]: entry["counts"] for entry in counts}
        if found != {name: count for name, count in stated.items() if count}:
            yield "", f"has other numbers of {column}s than {INFO_NAME}"
    rows, shards, starts, ends = index.positions.extents()
    order = np.lexsort((starts, shards))
    same = (np.diff(shards[order]) == 0) & (starts[order][1:] < ends[order][:-1])
    for row in dict.fromkeys(rows[order][1:][same].tolist()):
        yield index.id(row), "has bytes that another pair has, too"


class _Checker:
    """Checks the files of one dataset and adds what it finds to a report."""

    def __init__(
        self,
        storage: LocalFolder | RemoteFolder,
        info: DatasetInfo,
        index: DatasetIndex | None,
        decode: bool,
        report: VerifyReport,
    ) -> None:
        self.storage, self.info, self.index, self.decode, self.report = storage, info, index, decode, report
        self.by_digest = {shard.sha256: shard.name for shard in info.shards}

    def check_unlisted(self) -> None:
        """Tar files that do not belong there."""
        names = (name for name in self.storage.sizes() or () if name.endswith(".tar"))
        for name in sorted(set(names) - set(self.by_digest.values())):
            with self._local(name) as file:
                twin = self.by_digest.get(file_sha256(file))
            what = f"is a duplicate of {twin}" if twin else "is not listed in dataset.json"
            self._add(name, "", f"{what}; move it away")

    def check(self, shard: FileInfo, rows: np.ndarray) -> None:
        """A shard, and its pairs one by one: a whole shard may hold other pairs than the index says."""
        try:
            with self._local(shard.name) as file:
                if self._check_file(shard, file):
                    self._check_pairs(shard, rows, file)
        except FileNotFoundError:
            self._add(shard.name, "", f"is missing, and {shard.pairs} pairs with it")
        except StorageError as error:
            self._add(shard.name, "", f"cannot be read, nor its {shard.pairs} pairs ({error})")

    def _check_file(self, shard: FileInfo, file: Path) -> bool:
        """Compare a shard with what was written; whether a look at its pairs makes sense."""
        digest, size = file_sha256(file), file.stat().st_size
        if digest == shard.sha256:
            return True
        if twin := self.by_digest.get(digest):
            text = f"holds the content of {twin}: the shards were exchanged or one was copied over the other"
            self._add(shard.name, "", text)
            return False
        change = "was changed" if size == shard.size else f"has {size:,} bytes instead of {shard.size:,}"
        self._add(shard.name, "", change)
        return True

    def _check_pairs(self, shard: FileInfo, rows: np.ndarray, file: Path) -> None:
        if self.index is None:  # its pairs cannot be found
            return
        reader = PairReader(self.storage, self.index, LocalShards(file.parent))
        texts = {name: self.index.table([name]).column(name).take(pa.array(rows)).to_pylist() for name in _TEXTS}
        for number, row in enumerate(map(int, rows)):
            try:
                encoded = reader.read(row)
                check_texts(encoded)
                picture_formats(encoded)
                if other := [name for name in _TEXTS if getattr(encoded, name) != texts[name][number]]:
                    raise ValueError(f"its {other[0]} is another one in {INDEX_NAME}")
                if self.decode:
                    decode_pair(encoded)
            except ValueError as error:
                id = self.index.id(row)
                text = str(error).removeprefix(f"{self.storage.place(shard.name)}: ").removeprefix(f"pair {id!r}: ")
                self._add(shard.name, id, text)
            else:
                self.report.sound_pairs += 1

    @contextmanager
    def _local(self, name: str) -> Iterator[Path]:
        """A file of the dataset on the local disk, under its own name."""
        if isinstance(self.storage, LocalFolder):
            file = self.storage.folder / name
            if not file.is_file():
                raise FileNotFoundError(f"{file} is missing")
            yield file
            return
        size = self.storage.size(name)
        with TemporaryDirectory(prefix="ip2p-verify-") as folder:
            copy = Path(folder) / name
            with copy.open("wb") as output:
                for start in range(0, size, _CHUNK):
                    output.write(self.storage.read_range(name, start, min(_CHUNK, size - start)))
            yield copy

    def _add(self, file: str, id: str, text: str) -> None:
        self.report.problems.append(Problem(file, id, text))
