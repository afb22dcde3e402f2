"""Interface of formats: a source to import from and a writer to export with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ip2p_lightning.data.encoded import EncodedPair, UnusablePair, check_texts, has_text, picture_formats
from ip2p_lightning.data.making import folder_in_the_making
from ip2p_lightning.data.pair import TEXT_FIELDS
from ip2p_lightning.data.sources import EncodedSource


class PairWriter(Protocol):
    """Writes pairs into a folder that is empty at first."""

    def add(self, pair: EncodedPair) -> None:
        """Append a pair; its images keep their bytes. ValueError for one that the format cannot hold."""
        ...

    def close(self) -> list[str]:
        """Write what is left, and say in a sentence each what readers of the format should know."""
        ...


class Format(Protocol):
    """A layout on disk."""

    @property
    def name(self) -> str:
        """Name of the layout, for messages."""
        ...

    def open(self, path: str | Path, licence: str = "unknown") -> EncodedSource:
        """The pairs at a path.

        Args:
            path: file or folder.
            licence: of the images.

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
    """Result of `export_pairs`.

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


def checked(pair: EncodedPair, place: str) -> EncodedPair:
    """A pair that can be stored: with an instruction, and images of one size in PNG or JPEG.

    Args:
        pair: to look at.
        place: file and row, for the message.

    Raises:
        UnusablePair: what is wrong, naming the place.
    """
    if not has_text(pair.instruction):
        raise UnusablePair(place, "no instruction", "write one or leave the row out")
    try:
        check_texts(pair)
        picture_formats(pair)
    except ValueError as error:
        text = str(error).removeprefix(f"pair {pair.id!r}").removeprefix(":").strip()
        reason = re.split(r"[(;:]", text, maxsplit=1)[0].strip()
        raise UnusablePair(place, reason, text[len(reason) :].strip(" ();:")) from error
    return pair


def texts_of(pair: EncodedPair) -> dict[str, Any]:
    """Everything of a pair but its images, as plain values; empty ones are left out."""
    values = {"id": pair.id, **{name: getattr(pair, name) for name in TEXT_FIELDS}}
    values |= {"group": pair.group, "split": pair.split, "metadata": dict(pair.metadata)}
    return {name: value for name, value in values.items() if value}
