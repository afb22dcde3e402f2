"""A scene of the open level: what words say of it, and one draw of everything that they leave open."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from zlib import crc32

from ip2p_lightning.world.open.kinds import KINDS

SIDES = ("left", "centre", "right")
SIZES = ("small", "large")
WORDS = ("kind", "side", "size", "colour", "trait", "gender", "tone", "hat", "flag")
"""Fields of a thing that words can say; the others stay open."""


@dataclass(frozen=True)
class Thing:
    """One thing, person or face.

    Args:
        kind: a key of `kinds.KINDS`.
        side: one of `SIDES`.
        size: one of `SIZES`.
        colour: paint of what can be painted, or of somebody's shirt; "" for all else.
        trait: expression of a smiley, hair of a person; "" for all else.
        gender, tone: of people; "" for all else.
        hat: a key of `kinds.HATS`; "" for none.
        flag: paint of the flag on a building; "" for none.
        sprite: code points of the variant. Open, as is all that follows.
        x: middle, as a share of the image's side.
        foot: height of its foot, 0 (top) to 1.
        extent: its larger side as a share of the image's.
        flipped: mirrored.
        shade: -1, 0 or 1: tone of its paint.
    """

    kind: str
    side: str = "centre"
    size: str = "large"
    colour: str = ""
    trait: str = ""
    gender: str = ""
    tone: str = ""
    hat: str = ""
    flag: str = ""
    sprite: str = ""
    x: float = 0.5
    foot: float = 0.9
    extent: float = 0.4
    flipped: bool = False
    shade: int = 0

    @property
    def family(self) -> str:
        """Its kind's family."""
        return KINDS[self.kind].family

    @property
    def words(self) -> tuple[str, ...]:
        """Words for it, in the order of `WORDS`."""
        return tuple(getattr(self, name) for name in WORDS)


@dataclass(frozen=True)
class Surroundings:
    """Details of the backdrop that words leave open: seeds of shapes, and where the sun stands.

    Args:
        clouds: where clouds and stars are.
        relief: shapes of hills, towers, trees or waves.
        ground: flowers, leaves and tufts.
        fall: rain drops and snow flakes.
        sun: where sun or moon stand, -0.5 (left) to 0.5; things cast their shadows to the other side.
    """

    clouds: int = 0
    relief: int = 0
    ground: int = 0
    fall: int = 0
    sun: float = 0.0


@dataclass(frozen=True)
class OpenScene:
    """A whole scene.

    Args:
        time: one of `world.scene.CYCLE`.
        season: one of `world.scene.SEASONS`.
        weather: one of `world.scene.WEATHERS`.
        place: one of `world.scene.BACKGROUNDS`.
        things: at most one on each side of the ground, and at most one in the sky.
        lights: whether window panes glow.
        surroundings: what words leave open behind the things.
    """

    time: str
    season: str
    weather: str
    place: str
    things: tuple[Thing, ...] = ()
    lights: bool = False
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def ground(self) -> tuple[Thing, ...]:
        """Things that stand."""
        return tuple(thing for thing in self.things if thing.family != "sky")

    @property
    def flying(self) -> tuple[Thing, ...]:
        """Things in the sky."""
        return tuple(thing for thing in self.things if thing.family == "sky")

    @property
    def backdrop(self) -> tuple[object, ...]:
        """All that decides what lies behind the things."""
        return (self.time, self.season, self.weather, self.place, self.surroundings)

    def without(self, thing: Thing) -> OpenScene:
        """This scene with one thing less."""
        return replace(self, things=tuple(other for other in self.things if other != thing))

    def signature(self) -> int:
        """A stable 32-bit hash of what words say of the scene; draws of one scene have the same."""
        things = ";".join(",".join(thing.words) for thing in self.things)
        return crc32("|".join((self.time, self.season, self.weather, self.place, str(self.lights), things)).encode())
