"""Move, resize, count and spatial edits do what their instructions say."""

from __future__ import annotations

from random import Random

from ip2p_lightning.world.edits import EDITS, Change
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.scene import SLOTS, Scene, Thing

FULL = LEVELS["full"]
SHEEP = Thing("sheep", "white", "left", "medium")
MEADOW = Scene("day", "summer", "clear", "hills", (SHEEP, Thing("tree", "", "right", "medium")))


def made(kind: str, scene: Scene, tries: int = 80) -> list[Change]:
    return [change for seed in range(tries) if (change := EDITS[kind](scene, FULL, Random(seed)))]


def test_moving_changes_the_place_alone() -> None:
    for change in made("move", MEADOW):
        (old,), (new,) = (
            set(change.before.things) - set(change.after.things),
            set(change.after.things) - set(change.before.things),
        )
        assert (old.kind, old.colour, old.size) == (new.kind, new.colour, new.size)
        assert new.slot == "centre"
        assert "middle" in change.instruction


def test_resizing_goes_between_small_and_full_size() -> None:
    sizes = {
        (old.size, new.size)
        for change in made("resize", MEADOW)
        for old, new in zip(change.before.things, change.after.things, strict=True)
        if old != new
    }
    assert sizes == {("medium", "small")}
    alone = Scene("day", "summer", "clear", "hills", (Thing("house", "red", "centre", "small"),))
    assert all(change.after.things[0].size == "large" for change in made("resize", alone))


def test_counting_fills_free_places_from_the_left() -> None:
    numbers = {"one": 1, "two": 2, "three": 3}
    for change in made("count", MEADOW):
        kind = change.before.things[0].kind if "sheep" in change.instruction else "tree"
        shown = [thing for thing in change.after.things if thing.kind == kind]
        if "should be" in change.instruction:
            assert numbers[next(word for word in change.instruction.split() if word in numbers)] == len(shown)
        assert {thing.slot for thing in shown} <= set(SLOTS)
        assert len(set(change.after.things)) == len(change.after.things)


def test_swapping_trades_places() -> None:
    swaps = [change for change in made("spatial", MEADOW) if "places" in change.instruction]
    assert swaps
    for change in swaps:
        assert {(thing.kind, thing.slot) for thing in change.after.things} == {("sheep", "right"), ("tree", "left")}


def test_things_beside_others_are_on_the_named_side() -> None:
    for change in made("spatial", MEADOW):
        if not change.instruction.startswith(("add", "put", "place")):
            continue
        new = change.after.things[-1]
        side = "left" if "to the left of" in change.instruction else "right"
        anchor = "sheep" if change.instruction.endswith("sheep") else "tree"
        place = next(SLOTS.index(thing.slot) for thing in MEADOW.things if thing.kind == anchor)
        assert (SLOTS.index(new.slot) < place) == (side == "left")
