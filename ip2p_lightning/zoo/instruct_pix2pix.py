"""The shipped InstructPix2Pix."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, LEVEL, LIMITS, load, measure, pack

SUMMARY = "an InstructPix2Pix in small: edits scenes of the embedded world, and photographs, by instruction"
EXPERIMENT = "zoo/instruct_pix2pix"

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
