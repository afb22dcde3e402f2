"""Skin tone as the individual typology angle, atan((L* - 50) / b*) in degrees (Chardon 1991): more is lighter."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image
from skimage.color import rgb2lab, rgb2ycbcr

from ip2p_lightning.data.images import as_rgb

FEWEST_PIXELS = 50
_CB, _CR = (77, 127), (133, 173)
"""Chrominance of skin (Chai and Ngan 1999)."""


def skin_mask(image: Image.Image) -> np.ndarray:
    """Pixels whose chrominance is that of skin; bool [H, W]. A rule of thumb: masks that people draw are better."""
    chrominance = rgb2ycbcr(np.asarray(as_rgb(image)))
    inside = [(low <= chrominance[..., c]) & (chrominance[..., c] <= high) for c, (low, high) in ((1, _CB), (2, _CR))]
    return inside[0] & inside[1]


def typology_angle(image: Image.Image, mask: np.ndarray) -> float:
    """Median angle of the pixels in degrees, -90 to 90; NaN with fewer than `FEWEST_PIXELS`.

    Above 55 is called very light, 41 to 55 light, 28 to 41 intermediate, 10 to 28 tan, -30 to 10 brown, below dark.
    """
    if mask.sum() < FEWEST_PIXELS:
        return math.nan
    lab = rgb2lab(np.asarray(as_rgb(image)))[mask]
    return float(np.degrees(np.median(np.arctan2(lab[:, 0] - 50, np.maximum(lab[:, 2], 1e-6)))))


def lightened(original: Image.Image, edited: Image.Image, mask: np.ndarray | None = None) -> float:
    """Lightening of the same pixels by an edit, in degrees; NaN where there is too little skin.

    Args:
        original: before.
        edited: after; brought to the original's size.
        mask: bool [H, W] of the skin; None to find it in the original by its colour.
    """
    mask = skin_mask(original) if mask is None else mask
    after = as_rgb(edited)
    if after.size != original.size:
        after = after.resize(original.size, Image.Resampling.BICUBIC)
    return typology_angle(after, mask) - typology_angle(original, mask)
