"""SDEdit: diffusers' own pictures to rounding, independent of batches, and clear about what it needs."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from factories import tiny_batch

from ip2p_lightning.data.images import to_pil, to_tensor
from ip2p_lightning.editors.request import Captions, captions_of
from ip2p_lightning.editors.sdedit import SDEdit
from ip2p_lightning.models.patch_pca import PatchPCA

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SCHEDULERS = {
    "ddim": DDIMScheduler(**SCHEDULE, clip_sample=False, steps_offset=1, set_alpha_to_one=False),
    "zero terminal": DDIMScheduler(
        **SCHEDULE,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    ),
    "euler ancestral": EulerAncestralDiscreteScheduler(**SCHEDULE),
    "pndm": PNDMScheduler(**SCHEDULE, skip_prk_steps=True, steps_offset=1),
}


def with_parts(pipeline: StableDiffusionPipeline, **parts: object) -> StableDiffusionPipeline:
    changed = copy.copy(pipeline)
    for name, part in parts.items():
        setattr(changed, name, part)
    return changed


@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("options", [(0.5, 3.0), (0.34, 7.5), (1.0, 1.0)], ids=str)
def test_equals_diffusers(
    stable_diffusion: StableDiffusionPipeline, scheduler: object, options: tuple[float, float]
) -> None:
    strength, scale = options
    pipeline = with_parts(stable_diffusion, scheduler=scheduler)
    batch, seeds = tiny_batch(size=16), [3, 1, 4]
    ours = SDEdit(pipeline, strength, scale, steps=6, batch_size=2).edit(
        batch.original_image, batch.instruction, seeds=seeds, captions=captions_of(batch)
    )
    theirs = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        batch.edited_caption,
        (batch.original_image + 1) / 2,
        strength=strength,
        num_inference_steps=6,
        guidance_scale=scale,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        output_type="pt",
    ).images
    assert (ours.images - batch.original_image).abs().mean() > 0.1
    torch.testing.assert_close((ours.images + 1) / 2, expected, atol=1e-4, rtol=0)


def test_a_small_strength_keeps_the_original_and_all_strengths_share_their_noise(
    stable_diffusion: StableDiffusionPipeline,
) -> None:
    pipeline = with_parts(stable_diffusion, vae=PatchPCA(2, 4))
    batch = tiny_batch(size=16)
    kept = pipeline.vae.decode(pipeline.vae.encode(batch.original_image).latent_dist.mode()).sample

    def change(strength: float) -> float:
        edit = SDEdit(pipeline, strength, 2.0, 20).edit(
            batch.original_image, batch.instruction, captions=captions_of(batch)
        )
        return (edit.images - kept).abs().mean().item()

    assert change(0.05) < change(0.3) < change(0.9)


def test_pil_pictures_of_any_size_and_independence_of_the_batch(stable_diffusion: StableDiffusionPipeline) -> None:
    images = [to_pil(torch.rand(3, *size) * 2 - 1) for size in ((16, 16), (20, 33), (16, 16))]
    captions = [Captions("", text) for text in ("a red house", "a lake", "a blue boat")]
    editor = SDEdit(stable_diffusion, 0.5, steps=4)
    assert editor.resolution == 16
    together = editor.edit(images, ["edit"] * 3, seeds=[1, 2, 3], captions=captions).images
    assert [image.size for image in together] == [image.size for image in images]
    for place, image in enumerate(images):
        (alone,) = editor.edit([image], ["edit"], seeds=place + 1, captions=captions[place : place + 1]).images
        assert (to_tensor(alone) - to_tensor(together[place])).abs().max() <= 2 / 255


def test_scale_and_steps_can_be_overridden(stable_diffusion: StableDiffusionPipeline) -> None:
    batch = tiny_batch(1, size=16)
    request = (batch.original_image, batch.instruction)
    options = {"captions": captions_of(batch)}
    expected = SDEdit(stable_diffusion, 0.5, 3.0, 8).edit(*request, **options).images
    overridden = SDEdit(stable_diffusion, 0.5).edit(*request, **options, text_scale=3.0, steps=8).images
    assert torch.equal(overridden, expected)


def test_what_is_missing_or_impossible_is_named(stable_diffusion: StableDiffusionPipeline) -> None:
    images = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match="SDEdit needs the edited image's caption, and none were given"):
        SDEdit(stable_diffusion).edit(images, ["make it winter"])
    with pytest.raises(ValueError, match=r"strength=0.1 of 4 steps.*at least one step"):
        SDEdit(stable_diffusion, 0.1).edit(images, ["winter"], captions=[Captions("", "winter")], steps=4)
    for strength in (0.0, 1.01):
        with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
            SDEdit(stable_diffusion, strength, steps=100)
