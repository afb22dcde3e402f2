"""Edits of single things: recolour, replace, add, remove."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.levels import Level, balloon_colours, balloon_slot
from ip2p_lightning.world.phrases import PLACE, a, noun, placed, some, the
from ip2p_lightning.world.scene import Scene, Thing


@edit("recolour")
def recolour(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Give the main thing another paint."""
    old = scene.things[0]
    new = replace(old, colour=rng.choice([colour for colour in level.colours if colour != old.colour]))
    phrases = (
        "make {the} {colour}",
        "paint {the} {colour}",
        "turn {the} {colour}",
        "change the colour of {the} to {colour}",
        "{the} should be {colour}",
    )
    return Change(
        scene,
        scene.with_thing(old, new),
        rng.choice(phrases).format(the=the(old), colour=new.colour),
        f"{placed(new)}, the rest of the picture unchanged",
    )


@edit("replace")
def replace_thing(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Put another thing in the main thing's place."""
    old = scene.things[0]
    new = replace(old, kind=rng.choice([kind for kind in level.main if kind != old.kind]))
    new = replace(new, colour=rng.choice(level.colours))
    phrases = (
        "replace {the} with {new}",
        "turn {the} into {new}",
        "swap {the} for {new}",
        "put {new} where {the} is",
        "exchange {the} for {new}",
    )
    return Change(
        scene,
        scene.with_thing(old, new),
        rng.choice(phrases).format(the=the(old), new=some(new)),
        f"{some(new)} {PLACE[new.slot]} where {the(old)} was",
    )


@edit("add")
def add(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Let a balloon fly in the free side of the sky."""
    if len(scene.things) > 1:
        return None
    new = Thing("balloon", rng.choice(balloon_colours(level)), balloon_slot(scene.things[0]))
    phrases = (
        "add {new}",
        "add {new} to the sky",
        "put {new} in the sky",
        "let {new} fly in the sky",
        "there should be {new} in the sky",
    )
    return Change(
        scene,
        replace(scene, things=(*scene.things, new)),
        rng.choice(phrases).format(new=some(new)),
        f"{placed(new)}, the {noun(scene.things[0])} unchanged",
    )


@edit("remove")
def remove(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Take the balloon away."""
    if len(scene.things) < 2:
        return None
    old = scene.things[1]
    phrases = ("remove {the}", "take {the} away", "delete {the}", "get rid of {the}", "the picture without {the}")
    return Change(
        scene,
        scene.with_thing(old, None),
        rng.choice(phrases).format(the=the(old)),
        f"{a(scene.weather)} sky without {the(old)}, only the {noun(scene.things[0])} left",
    )
