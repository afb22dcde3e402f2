"""Attributes in words: every picture is described with known values, and an edit changes what it says it changes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS, PictureEdit
from ip2p_lightning.world.attributes import ATTRIBUTES, LOOKS, NOTHING, changed, describe, kept, look_of
from ip2p_lightning.world.edits import EDITS, Change
from ip2p_lightning.world.edits.local import FOCUS
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.scene import Scene, Thing

SCENE = Scene("day", "summer", "clear", "hills", (Thing("house", "red", "left", "medium"), Thing("tree", slot="right")))


@pytest.mark.parametrize("kind", LEVELS["full"].edits)
def test_both_pictures_are_described_with_known_values_and_differ(kind: str):
    level, rng = LEVELS["full"], Random(kind)
    found = 0
    while found < 4:
        change = EDITS[kind](level.sample(level, rng), level, rng)
        if change is None:
            continue
        found += 1
        before, after = describe(change)
        assert all(value in ATTRIBUTES[name] for name, value in (before | after).items())
        assert changed(before, after), change.instruction
        seen = [name for name, value in before.items() if name.endswith("thing") and value != NOTHING]
        assert len(seen) == len(change.before.things)


def test_recolouring_changes_one_attribute_and_keeps_the_rest():
    after = replace(SCENE, things=(replace(SCENE.things[0], colour="blue"), SCENE.things[1]))
    before, wanted = describe(Change(SCENE, after, "", ""))
    assert changed(before, wanted) == {"left colour": "blue"}
    assert kept(before, wanted).keys() == before.keys() - {"left colour"}
    assert "right colour" not in before  # trees take the season's


def test_removing_leaves_nothing_to_be_said_of_the_thing():
    before, after = describe(Change(SCENE, replace(SCENE, things=SCENE.things[1:]), "", ""))
    assert changed(before, after) == {"left thing": NOTHING}
    assert {name for name in before if name.startswith("left")} > {"left thing", "left sky thing", "left colour"}
    assert {name for name in after if name.startswith("left")} == {"left thing", "left sky thing"}


def test_mirroring_swaps_places():
    before, after = describe(Change(SCENE, SCENE, "", "", PICTURE_EDITS["flip"][0]))
    assert (before["left thing"], before["right thing"]) == ("house", "tree")
    assert (after["left thing"], after["right thing"]) == ("tree", "house")
    assert before["look"] == after["look"]


def test_what_a_medium_hides_is_left_out():
    assert "left colour" not in describe(Change(SCENE, SCENE, "", "", PICTURE_EDITS["sepia"][0]))[1]
    sketch = describe(Change(SCENE, SCENE, "", "", PICTURE_EDITS["sketch"][0]))[1]
    assert "time" not in sketch
    assert sketch["left thing"] == "house"
    assert describe(Change(SCENE, SCENE, "", "", PICTURE_EDITS["crop"][0]))[1] == {"look": "cropped"}
    spared = describe(Change(SCENE, SCENE, "", "", FOCUS[0], SCENE.things[0]))[1]
    assert (spared["look"], spared["left colour"]) == ("all but one grey", "red")


def test_sharpening_begins_blurred():
    before, after = describe(Change(SCENE, SCENE, "", "", PICTURE_EDITS["sharpen"][0]))
    assert changed(before, after) == {"look": "as drawn"}
    assert before["look"] == "blurred"


def test_every_edit_of_the_picture_has_a_look():
    looks = {look_of(edit) for edits in (*PICTURE_EDITS.values(), FOCUS) for edit in edits}
    assert looks == set(LOOKS)
    with pytest.raises(ValueError, match=r"'polish it' has no look"):
        look_of(PictureEdit(("polish it",), "", lambda image: image))


def test_the_source_says_what_its_pictures_show():
    source = WorldSource(3, size=16, level="medium")
    _, change = source.change(2)
    assert source[2].metadata["attributes"] == dict(zip(("original", "edited"), describe(change), strict=True))
