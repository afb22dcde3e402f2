"""Words to a scene: what somebody types becomes an image of the embedded world.

Reads every caption that `phrases.caption` writes, and the same words in another order or with most of them left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ip2p_lightning.world.palette import PAINTS
from ip2p_lightning.world.phrases import NUMBER, PLACE
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, SLOTS, WEATHERS, Scene, Thing
from ip2p_lightning.world.things import THINGS, in_sky, plausible

MAX_LENGTH = 300
"""Characters: the longest captions have half as many."""
_KINDS = {name: kind for kind, entry in THINGS.items() for name in (kind, entry.plural)}
_SLOT = {place: slot for slot, place in PLACE.items()} | {"in the centre": "centre"}
_COUNT = {word: count for count, word in NUMBER.items()}


def _either(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_PARTS = _either({entry.part for entry in THINGS.values() if entry.part})
_PLACES = rf"(?:{_either(_SLOT)})"
_THING = re.compile(
    rf"\b(?:(?P<count>{_either(_COUNT)}) )?(?:(?P<size>small|large) )?(?:(?P<colour>{_either(PAINTS)}) )?"
    rf"(?P<kind>{_either(_KINDS)})\b(?: with (?:an? )?(?P<trim>{_either(PAINTS)}) (?:{_PARTS})\b)?"
    rf"(?: in the sky)?(?P<places>(?:(?:, | and | ){_PLACES})*)"
)
_WITHOUT_MEANING = {
    *("a", "an", "the", "there", "is", "are", "and", "with", "sky"),
    *("at", "on", "in", "of", "by", "before", "front"),
}


def scene_of_words(words: str) -> Scene:
    """The scene that words describe; what they leave out is a clear summer day before hills.

    A thing without a colour is red, a tree has its own. Things without a place stand where there is room, a single one
    on the left; several on the ground are of medium size, a single one is large.

    Args:
        words: "a red castle by the sea at night", or a caption of the world.

    Raises:
        ValueError: no thing, a word that the world does not know, or things that do not fit into one image.
    """
    text = " ".join(re.sub(r"[.;:!?\"']", " ", words.lower()).split())
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the scene has {len(text)} characters; describe it in at most {MAX_LENGTH}")
    things: list[Thing] = []
    for match in _THING.finditer(text):
        things += _things(match)
    if not things:
        raise ValueError(f"scene {words!r} names no thing; name one or more of {', '.join(THINGS)}")
    rest, lights = re.subn(r"(?:with )?(?:the )?lights on\b", " ", _THING.sub(" ", text))
    values = _backdrop(words, re.findall(r"[\w-]+", rest))
    scene = Scene(things=tuple(_placed(things)), lights=bool(lights), **values)
    if not plausible(scene):
        raise ValueError(
            f"scene {words!r} does not fit into one image: name at most three things on the ground, each with a "
            f"place of its own ({', '.join(PLACE.values())}), nothing in the sky over a large one, and boats by the "
            "sea alone"
        )
    return scene


def _things(match: re.Match[str]) -> list[Thing]:
    kind = _KINDS[match["kind"]]
    colour = "" if THINGS[kind].family == "tree" else match["colour"] or "red"
    slots = [_SLOT[place] for place in re.findall(_PLACES, match["places"])]
    count = max(len(slots), _COUNT.get(match["count"] or "", 1))
    size = match["size"] or ""
    return [Thing(kind, colour, slot, size, match["trim"] or "") for slot in [*slots, *[""] * (count - len(slots))]]


def _placed(things: list[Thing]) -> list[Thing]:
    """The things with places and sizes where the words gave none."""
    alone = sum(not in_sky(thing) for thing in things) == 1
    found: list[Thing] = []
    for thing in sorted(things, key=lambda thing: (not thing.slot, in_sky(thing))):  # those with a place take it first
        size = thing.size or ("large" if alone or in_sky(thing) else "medium")
        # Besides others of the same height, and no tower under what flies.
        taken = {other.slot for other in found if in_sky(other) == in_sky(thing) or "large" == size == other.size}
        free = [slot for slot in ("left", "right", "centre") if slot not in taken] or ["centre"]
        found.append(replace(thing, slot=thing.slot or free[0], size=size))
    return sorted(found, key=lambda thing: (in_sky(thing), SLOTS.index(thing.slot)))


def _backdrop(words: str, left: list[str]) -> dict[str, str]:
    values = {"time": "day", "season": "summer", "weather": "clear", "background": "hills"}
    known = {"time": CYCLE, "season": SEASONS, "weather": WEATHERS, "background": BACKGROUNDS}
    for word in left:
        name = next((name for name, choices in known.items() if word in choices), None)
        if name is not None:
            values[name] = word
        elif word not in _WITHOUT_MEANING:
            raise ValueError(
                f"scene {words!r}: the embedded world knows no {word!r}; it has {', '.join(THINGS)}; colours "
                f"{', '.join(PAINTS)}; {'; '.join(', '.join(choices) for choices in known.values())}"
            )
    return values
