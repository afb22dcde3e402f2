"""Makers of the edits of each level: the levels of drawn things, and the open level of emoji."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

from ip2p_lightning.world.attributes import describe
from ip2p_lightning.world.edits import EDITS, Change, Rendering, is_visible, render
from ip2p_lightning.world.levels import LEVELS, Level, belongs
from ip2p_lightning.world.open.level import OpenLevel


class PairMaker(Protocol):
    """A level as something that makes edits."""

    @property
    def edits(self) -> tuple[str, ...]:
        """Kinds of edit."""
        ...

    def change(self, kind: str, split: str, rng: Random) -> Any | None:
        """A visible edit of one kind, with texts and scenes; None where the drawn scene does not allow one."""
        ...

    def render(self, change: Any, size: int) -> Rendering:
        """Its images, and the mask of what may change."""
        ...

    def metadata(self, change: Any) -> dict[str, Any]:
        """Plain values that are stored with the pair; "attributes" among them."""
        ...


class DrawnLevel:
    """One of `LEVELS` as a `PairMaker`."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.edits = level.edits

    def change(self, kind: str, split: str, rng: Random) -> Change | None:
        """See `PairMaker.change`."""
        change = EDITS[kind](self.level.sample(self.level, rng), self.level, rng)
        return change if change and belongs(split, change.before, change.after) and is_visible(change) else None

    def render(self, change: Change, size: int) -> Rendering:
        """See `PairMaker.render`."""
        return render(change, size)

    def metadata(self, change: Change) -> dict[str, Any]:
        """The attributes of both images."""
        return {"attributes": dict(zip(("original", "edited"), describe(change), strict=True))}


MAKERS: Mapping[str, PairMaker] = {
    **{name: DrawnLevel(level) for name, level in LEVELS.items()},
    "open": OpenLevel(),
}
"""Every level by its name."""
