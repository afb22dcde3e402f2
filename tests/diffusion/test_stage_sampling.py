"""Sampling a stage: guidance as written in the paper, evaluations that cancel left out, settings that are checked."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from ip2p_lightning.diffusion.low_resolution import LowResolution
from ip2p_lightning.diffusion.stage_sampling import StageSampler, StageSettings

SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False}
STATES, NULL = torch.full((2, 1, 1), 0.5), torch.zeros(2, 1, 1)


class Network:
    """Predicts noise that depends on everything it is given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.levels: list[float] = []

    def __call__(self, noisy, timesteps, states, low, levels):
        self.sizes.append(len(noisy))
        if levels is not None:
            self.levels += levels.tolist()
        seen = 0 if low is None else 0.1 * low
        return 0.3 * noisy + seen + states.view(-1, 1, 1, 1) + timesteps.view(-1, 1, 1, 1) / 5000


def test_guidance_is_the_papers():
    network, scheduler = Network(), DDIMScheduler(**SCHEDULE)
    sampler = StageSampler(scheduler, steps=4, guidance=3.0, thresholding="none")
    found = sampler(network, STATES, NULL, (3, 4, 4), generator=torch.Generator().manual_seed(1))
    scheduler.set_timesteps(4)
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    for t in scheduler.timesteps:
        times = t.expand(2)
        with_text, without = network(x, times, STATES, None, None), network(x, times, NULL, None, None)
        x = scheduler.step(3.0 * with_text + (1 - 3.0) * without, t, x).prev_sample
    torch.testing.assert_close(found, x)


@pytest.mark.parametrize(("guidance", "evaluated"), [(1.0, 2), (0.0, 2), (2.0, 4)])
def test_evaluations_that_cancel_are_left_out(guidance: float, evaluated: int):
    network = Network()
    StageSampler(DDPMScheduler(**SCHEDULE), 3)(
        network, STATES, NULL, (3, 4, 4), settings=StageSettings(guidance=guidance)
    )
    assert network.sizes == [evaluated] * 3


def test_the_network_is_told_the_noise_level():
    network, low = Network(), LowResolution(2, DDPMScheduler(**SCHEDULE))
    sampler = StageSampler(DDPMScheduler(**SCHEDULE), 2, noise_level=250)
    images = torch.zeros(2, 3, 2, 2)
    sampler(network, STATES, NULL, (3, 4, 4), low=(low, images))
    sampler(network, STATES, NULL, (3, 4, 4), low=(low, images), settings=StageSettings(noise_level=7))
    assert network.levels == [250] * 4 + [7] * 4


def test_an_image_does_not_depend_on_its_batch():
    sampler = StageSampler(DDPMScheduler(**SCHEDULE), 3, guidance=2.0)
    both = sampler(Network(), STATES, NULL, (3, 4, 4), generator=[torch.Generator().manual_seed(s) for s in (5, 6)])
    alone = sampler(Network(), STATES[:1], NULL[:1], (3, 4, 4), generator=[torch.Generator().manual_seed(6)])
    torch.testing.assert_close(both[1:], alone)


def test_sdedit_takes_a_share_of_the_steps_and_keeps_the_image_at_little_noise():
    network, start = Network(), torch.rand(2, 3, 4, 4)
    sampler = StageSampler(DDIMScheduler(**SCHEDULE), 10, thresholding="none")
    steps: list[tuple[int, int]] = []
    near = sampler(network, STATES * 0, NULL, (3, 4, 4), start=start, strength=0.1, on_step=lambda *s: steps.append(s))
    far = sampler(network, STATES * 0, NULL, (3, 4, 4), start=start, strength=0.9)
    assert steps == [(1, 1)]
    assert len(network.sizes) == 1 + 9
    assert (near - start).abs().mean() < (far - start).abs().mean()
    with pytest.raises(ValueError, match="strength=0"):
        sampler(network, STATES, NULL, (3, 4, 4), start=start, strength=0)


def test_thresholding_can_be_overridden():
    images = {}
    for kind in ("none", "static", "dynamic"):
        sampler = StageSampler(
            DDIMScheduler(**SCHEDULE, prediction_type="sample"), 4, guidance=1.0, thresholding="none"
        )
        images[kind] = sampler(
            lambda noisy, *_: noisy * 4, STATES, NULL, (3, 8, 8), settings=StageSettings(thresholding=kind),
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
    assert images["none"].abs().max() > 1
    assert images["static"].abs().max() <= 1
    assert images["dynamic"].abs().max() <= 1
    assert images["static"].abs().mean() > images["dynamic"].abs().mean() + 0.1


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"guidance": -1}, {"guidance": 101}, {"noise_level": 1000}, {"noise_level": -1}]
)
def test_settings_out_of_range(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StageSettings(**wrong)
