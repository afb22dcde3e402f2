"""Captions and names are what a person would say."""

from __future__ import annotations

from ip2p_lightning.world import phrases
from ip2p_lightning.world.scene import Scene, Thing

SHEEP = tuple(Thing("sheep", "white", slot, "medium") for slot in ("right", "left"))
CASTLE = Thing("castle", "orange", "centre", "medium", trim="blue")
SCENE = Scene("night", "winter", "snowy", "mountains", (*SHEEP, CASTLE, Thing("kite", "red", "left")), lights=True)


def test_caption_counts_equal_things_and_goes_from_left_to_right() -> None:
    assert phrases.caption(SCENE) == (
        "two white sheep on the left and on the right and an orange castle with blue roofs in the middle in front of "
        "mountains on a snowy winter night, with a red kite in the sky on the left, the lights on"
    )


def test_names_are_as_short_as_they_can_be() -> None:
    assert phrases.the(CASTLE, SCENE) == "the castle"
    assert phrases.the(SHEEP[0], SCENE) == "the sheep on the right"
    other = Scene("day", "summer", "clear", "sea", (Thing("car", "red", "left"), Thing("car", "blue", "right")))
    assert phrases.the(other.things[0], other) == "the red car"


def test_lists_and_articles() -> None:
    assert phrases.listed(["a", "b", "c"]) == "a, b and c"
    assert phrases.listed(["a"]) == "a"
    assert phrases.a("orange bus") == "an orange bus"
    assert phrases.noun(Thing("tree", "", "left", "small")) == "small tree"
