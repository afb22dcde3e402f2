"""True if a person sees a difference between two images."""

from __future__ import annotations

import numpy as np
from PIL import Image

LEAST_CHANGE = 7.0
"""Mean change over the mask, of 255."""
CLEAR_CHANGE = 20.0
LEAST_AREA = 0.022
"""Share of all pixels that must change by more than `CLEAR_CHANGE`."""


def clearly_differ(before: Image.Image, after: Image.Image, mask: Image.Image | None = None) -> bool:
    """True if colours move by `LEAST_CHANGE` on average within the mask, and clearly on `LEAST_AREA` of the image.

    Args:
        before: RGB image.
        after: RGB image of the same size.
        mask: "L", not 0 where the mean is taken; everywhere if None.
    """
    difference = np.abs(np.asarray(before, np.int16) - np.asarray(after, np.int16)).mean(axis=2)
    inside = difference if mask is None else difference[np.asarray(mask) > 0]
    return bool(inside.size and inside.mean() >= LEAST_CHANGE and (difference > CLEAR_CHANGE).mean() >= LEAST_AREA)
