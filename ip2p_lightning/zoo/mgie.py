"""The shipped MGIE: it begins with the shipped InstructPix2Pix."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, LEVEL, load, measure, pack
from ip2p_lightning.zoo.editing import LIMITS as OF_EDITORS

SUMMARY = "an MGIE in small: looks at the image, writes what will be visible, and edits by what it wrote"
EXPERIMENT = "zoo/mgie"
LIMITS = (*OF_EDITORS, "It writes of photographs as if they showed the things of drawn scenes.")

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
