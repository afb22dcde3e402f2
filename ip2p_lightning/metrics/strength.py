"""Strength of an edit, whatever its content: the pixel counterparts of image similarity and directional similarity."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric, mean_error
from ip2p_lightning.rounding import GREY_LEVELS, ratio


class ChangeFromInput(EditMetric):
    """Mean absolute difference to the input in grey levels: 0 for a copy, whatever the truth is."""

    higher_is_better = None
    label: ClassVar[str] = "change from the input"
    unit: ClassVar[str] = "/255"
    against_copying: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return mean_error(images, pairs.original_image)


class KeptFromInput(ChangeFromInput):
    """Share of the grey levels' range by which an edit stays near the input: 1 for a copy."""

    label: ClassVar[str] = "kept of the input"
    unit: ClassVar[str] = "share"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return 1 - super().measure(images, pairs) / 255


class TrueChange(EditMetric):
    """Share of the true change that was made: the change's length along the true one, relative to it.

    0 for a copy, 1 for the truth, more where it is overdone, below 0 for the opposite; NaN where nothing is to change.
    """

    higher_is_better = None
    label: ClassVar[str] = "part of the true change"
    against_copying: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        made = (images - pairs.original_image).flatten(1)
        true = (pairs.edited_image - pairs.original_image).flatten(1)
        least = true.shape[1] * (GREY_LEVELS / 127.5) ** 2
        return ratio((made * true).sum(1), true.square().sum(1), least)
