"""The low-resolution image that a super-resolution stage starts from, and its noise conditioning augmentation.

Imagen (section 2.4, appendix A.1) noises that image to a level that the network is given, at random in training and
chosen at sampling: the stage then forgives what the stage before it did wrong. The convention is that of diffusers' IF
pipelines in training, sampling and export alike: antialiased reduction, bilinear enlargement with aligned corners,
levels 0 to 999 of a variance-preserving schedule, and the level as `class_labels`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.config.parts import buildable


def reduced(images: Tensor, side: int) -> Tensor:
    """[B, C, H, W] as [B, C, side, side], antialiased; as they are if they have that size."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def enlarged(images: Tensor, side: int) -> Tensor:
    """[B, C, h, w] as [B, C, side, side], as diffusers' IF pipelines enlarge them."""
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=True)


@buildable
class LowResolution:
    """Low-resolution conditioning of a super-resolution stage.

    Args:
        factor: by how much the stage enlarges, per side.
        scheduler: noise schedule of the augmentation.
        largest_level: training draws levels below it, from 0; 1000 is Imagen's whole range.

    Raises:
        ValueError: a factor below 2, or levels that the schedule does not have.
    """

    def __init__(self, factor: int, scheduler: Any, largest_level: int = 1000) -> None:
        steps = scheduler.config.num_train_timesteps
        if factor < 2 or not 1 <= largest_level <= steps:
            raise ValueError(
                f"factor={factor} must be at least 2, and largest_level={largest_level} between 1 and {steps}"
            )
        self.factor, self.scheduler, self.largest_level = factor, scheduler, largest_level

    def training_input(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The noised low-resolution input [B, C, H, W] of training images, and its levels [B].

        Args:
            images: [B, C, H, W], squares.
            generator: of levels and noise.
        """
        side = images.shape[-1]
        low = enlarged(reduced(images, side // self.factor), side)
        levels = torch.randint(self.largest_level, (len(low),), device=low.device, generator=generator)
        noise = torch.randn(low.shape, device=low.device, dtype=low.dtype, generator=generator)
        return self.augmented(low, noise, levels), levels

    def augmented(self, low: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """sqrt(abar) low + sqrt(1 - abar) noise at the levels [B]."""
        return self.scheduler.add_noise(low, noise, levels)
