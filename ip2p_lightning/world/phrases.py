"""Words for what a scene shows: noun phrases, places, hours and whole captions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ip2p_lightning.world.scene import SLOTS, Scene, Thing
from ip2p_lightning.world.things import THINGS, in_sky

PLACE = {"left": "on the left", "centre": "in the middle", "right": "on the right"}
BEHIND = {
    "hills": "in front of hills",
    "mountains": "in front of mountains",
    "sea": "by the sea",
    "city": "in front of a city",
    "forest": "in front of a forest",
}
NUMBER = {1: "one", 2: "two", 3: "three"}
HOUR = {"day": "on a {weather} {season} day", "sunset": "at a {weather} {season} sunset"}
HOUR |= {"night": "on a {weather} {season} night", "dawn": "at a {weather} {season} dawn"}


def a(words: str) -> str:
    """The words with their indefinite article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def noun(thing: Thing, plural: bool = False) -> str:
    """The thing without article: "red castle", "small blue car with a yellow roof"; plural "red castles"."""
    kind = THINGS[thing.kind]
    words = ("small" if thing.size == "small" else "", thing.colour, kind.plural if plural else thing.kind)
    painted = f"with {part_of(thing)}" if thing.trim and kind.part else ""
    return " ".join(word for word in (*words, painted) if word)


def part_of(thing: Thing) -> str:
    """A painted part with its article: "a yellow roof", "yellow sails"."""
    part = THINGS[thing.kind].part
    words = f"{thing.trim} {part}"
    return words if part.endswith("s") else a(words)


def some(thing: Thing) -> str:
    """The thing with indefinite article: "a red castle"."""
    return a(noun(thing))


def the(thing: Thing, scene: Scene) -> str:
    """The shortest name that fits no other thing of the scene: "the castle", "the red car", "the sheep on the left"."""
    alike = [other for other in scene.things if other.kind == thing.kind]
    if len(alike) == 1:
        return f"the {thing.kind}"
    if thing.colour and sum(other.colour == thing.colour for other in alike) == 1:
        return f"the {thing.colour} {thing.kind}"
    return f"the {thing.kind} {PLACE[thing.slot]}"


def placed(thing: Thing) -> str:
    """The thing and where it is: "a red castle on the left", "a blue balloon in the sky on the right"."""
    return placed_herd([thing])


def listed(words: Iterable[str]) -> str:
    """Words joined as in speech: "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def ground(scene: Scene) -> list[Thing]:
    """The things that stand on the ground, from left to right."""
    return sorted((thing for thing in scene.things if not in_sky(thing)), key=_column)


def sky(scene: Scene) -> list[Thing]:
    """The things that fly, from left to right."""
    return sorted((thing for thing in scene.things if in_sky(thing)), key=_column)


def _column(thing: Thing) -> int:
    return SLOTS.index(thing.slot)


def twins(one: Thing, other: Thing) -> bool:
    """True if two things differ in their place at most."""
    return replace(one, slot=other.slot) == other


def herds(things: Iterable[Thing]) -> list[list[Thing]]:
    """Things that differ in their place alone, put together; in order of the first of each."""
    groups: list[list[Thing]] = []
    for thing in things:
        group = next((group for group in groups if twins(group[0], thing)), None)
        if group is None:
            groups.append([thing])
        else:
            group.append(thing)
    return groups


def named(herd: list[Thing], article: str = "a") -> str:
    """A herd by number and look: "a red castle", "the red castle", "three blue sheep", "the three blue sheep"."""
    if len(herd) == 1:
        return some(herd[0]) if article == "a" else f"the {noun(herd[0])}"
    words = f"{NUMBER[len(herd)]} {noun(herd[0], plural=True)}"
    return words if article == "a" else f"the {words}"


def called(herd: list[Thing], scene: Scene) -> str:
    """The shortest name of a herd: "the castle", "the sheep", "the red car"."""
    return the(herd[0], scene) if len(herd) == 1 else f"the {THINGS[herd[0].kind].plural}"


def placed_herd(herd: list[Thing]) -> str:
    """A herd and its places: "a red castle on the left", "two blue sheep on the left and on the right"."""
    sky_words = "in the sky " if in_sky(herd[0]) else ""
    return f"{named(herd)} {sky_words}{listed(PLACE[thing.slot] for thing in herd)}"


def subject(things: Iterable[Thing]) -> str:
    """Known things: "the red house and the two trees"."""
    return listed(named(herd, "the") for herd in herds(things))


def summary(scene: Scene) -> str:
    """The scene in a few words: "a red house and a tree by the sea"."""
    return f"{listed(named(herd) for herd in herds(ground(scene)))} {BEHIND[scene.background]}"


def lit_things(scene: Scene) -> list[Thing]:
    """The things with windows."""
    return [thing for thing in scene.things if THINGS[thing.kind].windows]


def caption(scene: Scene) -> str:
    """All that a scene shows, in one line."""
    hour = HOUR[scene.time].format(weather=scene.weather, season=scene.season)
    words = f"{listed(placed_herd(herd) for herd in herds(ground(scene)))} {BEHIND[scene.background]} {hour}"
    flying = [placed_herd(herd) for herd in herds(sky(scene))]
    words = f"{words}, with {listed(flying)}" if flying else words
    return f"{words}, the lights on" if scene.lights and lit_things(scene) else words
