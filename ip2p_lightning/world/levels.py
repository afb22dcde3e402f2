"""Difficulty levels: which attributes occur, how scenes are drawn by chance, and which combinations are held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ip2p_lightning.world.scene import SEASONS, SLOTS, Scene, Thing

HELD_OUT = frozenset({("castle", "purple"), ("house", "blue"), ("tent", "yellow"), ("bus", "white")})
"""Pairs of thing and paint that no training pair shows, before or after; every test pair shows one, before or after."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Level:
    """What scenes of one difficulty are made of.

    Args:
        name: "simple", "medium" or "full".
        times, seasons, weathers, backgrounds: values that occur.
        colours: paints that occur.
        main: kinds of the one large thing that stands on the ground.
        sky: kinds of things in the sky.
        edits: kinds of edit, keys of `edits.EDITS`.
        sample: draws a scene by chance.
    """

    name: str
    times: tuple[str, ...]
    seasons: tuple[str, ...]
    weathers: tuple[str, ...]
    backgrounds: tuple[str, ...]
    colours: tuple[str, ...]
    main: tuple[str, ...]
    sky: tuple[str, ...]
    edits: tuple[str, ...]
    sample: Callable[[Level, Random], Scene]


def has_held_out(scene: Scene) -> bool:
    """Whether a thing of the scene has a combination of kind and paint from `HELD_OUT`."""
    return any((thing.kind, thing.colour) in HELD_OUT for thing in scene.things)


def is_reserved(scene: Scene) -> bool:
    """Whether a scene belongs to the validation split: one in ten, by a hash of its attributes."""
    return scene.signature() % 10 == 0


def belongs(split: str, before: Scene, after: Scene) -> bool:
    """Whether an edit between two scenes belongs to a split; no edit belongs to two.

    "test": a held-out combination is visible before or after. "validation": none is, and the scene before the edit is
    one of the reserved tenth. "train": none is, and neither scene is reserved.
    """
    if has_held_out(before) or has_held_out(after):
        return split == "test"
    if is_reserved(before):
        return split == "validation"
    return split == "train" and not is_reserved(after)


def balloon_slot(main: Thing) -> str:
    """Where the simple level's balloon flies: on the right, or on the left if the main thing stands on the right."""
    return "left" if main.slot == "right" else "right"


def balloon_colours(level: Level) -> list[str]:
    """Paints of balloons: all but white, which is lost before clouds."""
    return [colour for colour in level.colours if colour != "white"]


def _sample_simple(level: Level, rng: Random) -> Scene:
    main = Thing(rng.choice(level.main), rng.choice(level.colours), rng.choice(SLOTS))
    things = (main,)
    if rng.random() < 0.4:
        things = (main, Thing("balloon", rng.choice(balloon_colours(level)), balloon_slot(main)))
    return Scene(
        time=rng.choice(level.times),
        season=rng.choice(level.seasons),
        weather=rng.choice(level.weathers),
        background=rng.choice(level.backgrounds),
        things=things,
    )


SIMPLE = Level(
    name="simple",
    times=("day", "sunset"),
    seasons=SEASONS,
    weathers=("clear", "cloudy"),
    backgrounds=("hills", "mountains", "sea", "city"),
    colours=("red", "blue", "yellow", "purple", "white"),
    main=("house", "castle", "tent", "bus"),
    sky=("balloon",),
    edits=("recolour", "replace", "add", "remove", "background", "season", "time"),
    sample=_sample_simple,
)

LEVELS: dict[str, Level] = {level.name: level for level in (SIMPLE,)}
