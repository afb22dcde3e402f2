"""Which column of a foreign table means what: the map from rows of any names to edit pairs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ip2p_lightning.data.encoded import SCORES, EncodedPair, UnusablePair
from ip2p_lightning.data.formats.base import checked
from ip2p_lightning.data.images import FORMATS, ImageError, open_image
from ip2p_lightning.data.pair import TEXT_FIELDS

PICTURES = ("original_image", "edited_image", "mask")
FIELDS = (*PICTURES, "id", "group", "split", *TEXT_FIELDS)

SPLITS = {"train": "train", "dev": "validation", "val": "validation", "valid": "validation", "test": "test"}
"""How others call their splits -> our names; other names stay."""

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

        Raises:
            ValueError: a field that pairs do not have.
        """
        names = names or {}
        if unknown := sorted({*names, *(constants or {})} - set(FIELDS)):
            raise ValueError(f"columns: pairs have no field {', '.join(unknown)}; they have {', '.join(FIELDS)}")
        listed: dict[str, tuple[str, ...]] = {}
        for field in FIELDS:
            given = names.get(field, ())
            own = (field,) if field not in names or field in ("id", "group", "split") else ()
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
            picture: bytes of the picture that a value of a column (its second argument) means.
            place: file and row, for messages.
            id: for a row without one.
            split: for a row without one.

        Raises:
            UnusablePair: a missing picture or instruction, values of the wrong type, pictures of different sizes.
        """
        texts = {field: self.text(row, field, place) for field in FIELDS if field not in PICTURES}
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
            metadata=self._metadata(row, place),
            **{field: texts[field] for field in TEXT_FIELDS},
        )
        return checked(pair, place)

    def text(self, row: Mapping[str, Any], field: str, place: str) -> str:
        """What a row says in a text field; "" for nothing. UnusablePair for what is no text."""
        for name in self.names[field]:
            if columns := _TEMPLATE.findall(name):
                if all(row.get(column) not in (None, "") for column in columns):
                    return _TEMPLATE.sub(lambda match: str(row[match[1]]), name)
            elif (value := row.get(name)) not in (None, ""):
                if not isinstance(value, str | int | float):
                    reason = f"column {name!r} should hold text for {field}"
                    raise UnusablePair(place, reason, f"it holds {type(value).__name__}")
                return str(value)
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
            raise UnusablePair(place, f"no picture for {field}", f"it was looked for under {wanted}; the row has {has}")
        return None

    def value(self, row: Mapping[str, Any], field: str) -> tuple[Any, str]:
        """The value of an image field, and its column; None where the row has none."""
        return next(((row[name], name) for name in self.names[field] if row.get(name) is not None), (None, ""))

    def _metadata(self, row: Mapping[str, Any], place: str) -> dict[str, Any]:
        values = row.get("metadata") or {}
        if isinstance(values, str):
            try:
                values = json.loads(values)
            except (ValueError, RecursionError) as error:
                raise UnusablePair(place, "column 'metadata' is no JSON", str(error)) from error
        if not isinstance(values, Mapping):
            raise UnusablePair(place, "column 'metadata' should hold a JSON object", f"not {type(values).__name__}")
        kept = {name: row[name] for name in self.metadata if row.get(name) is not None}
        kept |= {ours: row[theirs] for ours, theirs in self.numbers.items() if row.get(theirs) is not None}
        scores = {ours: float(row[theirs]) for ours, theirs in self.scores.items() if row.get(theirs) is not None}
        return {**values, **kept, **({SCORES: {**values.get(SCORES, {}), **scores}} if scores else {})}


def black_and_white(mask: bytes, original: bytes, place: str) -> bytes:
    """A mask as PNG or JPEG in which white may change.

    One that is black and white already keeps its bytes. In pictures with a hole the transparent part may change; in a
    picture of the original that was painted over, what differs from it.

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
