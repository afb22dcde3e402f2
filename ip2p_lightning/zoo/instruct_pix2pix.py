"""The shipped InstructPix2Pix."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, LEVEL, load, measure, pack
from ip2p_lightning.zoo.editing import LIMITS as OF_EDITORS

SUMMARY = "an InstructPix2Pix in small: edits scenes of the embedded world, and photographs, by instruction"
EXPERIMENT = "zoo/instruct_pix2pix"
LIMITS = (
    *OF_EDITORS,
    "Of instructions that need the image it fails one in ten; one in five where thing and colour were never seen "
    "together.",
)

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
