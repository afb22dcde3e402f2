"""True if what should stay of a pair has moved, by two ways of looking that must agree."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from ip2p_lightning.data.alignment import Alignment, align
from ip2p_lightning.data.doctor.cues import GEOMETRIC

_SURE = 0.4  # share of the texture that must agree
_AGREE = 0.5  # of the displacement: the most by which grey levels and edges may differ


@dataclass(frozen=True)
class Bounds:
    """From when on a deviation is a fault.

    Args:
        shift: root mean square displacement of what should stay, in pixels.
        errors: the same, in standard errors of the estimate.
        stretch: share by which the aspect ratio may differ.
    """

    shift: float = 0.5
    errors: float = 4.0
    stretch: float = 0.01


BOUNDS = Bounds()


@dataclass(frozen=True)
class Geometry:
    """Displacement between a pair's images.

    Args:
        alignment: the estimate, or why there is none.
        kind: "misaligned", "stretched", or "" where nothing is wrong or it is unsure.
        asked: whether the instruction may ask for movement, so that nothing is a fault.
    """

    alignment: Alignment
    kind: str = ""
    asked: bool = False


def geometry(original: Image.Image, edited: Image.Image, instruction: str, bounds: Bounds = BOUNDS) -> Geometry:
    """Estimate the alignment of a pair, and judge it.

    Strong edits of light and colour can mislead the grey levels by a fraction of a pixel; so a displacement is a fault
    only if the edges say the same.

    Args:
        original: RGB.
        edited: RGB, of the same size.
        instruction: one that asks for movement ("zoom in") excuses it.
        bounds: from when on a displacement is a fault.
    """
    found = align(original, edited)
    if GEOMETRIC.search(instruction):
        return Geometry(found, asked=True)
    if not found.found or found.support < _SURE:
        return Geometry(found)
    if found.displacement < max(bounds.shift, bounds.errors * found.error):
        return Geometry(found)
    if not found.distance(align(original, edited, edges=True)) < _AGREE * found.displacement:
        return Geometry(found)
    wide = abs(found.stretch - 1)
    edge = wide * max(found.size) / 4  # what the stretch alone does at the edges, in pixels
    stretched = wide > bounds.stretch and edge > bounds.errors * found.error
    return Geometry(found, "stretched" if stretched else "misaligned")
