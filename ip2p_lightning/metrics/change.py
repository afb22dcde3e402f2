"""How much an edit changes at all, right or wrong: the strength that guidance scales are meant to steer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric, mean_error


class Change(EditMetric):
    """Mean absolute difference to the input in grey levels; neither more nor less is better."""

    higher_is_better = None
    label: ClassVar[str] = "change of the input"
    unit: ClassVar[str] = "/255"
    ceiling: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return mean_error(images, pairs.original_image)
