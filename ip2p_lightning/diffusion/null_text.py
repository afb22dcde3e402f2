"""Null-text inversion (Mokady et al. 2023): empty texts, one a step, under which guidance finds the way back.

Inverting DDIM without guidance leads to noise from which guided sampling strays. The states of the empty text are
optimised, step by step, so that each guided step ends where the inversion came by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ip2p_lightning.diffusion.ddim_inversion import DDIMPath

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`(samples [B, C, h, w], timestep, states [B, L, D]) -> output`."""


@dataclass(frozen=True)
class Inversion:
    """Noise from which images come back.

    Args:
        noise: [B, C, h, w] at level 0.
        null_states: N tensors [B, L, D], the empty text of each step.
    """

    noise: Tensor
    null_states: list[Tensor]


@dataclass(frozen=True)
class NullTextInversion:
    """Settings for optimising the empty texts; the defaults are those of the paper's code.

    Args:
        inner_steps: Adam steps at most for each denoising step; 0 leaves the empty text as it is.
        learning_rate: at the first step; falls to half of it at the last.
        enough: mean squared error below which an image's optimisation ends at the first step.
        enough_slope: what each further of 50 steps adds to it.
    """

    inner_steps: int = 10
    learning_rate: float = 1e-2
    enough: float = 1e-5
    enough_slope: float = 2e-5

    def __call__(
        self, denoise: Denoise, path: DDIMPath, latents: Tensor, states: Tensor, null: Tensor, scale: float
    ) -> Inversion:
        """Invert images; each depends on itself alone.

        Args:
            denoise: the network.
            path: the steps.
            latents: [B, C, h, w] of the images.
            states: [B, L, D] of their captions.
            null: [B, L, D] of the empty text.
            scale: of the guidance that sampling will use.
        """
        # Mokady et al. 2023, algorithm 1: invert at guidance 1, then sample forward under `scale`; at each level the
        # empty text's states are optimised until the guided step ends where the inversion came from, and serve as the
        # next
        # start.
        passed = self._way(denoise, path, latents, states)
        current, found = passed[0], []
        for level in range(len(path)):
            timestep = path.timesteps[level]
            with torch.no_grad():
                told = denoise(current, timestep, states)
            null = self._optimised(denoise, path, current, told, null, passed[level + 1], scale, level)
            found.append(null)
            with torch.no_grad():
                output = _guided(denoise(current, timestep, null), told, scale)
                current = path.step(output, current, level)
        return Inversion(passed[0], found)

    @torch.no_grad()
    def _way(self, denoise: Denoise, path: DDIMPath, latents: Tensor, states: Tensor) -> list[Tensor]:
        """Samples at levels 0 to N of the unguided inversion."""
        way = [latents]
        for level in reversed(range(len(path))):
            output = denoise(way[-1], path.timesteps[level], states)
            way.append(path.inverse_step(output, way[-1], level))
        return way[::-1]

    def _optimised(
        self,
        denoise: Denoise,
        path: DDIMPath,
        current: Tensor,
        told: Tensor,
        null: Tensor,
        aim: Tensor,
        scale: float,
        level: int,
    ) -> Tensor:
        """States of the empty text under which a guided step ends near `aim`."""
        share = level / len(path)
        limit = self.enough + 50 * share * self.enough_slope
        states = null.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([states], lr=self.learning_rate * (1 - share / 2))
        done = torch.zeros(len(null), 1, 1, dtype=torch.bool, device=null.device)
        for _ in range(self.inner_steps):
            with torch.enable_grad():
                output = _guided(denoise(current, path.timesteps[level], states), told, scale)
                errors = (path.step(output, current, level) - aim).square().mean((1, 2, 3))
                (states.grad,) = torch.autograd.grad(errors.sum(), states)
            before = states.detach().clone()
            optimizer.step()
            with torch.no_grad():
                states.copy_(torch.where(done, before, states))
            done = done | (errors.detach() < limit)[:, None, None]
            if bool(done.all()):
                break
        return states.detach()


def _guided(null: Tensor, told: Tensor, scale: float) -> Tensor:
    return null + scale * (told - null)
