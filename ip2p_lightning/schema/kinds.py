"""Kinds of values: types of pydantic that say in plain words what they allow."""

from __future__ import annotations

import math
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, Field, StrictBool, TypeAdapter, ValidationError

Role = Literal["text", "path", "input", "model", "output"]
"""text: free words of people. path: of a file or folder; input: one that must be there; model: one, or a model's name;
output: one to write. The values of all of them are taken as they are written."""


def whole(least: int | None = None, most: int | None = None) -> Any:
    """A whole number within bounds that belong to it."""
    return Annotated[int, Field(strict=True, ge=least, le=most, description=f"a whole number{_range(least, most)}")]


def number(
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A finite number; `least` and `most` belong to the range, `above` and `below` do not."""
    parts = [
        _range(least, most),
        *(f" {word} {bound:g}" for word, bound in (("above", above), ("below", below)) if bound is not None),
    ]
    says = f"a number{' and'.join(part for part in parts if part)}"
    bounds: dict[str, Any] = {"ge": least, "le": most, "gt": above, "lt": below}
    return Annotated[float, Field(strict=True, allow_inf_nan=False, description=says, **bounds)]


def written(pattern: str, says: str) -> Any:
    """A word of a certain form."""
    return Annotated[str, Field(strict=True, pattern=pattern, description=says)]


def _said(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a text")
    return str(value)


_NAMED = r"\A[^\x00]+\z"  # a null character ends names in the system's calls

FLAG: Any = StrictBool
WORD: Any = Annotated[str, Field(strict=True, description="a word")]
TEXT: Any = Annotated[str, Field(strict=True, description="a text"), "text"]
PATH: Any = Annotated[str, Field(strict=True, pattern=_NAMED, description="a path"), "path"]
PLACE: Any = Annotated[str, Field(strict=True, pattern=_NAMED, description="a path or a name"), "path"]
INPUT: Any = Annotated[str, Field(strict=True, pattern=_NAMED, description="a path"), "input"]
MODEL: Any = Annotated[str, Field(strict=True, pattern=_NAMED, description="one path or one model's name"), "model"]
OUTPUT: Any = Annotated[str, Field(strict=True, pattern=_NAMED, description="a path to write to"), "output"]
LOOSE: Any = Annotated[str, AfterValidator(_said), Field(coerce_numbers_to_str=True, description="a text")]
"""Kind of arguments that constructors annotate as `str`; numbers will do."""


def roles(kind: Any) -> set[Role]:
    """The roles of a kind and of what it holds: free text, path, or none."""
    own: set[Any] = {note for note in getattr(kind, "__metadata__", ()) if isinstance(note, str)}
    return own.union(*(roles(part) for part in get_args(kind) if not isinstance(part, str)))


def roles_of(kind: Any, value: Any) -> set[Role]:
    """The roles that a kind gives a value: where a text is a place and a list holds paths, each by its own shape."""
    shapes = get_args(kind) if _is_union(kind) else (kind,)
    holder = type(value) if isinstance(value, list | dict) else None
    held = {each: get_origin(each) if get_origin(each) in (list, dict) else None for each in shapes}
    return set().union(*(roles(each) for each, origin in held.items() if origin is holder))


def untyped(kind: Any) -> bool:
    """True if a kind has room for a mapping whose values may be anything."""
    parts: tuple[Any, ...] = get_args(kind)
    return (get_origin(kind) is dict and parts[1] is Any) or any(map(untyped, parts))


def allows(kind: Any, value: Any) -> bool:
    """True if a plain value is of a kind."""
    try:
        _adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def describe(kind: Any) -> str:
    """Description of a kind, to follow "must be"."""
    if kind in (None, NoneType):
        return "null"
    notes = [note.description for note in getattr(kind, "__metadata__", ()) if hasattr(note, "description")]
    if any(notes):
        return next(note for note in notes if note)
    if kind is FLAG or kind is bool:
        return "true or false"
    origin = get_origin(kind)
    parts: tuple[Any, ...] = get_args(kind)
    if _is_union(kind):
        such: list[Any] = [list[part] for part in parts]  # "a number, or a list of such"
        words = ("a list of such" if part in such else describe(part) for part in parts)
        return ", or ".join(dict.fromkeys(words))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}" if len(parts) != 1 else str(parts[0])
    if origin is list:
        return "a list" if parts[0] is Any else f"a list, such as [a,b], each of them {describe(parts[0])}"
    if origin is dict:
        return "a mapping" if parts[1] is Any else f"a mapping, such as {{a: b}}, each value {describe(parts[1])}"
    return {int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {_plain(least)} to {_plain(most)}"
    return f" of at least {_plain(least)}" if least is not None else f" of at most {_plain(most)}" if most else ""


def _plain(bound: float) -> str:
    power = int(bound).bit_length()
    return f"2^{power} - 1" if bound == 2**power - 1 and power > 16 else f"{bound:g}"
