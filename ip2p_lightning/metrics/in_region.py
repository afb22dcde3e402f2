"""Any comparison with the truth, limited to what may change or to what must stay."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.unmeasured import Unmeasured


class InRegion(EditMetric):
    """A metric of the edited image with the truth put in everywhere outside a region.

    Encoders see whole images and have no masks; so what counts is what the edited image does there to an otherwise
    true image. NaN for pairs without a mask, and where the region is empty.

    Args:
        metric: that compares with the truth.
        region: "changed" for where the mask allows change, "kept" for the rest.
    """

    label: ClassVar[str] = "in a region"

    def __init__(self, metric: EditMetric, region: Literal["changed", "kept"]) -> None:
        super().__init__()
        if region not in ("changed", "kept"):
            raise ValueError(f"region={region!r}: choose changed (where the mask allows change) or kept (the rest)")
        if metric.against_copying and not isinstance(metric, Unmeasured):
            raise ValueError(
                f"{metric.label} compares with copying the input, not with the truth alone; choose another"
            )
        self.metric, self.region = metric, region
        place = "where it should change" if region == "changed" else "where it should stay"
        self.label = f"{metric.label} {place}"  # type: ignore[misc]
        self.unit, self.statistic, self.ceiling = metric.unit, metric.statistic, metric.ceiling  # type: ignore[misc]

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """As of the metric."""
        return self.metric.higher_is_better

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        if pairs.mask is None:
            return torch.full((len(pairs),), torch.nan, device=images.device)
        region = pairs.mask.bool() if self.region == "changed" else ~pairs.mask.bool()
        mixed = torch.where(region, images, pairs.edited_image)
        values = self.metric.measure(mixed, pairs)
        return torch.where(region.flatten(1).any(1), values, torch.nan)

    def provenance(self) -> dict[str, Any]:
        return self.metric.provenance() | {"region": self.region}
