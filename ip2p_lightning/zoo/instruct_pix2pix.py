"""The shipped InstructPix2Pix."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, OF_PHOTOGRAPHS, load, measure, pack

SUMMARY = "an InstructPix2Pix in small: edits scenes of the embedded world, and photographs, by instruction"
EXPERIMENT = "zoo/instruct_pix2pix"
LEVEL = "broad"
LIMITS = (
    *OF_PHOTOGRAPHS,
    "Of the drawn scenes it knows the broad level: one large thing and a balloon, every kind of edit that they allow. "
    "What it blurs keeps some grain; of instructions that need the picture one in ten fails.",
)

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
