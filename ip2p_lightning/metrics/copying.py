"""Comparisons with copying the input, the baseline that pixel errors flatter.

On MagicBrush, Text2LIVE has the second-best L1 and is never chosen by people: it hardly edits. A figure that does not
say how it stands to leaving the image alone says little.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric, mean_error
from ip2p_lightning.metrics.regions import region_error
from ip2p_lightning.rounding import GREY_LEVELS, RELATIVE, ratio


def _relative_error(images: Tensor, pairs: PairBatch) -> Tensor:
    """Error [B] divided by that of copying the input; NaN where original and truth are the same."""
    copying = mean_error(pairs.original_image, pairs.edited_image)
    return ratio(mean_error(images, pairs.edited_image), copying, GREY_LEVELS)


class RelativeError(EditMetric):
    """Error divided by that of copying the input (0 = perfect, 1 = no better than copying); the median over images.

    The median, because the ratio has a long tail where an edit is small.
    """

    higher_is_better = False
    label: ClassVar[str] = "error relative to copying"
    statistic: ClassVar[str] = "median"
    against_copying: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return _relative_error(images, pairs)


class CloserThanInput(EditMetric):
    """Share of images that are nearer to the truth than the input is."""

    higher_is_better = True
    label: ClassVar[str] = "nearer to the truth than the input"
    unit: ClassVar[str] = "share"
    against_copying: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return _share(_relative_error(images, pairs), below=1.0)


class ErrorHalved(EditMetric):
    """Share of images whose error is less than half that of copying the input."""

    higher_is_better = True
    label: ClassVar[str] = "error less than half of copying"
    unit: ClassVar[str] = "share"
    against_copying: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return _share(_relative_error(images, pairs), below=0.5)


class CopyRate(EditMetric):
    """Share of images left as they were: changed by less than a fraction of what the true edit changes.

    Measured where the mask allows change (in the whole image if there is none), so that noise elsewhere does not pass
    for an edit.

    Args:
        fraction: of the true change.
    """

    higher_is_better = False
    label: ClassVar[str] = "left as it was"
    unit: ClassVar[str] = "share"
    against_copying: ClassVar[bool] = True

    def __init__(self, fraction: float = 0.25) -> None:
        super().__init__()
        if not 0 < fraction < 1:
            raise ValueError(f"fraction={fraction}: must lie between 0 (never a copy) and 1 (always one)")
        self.fraction = fraction

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"fraction": self.fraction}

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        region = torch.ones_like(images[:, :1]) if pairs.mask is None else pairs.mask
        change = region_error(images, pairs.original_image, region)
        true_change = region_error(pairs.edited_image, pairs.original_image, region)
        return _share(ratio(change, true_change, GREY_LEVELS), below=self.fraction)


def _share(values: Tensor, below: float) -> Tensor:
    """1 where a value is below the bound, 0 where it is not, NaN where it is not known."""
    return torch.where(values.isnan(), torch.nan, (values < below * (1 - RELATIVE)).float())
