"""Thresholding in the schedulers is the paper's, and acts."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, UniPCMultistepScheduler

from ip2p_lightning.diffusion.thresholding import thresholded


def paper(clean: torch.Tensor, percentile: float, ceiling: float = float("inf")) -> torch.Tensor:
    """Imagen, figure A.10, image by image."""
    images = []
    for image in clean:
        s = max(1.0, min(ceiling, float(torch.quantile(image.abs().flatten(), percentile))))
        images.append(image.clamp(-s, s) / s)
    return torch.stack(images)


@pytest.fixture
def clean() -> torch.Tensor:
    images = torch.randn(3, 3, 8, 8) * torch.tensor([0.2, 1.0, 5.0]).view(3, 1, 1, 1)
    assert images[1:].abs().amax() > 1
    return images


@pytest.mark.parametrize("kind", [DDPMScheduler, DDIMScheduler])
@pytest.mark.parametrize("percentile", [0.995, 0.9])
def test_dynamic_thresholding_is_the_papers(kind, percentile: float, clean: torch.Tensor):
    scheduler = thresholded(kind(prediction_type="sample"), "dynamic", percentile)
    scheduler.set_timesteps(10)
    stepped = scheduler.step(clean, scheduler.timesteps[3], torch.randn_like(clean))
    torch.testing.assert_close(stepped.pred_original_sample, paper(clean, percentile))


def test_static_thresholding_clips_and_dynamic_does_not(clean: torch.Tensor):
    found = {}
    for name in ("none", "static", "dynamic"):
        scheduler = thresholded(DDPMScheduler(prediction_type="sample"), name)
        scheduler.set_timesteps(10)
        found[name] = scheduler.step(clean, 500, torch.zeros_like(clean)).pred_original_sample
    assert torch.equal(found["none"], clean)
    assert torch.equal(found["static"], clean.clamp(-1, 1))
    assert not torch.allclose(found["dynamic"][2], found["static"][2], atol=0.05)
    assert torch.equal(found["dynamic"][0], clean[0])  # nothing beyond [-1, 1] at the percentile
    saturated = [float((found[name][2].abs() >= 1).float().mean()) for name in ("static", "dynamic")]
    assert saturated[0] > 0.5 > 0.02 > saturated[1]


def test_a_ceiling_bounds_s(clean: torch.Tensor):
    scheduler = thresholded(DDPMScheduler(prediction_type="sample"), "dynamic", 0.95, ceiling=1.5)
    scheduler.set_timesteps(10)
    found = scheduler.step(clean, 500, torch.zeros_like(clean)).pred_original_sample
    torch.testing.assert_close(found, paper(clean, 0.95, 1.5))


def test_schedulers_keep_their_other_settings():
    before = UniPCMultistepScheduler(beta_schedule="squaredcos_cap_v2", solver_order=3)
    after = thresholded(before, "dynamic")
    assert after.config.solver_order == 3
    assert after.config.beta_schedule == "squaredcos_cap_v2"
    assert not before.config.thresholding
    assert after.config.thresholding


def test_mistakes():
    with pytest.raises(ValueError, match="choose none, static or dynamic"):
        thresholded(DDPMScheduler(), "hard")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"percentile=99\.5"):
        thresholded(DDPMScheduler(), "dynamic", 99.5)
    with pytest.raises(ValueError, match="knows no thresholding"):
        thresholded(EulerDiscreteScheduler(), "dynamic")
