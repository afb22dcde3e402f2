"""A tiny Stable Diffusion and a tiny CLIP with random weights that react to what they are given."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline

from ip2p_lightning.models.denoiser import build_unet
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.world.tokenizer import world_tokenizer

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.fixture(scope="package")
def stable_diffusion() -> StableDiffusionPipeline:
    """4-channel latents of half the size, captions of 16 tokens."""
    torch.manual_seed(0)
    tokenizer = world_tokenizer()
    tokenizer.model_max_length = 16
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            latent_channels=4,
        ),
        text_encoder=build_text_encoder(tokenizer, 16, 1, 2, 16),
        tokenizer=tokenizer,
        unet=build_unet(4, 16, (8, 16), heads=2, sample_size=8, norm_groups=4),
        scheduler=DDIMScheduler(**SCHEDULE, clip_sample=False, steps_offset=1, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.eval().requires_grad_(False)
    return pipeline


@pytest.fixture(scope="package")
def dual_encoder() -> DualEncoder:
    """A CLIP of 16-pixel pictures in a space of 16 numbers."""
    torch.manual_seed(0)
    encoder = DualEncoder(
        world_tokenizer(), 16, image_size=16, patch_size=4, width=32, layers=3, head_width=16, text_width=32,
        text_layers=1, text_heads=2, context_length=16,
    )  # fmt: skip
    return encoder.eval().requires_grad_(False)
