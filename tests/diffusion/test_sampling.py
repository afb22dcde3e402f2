"""The sampler against diffusers' pipeline on the same weights, and the promises about its randomness."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
)
from factories import seeing, tiny_module

from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.states import States

pytestmark = pytest.mark.numeric

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SCHEDULERS = {
    "euler_ancestral": EulerAncestralDiscreteScheduler(timestep_spacing="linspace", **SD),
    "ddim": DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **SD),
    "ddim_v": DDIMScheduler(
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        **SD,
    ),
    "dpm_multistep": DPMSolverMultistepScheduler(**SD),
}


@pytest.fixture(scope="module")
def module() -> EditingModule:
    return seeing(tiny_module())


def pipeline_of(module: EditingModule, scheduler: Any) -> StableDiffusionInstructPix2PixPipeline:
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=module.autoencoder.vae,
        text_encoder=module.conditioner.text_encoder,
        tokenizer=module.conditioner.tokenizer,
        unet=module.denoiser.network,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(
    ("text_scale", "image_scale"), [(7.5, 1.5), (7.5, 1.0), (1.5, 1.5), (1.0, 1.0), (3.0, 2.2)], ids=str
)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_equals_the_diffusers_pipeline(
    module: EditingModule, scheduler: str, text_scale: float, image_scale: float
) -> None:
    """Also where this sampler leaves branches out: s_I = 1, s_T = s_I, both 1."""
    images = torch.rand(2, 3, 16, 24) * 2 - 1
    condition = module.conditioner.condition(["make the house blue", "turn day into night"], images)
    expected = pipeline_of(module, SCHEDULERS[scheduler])(
        image=(images + 1) / 2,
        prompt_embeds=condition.embeddings,
        negative_prompt_embeds=condition.null_embeddings,
        num_inference_steps=5,
        guidance_scale=text_scale,
        image_guidance_scale=image_scale,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).images
    latents = Sampler(SCHEDULERS[scheduler], 5, TwoScaleGuidance(text_scale, image_scale))(
        module.denoiser,
        module.autoencoder.encode_original(images),
        condition.states,
        condition.null_states,
        generator=torch.Generator().manual_seed(3),
    )
    edited = (module.autoencoder.decode(latents) + 1) / 2
    assert expected.std() > 0.01
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)


def sample(sampler: Sampler, **options: Any) -> torch.Tensor:
    """Sample a Gaussian-like toy whose denoiser depends on everything."""

    def denoise(noisy: torch.Tensor, original: torch.Tensor, timesteps: torch.Tensor, states: States) -> torch.Tensor:
        return 0.3 * noisy + 0.1 * original + states.embeddings.mean((1, 2)).view(-1, 1, 1, 1)

    torch.manual_seed(0)
    original, text, null = torch.randn(3, 2, 4, 4), torch.randn(3, 5, 6), torch.randn(3, 5, 6)
    rows = options.pop("rows", slice(None))
    return sampler(denoise, original[rows], States(text[rows]), States(null[rows]), **options)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_sample_with_its_own_generator_does_not_depend_on_its_batch(scheduler: str) -> None:
    sampler = Sampler(SCHEDULERS[scheduler], steps=4)
    together = sample(sampler, generator=[torch.Generator().manual_seed(seed) for seed in range(3)])
    for index in range(3):
        alone = sample(sampler, rows=slice(index, index + 1), generator=[torch.Generator().manual_seed(index)])
        torch.testing.assert_close(alone[0], together[index])


def test_calls_do_not_disturb_each_other() -> None:
    scheduler = DPMSolverMultistepScheduler(**SD)  # keeps previous predictions as state
    sampler = Sampler(scheduler, steps=4)
    first = sample(sampler, generator=torch.Generator().manual_seed(0))
    sample(sampler, steps=7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(sample(sampler, generator=torch.Generator().manual_seed(0)), first)
    assert scheduler.num_inference_steps is None, "the given scheduler is left as it is"


def test_initial_latents_take_the_place_of_a_draw() -> None:
    sampler = Sampler(SCHEDULERS["ddim"], steps=3)
    latents = torch.randn(3, 2, 4, 4)
    assert torch.equal(sample(sampler, latents=latents), sample(sampler, latents=latents))
    assert not torch.equal(sample(sampler, latents=latents), sample(sampler, latents=-latents))


def test_guidance_interval_counts_steps() -> None:
    rows = []

    def denoise(noisy: torch.Tensor, *_: Any) -> torch.Tensor:
        rows.append(len(noisy))
        return torch.zeros_like(noisy)

    guidance = TwoScaleGuidance(7.5, 1.5, start=0.25, stop=0.75)
    zeros, nothing = torch.zeros(1, 2, 2, 2), States(torch.zeros(1, 1, 1))
    Sampler(SCHEDULERS["ddim"], 8, guidance)(denoise, zeros, nothing, nothing)
    assert rows == [1, 1, 3, 3, 3, 3, 1, 1]


def test_flow_arrives_at_the_data() -> None:
    """With the true velocity of one data point, Euler steps along the straight path end in it exactly."""
    data, nothing = torch.randn(2, 3, 4, 4), States(torch.zeros(2, 1, 1))

    def velocity(noisy: torch.Tensor, _: torch.Tensor, timesteps: torch.Tensor, __: States) -> torch.Tensor:
        return (noisy - data) / (timesteps / 1000).view(-1, 1, 1, 1)

    sampler = Sampler(FlowMatchEulerDiscreteScheduler(shift=3.0), 6, TwoScaleGuidance(1.0, 1.0))
    latents = sampler(velocity, torch.zeros_like(data), nothing, nothing)
    torch.testing.assert_close(latents, data, atol=1e-4, rtol=1e-4)
