"""A scene as plain attributes: everything that `draw` paints and that edits change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

SEASONS = ("spring", "summer", "autumn", "winter")
WEATHERS = ("clear", "cloudy", "rainy", "snowy", "foggy")
BACKGROUNDS = ("hills", "mountains", "sea", "city", "forest")
SLOTS = ("left", "centre", "right")
SIZES = ("small", "medium", "large")
CYCLE = ("dawn", "day", "sunset", "night")
"""Times of day in the order in which they follow each other."""


@dataclass(frozen=True)
class Thing:
    """One object.

    Args:
        kind: what it is ("house"); a key of `ip2p_lightning.world.things.THINGS`.
        colour: paint name from `palette.PAINTS`; "" for things that take the season's colour (trees).
        slot: "left", "centre" or "right".
        size: "large" fills half of the image's width, "medium" a third, "small" a fifth.
        trim: paint name of the second part (roof, sail, stripes); "" derives it from ``colour``.
    """

    kind: str
    colour: str = ""
    slot: str = "centre"
    size: str = "large"
    trim: str = ""


@dataclass(frozen=True)
class Scene:
    """Content of an image.

    Args:
        time: one of `CYCLE`.
        season: one of `SEASONS`.
        weather: one of `WEATHERS`.
        background: one of `BACKGROUNDS`.
        things: objects in the order in which they are painted.
        lights: whether windows are lit.
    """

    time: str
    season: str
    weather: str
    background: str
    things: tuple[Thing, ...] = ()
    lights: bool = False

    @property
    def backdrop(self) -> tuple[str, str, str, str]:
        """The attributes that repaint the whole image when they change."""
        return (self.time, self.season, self.weather, self.background)

    def with_thing(self, old: Thing, new: Thing | None) -> Scene:
        """This scene with ``old`` replaced in place by ``new``, or removed where ``new`` is None."""
        things = (new if thing == old else thing for thing in self.things)
        return replace(self, things=tuple(thing for thing in things if thing is not None))

    def signature(self) -> int:
        """A stable 32-bit hash of the attributes, the same in every process and version."""
        things = ";".join(f"{t.kind},{t.colour},{t.slot},{t.size},{t.trim}" for t in self.things)
        return crc32("|".join((*self.backdrop, str(self.lights), things)).encode())
