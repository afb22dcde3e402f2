"""The posterior of an autoencoder without noise, with the surface of diffusers' `DiagonalGaussianDistribution`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PointPosterior:
    """All mass on one latent.

    Args:
        latents: [B, C, h, w].
    """

    latents: Tensor

    def mode(self) -> Tensor:
        """The latents."""
        return self.latents

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """The latents; `generator` is not used."""
        return self.latents
