"""Distributions over the diffusion time that training draws from; all return fractions in [0, 1), 1 being pure noise.

They draw in float32 whatever the default type is: bfloat16 has 8 bits for a thousand times, and rounds some to 1.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ip2p_lightning.config.parts import buildable

_BELOW_ONE = 1 - 2**-20
"""Largest fraction returned; a fraction of 1 would be a time beyond the schedule's last."""


@buildable
class TimestepDistribution(Protocol):
    """Draws one fraction of the noise schedule for each sample of a batch."""

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None) -> Tensor: ...


class UniformTimesteps(TimestepDistribution):
    """u ~ U[0, 1), as DDPM, InstructPix2Pix and MGIE draw it."""

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return [count] fractions."""
        return torch.rand(count, device=device, dtype=torch.float32, generator=generator)


class PowerTimesteps(TimestepDistribution):
    """u ** power: below 1 it favours noisy times, where small models decide what to change.

    Args:
        power: exponent, above 0; 0.5 makes the density grow linearly with the noise.

    Raises:
        ValueError: an exponent that is not above 0.
    """

    def __init__(self, power: float = 0.5) -> None:
        if power <= 0:
            raise ValueError(f"power={power}: the exponent must be above 0 (below 1 favours noisy times)")
        self.power = power

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return [count] fractions."""
        uniform = torch.rand(count, device=device, dtype=torch.float32, generator=generator)
        return (uniform**self.power).clamp(max=_BELOW_ONE)


class LogitNormalTimesteps(TimestepDistribution):
    """sigmoid(N(mean, std)): favours middle times (Stable Diffusion 3, section 3.1).

    Args:
        mean: location; positive values favour noise.
        std: spread.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, std

    def __call__(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return [count] fractions."""
        normal = torch.randn(count, device=device, dtype=torch.float32, generator=generator)
        return torch.sigmoid(self.mean + self.std * normal).clamp(max=_BELOW_ONE)
