"""DDIM along a path of noise levels, in both directions (Song et al. 2021; inverted as in Mokady et al. 2023)."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor


class DDIMPath:
    """The noise levels of a number of DDIM steps: level 0 is the noisiest, level N the clean image.

    Args:
        scheduler: any diffusers scheduler; tells the noise schedule, what is predicted and how steps are spaced.
        steps: N.
        device: where samples are.

    Raises:
        ValueError: a prediction that DDIM does not know.
    """

    def __init__(self, scheduler: Any, steps: int, device: torch.device | str = "cpu") -> None:
        ddim: Any = DDIMScheduler.from_config(scheduler.config)
        ddim.set_timesteps(steps, device=device)
        self.prediction_type: str = ddim.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(f"prediction_type={self.prediction_type!r} must be epsilon, v_prediction or sample")
        self.timesteps: Tensor = ddim.timesteps
        levels = ddim.alphas_cumprod[self.timesteps.cpu()]
        self.alphas = torch.cat([levels, ddim.final_alpha_cumprod.reshape(1)]).double()

    def __len__(self) -> int:
        return len(self.timesteps)

    def step(self, output: Tensor, sample: Tensor, level: int) -> Tensor:
        """From a level to the next cleaner one, as `DDIMScheduler.step` with eta 0.

        Args:
            output: of the network at the level's timestep.
            sample: at that level.
            level: 0 to N - 1.
        """
        clean, noise = self._parts(output, sample, level)
        return self._mixed(clean, noise, level + 1)

    def inverse_step(self, output: Tensor, sample: Tensor, level: int) -> Tensor:
        """Back to a level from the next cleaner one.

        Args:
            output: of the network for `sample` at the timestep of `level`, where it is going.
            sample: at `level` + 1.
            level: 0 to N - 1.
        """
        # DDIM (Song et al. 2021, eq. 12) solved for the noisier sample. The noise is taken at `level`, the clean
        # sample at `level` + 1: exact where the noise hardly changes within a step.
        _, noise = self._parts(output, sample, level)
        signal, rest = self._coefficients(level + 1)
        return self._mixed((sample - rest * noise) / signal, noise, level)

    def _parts(self, output: Tensor, sample: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The clean sample and the noise that an output speaks of."""
        signal, rest = self._coefficients(level)
        if self.prediction_type == "v_prediction":
            return signal * sample - rest * output, signal * output + rest * sample
        if self.prediction_type == "sample":
            return output, (sample - signal * output) / rest
        return (sample - rest * output) / signal, output

    def _mixed(self, clean: Tensor, noise: Tensor, level: int) -> Tensor:
        signal, rest = self._coefficients(level)
        return signal * clean + rest * noise

    def _coefficients(self, level: int) -> tuple[float, float]:
        alpha = float(self.alphas[level])
        return alpha**0.5, (1 - alpha) ** 0.5
