"""Steps are diffusers', and a step back undoes a step."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, EulerAncestralDiscreteScheduler

from ip2p_lightning.diffusion.ddim_inversion import DDIMPath

pytestmark = pytest.mark.numeric

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
SCHEDULERS = {
    "stable diffusion": DDIMScheduler(**SCHEDULE, steps_offset=1, set_alpha_to_one=False),
    "v": DDIMScheduler(**SCHEDULE, steps_offset=1, prediction_type="v_prediction"),
    "sample": DDIMScheduler(**SCHEDULE, steps_offset=1, prediction_type="sample"),
    "zero signal": DDIMScheduler(
        **SCHEDULE,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    ),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
def test_steps_are_those_of_diffusers(scheduler: DDIMScheduler):
    path, sample, output = DDIMPath(scheduler, 8), *torch.randn(2, 2, 4, 8, 8)
    scheduler.set_timesteps(8)
    assert torch.equal(path.timesteps, scheduler.timesteps)
    for level, timestep in enumerate(scheduler.timesteps):
        theirs = scheduler.step(output, timestep, sample).prev_sample
        torch.testing.assert_close(path.step(output, sample, level), theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["stable diffusion", "v"])
def test_a_step_back_undoes_a_step_of_the_same_noise(name):
    """Exactly if the network names the same noise at both ends."""
    path, sample, noise = DDIMPath(SCHEDULERS[name], 5), *torch.randn(2, 2, 4, 8, 8).double()

    def naming(noise, sample, level):
        if path.prediction_type == "epsilon":
            return noise
        signal, rest = path.alphas[level] ** 0.5, (1 - path.alphas[level]) ** 0.5
        return (noise - rest * sample) / signal

    for level in range(len(path)):
        cleaner = path.step(naming(noise, sample, level), sample, level)
        back = path.inverse_step(naming(noise, cleaner, level), cleaner, level)
        torch.testing.assert_close(back, sample)


def test_the_way_back_is_that_of_diffusers():
    """`DDIMInverseScheduler` goes from the clean picture's level to the next, too, but counts levels from below."""
    scheduler = SCHEDULERS["stable diffusion"]
    path, sample, output = DDIMPath(scheduler, 10), *torch.randn(2, 1, 4, 4, 4)
    inverse = DDIMInverseScheduler.from_config(scheduler.config)
    inverse.set_timesteps(10)
    for level, timestep in zip(reversed(range(1, 10)), inverse.timesteps, strict=False):
        theirs = inverse.step(output, timestep, sample).prev_sample
        if level < 9:  # the first level of all is the clean one, which they take for the least noisy one
            torch.testing.assert_close(path.inverse_step(output, sample, level), theirs, atol=1e-5, rtol=1e-4)


def test_the_noisiest_level_of_a_schedule_without_signal():
    path, sample, output = DDIMPath(SCHEDULERS["zero signal"], 5), *torch.randn(2, 1, 4, 4, 4)
    assert path.alphas[0] == 0
    torch.testing.assert_close(path.inverse_step(output, sample, 0), sample)
    assert path.step(output, sample, 0).isfinite().all()


def test_any_scheduler_tells_the_noise():
    path = DDIMPath(EulerAncestralDiscreteScheduler(**{k: v for k, v in SCHEDULE.items() if k != "clip_sample"}), 4)
    assert len(path) == 4
    with pytest.raises(ValueError, match="prediction_type='flow' must be"):
        DDIMPath(DDIMScheduler(prediction_type="flow"), 4)
