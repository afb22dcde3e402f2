"""The shipped MGIE: it begins with the shipped InstructPix2Pix's denoiser."""

from __future__ import annotations

from ip2p_lightning.zoo.editing import LARGEST_BYTES, LEVEL, LIMITS, load, measure, pack

SUMMARY = "an MGIE in small: looks at the picture, writes what will be visible, and edits by what it wrote"
EXPERIMENT = "zoo/mgie"

__all__ = ["EXPERIMENT", "LARGEST_BYTES", "LEVEL", "LIMITS", "SUMMARY", "load", "measure", "pack"]
