"""Text-to-image pipelines that pairs are made with: assembled from parts, or loaded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import PreTrainedTokenizerBase

from ip2p_lightning.interop.components import load_components, pipeline_index
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.weight_files import WeightsError


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
        vae: latents to images.
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
    weights: str | Path,
    vae: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    variant: str | None = None,
) -> StableDiffusionPipeline:
    """A Stable Diffusion of the hub, a folder or a single file.

    Args:
        weights: of the pipeline, see `load_model`.
        vae: hub name or folder of another autoencoder, as InstructPix2Pix has it; None for the pipeline's own.
        device: where it is put.
        dtype: name of a torch type.
        variant: which weight files, see `find_weights`.

    Raises:
        WeightsError: no Stable Diffusion there, or parts that are not whole.
    """
    index = pipeline_index(weights)
    if index["_class_name"] != StableDiffusionPipeline.__name__:
        raise WeightsError(
            f"{weights} holds a {index['_class_name']}; give a Stable Diffusion (StableDiffusionPipeline)"
        )
    parts = load_components(weights, index, variant, dtype, without=() if vae is None else ("vae",))
    if vae is not None:
        parts["vae"] = load_model(AutoencoderKL, vae, None, None, dtype)
    max_length = parts["text_encoder"].config.max_position_embeddings
    pipeline = build_pipeline(**parts, max_length=min(parts["tokenizer"].model_max_length, max_length))
    # What the run card calls it.
    pipeline.register_to_config(_name_or_path=str(weights) if vae is None else f"{weights} with the autoencoder {vae}")
    return pipeline.to(device)
