"""A noised training example, and per-sample weights of its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ip2p_lightning.config.parts import buildable


@dataclass(frozen=True)
class Noised:
    """A training example of the denoiser.

    Args:
        sample: [B, C, h, w] noised latents z_t.
        timesteps: [B] as the denoiser gets them: integers 0..T-1, or floats for flow matching.
        target: [B, C, h, w] what it should predict.
        snr: [B] signal-to-noise ratio at t.
    """

    sample: Tensor
    timesteps: Tensor
    target: Tensor
    snr: Tensor


@buildable
class LossWeight(Protocol):
    """A factor [B] of each sample's squared error."""

    def __call__(self, noised: Noised, edited: Tensor, original: Tensor, prediction_type: str) -> Tensor: ...


class MinSNR(LossWeight):
    """min(SNR, gamma), expressed in the unit of what is predicted (Hang et al. 2023, section 3.4).

    With a zero-terminal-SNR schedule and epsilon or sample prediction the last time gets weight 0 by definition;
    that is where sampling starts, so do not combine the two.

    Args:
        gamma: ceiling of the signal-to-noise ratio; the paper uses 5.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        self.gamma = gamma

    def __call__(self, noised: Noised, edited: Tensor, original: Tensor, prediction_type: str) -> Tensor:
        """Return [B] weights."""
        clipped = noised.snr.clamp(max=self.gamma)
        unit = {
            "epsilon": noised.snr.clamp(min=1e-8),
            "v_prediction": noised.snr + 1,
            "sample": torch.ones_like(noised.snr),
            "flow": (noised.snr.sqrt() + 1) ** 2,
        }[prediction_type]
        return clipped / unit


class EditSize(LossWeight):
    """1 / sqrt(size of the edit + floor): keeps whole-image edits from drowning small ones.

    The size is the mean squared difference between the latents before and after; weights are normalised to mean 1
    over the batch.

    Args:
        floor: added to the size, in squared latent units; bounds the weight of pairs that hardly differ.
    """

    def __init__(self, floor: float = 0.02) -> None:
        self.floor = floor

    def __call__(self, noised: Noised, edited: Tensor, original: Tensor, prediction_type: str) -> Tensor:
        """Return [B] weights."""
        size = (edited - original).float().pow(2).flatten(1).mean(1)
        weight = (size + self.floor).rsqrt()
        return weight / weight.mean()
