"""Movement of an edit against its input: editors that shift or enlarge what they should leave alone drift in turns."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ip2p_lightning.data.alignment import LEAST_SUPPORT, Alignment, align
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric

_LABELS = {
    "displacement": ("displacement from the input", "px"),
    "shift": ("shift from the input", "px"),
    "zoom": ("zoom against the input", "%"),
    "rotation": ("rotation against the input", "degrees"),
}


class EditAlignment(EditMetric):
    """Displacement of kept content, in pixels, per cent or degrees: 0 for a copy. Median over the images.

    NaN where that cannot be estimated: no texture, or too little as it was (`reasons` has which, provenance counts it).

    Args:
        of: "displacement" (root mean square over the image, pixels), "shift" (at the centre, pixels), "zoom" (per cent,
            either way) or "rotation" (degrees, either way).
    """

    higher_is_better = False
    label: ClassVar[str] = "displacement from the input"
    unit: ClassVar[str] = "px"
    statistic: ClassVar[str] = "median"
    against_copying: ClassVar[bool] = True
    counted: ClassVar[str] = "not_aligned"

    def __init__(self, of: Literal["displacement", "shift", "zoom", "rotation"] = "displacement") -> None:
        super().__init__()
        if of not in _LABELS:
            raise ValueError(f"of={of!r}: choose one of {', '.join(_LABELS)}")
        self.of = of
        self.label, self.unit = _LABELS[of]  # type: ignore[misc]

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        found = [align(before, after) for before, after in zip(pairs.original_image, images, strict=True)]
        self.reasons = [alignment.reason for alignment in found]
        return torch.tensor([self._value(alignment) for alignment in found], device=images.device)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"of": self.of, "least_support": LEAST_SUPPORT}

    def _value(self, found: Alignment) -> float:
        if not found.found:
            return math.nan
        values = {"displacement": found.displacement, "shift": math.hypot(*found.shift)}
        values |= {"zoom": 100 * abs(found.zoom - 1), "rotation": abs(found.rotation)}
        return values[self.of]
