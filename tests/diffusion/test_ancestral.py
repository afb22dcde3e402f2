"""Predicting the sample leads where predicting v leads, which diffusers knows."""

from __future__ import annotations

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from ip2p_lightning.diffusion.ancestral import EulerAncestral

pytestmark = pytest.mark.numeric

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("options", [{}, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}], ids=str)
def test_predicted_samples_lead_where_v_leads(options):
    ours = EulerAncestral(**SCHEDULE, **options, prediction_type="sample")
    theirs = EulerAncestralDiscreteScheduler(**SCHEDULE, **options, prediction_type="v_prediction")
    clean = torch.randn(2, 4, 8, 8)
    samples = []
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(6)
        generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
        sample = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
        for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
            scheduler.scale_model_input(sample, t)
            v = (sample / (sigma**2 + 1) - clean) * (sigma**2 + 1) ** 0.5 / sigma
            output = clean if scheduler is ours else v
            stepped = scheduler.step(output, t, sample, generator=generators)
            torch.testing.assert_close(stepped.pred_original_sample, clean, atol=1e-3, rtol=1e-3)
            sample = stepped.prev_sample
        samples.append(sample)
    torch.testing.assert_close(*samples, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(samples[0], clean, atol=1e-4, rtol=1e-4)


def test_other_predictions_are_left_to_diffusers():
    output, sample = torch.randn(2, 1, 4, 4, 4)
    steps = []
    for kind in (EulerAncestral, EulerAncestralDiscreteScheduler):
        scheduler = kind(**SCHEDULE)
        scheduler.set_timesteps(3)
        t = scheduler.timesteps[0]
        scheduler.scale_model_input(sample, t)
        steps.append(scheduler.step(output, t, sample, torch.Generator().manual_seed(0), return_dict=False)[0])
    assert torch.equal(*steps)


def test_steps_to_nearly_the_same_or_nearly_no_noise_are_finite():
    output, sample = torch.randn(2, 1, 4, 4, 4)
    for sigma, following in [(1.0, 1.0 - 2**-24), (4096.0, 0.03), (14.6, 1e-3), (1.0, 1.0)]:
        scheduler = EulerAncestral(**SCHEDULE, prediction_type="sample")
        scheduler.set_timesteps(3)
        scheduler.sigmas[0], scheduler.sigmas[1] = sigma, following
        t = scheduler.timesteps[0]
        scheduler.scale_model_input(sample, t)
        stepped = scheduler.step(output, t, sample, torch.Generator().manual_seed(0), return_dict=False)[0]
        assert stepped.isfinite().all(), (sigma, following)
