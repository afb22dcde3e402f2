"""Edits of single things: recolour, replace, add, remove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.levels import Level, added_size, free_slots, paints_of
from ip2p_lightning.world.palette import unlike
from ip2p_lightning.world.phrases import PLACE, a, ground, placed, some, subject, the
from ip2p_lightning.world.scene import Scene, Thing
from ip2p_lightning.world.things import THINGS, in_sky, plausible

RECOLOUR = (
    "make {the} {colour}",
    "paint {the} {colour}",
    "turn {the} {colour}",
    "change the colour of {the} to {colour}",
    "{the} should be {colour}",
)
REPLACE = (
    "replace {the} with {new}",
    "turn {the} into {new}",
    "swap {the} for {new}",
    "put {new} where {the} is",
    "exchange {the} for {new}",
)
ADD = ("add {new}", "put {new} in the {where}", "let there be {new}", "there should be {new} in the {where}")
ADD_TO_SKY = ("add {new} to the sky", "let {new} fly in the sky")
REMOVE = ("remove {the}", "take {the} away", "delete {the}", "get rid of {the}", "the picture without {the}")


def painted(scene: Scene, level: Level) -> Sequence[Thing]:
    """The things that an instruction may repaint or replace."""
    return scene.things[:1] if level.single else [thing for thing in scene.things if thing.colour]


def repaint(scene: Scene, old: Thing, colour: str, instruction: str) -> Change:
    """The change that gives one thing another paint."""
    new = replace(old, colour=colour)
    return Change(scene, scene.with_thing(old, new), instruction, f"{placed(new)}, the rest of the picture unchanged")


@edit("recolour")
def recolour(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Give a thing another paint."""
    candidates = painted(scene, level)
    if not candidates:
        return None
    old = rng.choice(candidates)
    colours = [colour for colour in unlike(old.colour, paints_of(old.kind, level)) if colour != old.trim]
    colour = rng.choice(colours)
    return repaint(scene, old, colour, rng.choice(RECOLOUR).format(the=the(old, scene), colour=colour))


@edit("replace")
def replace_thing(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Put another thing in a thing's place."""
    candidates = painted(scene, level)
    if not candidates:
        return None
    old = rng.choice(candidates)
    kinds = level.sky if in_sky(old) else level.main + level.others
    kind = rng.choice([kind for kind in kinds if kind != old.kind] or [""])
    if not kind or "boat" in (THINGS[kind].family, THINGS[old.kind].family):
        return None
    new = Thing(kind, rng.choice(paints_of(kind, level)), old.slot, old.size)
    after = scene.with_thing(old, new)
    if not plausible(after) or len(set(after.things)) < len(after.things):
        return None
    return Change(
        scene,
        after,
        rng.choice(REPLACE).format(the=the(old, scene), new=some(new)),
        f"{some(new)} {PLACE[new.slot]} where {the(old, scene)} was",
    )


@edit("add")
def add(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Add a thing at a free place, which the instruction names unless the level has one fixed place."""
    kind = rng.choice(level.sky if level.single else level.sky + level.main + level.others)
    slots = free_slots(scene.things, kind, level)
    if not slots or (level.single and len(scene.things) > 1):
        return None
    new = Thing(kind, rng.choice(paints_of(kind, level)), rng.choice(slots), added_size(kind, level))
    after = replace(scene, things=(*scene.things, new))
    if not plausible(after):
        return None
    phrase = rng.choice(ADD + ADD_TO_SKY if in_sky(new) else ADD)
    instruction = phrase.format(new=some(new), where="sky" if in_sky(new) else "scene")
    return Change(
        scene,
        after,
        instruction if level.single else f"{instruction} {PLACE[new.slot]}",
        f"{placed(new)}, {subject(ground(scene))} unchanged",
    )


@edit("remove")
def remove(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Take a thing away; one stays on the ground."""
    candidates = [thing for thing in scene.things if in_sky(thing) or (not level.single and len(ground(scene)) > 1)]
    if not candidates:
        return None
    old = rng.choice(candidates)
    return Change(
        scene,
        scene.with_thing(old, None),
        rng.choice(REMOVE).format(the=the(old, scene)),
        without(scene, old),
    )


def without(scene: Scene, old: Thing) -> str:
    """Description of the place once a thing is gone."""
    rest = subject(thing for thing in ground(scene) if thing != old)
    if in_sky(old):
        return f"{a(scene.weather)} sky without {the(old, scene)}, only {rest} left"
    return f"an empty place {PLACE[old.slot]} without {the(old, scene)}, only {rest} left"
