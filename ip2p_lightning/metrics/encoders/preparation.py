"""From images in [-1, 1] to what an encoder takes: two ways that published evaluations differ by.

MagicBrush opens 8-bit images and lets PIL resize and crop them; InstructPix2Pix squeezes tensors by interpolation
that does not smooth, and feeds its evaluation [-1, 1] where its own encoder expects [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_pil

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Preparation(Protocol):
    """Prepares a batch; its `str` says how, for the record."""

    def __call__(self, images: Tensor) -> Tensor:
        """Images float32 [B, 3, H, W] in [-1, 1] to the network's input [B, 3, h, w]."""
        ...


@dataclass(frozen=True)
class Interpolated:
    """Squeezes tensors to a square and normalises them (InstructPix2Pix's `ClipSimilarity`).

    Args:
        size: side in pixels.
        mean: of the three channels, on [0, 1].
        std: likewise.
        antialias: smooth before making smaller; InstructPix2Pix does not.
        legacy_range: normalise [-1, 1] as if it were [0, 1], which InstructPix2Pix's evaluation does; its published
            curves are of that kind.
    """

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    antialias: bool = False
    legacy_range: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        if not self.legacy_range:
            images = (images + 1) / 2
        sides = (self.size, self.size)
        if tuple(images.shape[-2:]) != sides:  # of the right size already, they would come back as they are
            images = F.interpolate(images, sides, mode="bicubic", align_corners=False, antialias=self.antialias)
        mean, std = (images.new_tensor(list(values)).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

    def __str__(self) -> str:
        smooth = "with" if self.antialias else "without"
        given = "[-1, 1] taken for [0, 1]" if self.legacy_range else "[0, 1]"
        return f"bicubic to {self.size} x {self.size} {smooth} smoothing, {given}, mean {self.mean}, std {self.std}"


@dataclass(frozen=True)
class Photographed:
    """Rounds to 8 bits and prepares each image as a PIL image (CLIP's and DINO's own way, and MagicBrush's).

    Args:
        transform: PIL image to tensor [3, h, w], such as open_clip's or torchvision's.
    """

    transform: Callable[[Image.Image], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([self.transform(to_pil(image)) for image in images.cpu()])

    def __str__(self) -> str:
        return "8-bit PIL, " + " ".join(str(self.transform).split())
