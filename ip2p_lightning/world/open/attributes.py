"""Attributes of images of the open level, and the right answers to an instruction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ip2p_lightning.world.attributes import AS_DRAWN, LOOKS, NOTHING, look_of
from ip2p_lightning.world.open.edits import OpenChange, answers
from ip2p_lightning.world.open.kinds import FACES, GENDERS, HAIR, HATS, KINDS, PAINTED, TONES
from ip2p_lightning.world.open.scene import SIDES, SIZES, OpenScene, Thing
from ip2p_lightning.world.open.sprites import has_windows
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, WEATHERS

NONE = "none"
_GREY = ("sketch", "sepia", "black and white")
_GROUND = tuple(name for name, kind in KINDS.items() if kind.family != "sky")
_SKY = tuple(name for name, kind in KINDS.items() if kind.family == "sky")
_TRAITS = tuple(dict.fromkeys((*FACES, *HAIR)))
ALTERNATIVES = 16
"""Right answers that are drawn to find all that count as right."""


def _all() -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {
        "time": CYCLE, "season": SEASONS, "weather": WEATHERS, "background": BACKGROUNDS,
        "lights": ("off", "on"), "look": LOOKS,
    }  # fmt: skip
    for side in SIDES:
        parts = {
            "thing": (NOTHING, *_GROUND), "colour": PAINTED, "size": SIZES, "trait": _TRAITS, "gender": GENDERS,
            "tone": TONES, "hat": (NONE, *HATS), "flag": (NONE, "red", "blue", "yellow", "green"),
        }  # fmt: skip
        values |= {f"{side} {name}": words for name, words in parts.items()}
    return values | {"sky thing": (NOTHING, *_SKY), "sky colour": PAINTED, "sky side": SIDES, "sky size": SIZES}


ATTRIBUTES: dict[str, tuple[str, ...]] = _all()
"""Every attribute of the level and its values."""


def visible(scene: OpenScene, look: str = AS_DRAWN) -> dict[str, str]:
    """The attributes of a scene that can be seen under a look; the colour of nothing, for example, cannot."""
    if look in ("cropped", "turned left", "turned right", "upside down"):
        return {"look": look}
    shown = {"time": scene.time, "season": scene.season, "weather": scene.weather, "background": scene.place}
    if look == "sketch":
        shown = {"background": scene.place}
    shown |= {"look": look, "sky thing": NOTHING} | {f"{side} thing": NOTHING for side in SIDES}
    if any(thing.family == "building" and has_windows(thing.sprite) for thing in scene.things):
        shown["lights"] = "on" if scene.lights else "off"
    for thing in scene.things:
        shown |= _thing(thing, coloured=look not in _GREY)
    return shown


def describe(change: OpenChange) -> tuple[dict[str, str], dict[str, str]]:
    """The attributes of the original and of the answer that is shown."""
    edit, after = change.picture_edit, change.after
    if edit is None:
        return visible(change.before), visible(after)
    look = look_of(edit)
    if edit.look.startswith("the mirror"):
        turned = {"left": "right", "right": "left", "centre": "centre"}
        after = replace(after, things=tuple(replace(thing, side=turned[thing.side]) for thing in after.things))
    return visible(change.before, "blurred" if edit.preparation else AS_DRAWN), visible(after, look)


def alternatives(change: OpenChange) -> list[dict[str, str]]:
    """Right answers: for each answer to the instruction, the attributes that it changes, without repeats."""
    before, shown = describe(change)
    scenes = [visible(scene) for scene in answers(change, ALTERNATIVES)] if change.wishes else []
    found = []
    for after in (shown, *scenes):
        asked = {name: value for name, value in after.items() if before.get(name) != value}
        if asked not in found:
            found.append(asked)
    return found


def metadata(change: OpenChange) -> dict[str, Any]:
    """Metadata stored with a pair."""
    original, edited = describe(change)
    return {"attributes": {"original": original, "edited": edited}, "alternatives": alternatives(change)}


def _thing(thing: Thing, coloured: bool) -> dict[str, str]:
    if thing.family == "sky":
        shown = {"thing": thing.kind, "side": thing.side, "size": thing.size}
        return {f"sky {key}": value for key, value in shown.items()} | (
            {"sky colour": thing.colour} if coloured and thing.colour else {}
        )
    shown = {"thing": thing.kind, "size": thing.size}
    if coloured and thing.colour:
        shown["colour"] = thing.colour
    for key in ("trait", "gender", "tone"):
        if getattr(thing, key) and (coloured or key != "tone"):
            shown[key] = getattr(thing, key)
    if thing.family in ("face", "person"):
        shown["hat"] = thing.hat or NONE
    if thing.family == "building":
        shown["flag"] = thing.flag or NONE
    return {f"{thing.side} {key}": value for key, value in shown.items()}
