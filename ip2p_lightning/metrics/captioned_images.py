"""Measures of images that are made of captions: distances of distributions, CLIP score, consistency, attributes.

FID and KID are torchmetrics' own, over the features of an encoder that is handed in. They are FID and KID in the
literature's sense for Inception's features alone, so the figures are called Frechet and kernel distance.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from ip2p_lightning.metrics.base import mean_error
from ip2p_lightning.metrics.encoders.base import Encoder, TextEncoder
from ip2p_lightning.metrics.encoders.judge import JudgeReader


def consistency(images: Tensor, low: Tensor) -> Tensor:
    """Distance of images [B, C, H, W], reduced, to their low-resolution input [B, C, h, w]: grey levels [B]."""
    small = nn.functional.interpolate(images, low.shape[-2:], mode="bilinear", antialias=True)
    return mean_error(small, low)


class CaptionedImages(nn.Module):
    """Collects images made of captions, batch by batch, and gives one figure for each measure.

    Args:
        encoder: images and texts in one space, for the CLIP score and the two distances; None leaves these out.
        judge: reads what images show, for the share of right attributes; None leaves it out.
        subset: images in each subset of the kernel distance, which needs at least so many.
    """

    def __init__(self, encoder: TextEncoder | None = None, judge: JudgeReader | None = None, subset: int = 50) -> None:
        super().__init__()
        self.encoder, self.judge, self.subset = encoder, judge, subset
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._values: dict[str, list[float]] = {}
        self._distances: tuple[FrechetInceptionDistance, KernelInceptionDistance] | None = None

    @torch.no_grad()
    def update(
        self,
        images: Tensor,
        captions: Sequence[str],
        truth: Tensor,
        low: Tensor | None = None,
        attributes: Sequence[Mapping[str, str] | None] = (),
    ) -> None:
        """Measure a batch.

        Args:
            images: [B, 3, H, W] in [-1, 1].
            captions: B texts they were made of.
            truth: [N, 3, h, w] true images, of the same captions or others.
            low: [B, 3, h, w] what a super-resolution stage was given.
            attributes: what each image should show, where that is known.
        """
        if low is not None:
            self._add("consistency", consistency(images, low).tolist())
        if self.encoder is not None:
            similarity = (self.encoder.pictures(images) * self.encoder.texts(captions)).sum(1)
            self._add("clip_score", (100 * similarity.clamp(min=0)).tolist())
            self._distances = self._distances or self._fresh(self.encoder, images)
            for distance in self._distances:
                distance.update(truth, real=True)
                distance.update(images, real=False)
        known = [truth for truth in attributes if truth]
        if self.judge is not None and known and len(known) == len(images):
            readings = self.judge.read(images)
            right = [
                sum(reading.get(name) == value for name, value in truth.items()) / len(truth)
                for reading, truth in zip(readings, known, strict=True)
            ]
            self._add("attributes", right)

    def compute(self) -> dict[str, float]:
        """Name -> figure: "consistency" (grey levels), "clip_score", "attributes" (share), and the two distances."""
        figures = {name: sum(values) / len(values) for name, values in self._values.items()}
        if self._distances is not None:
            frechet, kernel = self._distances
            count = len(self._values["clip_score"])
            if count > 1:
                figures["frechet_distance"] = float(frechet.compute())
            if count >= self.subset:
                figures["kernel_distance"] = float(kernel.compute()[0])
        return figures

    def values(self) -> dict[str, list[float]]:
        """The values of each image, for intervals."""
        return self._values

    def _add(self, name: str, values: list[float]) -> None:
        self._values.setdefault(name, []).extend(values)

    def _fresh(self, encoder: Encoder, images: Tensor) -> tuple[FrechetInceptionDistance, KernelInceptionDistance]:
        features = _Features(encoder, encoder.pictures(images[:1]).shape[1])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*will save all extracted features in buffer")
            kernel = KernelInceptionDistance(feature=features, subset_size=self.subset)
        return FrechetInceptionDistance(feature=features).to(images.device), kernel.to(images.device)


class _Features(nn.Module):
    """An encoder as torchmetrics asks for features."""

    def __init__(self, encoder: Encoder, width: int) -> None:
        super().__init__()
        self.encoder, self.num_features = encoder, width

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] to [B, D]."""
        return self.encoder.pictures(images)
