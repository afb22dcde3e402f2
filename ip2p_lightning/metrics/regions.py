"""Errors inside and outside the mask of what may change: an edit has to change the right thing, and nothing else."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric


def region_error(images: Tensor, truth: Tensor, region: Tensor) -> Tensor:
    """Mean absolute difference [B] in grey levels (0 to 255) over a region [B, 1, H, W] of {0, 1}; NaN if it is empty.

    Args:
        images: [B, 3, H, W] in [-1, 1].
        truth: [B, 3, H, W] in [-1, 1].
        region: 1 where to measure.
    """
    difference = (images - truth).abs().mean(1, keepdim=True) * 127.5
    return (difference * region).flatten(1).sum(1) / region.flatten(1).sum(1)


class ChangedRegionError(EditMetric):
    """Mean absolute error in grey levels where the mask allows change; NaN for pairs without a mask."""

    higher_is_better = False
    label: ClassVar[str] = "error where it should change"
    unit: ClassVar[str] = "/255"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        if pairs.mask is None:
            return torch.full((len(pairs),), torch.nan, device=images.device)
        return region_error(images, pairs.edited_image, pairs.mask)


class KeptRegionError(EditMetric):
    """Mean absolute error in grey levels where nothing may change; NaN without a mask or if all may change."""

    higher_is_better = False
    label: ClassVar[str] = "error where it should stay"
    unit: ClassVar[str] = "/255"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        if pairs.mask is None:
            return torch.full((len(pairs),), torch.nan, device=images.device)
        return region_error(images, pairs.edited_image, 1 - pairs.mask)
