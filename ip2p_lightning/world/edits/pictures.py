"""Photo operations and media on drawn scenes: each kind of `PICTURE_EDITS` as an edit of the world."""

from __future__ import annotations

from functools import partial
from random import Random

from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.levels import Level
from ip2p_lightning.world.phrases import summary
from ip2p_lightning.world.scene import Scene


def edit_picture(kind: str, scene: Scene, level: Level, rng: Random) -> Change | None:
    """Apply one of the kind's image edits to the drawn scene."""
    chosen = rng.choice(PICTURE_EDITS[kind])
    return Change(scene, scene, chosen.instruction(rng), chosen.look.format(what=summary(scene)), chosen)


for _kind in PICTURE_EDITS:
    edit(_kind)(partial(edit_picture, _kind))
