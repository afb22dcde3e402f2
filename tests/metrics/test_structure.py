"""SSIM and PSNR are torchmetrics' own, one value a picture."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import PSNR, SSIM
from ip2p_lightning.metrics.structure import IDENTICAL

pytestmark = pytest.mark.numeric


def test_equals_torchmetrics(pairs: PairBatch) -> None:
    for ours, theirs in (
        (SSIM(), StructuralSimilarityIndexMeasure(data_range=(-1.0, 1.0))),
        (PSNR(), PeakSignalNoiseRatio(data_range=(-1.0, 1.0), dim=(1, 2, 3))),
    ):
        ours.update(pairs.original_image, pairs)
        theirs.update(pairs.original_image, pairs.edited_image)
        torch.testing.assert_close(ours.compute(), theirs.compute())


def test_identical_pictures_stay_finite(pairs: PairBatch) -> None:
    psnr, ssim = PSNR(), SSIM()
    for metric in (psnr, ssim):
        metric.update(pairs.edited_image, pairs)
    assert psnr.compute() == IDENTICAL
    assert ssim.compute() == pytest.approx(1)
