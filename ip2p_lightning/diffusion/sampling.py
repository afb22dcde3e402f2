"""Sampling an edit: from noise to the edited latents, with any diffusers scheduler."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.diffusion.guidance import Denoise, TwoScaleGuidance
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.limits import TIMESTEPS


@buildable
class Sampler:
    """A scheduler, a number of steps and the guidance: all that sampling needs beside the networks.

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
        scales = values.text_scale, values.image_scale, values.guidance_start, values.guidance_stop
        return {"steps": values.steps, "guidance": TwoScaleGuidance(*map(float, scales))}  # type: ignore[arg-type]

    @torch.no_grad()
    def __call__(
        self,
        denoise: Denoise,
        original: Tensor,
        embeddings: Tensor,
        null_embeddings: Tensor,
        *,
        guidance: TwoScaleGuidance | None = None,
        steps: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return the edited pictures' latents [B, C, h, w].

        Args:
            denoise: `(noisy, original, timesteps, embeddings) -> prediction`.
            original: [B, C, h, w] latents of the original pictures.
            embeddings: [B, K, D].
            null_embeddings: [B, K, D].
            guidance: overrides the sampler's.
            steps: overrides the sampler's.
            generator: one, or one for each sample (then a sample's result does not depend on its batch).
            latents: initial unit-variance noise [B, C, h, w] instead of a draw.
            on_step: called with (steps done, steps in all) after each; what it raises ends the sampling.
        """
        guidance = guidance or self.guidance
        if torch.is_autocast_enabled(original.device.type):  # which encodes to a short type; the path stays in float32
            original = original.float()
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(steps or self.steps, device=original.device)
        generator = list(generator) if isinstance(generator, Sequence) else generator
        if latents is None:
            latents = randn_tensor(original.shape, generator=generator, device=original.device, dtype=original.dtype)
        current: Tensor = latents * getattr(scheduler, "init_noise_sigma", 1.0)
        extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
        for index, t in enumerate(scheduler.timesteps):
            noisy = scheduler.scale_model_input(current, t) if hasattr(scheduler, "scale_model_input") else current
            prediction = guidance(
                denoise,
                noisy,
                original,
                t.expand(len(original)),
                embeddings,
                null_embeddings,
                progress=index / len(scheduler.timesteps),
            )
            current = scheduler.step(prediction.type(current.dtype), t, current, **extra, return_dict=False)[0]
            if on_step is not None:
                on_step(index + 1, len(scheduler.timesteps))
        return current
