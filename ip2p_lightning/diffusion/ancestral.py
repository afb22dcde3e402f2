"""Euler's method with ancestral noise (k-diffusion), also for networks that predict the clean sample."""

from __future__ import annotations

from typing import Any

from diffusers import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor


class EulerAncestral(EulerAncestralDiscreteScheduler):
    """diffusers' scheduler, which knows networks that predict the noise or v, and those that predict the sample."""

    def step(  # type: ignore[override]
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> EulerAncestralDiscreteSchedulerOutput | tuple[Tensor, Tensor]:
        """One step; `generator` is one, or one for each sample."""
        config: Any = self.config
        if config.prediction_type != "sample":
            return super().step(model_output, timestep, sample, generator, return_dict)  # type: ignore[arg-type]
        if self.step_index is None:
            self._init_step_index(timestep)
        clean, noisy = model_output.float(), sample.float()
        sigma, following = self.sigmas[self.step_index], self.sigmas[self.step_index + 1]  # type: ignore[operator]
        # Differences of squares: rounding must not take them below 0.
        up = (following**2 * (sigma**2 - following**2).clamp(min=0) / sigma**2) ** 0.5
        down = (following**2 - up**2).clamp(min=0) ** 0.5
        noise = randn_tensor(model_output.shape, generator, model_output.device, model_output.dtype)
        stepped = clean + (noisy - clean) * (down / sigma) + noise * up
        self._step_index += 1  # type: ignore[operator]
        stepped = stepped.to(model_output.dtype)
        if not return_dict:
            return stepped, clean
        return EulerAncestralDiscreteSchedulerOutput(prev_sample=stepped, pred_original_sample=clean)
