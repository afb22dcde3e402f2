"""Sampling one stage of a cascade: classifier-free guidance with one scale, in the order of diffusers' IF pipelines."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.diffusion.low_resolution import LowResolution, enlarged
from ip2p_lightning.diffusion.thresholding import Thresholding, thresholded
from ip2p_lightning.limits import TIMESTEPS

Generators = torch.Generator | list[torch.Generator] | None


class Predict(Protocol):
    """The network's prediction [B, C, h, w] from noisy images, times [B], states [B, K, D], low-resolution input."""

    def __call__(
        self, noisy: Tensor, timesteps: Tensor, states: Tensor, low: Tensor | None, levels: Tensor | None
    ) -> Tensor: ...


@dataclass(frozen=True)
class StageSettings:
    """Sampling settings of a stage; as overrides, None keeps the stage's own value.

    Args:
        steps: denoising steps, at least 1.
        guidance: w of w e(z, c) + (1 - w) e(z); 1 turns guidance off.
        noise_level: of the augmentation, 0 to 999; for super-resolution alone. Imagen's aug_level times 1000.
        thresholding: "none", "static" or "dynamic".

    Raises:
        ValueError: a value out of its range.
    """

    steps: int | None = None
    guidance: float | None = None
    noise_level: int | None = None
    thresholding: Thresholding | None = None

    def __post_init__(self) -> None:
        for name, least, most in (("steps", 1, TIMESTEPS.value), ("guidance", 0, 100), ("noise_level", 0, 999)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name}={value} must be between {least} and {most}")

    def over(self, defaults: StageSettings) -> StageSettings:
        """These values, and others' in the place of None."""
        return replace(defaults, **{name: value for name, value in vars(self).items() if value is not None})


@buildable
class StageSampler:
    """A scheduler and the settings of a cascade stage.

    Args:
        scheduler: DDPM (Imagen's ancestral sampler), DDIM or another of diffusers'; copied for each call.
        steps, guidance, noise_level, thresholding: see `StageSettings`.
        percentile, ceiling: of dynamic thresholding, see `thresholded`.
    """

    def __init__(
        self,
        scheduler: Any,
        steps: int = 100,
        guidance: float = 1.0,
        noise_level: int = 0,
        thresholding: Thresholding = "dynamic",
        percentile: float = 0.995,
        ceiling: float = 1e6,
    ) -> None:
        self.settings = StageSettings(steps, guidance, noise_level, thresholding)
        self.percentile, self.ceiling = percentile, ceiling
        self.scheduler = self.scheduler_of(scheduler, thresholding)

    def scheduler_of(self, scheduler: Any, kind: Thresholding) -> Any:
        """A copy of a scheduler with a kind of thresholding, and this sampler's percentile and ceiling."""
        return thresholded(scheduler, kind, self.percentile, self.ceiling)

    @torch.no_grad()
    def __call__(
        self,
        predict: Predict,
        states: Tensor,
        null_states: Tensor,
        shape: Sequence[int],
        *,
        low: tuple[LowResolution, Tensor] | None = None,
        settings: StageSettings | None = None,
        generator: Generators = None,
        start: Tensor | None = None,
        strength: float = 1.0,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Images [B, C, H, W], in [-1, 1] where thresholding keeps them there.

        Args:
            predict: the network.
            states: [B, K, D] of the captions.
            null_states: [B, K, D] of the null text.
            shape: (C, H, W) of the result.
            low: how low-resolution images are seen, and those [B, C, h, w] of the stage before; None for a base.
            settings: overrides of the sampler's.
            generator: one, or one for each image (whose result then does not depend on the batch).
            start: [B, C, H, W] images that sampling begins with, as SDEdit does; None for pure noise.
            strength: share of the steps that are taken from `start`, above 0 and at most 1.
            on_step: called with (steps done, steps in all) after each; what it raises ends the sampling.
        """
        values = (settings or StageSettings()).over(self.settings)
        scheduler = copy.deepcopy(self.scheduler)
        if values.thresholding != self.settings.thresholding:
            scheduler = self.scheduler_of(scheduler, values.thresholding)  # type: ignore[arg-type]
        scheduler.set_timesteps(values.steps, device=states.device)
        draw: dict[str, Any] = {"generator": generator, "device": states.device, "dtype": states.dtype}
        timesteps, current = _begin(scheduler, (len(states), *shape), start, strength, draw)
        image, levels = None, None
        if low is not None:
            levels = torch.full((len(states),), values.noise_level or 0, device=states.device)
            image = enlarged(low[1].to(states), shape[-1])
            image = low[0].augmented(image, randn_tensor(image.shape, **draw), levels)
        extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
        for index, time in enumerate(timesteps):
            noisy = scheduler.scale_model_input(current, time)
            given = noisy, time.expand(len(states)), image, levels
            prediction = _guided(predict, given, states, null_states, float(values.guidance or 0))
            current = scheduler.step(prediction, time, current, **extra, return_dict=False)[0]
            if on_step is not None:
                on_step(index + 1, len(timesteps))
        return current


def _begin(
    scheduler: Any, shape: tuple[int, ...], start: Tensor | None, strength: float, draw: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """The times that are stepped through, and the images at the first of them."""
    timesteps: Tensor = scheduler.timesteps
    if start is None:
        return timesteps, randn_tensor(shape, **draw) * scheduler.init_noise_sigma
    if not 0 < strength <= 1:
        raise ValueError(f"strength={strength} must be above 0 and at most 1")
    first = max(0, len(timesteps) - max(1, min(int(len(timesteps) * strength), len(timesteps))))
    timesteps = timesteps[first * scheduler.order :]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first * scheduler.order)
    noise = randn_tensor(shape, **draw)
    return timesteps, scheduler.add_noise(start.to(noise), noise, timesteps[:1].expand(len(noise)))


def _guided(
    predict: Predict,
    given: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    states: Tensor,
    null_states: Tensor,
    scale: float,
) -> Tensor:
    """W e(z, c) + (1 - w) e(z); an evaluation whose factor is zero is left out."""
    noisy, times, low, levels = given
    if scale in (0.0, 1.0):
        return predict(noisy, times, states if scale else null_states, low, levels)
    double: list[Any] = [None if part is None else torch.cat([part] * 2) for part in (noisy, times, low, levels)]
    both = predict(double[0], double[1], torch.cat([null_states, states]), double[2], double[3])
    without, with_text = both.chunk(2)
    return without + scale * (with_text - without)
