"""The wrapper around every kind of autoencoder: scales, factors, frozen, and inside diffusers' pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ip2p_lightning.models.autoencoder import Autoencoder, load_autoencoder_kl
from ip2p_lightning.models.identity import IdentityAutoencoder
from ip2p_lightning.models.patch_pca import PatchPCA
from ip2p_lightning.models.taef2 import TAEF2

WIDTHS = (8, 8)
KINDS = {
    "kl": lambda: AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=WIDTHS,
        norm_num_groups=4,
        latent_channels=5,
    ),
    "tiny": lambda: AutoencoderTiny(
        encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS,
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=6,
    ),
    "taef2": lambda: TAEF2(latent_channels=32, block_out_channels=(8,) * 4),
    "patch_pca": lambda: PatchPCA(patch_size=4, latent_channels=7),
    "identity": IdentityAutoencoder,
}
SHAPES = {"kl": (5, 2), "tiny": (6, 2), "taef2": (32, 8), "patch_pca": (7, 4), "identity": (3, 1)}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 32) * 2 - 1


@torch.no_grad()
def test_shapes_channels_and_factor(kind, images):
    autoencoder = Autoencoder(KINDS[kind]())
    channels, factor = SHAPES[kind]
    assert (autoencoder.channels, autoencoder.factor) == (channels, factor)
    latents = autoencoder.encode_edited(images)
    assert latents.shape == (2, channels, 16 // factor, 32 // factor)
    assert autoencoder.encode_original(images).shape == latents.shape
    decoded = autoencoder.decode(10 * latents)
    assert decoded.shape == images.shape
    assert decoded.abs().max() <= 1


@torch.no_grad()
def test_edited_is_a_scaled_sample_and_original_the_bare_mode(images):
    vae = KINDS["kl"]()
    vae.register_to_config(scaling_factor=0.25)
    posterior = vae.eval().encode(images).latent_dist
    autoencoder = Autoencoder(vae)
    sample = posterior.sample(torch.Generator().manual_seed(1))
    torch.testing.assert_close(autoencoder.encode_edited(images, torch.Generator().manual_seed(1)), 0.25 * sample)
    torch.testing.assert_close(autoencoder.encode_original(images), posterior.mode())
    torch.testing.assert_close(Autoencoder(vae, True).encode_original(images), 0.25 * posterior.mode())
    torch.testing.assert_close(autoencoder.decode(0.25 * sample), vae.decode(sample).sample.clamp(-1, 1))


@torch.no_grad()
def test_shift_factor_is_taken_off_and_put_back(images):
    vae = KINDS["kl"]()
    plain = Autoencoder(vae)
    mode, decoded = Autoencoder(vae, True).encode_original(images), plain.decode(torch.ones(1, 5, 4, 4))
    vae.register_to_config(shift_factor=0.5)
    torch.testing.assert_close(Autoencoder(vae, True).encode_original(images), mode - 0.5 * vae.config.scaling_factor)
    torch.testing.assert_close(plain.decode(torch.ones(1, 5, 4, 4) - 0.5 * vae.config.scaling_factor), decoded)


def test_is_frozen_but_lets_gradients_through_to_latents(kind, images):
    autoencoder = Autoencoder(KINDS[kind]()).train()
    assert not autoencoder.vae.training
    assert not any(parameter.requires_grad for parameter in autoencoder.parameters())
    latents = autoencoder.encode_original(images)
    assert not latents.requires_grad
    autoencoder.decode(latents.requires_grad_()).sum().backward()
    assert latents.grad.isfinite().all()


@pytest.mark.parametrize("kind", [name for name, (_, factor) in SHAPES.items() if factor > 1])
def test_odd_sizes_are_refused_with_the_remedy(kind):
    autoencoder = Autoencoder(KINDS[kind]())
    with pytest.raises(ValueError, match=f"multiples of {autoencoder.factor}"):
        autoencoder.encode_original(torch.zeros(1, 3, 16, 33))


@torch.no_grad()
def test_works_inside_diffusers_pipeline_and_its_saved_folder(kind, images, tmp_path):
    vae = KINDS[kind]()
    channels, _ = SHAPES[kind]
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=2 * channels,
        out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        mid_block_type=None,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    )
    parts = {"text_encoder": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None}
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae, unet=unet, scheduler=DDIMScheduler(), requires_safety_checker=False, **parts
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path)
    reopened = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path, **parts)
    reopened.set_progress_bar_config(disable=True)
    states = torch.randn(2, 4, 8)
    results = [
        pipe(
            image=images / 2 + 0.5,
            prompt_embeds=states,
            negative_prompt_embeds=0 * states,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        ).images
        for pipe in (pipeline, reopened)
    ]
    assert results[0].shape == images.shape
    assert torch.equal(*results)


def test_stable_diffusion_s_architecture_on_the_meta_device():
    with torch.device("meta"):
        vae = load_autoencoder_kl(None)
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
    assert (Autoencoder(vae).channels, Autoencoder(vae).factor) == (4, 8)


@pytest.mark.parametrize(("name", "channels", "factor"), [("kl_tiny", 4, 2), ("identity", 3, 1), ("patch_pca", 192, 8)])
@torch.no_grad()
def test_configured_autoencoders(name, channels, factor):
    autoencoder = instantiate(OmegaConf.load(Path(__file__).resolve().parents[2] / f"conf/autoencoder/{name}.yaml"))
    assert (autoencoder.channels, autoencoder.factor) == (channels, factor)
    latents = autoencoder.encode_edited(torch.zeros(1, 3, 32, 32))
    assert autoencoder.decode(latents).shape == (1, 3, 32, 32)
