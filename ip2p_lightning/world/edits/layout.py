"""Edits of where things are, how large and how many: move, resize, count, spatial."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.edits.objects import RECOLOUR, repaint, without
from ip2p_lightning.world.levels import Level, added_size, free_slots, paints_of
from ip2p_lightning.world.palette import unlike
from ip2p_lightning.world.phrases import NUMBER, PLACE, ground, noun, placed, placed_herd, sky, some, the, twins
from ip2p_lightning.world.scene import SLOTS, Scene, Thing
from ip2p_lightning.world.things import THINGS, in_sky, plausible

MOVE = ("move {the} {to}", "put {the} {at}", "shift {the} {to}", "{the} should be {at}")
TO = {"left": "to the left", "centre": "to the middle", "right": "to the right"}
GROW = ("make {the} bigger", "enlarge {the}", "{the} should be larger", "let {the} grow")
SHRINK = ("make {the} smaller", "shrink {the}", "{the} should be smaller", "let {the} shrink")
SIDE = {"left": "to the left of", "right": "to the right of"}


@edit("move")
def move(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Put a thing at another free place; where one thing stands alone, itself and to the other side."""
    old = scene.things[0] if level.single else rng.choice(scene.things)
    places = [slot for slot in SLOTS if slot != old.slot and not (level.single and slot == "centre")]
    new = replace(old, slot=rng.choice(places))
    after = scene.with_thing(old, new)
    if not plausible(after) or (level.single and len(scene.things) > 1):
        return None
    instruction = rng.choice(MOVE).format(the=the(old, scene), to=TO[new.slot], at=PLACE[new.slot])
    return Change(scene, after, instruction, f"{placed(new)}, its old place {PLACE[old.slot]} empty")


@edit("resize")
def resize(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Make a thing clearly larger or smaller, at most as large as its neighbours let it be."""
    old = rng.choice(ground(scene))
    reduced = "medium" if level.single else "small"
    full = "large" if len(ground(scene)) == 1 else "medium"
    new = replace(old, size=full if old.size == reduced else reduced)
    after = scene.with_thing(old, new)
    if not plausible(after):
        return None
    looks = {"small": "", "medium": "smaller " if level.single else "large ", "large": "very large "}  # nouns say small
    return Change(
        scene,
        after,
        rng.choice(GROW if old.size == reduced else SHRINK).format(the=the(old, scene)),
        f"a {looks[new.size]}{noun(new)} {PLACE[new.slot]}, the rest of the picture unchanged",
    )


@edit("count")
def count(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Ask for a number of equal things: they fill the free places from the left, and leave from the right."""
    first = rng.choice(scene.things)
    alike = [thing for thing in (*ground(scene), *sky(scene)) if thing.kind == first.kind]
    number = rng.choice([number for number in NUMBER if number != len(alike)])
    more = number - len(alike)
    free = free_slots(scene.things, first.kind, level)
    if any(not twins(thing, first) for thing in alike) or more > len(free):
        return None
    new = tuple(replace(first, slot=slot) for slot in free[: max(0, more)])
    after = replace(scene, things=(*(thing for thing in scene.things if thing not in alike[number:]), *new))
    if not plausible(after):
        return None
    kind = THINGS[first.kind]
    names = {n: f"{NUMBER[n]} {first.kind if n == 1 else kind.plural}" for n in NUMBER}
    said = f"add {names[more].replace(' ', ' more ')}" if more > 0 else f"leave only {names[number]}"
    phrases = (said, f"there should be {names[number]}", f"make it {names[number]}")
    shown = [thing for thing in (*ground(after), *sky(after)) if twins(thing, first)]
    return Change(scene, after, rng.choice(phrases), f"{placed_herd(shown)}, the rest of the picture unchanged")


@edit("spatial")
def spatial(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Name things by where they are: next to another, on one side, or trading places."""
    maker = rng.choice((_add_beside, _remove_beside, _paint_at, _swap))
    return maker(scene, level, rng)


def _neighbour(slot: str, side: str) -> str | None:
    index = SLOTS.index(slot) + (1 if side == "right" else -1)
    return SLOTS[index] if 0 <= index < len(SLOTS) else None


def _add_beside(scene: Scene, level: Level, rng: Random) -> Change | None:
    anchor, side = rng.choice(ground(scene)), rng.choice(tuple(SIDE))
    kind = rng.choice(level.main + level.others)
    slot = _neighbour(anchor.slot, side)
    if anchor.size == "large":  # a large thing takes two of the three places
        slot = {"left": "right", "right": "left"}.get(anchor.slot) if side != anchor.slot else None
    if slot is None or slot not in free_slots(scene.things, kind, level):
        return None
    new = Thing(kind, rng.choice(paints_of(kind, level)), slot, added_size(kind, level))
    after = replace(scene, things=(*scene.things, new))
    if not plausible(after):
        return None
    phrases = ("add {new} {side} {the}", "put {new} {side} {the}", "place {new} {side} {the}")
    instruction = rng.choice(phrases).format(new=some(new), side=SIDE[side], the=the(anchor, scene))
    return Change(scene, after, instruction, f"{placed(new)}, {SIDE[side]} {the(anchor, scene)}")


def _remove_beside(scene: Scene, level: Level, rng: Random) -> Change | None:
    things = sorted(ground(scene), key=lambda thing: SLOTS.index(thing.slot))
    pairs = list(pairwise(things))
    if not pairs:
        return None
    left, right = rng.choice(pairs)
    anchor, gone, side = rng.choice(((left, right, "right"), (right, left, "left")))
    phrases = ("remove what is {side} {the}", "take away the thing {side} {the}", "clear the place {side} {the}")
    beyond = [t for t in things if (things.index(t) > things.index(anchor)) == (side == "right") and t != anchor]
    if beyond != [gone]:  # more than one thing stands on that side
        return None
    instruction = rng.choice(phrases).format(side=SIDE[side], the=the(anchor, scene))
    return Change(scene, scene.with_thing(gone, None), instruction, without(scene, gone))


def _paint_at(scene: Scene, level: Level, rng: Random) -> Change | None:
    things = rng.choice((ground(scene), sky(scene)))
    candidates = [thing for thing in things if thing.colour]
    if not candidates or len(things) < 2:
        return None
    old = rng.choice(candidates)
    colour = rng.choice(unlike(old.colour, paints_of(old.kind, level)))
    name = f"the thing {'in the sky ' if in_sky(old) else 'on the ground '}{PLACE[old.slot]}"
    return repaint(scene, old, colour, rng.choice(RECOLOUR).format(the=name, colour=colour))


def _swap(scene: Scene, level: Level, rng: Random) -> Change | None:
    if len(ground(scene)) < 2:
        return None
    one, other = rng.sample(ground(scene), 2)
    if one.kind == other.kind:
        return None
    after = scene.with_thing(one, replace(one, slot=other.slot)).with_thing(other, replace(other, slot=one.slot))
    if not plausible(after):
        return None
    phrases = (
        "swap {one} and {other}",
        "let {one} and {other} trade places",
        "exchange the places of {one} and {other}",
    )
    instruction = rng.choice(phrases).format(one=the(one, scene), other=the(other, scene))
    return Change(
        scene,
        after,
        instruction,
        f"the {noun(one)} {PLACE[other.slot]} and the {noun(other)} {PLACE[one.slot]}",
    )
