"""Words for what a scene shows: noun phrases, places, hours and whole captions."""

from __future__ import annotations

from ip2p_lightning.world.scene import Scene, Thing
from ip2p_lightning.world.things import THINGS

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


def noun(thing: Thing) -> str:
    """The thing without article: "red castle", "three white sheep"."""
    kind = thing.kind if thing.count == 1 else THINGS[thing.kind].plural
    words = f"{thing.colour} {kind}" if thing.colour else kind
    return words if thing.count == 1 else f"{NUMBER[thing.count]} {words}"


def some(thing: Thing) -> str:
    """The thing with indefinite article or number: "a red castle", "three white sheep"."""
    return a(noun(thing)) if thing.count == 1 else noun(thing)


def the(thing: Thing) -> str:
    """The thing by its kind alone: "the castle", "the sheep"."""
    return f"the {thing.kind if thing.count == 1 else THINGS[thing.kind].plural}"


def placed(thing: Thing) -> str:
    """The thing and where it is: "a red castle on the left", "a blue balloon in the sky on the right"."""
    sky = "in the sky " if THINGS[thing.kind].family == "sky" else ""
    return f"{some(thing)} {sky}{PLACE[thing.slot]}"


def listed(words: list[str]) -> str:
    """Words joined as in speech: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def hour(scene: Scene) -> str:
    """Hour, weather and season: "on a clear summer day"."""
    return HOUR[scene.time].format(weather=scene.weather, season=scene.season)


def caption(scene: Scene) -> str:
    """All that a scene shows, in one line."""
    ground = [placed(thing) for thing in scene.things if THINGS[thing.kind].family != "sky"]
    sky = [placed(thing) for thing in scene.things if THINGS[thing.kind].family == "sky"]
    words = f"{listed(ground)} {BEHIND[scene.background]} {hour(scene)}"
    return f"{words}, with {listed(sky)}" if sky else words
