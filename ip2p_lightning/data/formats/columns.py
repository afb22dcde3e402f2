"""Column map of foreign tables: from rows with any column names to edit pairs."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.encoded import SCORES, EncodedPair, UnusablePair
from ip2p_lightning.data.formats.base import checked
from ip2p_lightning.data.images import FORMATS, ImageError, open_image
from ip2p_lightning.data.pair import TEXT_FIELDS

PICTURES = ("original_image", "edited_image", "mask")
FIELDS = (*PICTURES, "id", "group", "split", *TEXT_FIELDS)

SPLITS = {"train": "train", "dev": "validation", "val": "validation", "valid": "validation", "test": "test"}
"""Names of splits elsewhere -> our names; other names stay."""

LABELS = ("id", "group", "split", "kind")
"""Fields that may be numbers in a table; all others are texts."""
ALTERNATIVES = "alternatives"
"""Key of the metadata for the further texts of a column that holds lists: field -> texts."""

_ABSENT = {"", "none", "null", "nan", "n/a", "na", "<na>", "-"}
"""Cells that stand for a missing number or file, in lower case."""
_TEMPLATE = re.compile(r"\{(\w+)\}")
Names = str | Sequence[str]


@dataclass(frozen=True)
class Columns:
    """The map from columns to fields.

    Args:
        names: field -> columns that may hold it; the first that a row has and that is not empty counts. A name with
            braces, such as "{img_id}-{turn_index}", puts several columns together.
        scores: our name of a score -> its column.
        metadata: columns that are kept as they are in the pair's metadata.
        constants: field -> text for rows without it.
        numbers: name in the metadata ("seed", "threshold", "turn") -> its column.
    """

    names: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, str]
    metadata: tuple[str, ...]
    constants: Mapping[str, str]
    numbers: Mapping[str, str]

    @classmethod
    def of(
        cls,
        names: Mapping[str, Names | None] | None = None,
        scores: Mapping[str, str] | None = None,
        metadata: Sequence[str] = (),
        constants: Mapping[str, str] | None = None,
        numbers: Mapping[str, str] | None = None,
    ) -> Columns:
        """A map in which fields that are not named are looked for under their own name; null takes a field out.

        Id, group and split are looked for under their own name after the names that are given.

        Raises:
            ValueError: a field that pairs do not have.
        """
        names = names or {}
        if unknown := sorted({*names, *(constants or {})} - set(FIELDS)):
            raise ValueError(f"columns: pairs have no field {', '.join(unknown)}; they have {', '.join(FIELDS)}")
        listed: dict[str, tuple[str, ...]] = {}
        for field in FIELDS:
            given = names.get(field, ())
            also = field in ("id", "group", "split") and given is not None
            own = (field,) if (field not in names or also) and field != given else ()
            listed[field] = (*((given,) if isinstance(given, str) else tuple(given or ())), *own)
        return cls(listed, dict(scores or {}), tuple(metadata), dict(constants or {}), dict(numbers or {}))

    def needed(self) -> set[str]:
        """All columns that may be looked at."""
        texts = {
            part for names in self.names.values() for name in names for part in (_TEMPLATE.findall(name) or [name])
        }
        return texts | set(self.scores.values()) | set(self.metadata) | set(self.numbers.values()) | {"metadata"}

    def written(self, field: str) -> str:
        """The column that an export writes a field to."""
        return next((name for name in self.names[field] if "{" not in name), field)

    def pair(
        self, row: Mapping[str, Any], picture: Callable[[Any, str], bytes], *, place: str, id: str, split: str = ""
    ) -> EncodedPair:
        """The pair of a row.

        Args:
            row: column -> value.
            picture: bytes of the image that a value of a column (its second argument) means.
            place: file and row, for messages.
            id: for a row without one.
            split: for a row without one.

        Raises:
            UnusablePair: a missing image or instruction, values of the wrong type, images of different sizes.
        """
        alternatives: dict[str, list[str]] = {}
        texts = {field: self.text(row, field, place, alternatives) for field in FIELDS if field not in PICTURES}
        original = self._picture(row, "original_image", picture, place)
        edited = self._picture(row, "edited_image", picture, place)
        mask = self._picture(row, "mask", picture, place, needed=False)
        named = texts.pop("id") or id
        pair = EncodedPair(
            id=named,
            original_image=original or b"",
            edited_image=edited or b"",
            mask=None if mask is None else black_and_white(mask, original or b"", place),
            split=SPLITS.get(texts["split"], texts["split"]) or split,
            group=texts["group"] or named,
            metadata=self._metadata(row, place) | ({ALTERNATIVES: alternatives} if alternatives else {}),
            **{field: texts[field] for field in TEXT_FIELDS},
        )
        return checked(pair, place)

    def text(
        self, row: Mapping[str, Any], field: str, place: str, alternatives: dict[str, list[str]] | None = None
    ) -> str:
        """Text of a row's field; "" for nothing. UnusablePair for what is no text.

        Of a list of texts this is the first; the others are put under the field in ``alternatives``.
        """
        for name in self.names[field]:
            if columns := _TEMPLATE.findall(name):
                if not any(_missing(row.get(column)) for column in columns):
                    return _TEMPLATE.sub(lambda match: _text_of(row[match[1]], match[1], "id", place), name)
            elif isinstance(value := row.get(name), list | tuple) and field not in LABELS:
                texts = [_text_of(text, name, field, place) for text in value if not _missing(text)]
                if texts:
                    if texts[1:] and alternatives is not None:
                        alternatives[field] = texts[1:]
                    return texts[0]
            elif not _missing(value):
                return _text_of(value, name, field, place)
        return self.constants.get(field, "")

    def _picture(
        self, row: Mapping[str, Any], field: str, picture: Callable[[Any, str], bytes], place: str, needed: bool = True
    ) -> bytes | None:
        value, column = self.value(row, field)
        if value is not None:
            return picture(value, column)
        if needed:
            has = ", ".join(sorted(column for column, value in row.items() if value is not None))
            wanted = " or ".join(self.names[field])
            raise UnusablePair(place, f"no image for {field}", f"it was looked for under {wanted}; the row has {has}")
        return None

    def value(self, row: Mapping[str, Any], field: str) -> tuple[Any, str]:
        """The value of an image field, and its column; None where the row has none."""
        return next(((row[name], name) for name in self.names[field] if not _no_file(row.get(name))), (None, ""))

    def _metadata(self, row: Mapping[str, Any], place: str) -> dict[str, Any]:
        values = row.get("metadata") or {}
        if isinstance(values, str):
            try:
                values = parse_json(values, not_a_number="null")
            except TextError as error:
                raise UnusablePair(place, "column 'metadata' is no JSON", str(error)) from error
        if not isinstance(values, Mapping):
            raise UnusablePair(place, "column 'metadata' should hold a JSON object", f"not {type(values).__name__}")
        kept = {name: row[name] for name in self.metadata if not _missing(row.get(name))}
        kept |= {ours: row[theirs] for ours, theirs in self.numbers.items() if not _missing(row.get(theirs))}
        read = {ours: _score(row.get(theirs), theirs, place) for ours, theirs in self.scores.items()}
        scores = {name: score for name, score in read.items() if score is not None}
        known = values.get(SCORES) or {}
        if not isinstance(known, Mapping):
            raise UnusablePair(place, "'scores' in the metadata should be an object", f"not {type(known).__name__}")
        return {**values, **kept, **({SCORES: {**known, **scores}} if scores else {})}


def _missing(value: Any) -> bool:
    """True if a cell is empty: null, "", no bytes, a list of such, or NaN, which tables have in place of null."""
    if isinstance(value, list | tuple):
        return all(map(_missing, value))
    return value is None or value in ("", b"") or (isinstance(value, float) and math.isnan(value))


def _no_file(value: Any) -> bool:
    """True if a cell names or holds no file."""
    if isinstance(value, Mapping):  # an image of a Hugging Face table
        return all(_no_file(value.get(key)) for key in ("bytes", "path"))
    return _missing(value) or (isinstance(value, str) and value.strip().lower() in _ABSENT)


def _text_of(value: Any, column: str, field: str, place: str) -> str:
    if isinstance(value, str):
        return value
    if field in LABELS and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(int(value) if value == int(value) else value)
    reason = f"column {column!r} should hold text for {field}"
    raise UnusablePair(place, reason, f"it holds {type(value).__name__}")


def _score(value: Any, column: str, place: str) -> float | None:
    """The number in a cell, None where there is none."""
    if _no_file(value):
        return None
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise UnusablePair(place, f"column {column!r} should hold a score", f"it holds {str(value)[:50]!r}")
    return number


@dataclass
class ColumnFormat:
    """Base of the formats whose rows have columns; `map` says which column means what.

    Args:
        columns: field of a pair -> the columns that may hold it; see `Columns.of`.
        scores, metadata, constants, numbers: see `Columns`.
    """

    columns: Mapping[str, Names | None] | None = None
    scores: Mapping[str, str] | None = None
    metadata: Sequence[str] = ()
    constants: Mapping[str, str] | None = None
    numbers: Mapping[str, str] | None = None

    usual: ClassVar[Mapping[str, Names]] = {}
    """Columns of fields that are not named."""

    def __post_init__(self) -> None:
        names = {**self.usual, **(self.columns or {})}
        self.map = Columns.of(names, self.scores, self.metadata, self.constants, self.numbers)


def black_and_white(mask: bytes, original: bytes, place: str) -> bytes:
    """A mask as PNG or JPEG in which white may change.

    One that is black and white already keeps its bytes. In images with a hole the transparent part may change; in a
    image of the original that was painted over, what differs from it.

    Args:
        mask: bytes of the mask's file.
        original: bytes of the original.
        place: file and row, for messages.

    Raises:
        UnusablePair: a mask that cannot be decoded or has another size than the original.
    """
    try:
        with Image.open(io.BytesIO(mask), formats=FORMATS) as opened:
            if opened.mode in ("1", "L") and opened.format in ("PNG", "JPEG"):
                return mask
            painted = open_image(mask, name="mask")  # refuses what is too large before anything is decoded
            holes = opened.convert("RGBA").getchannel("A") if opened.has_transparency_data else None
        if holes is not None and (transparent := np.asarray(holes) < 128).any():
            return _png(transparent)
        pixels = np.asarray(painted)
        if (np.ptp(pixels, axis=2) <= 16).all() and (np.abs(pixels.astype(int) - 128) >= 96).mean() > 0.95:
            return mask
        before = np.asarray(open_image(original, name="original"))
    except (ImageError, OSError, ValueError, SyntaxError) as error:
        raise UnusablePair(place, "damaged mask", str(error)) from error
    if before.shape != pixels.shape:
        sizes = f"{pixels.shape[1]} x {pixels.shape[0]} and {before.shape[1]} x {before.shape[0]}"
        raise UnusablePair(place, "mask and original differ in size", sizes)
    return _png((before != pixels).any(axis=2))


def _png(white: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(white.astype(np.uint8) * 255).save(buffer, format="PNG")
    return buffer.getvalue()
