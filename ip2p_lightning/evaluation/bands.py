"""Errors and power by spatial frequency.

Drift that blurs, drift that sharpens and drift of whole areas look alike in one mean error, and are not.
"""

from __future__ import annotations

import torch
from torch import Tensor

EDGES = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Lower edges of the bands in cycles per pixel; the last one is open. 1/32: structures of 16 pixels, light and dark."""
NAMES = ("below 1/32", "1/32 to 1/16", "1/16 to 1/8", "1/8 to 1/4", "above 1/4")


def band_powers(images: Tensor) -> Tensor:
    """Mean squares by band, float64 [B, bands]; their sum over bands is the mean square of the images (Parseval).

    Args:
        images: [B, C, H, W] in any unit.
    """
    height, width = images.shape[-2:]
    power = torch.fft.fft2(images.double(), norm="forward").abs().square().mean(1)
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    radius = (rows[:, None].square() + columns.square()).sqrt()
    band = torch.bucketize(radius, torch.tensor(EDGES[1:], dtype=torch.float64), right=True)
    powers = torch.zeros(len(images), len(EDGES), dtype=torch.float64)
    return powers.index_add_(1, band.flatten(), power.cpu().flatten(1))


def band_errors(images: Tensor, reference: Tensor) -> Tensor:
    """Root mean square difference by band in grey levels, [B, bands]; squares add up to that of the whole.

    Args:
        images: [B, 3, H, W] in [-1, 1].
        reference: likewise.
    """
    return band_powers((images - reference) * 127.5).sqrt()


def band_gains(images: Tensor, reference: Tensor) -> Tensor:
    """Power of images relative to the reference by band in dB, [B, bands].

    Below 0 images are blurred, above 0 sharpened or noisy. The mean colour is left out; NaN where the reference has
    nothing in a band.
    """
    ours, theirs = (band_powers(each - each.mean((-2, -1), keepdim=True)) for each in (images, reference))
    known = theirs > 1e-12
    ratio = ours.clamp(min=1e-12) / torch.where(known, theirs, 1.0)
    return torch.where(known, 10 * ratio.log10(), torch.nan)
