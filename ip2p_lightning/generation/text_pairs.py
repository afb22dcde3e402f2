"""Triples as pairs without images, for what learns from texts alone (`methods/writer.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ip2p_lightning.bounded_text import parse_json
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.generation.base import Caption, EditTriple, TripleWriter

_BLANK = Image.new("RGB", (8, 8))
_KEYS = {"input": ("input", "caption", "original_caption"), "edit": ("edit", "instruction")}
_KEYS["output"] = ("output", "edited_caption")
"""Names of the columns: InstructPix2Pix's (both spellings of the first) and this package's."""


class TextPairs:
    """A pair source of triples; its images are blank.

    Args:
        triples: the texts, such as `EverydayTriples`.
        name: of the data; the triples' own if empty.
        licence: of the texts; the triples' own if empty.

    Raises:
        ValueError: no triple.
    """

    def __init__(self, triples: Iterable[EditTriple], name: str = "", licence: str = "") -> None:
        self.name = name or getattr(triples, "name", "triples")
        self.licence = licence or getattr(triples, "licence", "unknown")
        self._triples = list(triples)
        if not self._triples:
            raise ValueError(f"{self.name}: no triple to learn from")

    @classmethod
    def written(cls, writer: TripleWriter, captions: Sequence[Caption], seed: int = 0) -> TextPairs:
        """Triples that a writer makes of captions, without those that it rejects.

        Args:
            writer: such as the world's grammar.
            captions: to be written for, such as `WorldCaptions`.
            seed: of the writer.
        """
        outcomes = writer.write(list(captions), seed)
        licence = getattr(captions, "licence", "unknown")
        return cls([outcome for outcome in outcomes if isinstance(outcome, EditTriple)], writer.name, licence)

    @classmethod
    def from_jsonl(cls, path: str | Path, count: int | None = None, licence: str = "unknown") -> TextPairs:
        """Rows of a JSON Lines file with the columns input (or caption), edit and output, as InstructPix2Pix has them.

        Args:
            path: the file.
            count: how many rows to take; None for all.
            licence: of the texts.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a row that lacks a column; names its number.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is no file; give JSON Lines with the columns input, edit and output")
        with Path(path).open(encoding="utf-8") as lines:
            rows = (
                _triple(line, f"{Path(path).name}:{number}") for number, line in enumerate(lines, 1) if line.strip()
            )
            return cls(
                [triple for triple, _ in zip(rows, range(count or 2**40), strict=False)], Path(path).name, licence
            )

    def __len__(self) -> int:
        return len(self._triples)

    def __getitem__(self, index: int) -> EditPair:
        triple = self._triples[index]
        return EditPair(
            id=triple.id,
            original_image=_BLANK,
            edited_image=_BLANK,
            instruction=triple.instruction,
            original_caption=triple.original_caption,
            edited_caption=triple.edited_caption,
            kind=triple.kind,
            group=triple.group,
        )

    def fingerprint(self) -> str:
        """Hash of all texts."""
        digest = hashlib.sha256()
        for triple in self._triples:
            digest.update("\0".join((triple.original_caption, triple.instruction, triple.edited_caption)).encode())
        return digest.hexdigest()[:16]


def _triple(line: str, place: str) -> EditTriple:
    try:
        row = parse_json(line)
        texts = [
            next(row[key] for key in keys if isinstance(row.get(key), str) and row[key]) for keys in _KEYS.values()
        ]
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{place} is no JSON object ({error})") from error
    except StopIteration:
        raise ValueError(f"{place} lacks one of input (or caption), edit and output") from None
    return EditTriple(place, *texts, group=place)
