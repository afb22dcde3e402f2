"""Edits of the open level: one function a kind, in the registry `EDITS`; what an instruction leaves open is drawn."""

from __future__ import annotations

from ip2p_lightning.world.open.edits import local, objects, vague, whole  # noqa: F401 (each module registers its kinds)
from ip2p_lightning.world.open.edits.change import EDITS, OpenChange, Wish, answers, is_visible, render

__all__ = ["EDITS", "OpenChange", "Wish", "answers", "is_visible", "render"]
