"""Distributions over the diffusion time that training draws from; all return fractions in [0, 1), 1 being pure noise."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class TimestepDistribution(Protocol):
    """Draws one fraction of the noise schedule for each sample of a batch."""

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None) -> Tensor: ...


class UniformTimesteps:
    """u ~ U[0, 1), as DDPM, InstructPix2Pix and MGIE draw it."""

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return [count] fractions."""
        return torch.rand(count, device=device, generator=generator)


class PowerTimesteps:
    """u ** power: below 1 it favours noisy times, where small models decide what to change.

    Args:
        power: exponent; 0.5 makes the density grow linearly with the noise.
    """

    def __init__(self, power: float = 0.5) -> None:
        self.power = power

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return [count] fractions."""
        return torch.rand(count, device=device, generator=generator) ** self.power


class LogitNormalTimesteps:
    """sigmoid(N(mean, std)): favours middle times (Stable Diffusion 3, section 3.1).

    Args:
        mean: location; positive values favour noise.
        std: spread.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, std

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return [count] fractions."""
        normal = torch.randn(count, device=device, generator=generator)
        return torch.sigmoid(self.mean + self.std * normal).clamp(max=1 - 1e-6)
