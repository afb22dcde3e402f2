"""Difficulty levels: which attributes occur, how scenes are drawn by chance, and which combinations are held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, SLOTS, WEATHERS, Scene, Thing
from ip2p_lightning.world.things import THINGS, plausible

HELD_OUT = frozenset(
    {
        ("castle", "purple"),
        ("house", "blue"),
        ("tent", "yellow"),
        ("bus", "red"),
        ("windmill", "pink"),
        ("lighthouse", "orange"),
        ("car", "green"),
        ("truck", "purple"),
        ("boat", "red"),
        ("sheep", "yellow"),
        ("cat", "blue"),
        ("duck", "pink"),
        ("elephant", "red"),
        ("kite", "green"),
        ("plane", "orange"),
        ("bird", "purple"),
    }
)
"""Pairs of thing and paint that no training pair shows, before or after; every test pair shows one, before or after."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Level:
    """Inventory of scenes of one difficulty.

    Args:
        name: "simple", "broad", "medium" or "full".
        times, seasons, weathers, backgrounds: values that occur.
        colours: paints that occur.
        main: kinds of which each scene has at least one on the ground.
        others: kinds that may stand next to it.
        sky: kinds of things in the sky.
        edits: kinds of edit, keys of `edits.EDITS`.
        sample: draws a scene by chance.
        single: one thing on the ground, on the left or the right, and a balloon at the other side; instructions need
            not say where.
    """

    name: str
    times: tuple[str, ...]
    seasons: tuple[str, ...]
    weathers: tuple[str, ...]
    backgrounds: tuple[str, ...]
    colours: tuple[str, ...]
    main: tuple[str, ...]
    others: tuple[str, ...]
    sky: tuple[str, ...]
    edits: tuple[str, ...]
    sample: Callable[[Level, Random], Scene]
    single: bool = False


def has_held_out(scene: Scene) -> bool:
    """True if a thing of the scene has a combination of kind and paint from `HELD_OUT`."""
    return any((thing.kind, thing.colour) in HELD_OUT for thing in scene.things)


def is_reserved(scene: Scene) -> bool:
    """True if a scene belongs to the validation split: one in ten, by a hash of its attributes."""
    return scene.signature() % 10 == 0


def belongs(split: str, before: Scene, after: Scene) -> bool:
    """True if an edit between two scenes belongs to a split; no edit belongs to two.

    "test": a held-out combination is visible before or after. "validation": none is, and the scene before the edit is
    one of the reserved tenth. "train": none is, and neither scene is reserved.
    """
    if has_held_out(before) or has_held_out(after):
        return split == "test"
    if is_reserved(before):
        return split == "validation"
    return split == "train" and not is_reserved(after)


def paints_of(kind: str, level: Level) -> list[str]:
    """Paints that a kind of thing may have: none for trees; no white in the sky, where it is lost before clouds."""
    family = THINGS[kind].family
    if family == "tree":
        return [""]
    return [colour for colour in level.colours if family != "sky" or colour not in ("white", "black")]


def free_slots(things: Sequence[Thing], kind: str, level: Level) -> list[str]:
    """Places where a thing of this kind may be added; the simple level's balloon has one fixed place."""
    flying = THINGS[kind].family == "sky"
    if level.single:
        return ["left" if things[0].slot == "right" else "right"]
    taken = {thing.slot for thing in things if (THINGS[thing.kind].family == "sky") == flying}
    return [slot for slot in SLOTS if slot not in taken]


def added_size(kind: str, level: Level) -> str:
    """Size of an added thing: as large as the level draws it."""
    return "large" if level.single or THINGS[kind].family == "sky" else "medium"


def _attributes(level: Level, rng: Random, things: tuple[Thing, ...], lights: bool) -> Scene:
    season = rng.choice(level.seasons)
    weathers = [weather for weather in level.weathers if weather != "snowy" or season == "winter"]
    return Scene(
        time=rng.choice(level.times),
        season=season,
        weather=rng.choice([*weathers, "clear", "clear"] if len(level.weathers) > 1 else weathers),
        background=rng.choice(level.backgrounds),
        things=things,
        lights=lights,
    )


def _sample_simple(level: Level, rng: Random) -> Scene:
    main = Thing(rng.choice(level.main), rng.choice(level.colours), rng.choice(("left", "right")))
    things = (main,)
    if rng.random() < 0.4:
        (slot,) = free_slots(things, "balloon", level)
        things = (main, Thing("balloon", rng.choice(paints_of("balloon", level)), slot))
    return _attributes(level, rng, things, lights=False)


def _sample_broad(level: Level, rng: Random) -> Scene:
    """One large or medium thing at one side, perhaps a balloon at the other, in any hour, season and weather."""
    size, main = rng.choice(("large", "large", "medium")), rng.choice(level.main)
    things = (Thing(main, rng.choice(level.colours), rng.choice(("left", "right")), size),)
    if rng.random() < 0.4:
        (slot,) = free_slots(things, "balloon", level)
        things = (*things, Thing("balloon", rng.choice(paints_of("balloon", level)), slot))
    return _attributes(level, rng, things, lights=rng.random() < 0.3)


def _sample_many(level: Level, rng: Random) -> Scene:
    """One large or small thing, or two to three (medium level: two) of medium or small size, and things in the sky."""
    while True:
        number = rng.choice((1, 2, 2) if level.name == "medium" else (1, 2, 2, 3, 3))
        herd = rng.choice(level.others) if number > 1 and rng.random() < 0.2 else ""
        paint = rng.choice(paints_of(herd, level)) if herd else ""
        things = []
        for index, slot in enumerate(rng.sample(SLOTS, number)):
            kind = herd or rng.choice(level.main if index == 0 else level.main + level.others)
            size = ("large", "large", "small") if number == 1 else ("medium", "medium", "medium", "small")
            colour = paint if herd else rng.choice(paints_of(kind, level))
            things.append(Thing(kind, colour, slot, "medium" if herd else rng.choice(size)))
        flying = rng.choice((0, 1) if level.name == "medium" else (0, 1, 1, 2))
        for slot in rng.sample(SLOTS, flying):
            kind = rng.choice(level.sky)
            things.append(Thing(kind, rng.choice(paints_of(kind, level)), slot))
        scene = _attributes(level, rng, tuple(things), lights=rng.random() < 0.3)
        if plausible(scene) and len(set(things)) == len(things):
            return scene


SIMPLE = Level(
    name="simple",
    times=("day", "sunset"),
    seasons=("summer", "autumn", "winter"),
    weathers=("clear",),
    backgrounds=("hills", "sea", "city"),
    colours=("red", "blue", "yellow", "purple"),
    main=("house", "castle", "tent", "bus"),
    others=(),
    sky=("balloon",),
    edits=("recolour", "replace", "add", "remove", "background", "season", "time"),
    sample=_sample_simple,
    single=True,
)
BROAD = Level(
    name="broad",
    times=CYCLE,
    seasons=SEASONS,
    weathers=WEATHERS,
    backgrounds=BACKGROUNDS,
    colours=(*SIMPLE.colours, "white", "green"),
    main=SIMPLE.main,
    others=(),
    sky=SIMPLE.sky,
    edits=(
        *SIMPLE.edits,
        *("move", "resize", "weather", "lights", "visual"),
        *("brightness", "contrast", "saturation", "black_and_white", "sepia", "sketch", "mosaic", "blur", "painting"),
    ),
    sample=_sample_broad,
    single=True,
)
MEDIUM = Level(
    name="medium",
    times=("day", "sunset", "night"),
    seasons=SEASONS,
    weathers=("clear", "cloudy", "rainy", "snowy"),
    backgrounds=BACKGROUNDS,
    colours=(*SIMPLE.colours, "white", "green", "orange", "pink"),
    main=(*SIMPLE.main, "windmill", "car"),
    others=("tree", "pine", "cat", "sheep"),
    sky=("balloon", "kite"),
    edits=(*SIMPLE.edits, "move", "resize", "weather", "lights", "brightness", "black_and_white", "sepia", "mosaic"),
    sample=_sample_many,
)
FULL = Level(
    name="full",
    times=CYCLE,
    seasons=SEASONS,
    weathers=WEATHERS,
    backgrounds=BACKGROUNDS,
    colours=(*MEDIUM.colours, "black", "brown"),
    main=(*MEDIUM.main, "lighthouse", "truck", "boat"),
    others=(*MEDIUM.others, "duck", "elephant"),
    sky=(*MEDIUM.sky, "plane", "bird"),
    edits=(
        *SIMPLE.edits,
        *("move", "resize", "weather", "lights", "local", "focus", "count", "spatial", "visual"),
        *PICTURE_EDITS,
    ),
    sample=_sample_many,
)

LEVELS: dict[str, Level] = {level.name: level for level in (SIMPLE, BROAD, MEDIUM, FULL)}
