"""Edits of scenes: one function a kind, each with its texts, in the registry `EDITS`.

Belongs here: what an instruction changes and how it is said. Does not belong here: drawing, data sets, splits.
"""

from __future__ import annotations

from ip2p_lightning.world.edits import (  # noqa: F401 (each module registers its kinds)
    attributes,
    layout,
    local,
    objects,
    pictures,
    visual,
)
from ip2p_lightning.world.edits.change import EDITS, Change, Rendering, edit, is_visible, render

__all__ = ["EDITS", "Change", "Rendering", "edit", "is_visible", "render"]
