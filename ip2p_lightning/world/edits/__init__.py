"""Edits of scenes: one function a kind, each with its texts, in the registry `EDITS`.

Belongs here: what an instruction changes and how it is said. Does not belong here: drawing, data sets, splits.
"""

from __future__ import annotations

from ip2p_lightning.world.edits import attributes as attributes
from ip2p_lightning.world.edits import objects as objects
from ip2p_lightning.world.edits.change import EDITS, Change, Rendering, edit, render

__all__ = ["EDITS", "Change", "Rendering", "edit", "render"]
