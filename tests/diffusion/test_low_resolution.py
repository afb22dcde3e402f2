"""The low-resolution input: the pipelines' enlargement, variance-preserving noise, levels as drawn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler

from ip2p_lightning.diffusion.low_resolution import LowResolution, enlarged, reduced

COSINE = DDPMScheduler(beta_schedule="squaredcos_cap_v2")


def test_the_training_input_is_the_papers():
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    found, levels = LowResolution(4, COSINE).training_input(images, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(levels, torch.randint(1000, (4,), generator=generator))
    noise = torch.randn(4, 3, 16, 16, generator=generator)
    low = F.interpolate(images, (4, 4), mode="bilinear", antialias=True)
    up = F.interpolate(low, (16, 16), mode="bilinear", align_corners=True)
    signal = COSINE.alphas_cumprod[levels].view(4, 1, 1, 1)
    torch.testing.assert_close(found, signal.sqrt() * up + (1 - signal).sqrt() * noise)


def test_noise_preserves_variance_and_level_0_is_nearly_clean():
    low = LowResolution(2, COSINE)
    image, noise = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
    for level in (0, 300, 999):
        noised = low.augmented(image, noise, torch.tensor([level]))
        assert noised.var() == pytest.approx(1.0, abs=0.03)
    assert (low.augmented(image, noise, torch.tensor([0])) - image).abs().mean() < 0.01


def test_levels_stay_below_the_largest():
    low = LowResolution(2, COSINE, largest_level=5)
    _, levels = low.training_input(torch.zeros(200, 3, 4, 4))
    assert set(levels.tolist()) == {0, 1, 2, 3, 4}


def test_sizes():
    images = torch.rand(1, 3, 8, 8)
    assert reduced(images, 8) is images
    assert reduced(images, 2).shape == (1, 3, 2, 2)
    assert enlarged(images, 32).shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="factor=1"):
        LowResolution(1, COSINE)
    with pytest.raises(ValueError, match="between 1 and 1000"):
        LowResolution(2, COSINE, largest_level=1001)
