"""Optimised empty texts bring guided sampling nearer to the inverted picture, for each picture on its own."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from ip2p_lightning.diffusion.ddim_inversion import DDIMPath
from ip2p_lightning.diffusion.null_text import NullTextInversion
from ip2p_lightning.models.denoiser import build_unet

pytestmark = pytest.mark.numeric

STEPS, SCALE = 3, 5.0


@pytest.fixture(scope="module")
def denoise():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = build_unet(4, 16, widths=(8,), heads=1, norm_groups=4).double().eval().requires_grad_(False)

    def denoise(sample: Tensor, timestep: Tensor, states: Tensor) -> Tensor:
        return unet(sample, timestep, encoder_hidden_states=states, return_dict=False)[0]

    return denoise


@pytest.fixture
def path() -> DDIMPath:
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
    return DDIMPath(DDIMScheduler(**schedule, steps_offset=1, set_alpha_to_one=False), STEPS)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(2, 4, 4, 4).double(), torch.randn(2, 6, 16).double(), torch.randn(2, 6, 16).double()


@torch.no_grad()
def back(denoise, path, inverted, states, scale=SCALE) -> Tensor:
    current = inverted.noise
    for level in range(len(path)):
        null = denoise(current, path.timesteps[level], inverted.null_states[level])
        told = denoise(current, path.timesteps[level], states)
        current = path.step(null + scale * (told - null), current, level)
    return current


def error(denoise, path, inputs, inversion: NullTextInversion) -> Tensor:
    latents, states, null = inputs
    found = inversion(denoise, path, latents, states, null, SCALE)
    return (back(denoise, path, found, states) - latents).square().mean((1, 2, 3))


def test_pictures_come_back_better_than_by_plain_inversion(denoise, path, inputs):
    plain = error(denoise, path, inputs, NullTextInversion(inner_steps=0))
    assert (error(denoise, path, inputs, NullTextInversion(10, 0.05, 0.0, 0.0)) < 0.7 * plain).all()


def test_plain_inversion_is_exact_in_the_limit_of_many_steps():
    """For a denoiser that knows its data, here normal with variance 0.25."""
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
    scheduler = DDIMScheduler(**schedule, steps_offset=1, set_alpha_to_one=False)
    latents, nothing = 0.5 * torch.randn(1, 4, 4, 4).double(), torch.zeros(1, 1, 1).double()

    def denoise(sample: Tensor, timestep: Tensor, states: Tensor) -> Tensor:
        alpha = scheduler.alphas_cumprod[timestep].double()
        return (1 - alpha).sqrt() * sample / (0.25 * alpha + 1 - alpha)

    errors = []
    for steps in (10, 100):
        path = DDIMPath(scheduler, steps)
        found = NullTextInversion(inner_steps=0)(denoise, path, latents, nothing, nothing, 1.0)
        errors.append(float((back(denoise, path, found, nothing, 1.0) - latents).abs().max()))
    assert errors[1] < 0.2 * errors[0] < 0.2


def test_no_steps_leave_the_empty_text(denoise, path, inputs):
    found = NullTextInversion(inner_steps=0)(denoise, path, *inputs, SCALE)
    assert len(found.null_states) == STEPS
    assert all(torch.equal(state, inputs[2]) for state in found.null_states)


def test_without_guidance_there_is_nothing_to_optimise(denoise, path, inputs):
    found = NullTextInversion()(denoise, path, *inputs, 1.0)
    assert all(torch.equal(state, inputs[2]) for state in found.null_states)


def test_a_picture_depends_on_itself_alone(denoise, path, inputs):
    """Also when its optimisation ends before that of its neighbour."""
    latents, states, null = inputs
    latents = torch.stack([latents[0], 0.2 * latents[1]])
    inversion = NullTextInversion(6, 0.05, enough=2e-4)
    together = inversion(denoise, path, latents, states, null, SCALE)
    for one in range(2):
        alone = inversion(denoise, path, latents[[one]], states[[one]], null[[one]], SCALE)
        for ours, theirs in zip(together.null_states, alone.null_states, strict=True):
            torch.testing.assert_close(ours[[one]], theirs)


def test_optimisation_ends_when_it_is_good_enough(denoise, path, inputs):
    """After the step whose error was measured, as in the paper's code."""
    once = NullTextInversion(1, 0.05)(denoise, path, *inputs, SCALE)
    early = NullTextInversion(10, 0.05, enough=1e3)(denoise, path, *inputs, SCALE)
    assert all(torch.equal(a, b) for a, b in zip(once.null_states, early.null_states, strict=True))
    assert not torch.equal(once.null_states[0], inputs[2])
