"""Gaussian noise of a strength that is uniform below a largest one, which networks of images learn to bear."""

from __future__ import annotations

import torch
from torch import Tensor


def checked_noise(most: float) -> float:
    """The largest standard deviation as it was given; ValueError for a negative one."""
    if most < 0:
        raise ValueError(f"noise={most} is a standard deviation; it must be at least 0")
    return most


def noised(rows: Tensor, most: float, generator: torch.Generator | None) -> Tensor:
    """Rows [B, C, H, W] with noise, whose standard deviation is drawn below `most` for each row."""
    strength = torch.rand(len(rows), 1, 1, 1, device=rows.device, generator=generator) * most
    return rows + strength * torch.randn(rows.shape, device=rows.device, generator=generator)
