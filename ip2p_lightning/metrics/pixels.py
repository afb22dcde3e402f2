"""Pixel distances to the true edited image, as MagicBrush reports them (Zhang et al. 2023), or in grey levels."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric


class _PixelDistance(EditMetric):
    higher_is_better = False

    def __init__(self, peak: float = 1.0) -> None:
        super().__init__()
        if peak <= 0:
            raise ValueError(f"peak={peak}: the value of white must be positive (1 for [0, 1], 255 for grey levels)")
        self.peak = float(peak)
        if self.peak != 1:  # of this object, not the class
            self.unit = f"/{self.peak:g}"  # type: ignore[misc]

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"peak": self.peak}

    def difference(self, images: Tensor, pairs: PairBatch) -> Tensor:
        """Signed differences [B, 3 H W] on a scale where black is 0 and white is `peak`."""
        return (images - pairs.edited_image).flatten(1) * (self.peak / 2)


class L1(_PixelDistance):
    """Mean absolute difference to the true image.

    Args:
        peak: value of white: 1 gives MagicBrush's figure on [0, 1], 255 gives grey levels.
    """

    label: ClassVar[str] = "L1"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return self.difference(images, pairs).abs().mean(1)


class L2(_PixelDistance):
    """Mean squared difference to the true image (squared, as MagicBrush's "L2").

    Args:
        peak: value of white: 1 gives MagicBrush's figure on [0, 1]; 255 gives squared grey levels.
    """

    label: ClassVar[str] = "L2"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return self.difference(images, pairs).square().mean(1)
