"""Arguments of what a stored configuration builds: their names and types, by the signature."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, Union

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]+")
_NUMBERS = (bool, int, float, type(None))


def parameters(call: Callable[..., Any]) -> dict[str, Any]:
    """Name -> annotation of what can be given to a class or function by name; those of bases, too, where `**` is taken.

    Args:
        call: the class or function.
    """
    if dataclasses.is_dataclass(call):
        hints = _hints(call)
        return {field.name: hints.get(field.name, Any) for field in dataclasses.fields(call) if field.init}
    found: dict[str, Any] = {}
    for layer in inspect.getmro(call) if isinstance(call, type) else (call,):
        function = vars(layer).get("__init__") if isinstance(layer, type) else layer
        if function is None or not inspect.isfunction(function):
            continue
        signature, hints = inspect.signature(function), _hints(function)
        for name, parameter in signature.parameters.items():
            if name != "self" and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(name, hints.get(name, Any))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
            break
    return found


def fits(value: Any, hint: Any) -> bool:
    """True if a stored value, or an object that was built from one, may be given where `hint` is expected.

    Objects are the constructor's own business, but where a plain value is expected none fits. A path never fits.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, str | typing.TypeVar) or hint is inspect.Parameter.empty:
        return True
    if origin in (Union, types.UnionType):
        paths = any(isinstance(one, type) and issubclass(one, Path) for one in inner)
        return any(fits(value, one) for one in inner if not (paths and one is str))
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    kind = origin or hint
    if not isinstance(kind, type):
        return True
    if issubclass(kind, Path):
        return False
    if issubclass(kind, Mapping):
        each = inner if len(inner) == 2 else (Any, Any)
        return isinstance(value, Mapping) and all(fits(k, each[0]) and fits(v, each[1]) for k, v in value.items())
    if issubclass(kind, Sequence | Set):
        each = [one for one in inner if one is not ...] or [Any]
        return isinstance(value, list | tuple) and all(any(fits(one, hint) for hint in each) for one in value)
    return not isinstance(value, str | int | float | list | tuple | Mapping) and value is not None


def is_plain(value: Any) -> bool:
    """True if a value is a number, a word such as "scaled_linear", or lists and mappings of such: what libraries take.

    A word is no path, no hub name, no module and no text.
    """
    if isinstance(value, str):
        return bool(_WORD.fullmatch(value))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, Mapping):
        return all(is_plain(name) and is_plain(inner) for name, inner in value.items())
    return isinstance(value, _NUMBERS)


def is_name(value: Any) -> bool:
    """True if a text may name a file or a folder within a folder: no separators, nothing that leads out."""
    return not isinstance(value, str) or bool(_NAME.fullmatch(value))


def shown(value: Any, length: int = 80) -> str:
    """The beginning of a foreign value as Python writes it, for messages."""
    try:
        return repr(value)[:length]
    except (ValueError, RecursionError):  # a number of thousands of digits, or in something very deep
        return f"a {type(value).__name__} too large to show"


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # names that exist for type checkers alone
        return {}
