"""The distribution of everything that words leave open, and of the scenes themselves.

Of a thing that words name, these stay open: the variant (evenly among its kind's); side, size, colour, expression,
gender and skin tone where they are not said (evenly); the middle (evenly over `X`), the foot (over `FOOT`), the extent
(over `kinds.SPREAD` to either side); whether it is mirrored (even odds); the tone of its paint (evenly). Where things
would hide each other, all is drawn again.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random
from typing import Any

from ip2p_lightning.world.open.kinds import (
    FACES,
    GENDERS,
    HAIR,
    KINDS,
    SMALL,
    SPREAD,
    TONES,
    person_sprite,
    worker_sprite,
)
from ip2p_lightning.world.open.parts import box, width
from ip2p_lightning.world.open.scene import SIDES, SIZES, OpenScene, Surroundings, Thing
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, WEATHERS

X = {"left": (0.18, 0.30), "centre": (0.45, 0.55), "right": (0.70, 0.82)}
FOOT = {"small": (0.80, 0.88), "large": (0.88, 0.95)}
_SKY_FOOT, _SEA_FOOT = (0.30, 0.44), (0.70, 0.76)
_OVERLAP, _EDGE, _TRIES = 0.1, 0.01, 24
SURROUNDINGS = ("clouds", "relief", "ground", "fall", "sun")
"""Fields of `Surroundings`; a seed has `SEEDS` values, evenly."""
SEEDS = 1 << 16


def fulfil(kind: str, said: dict[str, Any], scene: OpenScene, rng: Random) -> Thing | None:
    """Draw a thing that words ask for into a scene.

    Args:
        kind: of the thing.
        said: fields of `Thing` that are settled, by words or because they were there before.
        scene: what it must fit into.
        rng: draws all else.

    Returns:
        The thing, or None where none fits.
    """
    sides = _free_sides(kind, scene)
    if said.get("side", sides[0] if sides else "") not in sides:
        return None
    for _ in range(_TRIES):
        thing = _draw(kind, {"side": rng.choice(sides)} | said, rng)
        if all(_overlap(thing, other) <= _OVERLAP for other in scene.things):
            return thing
    return None


def _free_sides(kind: str, scene: OpenScene) -> list[str]:
    """Sides on which nothing of the same height is; none for a second one in the sky, or boats on land."""
    family = KINDS[kind].family
    if (family == "boat" and scene.place != "sea") or (family == "sky" and scene.flying):
        return []
    taken = () if family == "sky" else {other.side for other in scene.ground}
    return [side for side in SIDES if side not in taken]


def plausible(scene: OpenScene) -> bool:
    """True if all things of a scene fit next to each other."""
    boats = any(thing.family == "boat" for thing in scene.things)
    sides = [thing.side for thing in scene.ground]
    return (
        (not boats or scene.place == "sea")
        and len(set(sides)) == len(sides)
        and all(_overlap(*pair) <= _OVERLAP for pair in combinations(scene.things, 2))
    )


def reopened(surroundings: Surroundings, names: tuple[str, ...], rng: Random) -> Surroundings:
    """Surroundings with the named fields drawn."""
    drawn = {name: rng.uniform(-0.5, 0.5) if name == "sun" else rng.randrange(SEEDS) for name in names}
    return replace(surroundings, **drawn)


def sample(rng: Random) -> OpenScene:
    """A scene by chance: one thing, or two in half of all; something in the sky in a third."""
    season = rng.choice(SEASONS)
    weathers = [weather for weather in WEATHERS if weather != "snowy" or season == "winter"]
    scene = OpenScene(
        time=rng.choice(CYCLE),
        season=season,
        weather=rng.choice([*weathers, "clear", "clear"]),
        place=rng.choice(BACKGROUNDS),
        lights=rng.random() < 0.3,
        surroundings=reopened(Surroundings(), SURROUNDINGS, rng),
    )
    for number in range(rng.choice((1, 2))):
        scene = _with_another(scene, _kind(rng), rng, {"size": "large"} if number == 0 and rng.random() < 0.6 else {})
    if rng.random() < 0.35:
        scene = _with_another(scene, rng.choice(_FLYING), rng, {})
    return scene if scene.ground else sample(rng)


def drawn_again(scene: OpenScene, rng: Random) -> OpenScene:
    """Another draw of a scene of which words say the same."""
    for _ in range(_TRIES):
        found = replace(scene, things=(), surroundings=reopened(scene.surroundings, SURROUNDINGS, rng))
        for thing in scene.things:
            new = fulfil(thing.kind, dict(_words(thing)), found, rng)
            found = replace(found, things=(*found.things, new)) if new else found
        if len(found.things) == len(scene.things):
            return found
    return scene


_FLYING = tuple(name for name, kind in KINDS.items() if kind.family == "sky")
_FAMILIES = ("animal", "animal", "animal", "building", "building", "plant", "vehicle", "vehicle", "object")
_FAMILIES += ("object", "face", "worker", "worker", "person", "person", "boat")
_OF = {family: tuple(n for n, kind in KINDS.items() if kind.family == family) for family in set(_FAMILIES)}


def _kind(rng: Random) -> str:
    return rng.choice(_OF[rng.choice(_FAMILIES)])


def _with_another(scene: OpenScene, kind: str, rng: Random, said: dict[str, Any]) -> OpenScene:
    if KINDS[kind].family == "building" and rng.random() < 0.25:
        said = said | {"flag": rng.choice(("red", "blue", "yellow", "green"))}
    if KINDS[kind].family in ("face", "person") and rng.random() < 0.25:
        said = said | {"hat": rng.choice(("crown", "top hat", "cap", "straw hat"))}
    thing = fulfil(kind, said, scene, rng)
    return scene if thing is None else replace(scene, things=(*scene.things, thing))


def _words(thing: Thing) -> list[tuple[str, Any]]:
    names = ("side", "size", "colour", "trait", "gender", "tone", "hat", "flag")
    return [(name, getattr(thing, name)) for name in names]


def _draw(kind: str, said: dict[str, Any], rng: Random) -> Thing:
    entry = KINDS[kind]
    family, people = entry.family, entry.family in ("worker", "person")
    values: dict[str, Any] = {
        "size": "large" if people else rng.choice(SIZES),
        "colour": rng.choice(entry.paints) if entry.paints else "",
        "trait": rng.choice(_TRAITS[family]) if family in _TRAITS else "",
        "gender": rng.choice(GENDERS) if people else "",
        "tone": rng.choice(TONES) if people else "",
        "flipped": rng.random() < 0.5,
        "shade": rng.choice((-1, 0, 1)) if entry.paints else 0,
    } | said
    if "sprite" not in values:
        values["sprite"] = _variant(kind, values, rng)
    if "extent" not in values:
        usual = entry.height * (1 if values["size"] == "large" else SMALL)
        values["extent"] = usual * rng.uniform(1 - SPREAD, 1 + SPREAD)
    if "foot" not in values:
        low, high = {"sky": _SKY_FOOT, "boat": _SEA_FOOT}.get(family, FOOT[values["size"]])
        values["foot"] = 1.0 if people else rng.uniform(low, high)
    if "x" not in values:
        values["x"] = rng.uniform(*X[values["side"]])
    half = width(kind, values["sprite"], values["extent"]) / 2
    values["x"] = min(max(values["x"], half + _EDGE), 1 - half - _EDGE)
    return Thing(kind, **values)


_TRAITS = {"face": tuple(FACES), "person": tuple(HAIR)}


def _variant(kind: str, values: dict[str, Any], rng: Random) -> str:
    family = KINDS[kind].family
    if family == "worker":
        return worker_sprite(kind, values["gender"], values["tone"])
    if family == "person":
        return person_sprite(values["trait"], values["gender"], values["tone"])
    return rng.choice(FACES[values["trait"]] if family == "face" else KINDS[kind].variants)


def _overlap(one: Thing, other: Thing) -> float:
    """Shared area of two boxes as a share of the smaller one's."""
    (a, b, c, d), (e, f, g, h) = box(one), box(other)
    shared = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
    return shared / min((c - a) * (d - b), (g - e) * (h - f))
