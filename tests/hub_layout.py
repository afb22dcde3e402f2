"""Stable Diffusion with tiny random weights in the layouts that people have: the hub's folders, one original file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerBase

from ip2p_lightning.world.tokenizer import world_tokenizer

WIDTHS = (32, 64, 64, 64)
STATES = 64


def tiny_unet(channels: int = 4) -> UNet2DConditionModel:
    torch.manual_seed(1)
    return UNet2DConditionModel(
        sample_size=8, in_channels=channels, block_out_channels=WIDTHS, cross_attention_dim=STATES, layers_per_block=2
    )


def tiny_vae() -> AutoencoderKL:
    torch.manual_seed(2)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 32, 64, 64), layers_per_block=2, latent_channels=4, scaling_factor=0.18215,
    )  # fmt: skip


def tiny_text_encoder(words: int, length: int = 77) -> CLIPTextModel:
    torch.manual_seed(3)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words, hidden_size=STATES, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1,
            max_position_embeddings=length,
        )
    )  # fmt: skip


def stable_diffusion(folder: Path, variant: str | None = None, shards: str = "10GB", **options: object) -> Path:
    """A folder as the hub has it."""
    tokenizer: PreTrainedTokenizerBase = world_tokenizer()
    tokenizer.model_max_length = 77
    pipeline = StableDiffusionPipeline(
        vae=tiny_vae(), text_encoder=tiny_text_encoder(len(tokenizer)), tokenizer=tokenizer, unet=tiny_unet(),
        scheduler=PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    if variant == "fp16":
        pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, variant=variant, max_shard_size=shards, **options)
    return folder


def original_file(path: Path, channels: int = 4, words: int = 49408) -> dict[str, dict[str, Tensor]]:
    """Write one .safetensors file in CompVis' layout; returns what it holds in diffusers' names, by part."""
    unet, vae, text = (m.state_dict() for m in (tiny_unet(channels), tiny_vae(), tiny_text_encoder(words)))
    text = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in _original_unet(unet).items()}
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in _original_vae(vae).items()}
    tensors |= {f"cond_stage_model.transformer.text_model.{name}": tensor for name, tensor in text.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return {"unet": unet, "vae": vae, "text_encoder": text}


def _original_unet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of diffusers' conversion, as its convert_diffusers_to_original_stable_diffusion.py has it."""
    heads = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    inside = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    layers: dict[str, str] = {}
    for level in range(4):
        for block in range(2):
            layers[f"down_blocks.{level}.resnets.{block}."] = f"input_blocks.{3 * level + block + 1}.0."
            layers[f"down_blocks.{level}.attentions.{block}."] = f"input_blocks.{3 * level + block + 1}.1."
        for block in range(3):
            layers[f"up_blocks.{level}.resnets.{block}."] = f"output_blocks.{3 * level + block}.0."
            layers[f"up_blocks.{level}.attentions.{block}."] = f"output_blocks.{3 * level + block}.1."
        layers[f"down_blocks.{level}.downsamplers.0.conv."] = f"input_blocks.{3 * (level + 1)}.0.op."
        layers[f"up_blocks.{level}.upsamplers.0."] = f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}."
    layers |= {"mid_block.attentions.0.": "middle_block.1."}
    layers |= {f"mid_block.resnets.{block}.": f"middle_block.{2 * block}." for block in range(2)}
    found = {}
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".")
        start = next((start for start in layers if name.startswith(start)), "")
        renamed = f"{heads[stem]}.{leaf}" if stem in heads else layers[start] + name.removeprefix(start)
        if ".resnets." in name:
            for ours, theirs in inside.items():
                renamed = renamed.replace(f".{ours}.", f".{theirs}.")
        found[renamed] = tensor
    return found


def _original_vae(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of diffusers' conversion of the autoencoder."""
    rules = [
        (r"mid_block\.attentions\.0\.", "mid.attn_1."),
        (r"attn_1\.group_norm\.", "attn_1.norm."), (r"attn_1\.to_(q|k|v)\.", r"attn_1.\1."),
        (r"attn_1\.to_out\.0\.", "attn_1.proj_out."),
        (r"down_blocks\.(\d)\.resnets\.", r"down.\1.block."),
        (r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample."),
        (r"conv_shortcut", "nin_shortcut"), (r"conv_norm_out", "norm_out"),
    ]  # fmt: skip
    found = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda match: f"up.{3 - int(match[1])}.block.", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda match: f"up.{3 - int(match[1])}.upsample.", name)
        found[name] = tensor[:, :, None, None] if "attn_1" in name and tensor.ndim == 2 else tensor
    return found
