"""Local edits touch one part; focus spares one thing."""

from __future__ import annotations

from random import Random

import numpy as np

from ip2p_lightning.world.drawing import coverage
from ip2p_lightning.world.edits import EDITS, render
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.scene import Scene, Thing

FULL = LEVELS["full"]
THINGS = (Thing("house", "red", "left"), Thing("cat", "white", "right", "small"))
SCENE = Scene("day", "summer", "clear", "hills", THINGS)


def test_local_edits_change_a_part_and_not_the_colour() -> None:
    change = EDITS["local"](SCENE, FULL, Random(0))
    assert change is not None
    old, new = change.before.things[0], change.after.things[0]
    assert (old.colour, old.trim) == (new.colour, "")
    assert new.trim in change.instruction
    assert "roof" in change.instruction


def test_focus_spares_one_thing_exactly() -> None:
    for seed in range(12):
        change = EDITS["focus"](SCENE, FULL, Random(seed))
        assert change is not None
        assert change.spared is not None
        pictures = render(change, 64)
        inside = np.asarray(coverage(SCENE, [change.spared], 64)) == 255
        before, after = np.asarray(pictures.original_image), np.asarray(pictures.edited_image)
        assert np.array_equal(before[inside], after[inside])
        assert not np.array_equal(before, after)
