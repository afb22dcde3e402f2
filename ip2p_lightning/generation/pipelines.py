"""Text-to-image pipelines that pairs are made with: assembled from parts, or loaded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import PreTrainedTokenizerBase


def build_pipeline(
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: nn.Module,
    unet: UNet2DConditionModel,
    vae: nn.Module,
    scheduler: Any,
    max_length: int | None = None,
) -> StableDiffusionPipeline:
    """A pipeline of parts, without a safety checker (pairs have a filter of their own).

    Args:
        tokenizer: copied.
        text_encoder: captions to states.
        unet: the denoiser.
        vae: latents to pictures.
        scheduler: tells how the UNet was trained.
        max_length: tokens a caption is padded or cut to; the tokenizer's own if None.
    """
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = max_length or tokenizer.model_max_length
    pipeline = StableDiffusionPipeline(
        vae=vae,  # type: ignore[arg-type]
        text_encoder=text_encoder,  # type: ignore[arg-type]
        tokenizer=tokenizer,  # type: ignore[arg-type]
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    for part in (text_encoder, unet, vae):
        part.eval().requires_grad_(False)
    return pipeline


def load_pipeline(
    weights: str | Path, vae: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
) -> StableDiffusionPipeline:
    """A Stable Diffusion of the hub or a folder, from safetensors.

    Args:
        weights: hub name or folder of the pipeline.
        vae: hub name or folder of another autoencoder, as InstructPix2Pix has it; None for the pipeline's own.
        device: where it is put.
        dtype: name of a torch type.
    """
    precision = getattr(torch, dtype)
    parts: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    if vae is not None:
        parts["vae"] = AutoencoderKL.from_pretrained(vae, dtype=precision, use_safetensors=True)
    pipeline = StableDiffusionPipeline.from_pretrained(weights, dtype=precision, use_safetensors=True, **parts)
    if vae is not None:  # what the run card calls it
        pipeline.register_to_config(_name_or_path=f"{weights} with the autoencoder {vae}")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
