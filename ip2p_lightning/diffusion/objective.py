"""The editing loss: noise the edited image, predict, compare (InstructPix2Pix eq. 1, MGIE eq. 5).

One objective object owns the noise schedule, the distribution of times and what the denoiser predicts: the noise
(epsilon), the velocity (v), the clean latent (sample), or the straight flow from data to noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.diffusion.timesteps import TimestepDistribution, UniformTimesteps
from ip2p_lightning.diffusion.token_shift import shifted, token_shift
from ip2p_lightning.diffusion.weights import LossWeight, Noised


@buildable
class Objective(ABC):
    """Noises latents and scores predictions.

    Args:
        timesteps: distribution of the diffusion time.
        weights: factors of each sample's loss; their product is used.
    """

    prediction_type: str
    scheduler: Any

    def __init__(
        self, timesteps: TimestepDistribution | None = None, weights: Sequence[LossWeight] | None = None
    ) -> None:
        self.draw_fractions = timesteps or UniformTimesteps()
        self.weights = tuple(weights or ())

    @abstractmethod
    def add_noise(self, edited: Tensor, noise: Tensor, fractions: Tensor) -> Noised:
        """Noise latents [B, C, h, w] to the times `fractions` [B] in [0, 1)."""

    def noise(self, edited: Tensor, generator: torch.Generator | None = None, tokens: int | None = None) -> Noised:
        """Draw a time and noise for each of the latents [B, C, h, w].

        Args:
            edited: clean latents.
            generator: source of randomness.
            tokens: positions that the denoiser attends to, for schedules that depend on it; h * w if None.
        """
        noise = torch.randn(edited.shape, device=edited.device, dtype=edited.dtype, generator=generator)
        fractions = self.draw_fractions(edited.shape[0], edited.device, generator)
        mu = token_shift(self.scheduler.config, tokens or edited.shape[-2] * edited.shape[-1])
        if mu is not None:
            fractions = shifted(fractions, mu, self.scheduler.config["time_shift_type"])
        return self.add_noise(edited, noise, fractions)

    def loss(
        self,
        prediction: Tensor,
        noised: Noised,
        edited: Tensor,
        original: Tensor,
        importance: Tensor | None = None,
    ) -> Tensor:
        """Mean of `error`, weighted by channel and by sample; a scalar in float32.

        Args:
            prediction: [B, C, h, w] the denoiser's output.
            noised: what `noise` returned.
            edited: [B, C, h, w] clean latents of the edited images.
            original: [B, C, h, w] latents of the original images (before conditioning dropout).
            importance: [C] what a squared error in each channel counts, 1 on average; None: all the same.
        """
        unit = 1.0 if importance is None else importance.sqrt().view(1, -1, 1, 1)
        error = self.error(prediction.float() * unit, noised.target.float() * unit).flatten(1).mean(1)
        for weight in self.weights:
            error = error * weight(noised, edited * unit, original * unit, self.prediction_type)
        return error.mean()

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Squared error of each number; [B, C, h, w] as both arguments."""
        return (prediction - target).pow(2)


class DiffusionObjective(Objective):
    """Variance-preserving diffusion with a diffusers noise schedule.

    Args:
        scheduler: holds betas and `prediction_type` ("epsilon", "v_prediction" or "sample").
        timesteps: distribution of the diffusion time.
        weights: factors of each sample's loss.

    Raises:
        ValueError: a prediction type that is none of the three.
    """

    def __init__(
        self,
        scheduler: DDPMScheduler,
        timesteps: TimestepDistribution | None = None,
        weights: Sequence[LossWeight] | None = None,
    ) -> None:
        super().__init__(timesteps, weights)
        self.scheduler = scheduler
        self.prediction_type = scheduler.config["prediction_type"]
        if self.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(f"prediction_type {self.prediction_type!r}: choose epsilon, v_prediction or sample")

    def add_noise(self, edited: Tensor, noise: Tensor, fractions: Tensor) -> Noised:
        """z_t = sqrt(abar_t) z + sqrt(1 - abar_t) eps, with t = floor(fraction * T)."""
        timesteps = (fractions * self.scheduler.config.num_train_timesteps).long()
        alphas_cumprod = self.scheduler.alphas_cumprod.to(edited.device)[timesteps]
        target = {
            "epsilon": lambda: noise,
            "v_prediction": lambda: self.scheduler.get_velocity(edited, noise, timesteps),
            "sample": lambda: edited,
        }[self.prediction_type]()
        return Noised(
            sample=self.scheduler.add_noise(edited, noise, timesteps),
            timesteps=timesteps,
            target=target,
            snr=alphas_cumprod / (1 - alphas_cumprod),
        )


class FlowMatchingObjective(Objective):
    """Rectified flow: z_t = (1 - t) z + t eps, predict eps - z (Liu et al. 2022; Stable Diffusion 3, section 2).

    Args:
        scheduler: the sampler whose `num_train_timesteps` and `shift` training must share.
        timesteps: distribution of the diffusion time before the shift.
        weights: factors of each sample's loss.
    """

    prediction_type = "flow"

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        timesteps: TimestepDistribution | None = None,
        weights: Sequence[LossWeight] | None = None,
    ) -> None:
        super().__init__(timesteps, weights)
        self.scheduler = scheduler

    def add_noise(self, edited: Tensor, noise: Tensor, fractions: Tensor) -> Noised:
        """Interpolate linearly at t = shift u / (1 + (shift - 1) u); a shift by tokens is in the fractions."""
        config = self.scheduler.config
        shift = 1.0 if config.get("use_dynamic_shifting") else config.shift
        times = shift * fractions / (1 + (shift - 1) * fractions)
        t = times.view(-1, 1, 1, 1).to(edited.dtype)
        return Noised(
            sample=(1 - t) * edited + t * noise,
            timesteps=times * self.scheduler.config.num_train_timesteps,
            target=noise - edited,
            snr=((1 - times) / times.clamp(min=1e-6)) ** 2,
        )
