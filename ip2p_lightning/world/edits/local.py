"""Edits of one part of the image: a part of a thing (local), or all but one thing (focus)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

from ip2p_lightning.photo_edits import media, photo
from ip2p_lightning.photo_edits.picture_edits import PictureEdit
from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.levels import Level
from ip2p_lightning.world.palette import unlike
from ip2p_lightning.world.phrases import part_of, placed, the
from ip2p_lightning.world.scene import Scene
from ip2p_lightning.world.things import THINGS

LOCAL = (
    "paint the {part} of {the} {colour}",
    "make the {part} of {the} {colour}",
    "give {the} {new}",
    "change only the {part} of {the} to {colour}",
)
FOCUS = (
    PictureEdit(
        ("make all but {the} black and white", "take the colour out of everything except {the}"),
        "{the} in colour, everything else in grey tones",
        media.black_and_white,
    ),
    PictureEdit(
        ("blur all but {the}", "put everything except {the} out of focus"),
        "{the} sharp, everything else blurred",
        partial(photo.blur, amount=2.0),
    ),
    PictureEdit(
        ("darken all but {the}", "make everything except {the} darker"),
        "{the} as bright as before, everything else dark",
        partial(photo.brightness, amount=-1.2),
    ),
)


@edit("local")
def local(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Paint one part of a thing."""
    candidates = [thing for thing in scene.things if THINGS[thing.kind].part]
    if not candidates:
        return None
    old = rng.choice(candidates)
    new = replace(old, trim=rng.choice(unlike(old.colour, level.colours)))
    part = THINGS[old.kind].part
    instruction = rng.choice(LOCAL).format(the=the(old, scene), part=part, colour=new.trim, new=part_of(new))
    look = f"{placed(new)}, the rest of the picture unchanged"
    return Change(scene, scene.with_thing(old, new), instruction, look)


@edit("focus")
def focus(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Change the whole image but for one thing."""
    spared, change = rng.choice(scene.things), rng.choice(FOCUS)
    name = the(spared, scene)
    return Change(scene, scene, change.instruction(rng).format(the=name), change.look.format(the=name), change, spared)
