"""Prompt-to-Prompt on given pictures: exact where nothing is edited, independent of batches, clear about its needs."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import DDIMScheduler
from factories import tiny_batch
from omegaconf import OmegaConf

from ip2p_lightning.config import build, config_dir
from ip2p_lightning.data.images import to_pil
from ip2p_lightning.diffusion.ddim_inversion import DDIMPath
from ip2p_lightning.diffusion.null_text import NullTextInversion
from ip2p_lightning.editors.inversion_memory import InversionMemory
from ip2p_lightning.editors.prompt_to_prompt import PromptToPromptEditor
from ip2p_lightning.editors.request import Captions, captions_of

FEW = NullTextInversion(inner_steps=1)
PLAIN = NullTextInversion(inner_steps=0)


def editor(pipeline, **options) -> PromptToPromptEditor:
    return PromptToPromptEditor(pipeline, **({"steps": 3, "text_scale": 3.0, "inversion": FEW} | options))


@pytest.fixture
def batch():
    return tiny_batch(size=16)


def run(edits: PromptToPromptEditor, batch, **options):
    return edits.edit(batch.original_image, batch.instruction, captions=captions_of(batch), **options).images


def test_equal_captions_give_the_reconstruction(stable_diffusion, batch):
    same = [Captions(text, text) for text in batch.original_caption]
    edits = editor(stable_diffusion)
    edited = edits.edit(batch.original_image, batch.instruction, captions=same).images
    torch.testing.assert_close(
        edited, edits.reconstruct(batch.original_image, batch.original_caption), atol=1e-5, rtol=0
    )


def test_the_original_comes_back_whatever_is_edited(stable_diffusion, batch):
    """Its own samples never look at those of the edit."""
    edits, captions = editor(stable_diffusion), captions_of(batch)
    crosses = [edits._cross_edit(caption) for caption in captions]
    original, edited = edits._edited(batch.original_image, captions, crosses, 3.0, 3)
    alone = edits.reconstruct(batch.original_image, batch.original_caption)
    torch.testing.assert_close(original, alone, atol=1e-5, rtol=0)
    assert (edited - original).abs().max() > 1e-4


def test_results_do_not_depend_on_the_batch(stable_diffusion, batch):
    together = run(editor(stable_diffusion, batch_size=3), batch)
    small = run(editor(stable_diffusion, batch_size=2), batch, seeds=[5, 6, 7])
    torch.testing.assert_close(together, small, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{"self_share": 1.0}, {"cross_share": 0.0}, {"largest_map": 8}])
def test_settings_matter(stable_diffusion, batch, options):
    before = run(editor(stable_diffusion), batch)
    assert not torch.allclose(run(editor(stable_diffusion, **options), batch), before, atol=1e-6, rtol=0)


def test_editors_that_share_a_memory_invert_once(stable_diffusion, batch):
    calls = []

    class Counted(NullTextInversion):
        def __call__(self, *arguments):
            calls.append(arguments)
            return super().__call__(*arguments)

    memory, counted = InversionMemory(), Counted(inner_steps=1)
    for share in (0.2, 0.9):
        shared = editor(stable_diffusion, self_share=share, memory=memory, inversion=counted)
        assert torch.equal(run(shared, batch), run(editor(stable_diffusion, self_share=share), batch))
    assert len(calls) == 1
    run(shared, batch, text_scale=2.0)
    run(shared, tiny_batch(2, size=16), text_scale=2.0)
    assert len(calls) == 3


def test_keywords_override_the_settings(stable_diffusion, batch):
    keywords = run(editor(stable_diffusion), batch, text_scale=2.0, steps=2, image_scale=9.0)
    assert torch.equal(keywords, run(editor(stable_diffusion, text_scale=2.0, steps=2), batch))


def test_nothing_followed_is_guided_sampling_from_the_inverted_noise(stable_diffusion, batch):
    edits = editor(stable_diffusion, self_share=0.0, cross_share=0.0, inversion=PLAIN)
    path = DDIMPath(stable_diffusion.scheduler, 3)
    states, null = stable_diffusion.encode_prompt(batch.original_caption + batch.edited_caption, "cpu", 1, True)
    latents = edits.autoencoder.encode_original(batch.original_image)

    def denoise(sample, timestep, given):
        return stable_diffusion.unet(sample, timestep, encoder_hidden_states=given).sample

    noise = PLAIN(denoise, path, latents, states[:3], null[:3], 3.0).noise
    plain = stable_diffusion(
        batch.edited_caption, num_inference_steps=3, guidance_scale=3.0, latents=noise, output_type="pt"
    ).images
    torch.testing.assert_close(run(edits, batch), plain * 2 - 1, atol=1e-4, rtol=0)


def test_pil_pictures_and_schedules_without_signal(stable_diffusion, batch):
    pipeline = copy.copy(stable_diffusion)
    pipeline.scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )
    pictures = [to_pil(image) for image in batch.original_image]
    edited = editor(pipeline).edit(pictures, batch.instruction, captions=captions_of(batch)).images
    assert [picture.size for picture in edited] == [(16, 16)] * 3


def test_the_pipeline_is_left_as_it_was(stable_diffusion, batch):
    before = dict(stable_diffusion.unet.attn_processors)
    run(editor(stable_diffusion), batch)
    assert stable_diffusion.unet.attn_processors == before


def test_what_it_needs(stable_diffusion, batch):
    with pytest.raises(ValueError, match="PromptToPromptEditor needs captions of the original and the edited image"):
        editor(stable_diffusion).edit(batch.original_image, batch.instruction)
    longer = [Captions("a house", "a very red house")] * 3
    with pytest.raises(ValueError, match="equally many words"):
        editor(stable_diffusion, kind="replace").edit(batch.original_image, batch.instruction, captions=longer)
    with pytest.raises(ValueError, match=r"self_share=1\.5"):
        editor(stable_diffusion, self_share=1.5)


def test_its_configuration(stable_diffusion):
    config = OmegaConf.load(config_dir() / "editor" / "prompt_to_prompt.yaml")
    del config["pipeline"]
    built = build(config, pipeline=stable_diffusion)
    assert built.inversion == NullTextInversion()
    assert (built.self_share, built.cross_share, built.kind) == (0.4, 0.8, "auto")
