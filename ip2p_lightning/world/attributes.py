"""Attributes of a scene in words: the exact truth that a judge reads back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS, PictureEdit
from ip2p_lightning.world.edits.change import Change
from ip2p_lightning.world.edits.local import FOCUS
from ip2p_lightning.world.palette import PAINTS
from ip2p_lightning.world.phrases import lit_things
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, SIZES, SLOTS, WEATHERS, Scene, Thing
from ip2p_lightning.world.things import THINGS, in_sky

NOTHING, PLAIN, AS_DRAWN = "nothing", "plain", "as drawn"
_LOOKS: dict[str, tuple[str, ...]] = {
    "brightness": ("brighter",) * 3 + ("darker",) * 3,
    "contrast": ("more contrast",) * 3 + ("less contrast",) * 3,
    "saturation": ("stronger colours",) * 3 + ("weaker colours",) * 3,
    "sharpen": (AS_DRAWN,) * 2,
    "blur": ("blurred",) * 3,
    "crop": ("cropped",) * 5,
    "rotate": ("turned left", "turned right", "upside down"),
    "flip": (AS_DRAWN, "upside down"),
    "sketch": ("sketch",),
    "sepia": ("sepia",),
    "black_and_white": ("black and white",),
    "mosaic": ("mosaic",),
    "painting": ("painting",),
    "focus": ("all but one grey", "all but one blurred", "all but one darker"),
}
"""The look that each edit of `PICTURE_EDITS` and `FOCUS` gives an image, in their order."""
LOOKS = tuple(dict.fromkeys((AS_DRAWN, *(look for looks in _LOOKS.values() for look in looks))))

_MIRRORING = (PICTURE_EDITS["flip"][0], PICTURE_EDITS["rotate"][2])
"""Edits after which left is right."""
_COLOURLESS = ("sketch", "sepia", "black and white", "all but one grey")
_OPPOSITE: dict[str, str] = dict(zip(SLOTS, reversed(SLOTS), strict=True))
_GROUND = tuple(kind for kind, entry in THINGS.items() if entry.family != "sky")
_SKY = tuple(kind for kind, entry in THINGS.items() if entry.family == "sky")


def _all() -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {
        "time": CYCLE, "season": SEASONS, "weather": WEATHERS, "background": BACKGROUNDS,
        "lights": ("off", "on"), "look": LOOKS,
    }  # fmt: skip
    for place in SLOTS:
        parts = {"thing": (NOTHING, *_GROUND), "colour": tuple(PAINTS), "size": SIZES, "part": (PLAIN, *PAINTS)}
        values |= {f"{place} {name}": words for name, words in parts.items()}
    for place in SLOTS:
        parts = {"thing": (NOTHING, *_SKY), "colour": tuple(PAINTS), "part": (PLAIN, *PAINTS)}
        values |= {f"{place} sky {name}": words for name, words in parts.items()}
    return values


ATTRIBUTES: dict[str, tuple[str, ...]] = _all()
"""Every attribute and the values that it takes: "time", ..., "left thing", "left colour", ..., "right sky part"."""


def describe(change: Change) -> tuple[dict[str, str], dict[str, str]]:
    """The attributes of both images of an edit, each under its name in `ATTRIBUTES`.

    What an image cannot show is left out: the colour of nothing, lights where there are no windows, colours in a
    sepia print, all but the look of a cropped image. Places are those that are seen: "left" after a mirroring is what
    was on the right before.
    """
    edit, after = change.picture_edit, change.after
    if edit is None:
        return _visible(change.before, AS_DRAWN), _visible(after, AS_DRAWN)
    if edit in _MIRRORING:
        after = replace(after, things=tuple(replace(thing, slot=_OPPOSITE[thing.slot]) for thing in after.things))
    given = AS_DRAWN if edit.preparation is None else "blurred"
    return _visible(change.before, given), _visible(after, look_of(edit), change.spared)


def look_of(edit: PictureEdit) -> str:
    """The entry of `LOOKS` that an edit of the whole image leads to.

    Raises:
        ValueError: an edit that is neither in `PICTURE_EDITS` nor in `FOCUS`.
    """
    for kind, edits in (*PICTURE_EDITS.items(), ("focus", FOCUS)):
        if edit in edits:
            return _LOOKS[kind][edits.index(edit)]
    raise ValueError(f"the edit {edit.phrases[0]!r} has no look; name it in world/attributes.py")


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The attributes that an edit must bring about: those of the edited image that the original does not have."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def kept(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The attributes that both images show, which an edit must leave alone."""
    return {name: value for name, value in after.items() if before.get(name) == value}


def _visible(scene: Scene, look: str, spared: Thing | None = None) -> dict[str, str]:
    """The attributes of a scene that can be seen under a look."""
    if look == "cropped":
        return {"look": look}
    shown = {"time": scene.time, "season": scene.season, "weather": scene.weather, "background": scene.background}
    if lit_things(scene):
        shown["lights"] = "on" if scene.lights else "off"
    if look == "sketch":
        shown = {"background": scene.background}
    shown["look"] = look
    for place in SLOTS:
        shown |= {f"{place} thing": NOTHING, f"{place} sky thing": NOTHING}
    for thing in scene.things:
        shown |= _thing(thing, coloured=look not in _COLOURLESS or thing == spared)
    return shown


def _thing(thing: Thing, coloured: bool) -> dict[str, str]:
    where = f"{thing.slot} sky" if in_sky(thing) else thing.slot
    shown = {"thing": thing.kind}
    if not in_sky(thing):
        shown["size"] = thing.size
    if coloured and thing.colour:
        shown["colour"] = thing.colour
    if coloured and THINGS[thing.kind].part:
        shown["part"] = thing.trim or PLAIN
    return {f"{where} {name}": value for name, value in shown.items()}
