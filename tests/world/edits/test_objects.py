"""Recolour, replace, add and remove do what their instructions say."""

from __future__ import annotations

from random import Random

from ip2p_lightning.world.edits import EDITS
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.scene import Scene, Thing

SIMPLE, FULL = LEVELS["simple"], LEVELS["full"]
ALONE = Scene("day", "summer", "clear", "hills", (Thing("castle", "red", "left"),))
WITH_BALLOON = Scene("day", "summer", "clear", "hills", (*ALONE.things, Thing("balloon", "blue", "right")))


def test_recolouring_changes_one_colour_and_says_which() -> None:
    change = EDITS["recolour"](WITH_BALLOON, SIMPLE, Random(0))
    assert change is not None
    (new,) = set(change.after.things) - set(change.before.things)
    assert (new.kind, new.slot) == ("castle", "left")
    assert new.colour in change.instruction
    assert "castle" in change.instruction
    assert change.expressive_instruction == f"a {new.colour} castle on the left, the rest of the picture unchanged"


def test_replacing_keeps_place_and_size() -> None:
    for seed in range(20):
        change = EDITS["replace"](WITH_BALLOON, SIMPLE, Random(seed))
        assert change is not None
        new = change.after.things[0]
        assert new.kind != "castle"
        assert (new.slot, new.size) == ("left", "large")
        assert f"{new.colour} {new.kind}" in change.instruction


def test_the_simple_balloon_has_one_place() -> None:
    change = EDITS["add"](ALONE, SIMPLE, Random(0))
    assert change is not None
    assert change.after.things[1].slot == "right"
    assert EDITS["add"](WITH_BALLOON, SIMPLE, Random(0)) is None


def test_elsewhere_an_added_thing_is_put_where_the_instruction_says() -> None:
    places = {"left": "on the left", "centre": "in the middle", "right": "on the right"}
    added = [change for seed in range(60) if (change := EDITS["add"](ALONE, FULL, Random(seed)))]
    assert added
    for change in added:
        assert change.instruction.endswith(places[change.after.things[-1].slot])


def test_removing_needs_something_to_remove_and_leaves_something_on_the_ground() -> None:
    assert EDITS["remove"](ALONE, FULL, Random(0)) is None
    change = EDITS["remove"](WITH_BALLOON, FULL, Random(0))
    assert change is not None
    assert change.after == ALONE
