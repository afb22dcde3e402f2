"""The open level as a maker of edits: which splits an edit belongs to, and what is held out."""

from __future__ import annotations

from random import Random
from typing import Any

from ip2p_lightning.world.edits.change import Rendering
from ip2p_lightning.world.open.attributes import metadata
from ip2p_lightning.world.open.distribution import sample
from ip2p_lightning.world.open.edits import EDITS, OpenChange, is_visible, render
from ip2p_lightning.world.open.scene import OpenScene

HELD_OUT = frozenset(
    {
        *(("car", "green"), ("balloon", "blue"), ("tent", "purple"), ("gift", "pink"), ("book", "yellow")),
        *(("person", "orange"), ("smiley", "top hat"), ("cat", "city"), ("cow", "sea"), ("penguin", "forest")),
        *(("house", "mountains"), ("tree", "sea"), ("bus", "hills"), ("castle", "forest"), ("church", "city")),
        *(("cook", "forest"), ("doctor", "sea"), ("pilot", "hills"), ("astronaut", "city"), ("painter", "mountains")),
    }
)
"""A kind with a colour, a hat or a place that no training pair shows, before or after; every test pair shows one."""


def has_held_out(scene: OpenScene) -> bool:
    """True if a thing of the scene has a combination from `HELD_OUT`."""
    return any(
        (thing.kind, value) in HELD_OUT for thing in scene.things for value in (thing.colour, thing.hat, scene.place)
    )


class OpenLevel:
    """Draws edits of the open level (see `world.makers.PairMaker`)."""

    name = "open"
    edits = tuple(EDITS)

    def change(self, kind: str, split: str, rng: Random) -> OpenChange | None:
        """An edit of one kind, or None where the drawn scene does not allow it in this split."""
        change = EDITS[kind](sample(rng), rng)
        if change is None or not self.belongs(split, change.before, change.after) or not is_visible(change):
            return None
        return change

    def belongs(self, split: str, before: OpenScene, after: OpenScene) -> bool:
        """As `world.levels.belongs`, over what words say of the scenes: no edit belongs to two splits."""
        if has_held_out(before) or has_held_out(after):
            return split == "test"
        if before.signature() % 10 == 0:
            return split == "validation"
        return split == "train" and after.signature() % 10 != 0

    def render(self, change: OpenChange, size: int) -> Rendering:
        """The images of an edit and the mask of what may change."""
        return render(change, size)

    def metadata(self, change: OpenChange) -> dict[str, Any]:
        """Metadata stored with a pair."""
        return metadata(change)
