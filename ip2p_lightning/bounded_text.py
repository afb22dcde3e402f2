"""Texts and JSON of files that came from elsewhere: UTF-8 or said what else, bounded, without repeated keys or NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ip2p_lightning import limits

NotANumber = Literal["refuse", "null", "keep"]


class TextError(ValueError):
    """A text that is no UTF-8, or JSON that is damaged or beyond a limit; the message says what, not where."""


def utf8(data: bytes) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        TextError: another encoding; says how to convert it.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TextError("UTF-16 text, not UTF-8; convert it: iconv -f utf-16 -t utf-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"no UTF-8 at byte {error.start:,} (0x{data[error.start]:02x}); convert it, such as text of Windows: "
            "iconv -f cp1252 -t utf-8"
        ) from error


def parse_json(
    data: bytes | str,
    *,
    limit: limits.Limit = limits.ROW_BYTES,
    not_a_number: NotANumber = "refuse",
    depth: limits.Limit = limits.DATA_DEPTH,
) -> Any:
    """The value of a JSON text.

    Args:
        data: the text, or its bytes in UTF-8.
        limit: of its size.
        depth: of lists and objects in each other.
        not_a_number: NaN and Infinity, which JSON does not have, are refused, or read as null: Python and pandas write
            them for cells that are empty. "keep" is for files of the package's own, which hold measured numbers.

    Raises:
        TextError: damaged, too long, nested too deeply, a key twice in one object, numbers that are none, or half of a
            surrogate pair, which no file can hold.
    """
    if len(data) > limit.value:
        raise TextError(f"{len(data):,} bytes, more than {limit.value:,} ({limit.variable})")
    text = utf8(data) if isinstance(data, bytes) else data
    deepest = depth.value

    def constant(name: str) -> float | None:
        if not_a_number == "refuse":
            raise TextError(f"{name[:20]} is no number in JSON")
        return float(name) if not_a_number == "keep" else None

    def number(digits: str) -> float | None:
        value = float(digits)
        return value if math.isfinite(value) else constant(digits)

    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=constant, parse_float=number)
    except TextError:
        raise
    except RecursionError as error:
        raise TextError(f"nested in more than {deepest} levels") from error
    except ValueError as error:
        raise TextError(str(error)) from error
    if text.count("[") + text.count("{") > deepest and _deeper(value, deepest):
        raise TextError(f"nested in more than {deepest} levels")
    if "\\u" in text and "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise TextError("half of a surrogate pair, which is no character") from error
    return value


def read_text(path: Path, limit: limits.Limit = limits.ROW_BYTES) -> str:
    """A text file of bounded size.

    Raises:
        TextError: too long, or no UTF-8; names the file.
        OSError: no such file, or one that cannot be read.
    """
    try:
        return utf8(_bounded(path, limit))
    except TextError as error:
        raise TextError(f"{path}: {error}") from error


def read_json(
    path: Path, what: str, *, limit: limits.Limit = limits.LISTING_BYTES, not_a_number: NotANumber = "refuse"
) -> Any:
    """A JSON file of bounded size.

    Raises:
        FileNotFoundError: no such file; says ``what`` it would hold.
        TextError: too long or damaged; names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it holds {what}")
    try:
        return parse_json(_bounded(path, limit), limit=limit, not_a_number=not_a_number)
    except TextError as error:
        raise TextError(f"{path} is damaged ({error}); restore it from a copy or fetch it again") from error


def typed(kind: Any, value: Any, place: object) -> Any:
    """A value of a JSON text as a dataclass, or another type of values.

    Texts must be texts and lists lists; names that the type does not have are ignored.

    Args:
        kind: such as `list[Row]`, where the fields of the dataclass `Row` have types.
        value: of `parse_json`.
        place: names the file.

    Raises:
        TextError: another type; names the first field that is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))[:100] or "the whole"
        raise TextError(f"{place} holds something else ({field}: {first['msg'][:200]})") from error


def _bounded(path: Path, limit: limits.Limit) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit.value + 1)
    if len(data) > limit.value:
        raise TextError(f"more than {limit.value:,} bytes ({limit.variable})")
    return data


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in values if names.count(name) > 1)
        raise TextError(f"the key {twice[:50]!r} stands there twice")
    return values


def _deeper(value: Any, levels: int) -> bool:
    """True if lists and objects are nested in more than so many levels."""
    layer = [value]
    for _ in range(levels):
        layer = (
            [
                inner
                for outer in layer
                for inner in (outer.values() if isinstance(outer, dict) else outer)
                if isinstance(inner, dict | list)
            ]
            if layer and isinstance(layer[0], dict | list)
            else []
        )
    return bool(layer)
