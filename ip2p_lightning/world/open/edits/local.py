"""Edits of a part of a thing: profession, hair, shirt, expression, hat, flag, lights in the windows."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.open.edits.change import OpenChange, edit, settle
from ip2p_lightning.world.open.edits.objects import as_it_was, shown
from ip2p_lightning.world.open.kinds import FACES, HAIR, HATS, KINDS, WORKERS, person_sprite, worker_sprite
from ip2p_lightning.world.open.scene import OpenScene, Thing
from ip2p_lightning.world.open.sprites import has_windows
from ip2p_lightning.world.open.texts import article, the
from ip2p_lightning.world.palette import unlike

PROFESSION = (
    "turn {the} into {a}",
    "make {the} {a}",
    "{the} becomes {a}",
    "let {the} work as {a}",
    "dress {the} as {a}",
)
HAIRS = ("give {the} {hair}", "{the} should have {hair}", "change the hair of {the}: {hair}", "show {the} with {hair}")
SHIRT = ("give {the} a {new} shirt", "make the shirt of {the} {new}", "{the} should wear {new}", "dress {the} in {new}")
FACE = ("make {the} look {new}", "give {the} a {new} face", "{the} should look {new}", "turn {the} {new}")
HAT = ("put {a} on {the}", "give {the} {a}", "let {the} wear {a}", "{the} should wear {a}")
HATLESS = ("take the {hat} off {the}", "remove the {hat} of {the}", "{the} without the {hat}", "no {hat} on {the}")
FLAG = ("put {a} on {the}", "hoist {a} on {the}", "let {a} fly from {the}", "add {a} to {the}")
FLAGLESS = ("take down the flag of {the}", "remove the flag from {the}", "{the} without a flag")
REFLAG = ("make the flag of {the} {new}", "change the flag of {the} to {new}", "fly {a} from {the} instead")
LIGHTS = {
    True: ("turn the lights on", "switch on the lights", "light the windows", "let the windows glow"),
    False: ("turn the lights off", "switch off the lights", "put out the lights", "let the windows go dark"),
}


@edit("profession")
def profession(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Give somebody a profession, or another one; gender, skin tone and place stay."""
    old = _one(scene, ("worker",), rng)
    if old is None:
        return None
    new = rng.choice([name for name in WORKERS if name != old.kind])
    instruction = rng.choice(PROFESSION).format(the=the(old, scene), a=article(new))
    person = replace(as_it_was(old, sprite=worker_sprite(new, old.gender, old.tone)), kinds=(new,))
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=(person,))


@edit("hair")
def hair(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Give somebody other hair."""
    old = _one(scene, ("person",), rng)
    if old is None:
        return None
    new = rng.choice([name for name in HAIR if name != old.trait])
    words = "no hair" if new == "no" else f"{new} hair"
    wishes = (as_it_was(old, trait=new, sprite=person_sprite(new, old.gender, old.tone)),)
    instruction = rng.choice(HAIRS).format(the=the(old, scene), hair=words)
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=wishes)


@edit("shirt")
def shirt(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Give somebody a shirt of another colour; its tone is open."""
    old = _one(scene, ("person",), rng)
    if old is None:
        return None
    new = rng.choice(unlike(old.colour, KINDS[old.kind].paints))
    wishes = (as_it_was(old, colour=new, but=("shade",)),)
    instruction = rng.choice(SHIRT).format(the=the(old, scene), new=new)
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=wishes)


@edit("expression")
def expression(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Change what a smiley feels."""
    old = _one(scene, ("face",), rng)
    if old is None:
        return None
    new = rng.choice([name for name in FACES if name != old.trait])
    wishes = (as_it_was(old, trait=new, but=("sprite",)),)
    instruction = rng.choice(FACE).format(the=the(old, scene), new=new)
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=wishes)


@edit("hat")
def hat(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Put a hat on a head, or take it off; which hat may be left open."""
    old = _one(scene, ("face", "person"), rng)
    if old is None:
        return None
    name = the(old, scene)
    if old.hat:
        instruction, wishes = rng.choice(HATLESS).format(the=name, hat=old.hat), (as_it_was(old, hat=""),)
    else:
        new = rng.choice(tuple(HATS))
        instruction, wishes = rng.choice(HAT).format(the=name, a=article(new)), (as_it_was(old, hat=new),)
    return settle(scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=wishes)


@edit("flag")
def flag(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Hoist a flag on a building, take it down, or change its colour."""
    old = _one(scene, ("building",), rng)
    if old is None or old.size == "small":
        return None
    name, new = the(old, scene), rng.choice(("red", "blue", "yellow", "green"))
    if old.flag and rng.random() < 0.5:
        phrase, new = rng.choice(FLAGLESS), ""
    else:
        phrase = rng.choice(REFLAG if old.flag else FLAG)
    if new == old.flag:
        return None
    instruction = phrase.format(the=name, new=new, a=article(f"{new} flag"))
    return settle(
        scene, scene.without(old), rng, instruction=instruction, look=shown, wishes=(as_it_was(old, flag=new),)
    )


@edit("lights")
def lights(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Switch the lights in all windows on or off."""
    lit = [thing for thing in scene.things if thing.family == "building" and has_windows(thing.sprite)]
    if not lit:
        return None
    names = " and ".join(the(thing, scene) for thing in lit)
    words = f"dark windows in {names}" if scene.lights else f"warm yellow light in the windows of {names}"
    instruction = rng.choice(LIGHTS[not scene.lights])
    after = replace(scene, lights=not scene.lights)
    return settle(scene, after, rng, instruction=instruction, look=lambda new, scene: words)


def _one(scene: OpenScene, families: tuple[str, ...], rng: Random) -> Thing | None:
    fitting = [thing for thing in scene.things if thing.family in families]
    return rng.choice(fitting) if fitting else None
