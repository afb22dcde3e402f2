"""The level's words: names of things, captions with more or less in them, and what they say."""

from __future__ import annotations

from random import Random
from typing import Any

from ip2p_lightning.world.open.scene import SIDES, OpenScene, Thing

AT = {"left": "on the left", "centre": "in the middle", "right": "on the right"}
IN = {
    "hills": ("before the hills", "in the hills"),
    "mountains": ("before the mountains", "in the mountains"),
    "sea": ("by the sea", "at the seaside"),
    "city": ("in the city", "before the city"),
    "forest": ("at the forest", "before the forest"),
}
WHEN = {
    "dawn": ("at dawn", "at sunrise"),
    "day": ("at noon", "by day"),
    "sunset": ("at sunset", "in the evening"),
    "night": ("at night", "by night"),
}
SKIES = {
    "clear": ("under a clear sky", "in fine weather"),
    "cloudy": ("under clouds", "under a cloudy sky"),
    "rainy": ("in the rain", "on a rainy day"),
    "snowy": ("in falling snow", "while it snows"),
    "foggy": ("in fog", "on a foggy day"),
}


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def name(thing: Thing) -> str:
    """The shortest name: "cat", "woman", "pilot"."""
    return thing.gender if thing.family == "person" else thing.kind


def look(thing: Thing, *, details: bool = True) -> str:
    """A thing with what can be seen of it: "a large red car", "a woman with curly hair in a green shirt"."""
    words = [thing.size] if thing.size == "small" else []
    if thing.family == "person":
        hair = "a bald head" if thing.trait == "no" else f"{thing.trait} hair"
        after = [f"with {hair} in {article(f'{thing.colour} shirt')}"] if details else []
    elif thing.family == "worker":
        words += ["female" if thing.gender == "woman" else "male"] if details else []
        after = []
    else:
        words += [word for word in (thing.colour, thing.trait) if word]
        after = []
    after += [f"{'and' if after else 'with'} {article(thing.hat)}"] if thing.hat and details else []
    after += [f"with {article(f'{thing.flag} flag')}"] if thing.flag and details else []
    return article(" ".join([*words, name(thing), *after]))


def the(thing: Thing, scene: OpenScene) -> str:
    """A thing as an instruction names it, with its side where two share a name."""
    twins = [other for other in scene.things if name(other) == name(thing)]
    return f"the {name(thing)}" + (f" {AT[thing.side]}" if len(twins) > 1 else "")


def everything(scene: OpenScene) -> str:
    """All things by their names: "the cat and the house"."""
    return " and ".join(the(thing, scene) for thing in scene.things)


def caption(scene: OpenScene, seed: int) -> str:
    """A caption; the seed decides its words, and what it leaves out."""
    return _composed(scene, Random(seed))[0]


def said(scene: OpenScene, seed: int) -> dict[str, Any]:
    """Content of a caption: "time", "season", "weather", "background" where named; "things", with the fields said."""
    return _composed(scene, Random(seed))[1]


def _composed(scene: OpenScene, rng: Random) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] = {"things": []}
    phrases = []
    details, sides = rng.random() < 0.7, rng.random() < 0.5
    for thing in sorted(scene.things, key=lambda one: (one.family == "sky", SIDES.index(one.side))):
        there = f" {AT[thing.side]}" if sides and thing.family != "sky" else ""
        phrases.append(look(thing, details=details) + (" in the sky" if thing.family == "sky" else there))
        fields = (
            ("colour", "trait", "gender", "hat", "flag") if details or thing.family not in ("worker", "person") else ()
        )
        fields += ("gender",) if thing.family == "person" else ()
        shown = {field: getattr(thing, field) for field in fields if getattr(thing, field)}
        shown |= {"size": "small"} if thing.size == "small" else {}
        facts["things"].append({"kind": thing.kind} | shown | ({"side": thing.side} if there else {}))
    text = " and ".join((", ".join(phrases[:-1]), phrases[-1])) if len(phrases) > 1 else phrases[0]
    if rng.random() < 0.85:
        text, facts["background"] = f"{text} {rng.choice(IN[scene.place])}", scene.place
    ends = []
    if rng.random() < 0.65:
        ends.append(f"in {scene.season}")
        facts["season"] = scene.season
    if rng.random() < 0.75:
        ends.append(rng.choice(WHEN[scene.time]))
        facts["time"] = scene.time
    if rng.random() < 0.75:
        ends.append(rng.choice(SKIES[scene.weather]))
        facts["weather"] = scene.weather
    return " ".join([text, *ends]), facts
