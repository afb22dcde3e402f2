"""What every format promises: a source to import from and a writer to export with."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ip2p_lightning.data.encoded import EncodedPair, UnusablePair, picture_formats
from ip2p_lightning.data.pair import TEXT_FIELDS
from ip2p_lightning.data.sources import EncodedSource

MAX_PICTURE_BYTES = 2**28
"""Largest picture file that is read (256 MiB)."""
MAX_TEXT_BYTES = 2**22
"""Longest text file, or line of one, that is read (4 MiB)."""


class PairWriter(Protocol):
    """Writes pairs into a folder that is empty at first."""

    def add(self, pair: EncodedPair) -> None:
        """Append a pair; its pictures keep their bytes. ValueError for one that the format cannot hold."""
        ...

    def close(self) -> list[str]:
        """Write what is left, and say in a sentence each what readers of the format should know."""
        ...


class Format(Protocol):
    """A layout on disk."""

    name: str

    def open(self, path: str | Path, licence: str = "unknown") -> EncodedSource:
        """The pairs at a path.

        Args:
            path: file or folder.
            licence: of the pictures.

        Raises:
            FileNotFoundError: nothing of this format at the path.
            ValueError: something there that is damaged as a whole.
        """
        ...

    def writer(self, folder: Path) -> PairWriter:
        """A writer of such files into an empty folder."""
        ...


@dataclass
class ExportReport:
    """What `export_pairs` did.

    Args:
        path: the folder that was made.
        pairs: number of pairs in it.
        notes: what readers of the format should know.
    """

    path: Path
    pairs: int
    notes: list[str] = field(default_factory=list)


def export_pairs(
    source: EncodedSource, format: Format, path: str | Path, *, advance: Callable[[int], None] | None = None
) -> ExportReport:
    """Write all pairs of a source in another format; nothing is at ``path`` before all of it is complete.

    Args:
        source: such as a `ShardDataset`.
        format: to write.
        path: the folder to make.
        advance: called with a number of pairs as they are written, for a progress bar.

    Raises:
        FileExistsError: there is something at ``path``.
        ValueError: no pair, or one that the format cannot hold; names its id.
    """
    if not len(source):
        raise ValueError(f"there is no pair to export to {path}")
    with folder_in_the_making(Path(path)) as folder:
        writer = format.writer(folder)
        for index in range(len(source)):
            writer.add(source.encoded(index))
            if advance is not None:
                advance(1)
        notes = writer.close()
    return ExportReport(Path(path), len(source), notes)


@contextmanager
def folder_in_the_making(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path`` that is renamed to it at the end, and removed after an error.

    Raises:
        FileExistsError: there is something at ``path``.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path} exists already; choose another output or move it away")
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.absolute().parent))
    try:
        folder.chmod(0o755)
        yield folder
        folder.rename(path)  # over an empty folder at most: anything else makes this fail
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def checked(pair: EncodedPair, place: str) -> EncodedPair:
    """A pair that can be stored: with an instruction, and pictures of one size in PNG or JPEG.

    Args:
        pair: to look at.
        place: file and row, for the message.

    Raises:
        UnusablePair: what is wrong, naming the place.
    """
    if not pair.instruction.strip():
        raise UnusablePair(place, "no instruction", "write one or leave the row out")
    try:
        picture_formats(pair)
    except ValueError as error:
        text = str(error).removeprefix(f"pair {pair.id!r}").removeprefix(":").strip()
        cuts = [cut for mark in ("(", ";", ":") if (cut := text.find(mark)) > 0]
        reason = text[: min(cuts, default=len(text))].strip()
        raise UnusablePair(place, reason, text[len(reason) :].strip(" ();:")) from error
    return pair


def file_inside(root: Path, name: str, place: str) -> Path:
    """The file that a row names, which must lie below ``root`` (also after following links).

    Args:
        root: the folder that names are relative to.
        name: as written in the row.
        place: file and row, for the message.

    Raises:
        UnusablePair: a name that leads out of the folder, or no such file.
    """
    path = root / name
    outside = PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts or "\0" in name
    if outside or not path.resolve().is_relative_to(root.resolve()):
        raise UnusablePair(place, "a path leads out of the folder", f"{name!r}; paths must be relative to {root}")
    if not os.path.isfile(path):  # False, too, for a name that is too long
        raise UnusablePair(place, "a picture is missing", f"{name} is not in {root}")
    return path


def read_picture(root: Path, name: str, place: str) -> bytes:
    """The bytes of a picture that a row names; see `file_inside`.

    Raises:
        UnusablePair: also for a file above `MAX_PICTURE_BYTES`.
    """
    path = file_inside(root, name, place)
    if (size := path.stat().st_size) > MAX_PICTURE_BYTES:
        raise UnusablePair(place, "a picture file is too large", f"{name} has {size:,} of {MAX_PICTURE_BYTES:,} bytes")
    return path.read_bytes()


def texts_of(pair: EncodedPair) -> dict[str, Any]:
    """Everything of a pair but its pictures, as plain values; empty ones are left out."""
    values = {"id": pair.id, **{name: getattr(pair, name) for name in TEXT_FIELDS}}
    values |= {"group": pair.group, "split": pair.split, "metadata": dict(pair.metadata)}
    return {name: value for name, value in values.items() if value}


def read_json(path: Path, what: str) -> Any:
    """A JSON file of bounded size.

    Raises:
        FileNotFoundError: no such file; says ``what`` it would hold.
        ValueError: too long or damaged; names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it holds {what}")
    if (size := path.stat().st_size) > 64 * MAX_TEXT_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, too many for {what}")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from error
