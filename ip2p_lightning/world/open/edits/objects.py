"""Edits of whole things: add, remove, replace, recolour, move, resize."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.open.distribution import X
from ip2p_lightning.world.open.edits.change import OpenChange, edit, settle, wish
from ip2p_lightning.world.open.kinds import KINDS
from ip2p_lightning.world.open.scene import SIDES, OpenScene, Thing
from ip2p_lightning.world.open.texts import AT, article, look, name, the
from ip2p_lightning.world.palette import unlike

ADD = (
    "add {a}{at}",
    "put {a}{at}",
    "place {a}{at}",
    "there should be {a}{at}",
    "I want to see {a}{at}",
    "include {a}{at}",
)
REMOVE = ("remove {the}", "get rid of {the}", "take {the} away", "erase {the}", "delete {the}", "without {the}, please")
REPLACE = (
    "replace {the} with {a}",
    "turn {the} into {a}",
    "swap {the} for {a}",
    "make {the} {a}",
    "{a} instead of {the}",
)
RECOLOUR = (
    "make {the} {new}",
    "paint {the} {new}",
    "turn {the} {new}",
    "{the} should be {new}",
    "give {the} a {new} colour",
)
MOVE = ("move {the} {to}", "put {the} {at}", "shift {the} {to}", "{the} should be {at}")
TO = {"left": "to the left", "centre": "to the middle", "right": "to the right"}
GROW = ("make {the} bigger", "enlarge {the}", "{the} should be larger", "let {the} grow", "scale {the} up")
SHRINK = ("make {the} smaller", "shrink {the}", "{the} should be smaller", "let {the} shrink", "scale {the} down")
ADDED = tuple(name for name, kind in KINDS.items() if kind.family not in ("worker", "person"))


def shown(new: tuple[Thing, ...], scene: OpenScene) -> str:
    """The new things, and their places."""
    parts = [look(thing) + (" in the sky" if thing.family == "sky" else f" {AT[thing.side]}") for thing in new]
    return " and ".join(parts) + ", all else unchanged"


@edit("add")
def add(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Add a thing; its side and colour are said or left open, its size and variant are open."""
    kind = rng.choice(ADDED)
    said: dict[str, str] = {}
    if KINDS[kind].paints and rng.random() < 0.6:
        said["colour"] = rng.choice(KINDS[kind].paints)
    if KINDS[kind].family == "face":
        said["trait"] = rng.choice(("happy", "sad", "angry", "crying"))
    sky = KINDS[kind].family == "sky"
    if not sky and rng.random() < 0.5:
        said["side"] = rng.choice(SIDES)
    words = " ".join(said[key] for key in ("colour", "trait") if key in said)
    at = f" {AT[said['side']]}" if "side" in said else " in the sky" if sky and rng.random() < 0.5 else ""
    instruction = rng.choice(ADD).format(a=article(f"{words} {kind}".strip()), at=at)
    return settle(scene, scene, rng, instruction=instruction, look=shown, wishes=(wish(kind, **said),))


@edit("remove")
def remove(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Remove one of several things."""
    if len(scene.things) < 2:
        return None
    old = rng.choice(scene.things)
    place = "in the sky" if old.family == "sky" else AT[old.side]

    def gone(new: tuple[Thing, ...], after: OpenScene) -> str:
        return f"nothing {place} where {the(old, scene)} was, all else unchanged"

    return settle(scene, scene.without(old), rng, instruction=rng.choice(REMOVE).format(the=the(old, scene)), look=gone)


@edit("replace")
def replace_thing(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Put another thing where one is; its variant, its pose and, if not said, its colour are open."""
    old = rng.choice(scene.things)
    if old.family in ("worker", "person"):
        return None
    sky = old.family == "sky"
    kinds = [kind for kind in ADDED if kind != old.kind and (KINDS[kind].family == "sky") == sky]
    kind = rng.choice(kinds)
    said: dict[str, object] = {"side": old.side, "size": old.size, "x": old.x}
    if KINDS[kind].family != "boat" and old.family != "boat":
        said["foot"] = old.foot
    word = ""
    if KINDS[kind].paints and rng.random() < 0.5:
        word = said["colour"] = rng.choice(KINDS[kind].paints)
    if KINDS[kind].family == "face":
        word = said["trait"] = rng.choice(("happy", "sad", "angry", "crying"))
    phrase = rng.choice(REPLACE).format(the=the(old, scene), a=article(f"{word} {kind}".strip()))
    return settle(scene, scene.without(old), rng, instruction=phrase, look=shown, wishes=(wish(kind, **said),))


@edit("recolour")
def recolour(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Give a thing another colour; its tone is open."""
    painted = [thing for thing in scene.things if thing.colour and thing.family != "person"]
    if not painted:
        return None
    old = rng.choice(painted)
    new = rng.choice([paint for paint in unlike(old.colour, KINDS[old.kind].paints) if paint != old.colour])
    instruction = rng.choice(RECOLOUR).format(the=the(old, scene), new=new)
    wishes = (as_it_was(old, colour=new, but=("shade",)),)
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=wishes)


@edit("move")
def move(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Put a thing at another side; where exactly is open."""
    old = rng.choice(scene.things)
    side = rng.choice([side for side in SIDES if side != old.side])
    instruction = rng.choice(MOVE).format(the=the(old, scene), to=TO[side], at=AT[side])
    if abs(sum(X[side]) / 2 - old.x) < 0.2:
        return None
    wishes = (as_it_was(old, side=side, but=("x", "foot")),)
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=wishes)


@edit("resize")
def resize(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Make a thing clearly larger or smaller; how much, within its size, is open."""
    old = rng.choice(scene.things)
    if old.family in ("worker", "person"):
        return None
    grown = old.size == "small"
    instruction = rng.choice(GROW if grown else SHRINK).format(the=the(old, scene))
    wishes = (as_it_was(old, size="large" if grown else "small", but=("extent",)),)

    def sized(new: tuple[Thing, ...], after: OpenScene) -> str:
        return f"a {'large' if grown else 'small'} {name(old)} in its place, all else unchanged"

    return settle(scene, scene.without(old), rng, instruction=instruction, look=sized, wishes=wishes)


def as_it_was(old: Thing, *, but: tuple[str, ...] = (), **changed: object):
    """A wish for a thing as it was, but for what is changed, and what is open in ``but``."""
    fields = {key: value for key, value in vars(replace(old, **changed)).items() if key not in (*but, "kind")}
    return wish(old.kind, **fields)
