"""A random Stable Diffusion of a few thousand weights in which texts and attention matter, for tests of pairs."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline

from ip2p_lightning.generation.base import EditTriple
from ip2p_lightning.generation.pipelines import build_pipeline
from ip2p_lightning.models.denoiser import build_unet
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.world.tokenizer import world_tokenizer

LENGTH, STEPS = 12, 5
TRIPLE = EditTriple("t1", "a red castle by the sea", "make it blue", "a blue castle by the sea")
LONGER = EditTriple("t2", "a red castle", "add snow", "a red castle in the snow")


def tiny_pipeline(seed: int = 0, **scheduler: Any) -> StableDiffusionPipeline:
    """16-pixel pictures of 8 x 8 latents; attention sharp enough that shared maps change pictures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = world_tokenizer()
        encoder = build_text_encoder(tokenizer, hidden_size=32, layers=1, heads=2, max_length=LENGTH)
        unet = build_unet(4, 32, widths=(16, 32), heads=2, norm_groups=8)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            latent_channels=4,
            sample_size=16,
        )
        for name, weight in unet.named_parameters():
            if "to_q.weight" in name or "to_k.weight" in name or "to_out.0.weight" in name:
                weight.data.mul_(4)
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
    return build_pipeline(tokenizer, encoder, unet, vae, DDIMScheduler(**(schedule | scheduler)), LENGTH)
