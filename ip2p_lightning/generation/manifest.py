"""Results of a stage on disk: parts of many records, each with a manifest, there as a whole or not at all.

The data of a part are forced to the disk under a name of their own, and their manifest after them: the manifest is the
part of the store, whose appearance is the moment from which the records count. Any number of processes may work in one
folder, and a process may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import json
import logging
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import StrictInt, StrictStr

from ip2p_lightning import files
from ip2p_lightning.bounded_text import parse_json, typed
from ip2p_lightning.limits import LISTING_BYTES
from ip2p_lightning.store import PartStore, digest, keep_settings

log = logging.getLogger(__name__)

SETTINGS = "settings.json"
_MANIFEST = ".manifest.json"
_TABLE = ".parquet"
_NOTES = b"notes"


class ManifestError(ValueError):
    """Records that are damaged, or a folder that belongs to another run; the message names file and remedy."""


class PartWriteError(OSError):
    """A part that could not be written; the message says what is left and how to go on."""


class Input(Protocol):
    """Input of a stage, with its id and digest."""

    @property
    def id(self) -> str:
        """Unique in the stage; the same in every run."""
        ...

    @property
    def digest(self) -> str:
        """Of its content: a result counts for the content that it was made of, and not for another of that id."""
        ...


@dataclass(frozen=True)
class Result:
    """Result for an input, where it is more than bytes.

    Args:
        data: for the part's file.
        rows: for its table; a column "triple" has the input's id, values of columns whose names end in `_offset` are
            positions in `data`.
        note: JSON values about the input.
    """

    data: bytes
    rows: pa.Table
    note: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """Place of the result for one input.

    Args:
        part: the file.
        offset, length: its bytes there.
        crc32: their checksum.
        made_of: digest of the input's content; "" if it was not given.
        listed: digest of its rows in the part's table, with its note; "" for a part without a table.
        id: of the input.
    """

    part: Path
    offset: int
    length: int
    crc32: int
    made_of: str = ""
    listed: str = ""
    id: str = ""

    @property
    def digest(self) -> str:
        """Of the bytes and rows, for what is made of them."""
        return f"{self.crc32:08x}-{self.length}{self.listed and f'-{self.listed}'}"

    @property
    def table(self) -> Path:
        """The part's table."""
        return self.part.with_suffix(_TABLE)

    @property
    def note(self) -> dict[str, Any]:
        """Note about the input."""
        return _table(self.table)[self.id][0]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Its rows of the part's table; offsets are positions in the part's file."""
        return _table(self.table)[self.id][1]

    def bytes(self, offset: int, length: int, crc32: int) -> bytes:
        """Some bytes of the part's file, checked.

        Raises:
            ManifestError: they are not those that were written.
        """
        return Record(self.part, offset, length, crc32).read()

    def read(self) -> bytes:
        """The bytes, checked.

        Raises:
            ManifestError: they are not those that were written.
        """
        with self.part.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.length)
        if len(data) != self.length or zlib.crc32(data) != self.crc32:
            manifest = self.part.name.split(".")[0] + _MANIFEST
            raise ManifestError(
                f"{self.part} is damaged; remove it with {manifest}, then run the stage again: it makes that again"
            )
        return data


@dataclass
class Facts:
    """Sums over the work on a part.

    Args:
        inputs: how many inputs were worked on.
        calls: samples that went through a denoiser.
        seconds: wall time of the processes that did it.
        errors: input -> the error that it ended in; such inputs are tried again.
    """

    inputs: int = 0
    calls: int = 0
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, other: Facts) -> None:
        """Add another part's."""
        self.inputs += other.inputs
        self.errors |= other.errors
        self.calls += other.calls
        self.seconds += other.seconds


class Ledger:
    """The parts of one stage in a folder.

    Args:
        folder: of the stage; made when something is written.
        ending: of the parts' names, such as ".jsonl".
    """

    def __init__(self, folder: str | Path, ending: str) -> None:
        self.folder, self.ending = Path(folder), ending
        self.parts = PartStore(self.folder, _MANIFEST)
        self._read: dict[Path, dict[str, Any]] = {}

    def settings(self, settings: Mapping[str, Any]) -> None:
        """Keep what the records depend on, or compare it with what was kept.

        Raises:
            ManifestError: the folder holds records of other settings; names them.
        """
        if found := keep_settings(self.folder / SETTINGS, settings):
            keys = ", ".join(sorted(found))
            raise ManifestError(
                f"{self.folder} was made with other settings ({keys}); choose another output_dir=..., give the same "
                "settings as before, or remove that folder to do the stage again"
            )

    def records(self, inputs: Iterable[Input] | None = None) -> dict[str, Record]:
        """Every input that is done -> where its result is. Parts that are missing or cut short count as not done.

        Args:
            inputs: those to look for; a result that was made of another content under the same id does not count.
                None for all, of several results of one id the last.
        """
        wanted = None if inputs is None else {entry.id: entry.digest for entry in inputs}
        found: dict[str, Record] = {}
        for part, manifest in self._manifests():
            for id, row in manifest["records"].items():
                record = Record(part, *row, id=id)
                if wanted is None or (id in wanted and record.made_of in ("", wanted[id])):
                    found[id] = record
        return found

    def facts(self) -> Facts:
        """The sum over all parts; of errors those whose inputs are not done."""
        total = Facts()
        done: set[str] = set()
        for _, manifest in self._manifests():
            total.add(Facts(**manifest["facts"]))
            done |= set(manifest["records"])
        total.errors = {id: error for id, error in total.errors.items() if id not in done}
        return total

    def block(self, number: int, inputs: Sequence[Input], there: Container[str] = ()) -> str:
        """Name of a new part for the results of some inputs.

        Args:
            number: of the block.
            inputs: of the block.
            there: names of parts that hold errors or damage for the same inputs, which a new attempt does not touch.
        """
        name = first = f"part-{number:05d}-{digest([(entry.id, entry.digest) for entry in inputs])[:12]}"
        attempt = 0
        while name in there:
            attempt += 1
            name = f"{first}-{attempt}"
        return name

    def commit(
        self,
        records: Mapping[str, bytes | Result],
        facts: Facts,
        part: str | None = None,
        made_of: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a part; when this returns it is on the disk and counts, unless another process was first.

        Args:
            records: id of the input -> its result.
            facts: about the work.
            part: its name, see `block`; a new one for None.
            made_of: id of the input -> digest of its content.

        Returns:
            The file of the records.

        Raises:
            PartWriteError: the disk is full, or the folder cannot be written to; nothing of the part remains.
        """
        positions, offset, tables, notes = {}, 0, [], {}
        for id, result in records.items():
            data, told = (result.data if isinstance(result, Result) else result), (made_of or {}).get(id, "")
            positions[id] = [offset, len(data), zlib.crc32(data), told]
            if isinstance(result, Result):
                positions[id].append(digest([result.rows.to_pylist(), result.note])[:16])
                tables.append(_moved(result.rows, offset))
                notes[id] = result.note
            offset += len(data)
        key, own = part or f"part-00000-{uuid4().hex[:12]}", uuid4().hex[:8]
        file = self.folder / f"{key}.{own}{self.ending}"
        content = {"file": file.name, "size": offset, "records": positions, "facts": asdict(facts)}
        write_whole(file, b"".join(one.data if isinstance(one, Result) else one for one in records.values()))
        try:
            if tables:
                write_whole(file.with_suffix(_TABLE), _parquet(pa.concat_tables(tables), notes))
            self.parts.write(key, json.dumps(content))
            if json.loads(self.parts.read(key))["file"] != file.name:
                log.warning("%s was done by another process meanwhile; its results stay", key)
                _remove(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                _remove(file)
            raise _not_written(self.parts.file(key), error) from error
        return file

    def sweep(self) -> None:
        """Remove what killed writers left; does nothing while anybody has a claim, and so may write."""
        if not self.parts.claims.idle():
            return
        self.parts.sweep(age=0)
        for _ in self._manifests():
            pass
        named = {self._data(file, manifest).name for file, manifest in self._read.items()}
        for file in self.folder.glob("part-*"):
            if file.suffix in (self.ending, _TABLE) and file.with_suffix(self.ending).name not in named:
                file.unlink(missing_ok=True)

    def _manifests(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for file in sorted(map(self.parts.file, self.parts.keys()), key=_written):  # oldest first
            try:
                if file not in self._read:  # manifests are never changed
                    self._read[file] = _manifest(file)
                manifest = self._read[file]
            except (ValueError, KeyError) as error:
                raise ManifestError(
                    f"{file} is damaged ({error}); remove it, and what it held is done again"
                ) from error
            part = self._data(file, manifest)
            if not part.is_file() or part.stat().st_size != manifest["size"]:
                log.warning("%s is missing or cut short; what it held is done again", part)
                continue
            yield part, manifest

    def _data(self, file: Path, manifest: Mapping[str, Any]) -> Path:
        """The file of the records; manifests of version 0.1.0 do not name it."""
        return file.with_name(manifest.get("file", file.name.removesuffix(_MANIFEST) + self.ending))


def _manifest(file: Path) -> dict[str, Any]:
    """A manifest, of a folder that may have come from elsewhere.

    Raises:
        ValueError: damaged, or one that another program wrote; KeyError: without an entry.
    """
    manifest = typed(dict[str, Any], parse_json(file.read_bytes(), limit=LISTING_BYTES, not_a_number="keep"), "it")
    typed(StrictInt, manifest["size"], "size")
    typed(dict[str, list[Any]], manifest["records"], "records")
    typed(Facts, manifest["facts"], "facts")
    if Path(name := typed(StrictStr, manifest.get("file", "part"), "file")).name != name:
        raise ValueError(f"{name[:100]!r} is no file of its folder")
    return manifest


def _moved(rows: pa.Table, by: int) -> pa.Table:
    """A table whose positions count from elsewhere."""
    for place, name in enumerate(rows.column_names):
        if name.endswith("_offset"):
            rows = rows.set_column(
                place,
                rows.schema.field(place),
                pa.array([at if at is None else at + by for at in rows.column(place).to_pylist()], pa.int64()),
            )
    return rows


def _parquet(table: pa.Table, notes: Mapping[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_NOTES: json.dumps(notes)}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


@lru_cache(maxsize=8)  # the records of a part follow each other
def _table(file: Path) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Input id -> note and rows.

    Raises:
        ManifestError: a damaged table.
    """
    try:
        table = pq.read_table(file)
        notes = json.loads(table.schema.metadata[_NOTES])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ManifestError(
            f"{file} is missing or damaged ({error}); remove the files of its part, then run the stage again: it makes "
            "that again"
        ) from error
    found = {id: (note, []) for id, note in notes.items()}
    for row in table.to_pylist():
        found[row["triple"]][1].append(row)
    return found


def _remove(file: Path) -> None:
    for path in (file, file.with_suffix(_TABLE)):
        path.unlink(missing_ok=True)


def _written(file: Path) -> tuple[int, str]:
    return file.stat().st_mtime_ns, file.name


def write_whole(path: Path, data: bytes) -> None:
    """Give a file its name once all of it is on the disk.

    Raises:
        PartWriteError: it could not be written; an older file of that name is untouched.
    """
    try:
        files.write_whole(path, data, shared=True)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> PartWriteError:
    return PartWriteError(
        f"{path} could not be written ({error.strerror or error}). Everything before it is safe; make room, then "
        "give the same command again: it goes on from there"
    )
