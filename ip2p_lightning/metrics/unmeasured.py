"""Placeholder for a metric whose weights are not available: a column without values that says why."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric

_LONGEST = 200


class Unmeasured(EditMetric):
    """A gap: NaN for every edit, counted by its reason in the provenance.

    Args:
        label: of the metric that is missing.
        reason: why it is; its first line is kept.
    """

    higher_is_better = None
    label: ClassVar[str] = "not measured"
    against_copying: ClassVar[bool] = True  # there is no copying to compare with either
    counted: ClassVar[str] = "without_value"

    def __init__(self, label: str, reason: str) -> None:
        super().__init__()
        self.label = label  # type: ignore[misc]
        self.reason = (reason.strip().splitlines() or ["unknown"])[0][:_LONGEST]

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        self.reasons = [self.reason] * len(images)
        return torch.full((len(images),), torch.nan, device=images.device)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"reason": self.reason}
