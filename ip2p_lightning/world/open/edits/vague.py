"""Instructions that do not say what to draw: a mood or a purpose, or what only the image tells."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.open.edits.change import OpenChange, edit, settle, wish
from ip2p_lightning.world.open.edits.objects import as_it_was, shown
from ip2p_lightning.world.open.edits.whole import OPEN
from ip2p_lightning.world.open.scene import OpenScene, Thing
from ip2p_lightning.world.open.texts import AT, WHEN, everything, name
from ip2p_lightning.world.scene import CYCLE, SEASONS

MOODS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("make it festive", "it is somebody's birthday", "time for a party"), ("cake", "gift", "balloon")),
    (("make it spooky", "it is Halloween", "something to be afraid of"), ("ghost", "pumpkin")),
    (("make it a farm", "something for a farm", "as on a farm"), ("cow", "pig", "chicken", "sheep", "tractor")),
    (("something to eat", "somebody is hungry", "bring food"), ("apple", "cake")),
    (("it needs more green", "plant something", "let something grow"), ("tree", "flower", "palm", "tulip", "cactus")),
    (("like in a zoo", "add a wild animal", "as on safari"), ("lion", "tiger", "elephant", "bear", "monkey")),
    (("something to play with", "bring a toy", "for a child"), ("teddy", "ball", "robot")),
    (("add a pet", "it lacks a pet", "somebody is lonely"), ("cat", "dog", "rabbit")),
)
"""Instructions, and the kinds of things of which any one is right."""
ANOTHER = ("add another one", "one more of these", "double it", "put a second one beside it", "add one like it")
SWAP = ("swap the two", "let the two change places", "exchange their places", "the other way round")
LATER = ("let some hours pass", "a few hours later", "later on the same day")
NEXT = ("let one season pass", "show it one season later", "three months later")


@edit("vague")
def vague(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Ask for a mood or a purpose; which of several things brings it, and where, is open."""
    phrases, kinds = rng.choice(MOODS)
    if any(thing.kind in kinds for thing in scene.things):
        return None
    return settle(scene, scene, rng, instruction=rng.choice(phrases), look=shown, wishes=(wish(kinds),))


@edit("another")
def another(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Ask for one more of what only the image tells; its variant, size and place are open."""
    if len(scene.ground) != 1 or scene.ground[0].family in ("worker", "person", "face"):
        return None
    (old,) = scene.ground
    said = {"colour": old.colour} if old.colour else {}
    return settle(scene, scene, rng, instruction=rng.choice(ANOTHER), look=shown, wishes=(wish(old.kind, **said),))


@edit("swap")
def swap(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Exchange the places of two things that only the image tells."""
    if len(scene.ground) != 2:
        return None
    one, other = scene.ground
    if {one.family, other.family} & {"worker", "person"} or one.words[2:] == other.words[2:]:
        return None
    kept = scene.without(one).without(other)
    wishes = (as_it_was(one, side=other.side, but=("x",)), as_it_was(other, side=one.side, but=("x",)))

    def changed(new: tuple[Thing, ...], after: OpenScene) -> str:
        return " and ".join(f"the {name(thing)} {AT[thing.side]}" for thing in new) + ", all else unchanged"

    return settle(scene, kept, rng, instruction=rng.choice(SWAP), look=changed, wishes=wishes)


@edit("later")
def later(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Let hours or a season pass: what then comes only the image tells."""
    what = everything(scene)
    if rng.random() < 0.5:
        hour = CYCLE[(CYCLE.index(scene.time) + 1) % len(CYCLE)]
        after, phrases, look = replace(scene, time=hour), LATER, f"{what} {WHEN[hour][0]}"
    else:
        season = SEASONS[(SEASONS.index(scene.season) + 1) % len(SEASONS)]
        after, phrases, look = replace(scene, season=season), NEXT, f"{what} in {season}"
        if scene.weather == "snowy":
            return None
    names = OPEN["time"] if after.time != scene.time else OPEN["season"]
    return settle(
        scene, after, rng, instruction=rng.choice(phrases), look=lambda new, scene: look, open_surroundings=names
    )
