"""Marks by which classes and functions say that a stored configuration may build them.

Networks need none: any `torch.nn.Module` of the packages that hold parts may be built. A mark on a class holds for its
subclasses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


def buildable(target: T) -> T:
    """Mark a class or function whose plain arguments have no effect but the object that it returns.

    It must neither read nor write files, nor connect to anything: a checkpoint of a stranger chooses its arguments.
    """
    target._ip2p_buildable = True  # type: ignore[attr-defined]
    return target


def loads(place: str) -> Callable[[T], T]:
    """Mark a function that reads weights or a tokenizer from the folder or hub name in its argument `place`.

    A stored configuration may ask for it, but where it reads from is the user's to say (`trust`). With None there, it
    must build the same architecture and read nothing.
    """

    def mark(target: T) -> T:
        target._ip2p_place = place  # type: ignore[attr-defined]
        return buildable(target)

    return mark


def is_buildable(target: Any) -> bool:
    """True if a class, one of its bases, or a function is marked."""
    return getattr(target, "_ip2p_buildable", False) is True


def place_of(target: Any) -> str | None:
    """The argument that says where a marked function reads from."""
    place = getattr(target, "_ip2p_place", None)
    return place if isinstance(place, str) else None
