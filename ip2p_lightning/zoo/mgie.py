"""The shipped MGIE: it begins with the denoiser of an InstructPix2Pix of the simple level."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, OF_PHOTOGRAPHS, load, measure, pack

SUMMARY = "an MGIE in small: looks at the picture, writes what will be visible, and edits by what it wrote"
EXPERIMENT = "zoo/mgie"
LEVEL = "simple"
LIMITS = (
    *OF_PHOTOGRAPHS,
    "Of the drawn scenes it knows the simple level: one large thing, a balloon, seven kinds of edit. Combinations of "
    "thing and colour that training held out often fail.",
)

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
