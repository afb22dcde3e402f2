"""Sampling an edit: from noise to the edited latents, with any diffusers scheduler."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.diffusion.guidance import Denoise, TwoScaleGuidance
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.diffusion.token_shift import token_shift
from ip2p_lightning.limits import TIMESTEPS
from ip2p_lightning.states import States

OnLatents = Callable[[int, int, Tensor], None]
"""Called after each step with (steps done, steps in all, latents [B, C, h, w]): the estimate of the result where the
scheduler makes one (DDIM, Euler, DDPM, LCM), else what is still noisy."""


@buildable
class Sampler:
    """A scheduler, a number of steps and the guidance: all that sampling needs besides the networks.

    Args:
        scheduler: any diffusers scheduler with `step`; it is copied for each call, so one object may be shared.
        steps: number of denoising steps.
        guidance: the two scales.
    """

    def __init__(self, scheduler: Any, steps: int = 100, guidance: TwoScaleGuidance | None = None) -> None:
        self.scheduler = scheduler
        self.steps = TIMESTEPS.check(steps, "sampler.steps")
        self.guidance = guidance or TwoScaleGuidance()

    @classmethod
    def of(cls, scheduler: Any, settings: SamplingSettings) -> Sampler:
        """The sampler of a scheduler with these settings, the class's own where they are None."""
        return cls(scheduler, **cls(scheduler).options(settings))

    @property
    def settings(self) -> SamplingSettings:
        """Every value of sampling."""
        guidance = self.guidance
        return SamplingSettings(self.steps, guidance.text_scale, guidance.image_scale, guidance.start, guidance.stop)

    def options(self, settings: SamplingSettings) -> dict[str, Any]:
        """Steps and guidance for a call under some settings, the sampler's own where they are None."""
        values = settings.over(self.settings)
        names = {"text_scale": "text_scale", "image_scale": "image_scale"}
        names |= {"start": "guidance_start", "stop": "guidance_stop"}
        scales = {name: float(getattr(values, value)) for name, value in names.items()}
        return {"steps": values.steps, "guidance": replace(self.guidance, **scales)}  # of its own class

    @torch.no_grad()
    def __call__(
        self,
        denoise: Denoise,
        original: Tensor,
        states: States,
        null: States,
        *,
        guidance: TwoScaleGuidance | None = None,
        steps: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        tokens: int | None = None,
        on_step: OnLatents | None = None,
    ) -> Tensor:
        """Return the edited images' latents [B, C, h, w].

        Args:
            denoise: `(noisy, original, timesteps, states) -> prediction`.
            original: [B, C, h, w] latents of the original images.
            states: of B samples, under the instruction.
            null: of B samples, under the null condition.
            guidance: overrides the sampler's.
            steps: overrides the sampler's.
            generator: one, or one for each sample (then a sample's result does not depend on its batch).
            latents: initial unit-variance noise [B, C, h, w] instead of a draw.
            tokens: positions that the denoiser attends to, for schedules that depend on it; h * w if None.
            on_step: see `OnLatents`; what it raises ends the sampling.
        """
        guidance = guidance or self.guidance
        if torch.is_autocast_enabled(original.device.type):  # which encodes to a short type; the path stays in float32
            original = original.float()
        scheduler = copy.deepcopy(self.scheduler)
        mu = token_shift(scheduler.config, tokens or original.shape[-2] * original.shape[-1])
        shifted = {} if mu is None else {"mu": mu}
        scheduler.set_timesteps(steps or self.steps, device=original.device, **shifted)
        generator = list(generator) if isinstance(generator, Sequence) else generator
        if latents is None:
            latents = randn_tensor(original.shape, generator=generator, device=original.device, dtype=original.dtype)
        # Schedulers differ in the scale of their noise: Euler's begins at sigma_max, DDIM's at 1.
        current: Tensor = latents * getattr(scheduler, "init_noise_sigma", 1.0)
        extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
        # From the noisiest timestep to the cleanest: predict under guidance, then one step of the scheduler. `noisy` is
        # the sample at the scale that the network was trained on; the step itself takes the unscaled `current`.
        for index, t in enumerate(scheduler.timesteps):
            noisy = scheduler.scale_model_input(current, t) if hasattr(scheduler, "scale_model_input") else current
            prediction = guidance(
                denoise,
                noisy,
                original,
                t.expand(len(original)),
                states,
                null,
                progress=index / len(scheduler.timesteps),
            )
            current, *clean = scheduler.step(prediction.type(current.dtype), t, current, **extra, return_dict=False)
            if on_step is not None:
                on_step(index + 1, len(scheduler.timesteps), clean[0] if clean else current)
        return current
