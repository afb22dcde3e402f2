"""Objectives against straight transcriptions of their equations."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from ip2p_lightning.diffusion.objective import DiffusionObjective, FlowMatchingObjective

pytestmark = pytest.mark.numeric

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.fixture
def latents() -> dict[str, torch.Tensor]:
    return {name: torch.randn(5, 4, 3, 3) for name in ("edited", "noise", "original", "prediction")}


def schedule() -> torch.Tensor:
    """abar_t of Stable Diffusion, from its definition: betas linear in their square roots."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_diffusion_noise_and_target(latents: dict[str, torch.Tensor], prediction_type: str) -> None:
    objective = DiffusionObjective(DDPMScheduler(prediction_type=prediction_type, **SD))
    fractions = torch.tensor([0.0, 0.1234, 0.5, 0.75, 0.9999])
    noised = objective.add_noise(latents["edited"], latents["noise"], fractions)
    assert noised.timesteps.tolist() == [0, 123, 500, 750, 999]
    signal = schedule()[noised.timesteps].sqrt().view(-1, 1, 1, 1)
    sigma = (1 - schedule()[noised.timesteps]).sqrt().view(-1, 1, 1, 1)
    torch.testing.assert_close(noised.sample, signal * latents["edited"] + sigma * latents["noise"])
    target = {
        "epsilon": latents["noise"],
        "v_prediction": signal * latents["noise"] - sigma * latents["edited"],
        "sample": latents["edited"],
    }[prediction_type]
    torch.testing.assert_close(noised.target, target)
    torch.testing.assert_close(noised.snr, ((signal / sigma) ** 2).flatten(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_noise_and_target(latents: dict[str, torch.Tensor], shift: float) -> None:
    objective = FlowMatchingObjective(FlowMatchEulerDiscreteScheduler(shift=shift))
    u = torch.tensor([0.0, 0.2, 0.5, 0.8, 0.999])
    noised = objective.add_noise(latents["edited"], latents["noise"], u)
    t = shift * u / (1 + (shift - 1) * u)
    torch.testing.assert_close(noised.timesteps, 1000 * t)
    t = t.view(-1, 1, 1, 1)
    torch.testing.assert_close(noised.sample, (1 - t) * latents["edited"] + t * latents["noise"])
    torch.testing.assert_close(noised.target, latents["noise"] - latents["edited"])
    # Following the target from z_t back to time 0 arrives at the data.
    torch.testing.assert_close(noised.sample - t * noised.target, latents["edited"])


def test_loss_is_the_mean_squared_error(latents: dict[str, torch.Tensor]) -> None:
    objective = DiffusionObjective(DDPMScheduler(**SD))
    noised = objective.add_noise(latents["edited"], latents["noise"], torch.rand(5))
    loss = objective.loss(latents["prediction"], noised, latents["edited"], latents["original"])
    torch.testing.assert_close(loss, torch.nn.functional.mse_loss(latents["prediction"], latents["noise"]))
    assert objective.loss(noised.target, noised, latents["edited"], latents["original"]) == 0


def test_loss_is_float32_in_half_precision(latents: dict[str, torch.Tensor]) -> None:
    half = {name: tensor.bfloat16() for name, tensor in latents.items()}
    objective = DiffusionObjective(DDPMScheduler(**SD))
    noised = objective.add_noise(half["edited"], half["noise"], torch.rand(5))
    assert noised.sample.dtype == torch.bfloat16
    assert objective.loss(half["prediction"], noised, half["edited"], half["original"]).dtype == torch.float32


def test_generator_fixes_noise_and_times(latents: dict[str, torch.Tensor]) -> None:
    objective = DiffusionObjective(DDPMScheduler(**SD))
    first, second = (objective.noise(latents["edited"], torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.sample, second.sample)
    assert torch.equal(first.timesteps, second.timesteps)
    other = objective.noise(latents["edited"], torch.Generator().manual_seed(2))
    assert not torch.equal(first.sample, other.sample)


def test_last_time_of_a_zero_terminal_schedule_is_pure_noise(latents: dict[str, torch.Tensor]) -> None:
    scheduler = DDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, **SD)
    noised = DiffusionObjective(scheduler).add_noise(latents["edited"], latents["noise"], torch.full((5,), 0.9999))
    torch.testing.assert_close(noised.sample, latents["noise"], atol=1e-6, rtol=0)
    torch.testing.assert_close(noised.snr, torch.zeros(5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_sampler_undoes_the_objective(latents: dict[str, torch.Tensor], prediction_type: str) -> None:
    """A denoiser that knows the answer leads the sampler from noise to the data: both agree on signs and units."""
    objective = DiffusionObjective(DDPMScheduler(prediction_type=prediction_type, **SD))
    scheduler = DDIMScheduler(prediction_type=prediction_type, clip_sample=False, set_alpha_to_one=True, **SD)
    scheduler.set_timesteps(10)
    edited, noise = latents["edited"], latents["noise"]
    state = objective.add_noise(edited, noise, (scheduler.timesteps[0] / 1000).expand(5)).sample
    for t in scheduler.timesteps:
        perfect = objective.add_noise(edited, noise, ((t + 0.5) / 1000).expand(5)).target
        state = scheduler.step(perfect, t, state).prev_sample
    torch.testing.assert_close(state, edited, atol=1e-4, rtol=1e-4)


def test_refuses_an_unknown_prediction_type() -> None:
    scheduler = DDPMScheduler()
    scheduler.register_to_config(prediction_type="score")
    with pytest.raises(ValueError, match="choose epsilon, v_prediction or sample"):
        DiffusionObjective(scheduler)


def test_importance_weighs_the_channels(latents: dict[str, torch.Tensor]) -> None:
    objective = DiffusionObjective(DDPMScheduler())
    noised = objective.noise(latents["edited"])
    importance = torch.linspace(0, 2, latents["edited"].shape[1])
    loss = objective.loss(latents["prediction"], noised, latents["edited"], latents["original"], importance)
    by_channel = (latents["prediction"] - noised.target).square().mean((0, 2, 3))
    torch.testing.assert_close(loss, (by_channel * importance).mean())
