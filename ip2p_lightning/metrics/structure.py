"""torchmetrics' SSIM and PSNR to the true edited image, one value per image."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric

IDENTICAL = 100.0
"""PSNR in dB of two identical images, whose true value is infinite and would hide all others in a mean."""


class SSIM(EditMetric):
    """Structural similarity (Wang et al. 2004) with its 11 x 11 Gaussian window; 1 for identical images."""

    higher_is_better = True
    label: ClassVar[str] = "SSIM"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        values = structural_similarity_index_measure(
            images, pairs.edited_image, reduction="none", data_range=(-1.0, 1.0)
        )
        return cast("Tensor", values).reshape(len(pairs))


class PSNR(EditMetric):
    """Peak signal-to-noise ratio in dB, at most 100 dB (identical images)."""

    higher_is_better = True
    label: ClassVar[str] = "PSNR"
    unit: ClassVar[str] = "dB"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        values = peak_signal_noise_ratio(
            images, pairs.edited_image, data_range=(-1.0, 1.0), reduction="none", dim=(1, 2, 3)
        )
        return values.clamp(max=IDENTICAL)
