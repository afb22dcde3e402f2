"""The shipped LGIE: MGIE with a language model that does not see the image."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, LEVEL, load, measure, pack
from ip2p_lightning.zoo.editing import LIMITS as OF_EDITORS

SUMMARY = "an LGIE in small: writes what will be visible from the instruction alone, and edits by what it wrote"
EXPERIMENT = "zoo/lgie"
LIMITS = (*OF_EDITORS, "It does not look at the image before it writes: what the instruction leaves open is guessed.")

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
