"""Stable Diffusion 1 in the names of the original (CompVis) layout: the inverse of diffusers' conversion.

diffusers reads that layout (`single_file`) and has no writer of it in the package. What is written here is read back
with diffusers' own conversion before it counts: the same names, tensors and architecture, or an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from ip2p_lightning.models.single_file import PARTS, SCHEDULE, read_part, single_tokenizer
from ip2p_lightning.models.weight_files import WeightsError

_TRUNK = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_VAE = (
    (r"mid_block\.attentions\.0\.group_norm\.", "mid.attn_1.norm."),
    (r"mid_block\.attentions\.0\.to_(q|k|v)\.", r"mid.attn_1.\1."),
    (r"mid_block\.attentions\.0\.to_out\.0\.", "mid.attn_1.proj_out."),
    (r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block."),
    (r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample."),
    (r"conv_shortcut", "nin_shortcut"),
    (r"conv_norm_out", "norm_out"),
)
_TEXT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "hidden_act", "layer_norm_eps",
)  # fmt: skip


def original_tensors(
    parts: Mapping[str, nn.Module], tokenizer: PreTrainedTokenizerBase, scheduler: Any, origin: str
) -> dict[str, Tensor]:
    """The tensors of a pipeline under the names of the original layout.

    Args:
        parts: "unet", "vae" and "text_encoder".
        tokenizer: of the pipeline; the layout has none, so it must be CLIP's.
        scheduler: of the pipeline; its noise must be Stable Diffusion 1's, for the same reason.
        origin: of the pipeline, for messages.

    Raises:
        WeightsError: anything that the layout cannot say, or that its readers would take for something else.
    """
    if tokenizer.get_vocab() != single_tokenizer().get_vocab():
        raise WeightsError(f"{origin}: one file holds no tokenizer, and this model's is not CLIP's; export a folder")
    strange = {
        key: scheduler.config.get(key)
        for key in ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type")
        if scheduler.config.get(key) != SCHEDULE[key]
    }
    if strange:
        raise WeightsError(
            f"{origin}: one file holds no noise schedule, and this model's differs from Stable Diffusion 1's "
            f"({', '.join(f'{key}={value}' for key, value in strange.items())}); export a folder"
        )
    found: dict[str, Tensor] = {}
    for part, network in parts.items():
        named = _NAMES[part](network)
        _check(part, network, named, origin)
        found |= named
    return found


def _check(part: str, network: Any, named: Mapping[str, Tensor], origin: str) -> None:
    """Read renamed tensors back as any other program would, and compare."""
    rebuilt, weights = read_part(PARTS[part], named, Path(origin))
    own = network.state_dict()
    if isinstance(network, PARTS[part]) and own.keys() == weights.keys() == rebuilt.state_dict().keys():
        differing = _differences(part, network, rebuilt)
        if not differing and all(torch.equal(own[name], weights[name]) for name in own):
            return
    else:
        differing = sorted(own.keys() ^ weights.keys())
    raise WeightsError(
        f"{origin}: its {part} is another architecture than Stable Diffusion 1's, which is all that one file can say "
        f"({', '.join(differing[:4])}); export a folder"
    )


def _differences(part: str, network: Any, rebuilt: Any) -> list[str]:
    if part == "text_encoder":
        return [name for name in _TEXT if getattr(network.config, name) != getattr(rebuilt.config, name)]
    ours, theirs = dict(network.config), dict(rebuilt.config)
    return [
        f"{key}={ours.get(key)}"
        for key in {**ours, **theirs}
        if key != "sample_size" and not key.startswith("_") and _plain(ours.get(key)) != _plain(theirs.get(key))
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _unet(network: Any) -> dict[str, Tensor]:
    per_level, levels = int(network.config.layers_per_block), len(network.config.block_out_channels)
    places = {"mid_block.attentions.0.": "middle_block.1."}
    places |= {f"mid_block.resnets.{block}.": f"middle_block.{2 * block}." for block in range(2)}
    for level in range(levels):
        down, up = (per_level + 1) * level + 1, (per_level + 1) * level
        for kind, index in (("resnets", 0), ("attentions", 1)):
            for block in range(per_level):
                places[f"down_blocks.{level}.{kind}.{block}."] = f"input_blocks.{down + block}.{index}."
            for block in range(per_level + 1):
                places[f"up_blocks.{level}.{kind}.{block}."] = f"output_blocks.{up + block}.{index}."
        places[f"down_blocks.{level}.downsamplers.0.conv."] = f"input_blocks.{down + per_level}.0.op."
        after = 1 + hasattr(network.up_blocks[level], "attentions")
        places[f"up_blocks.{level}.upsamplers.0."] = f"output_blocks.{up + per_level}.{after}."
    found = {}
    for name, tensor in network.state_dict().items():
        stem, _, leaf = name.rpartition(".")
        start = next((start for start in places if name.startswith(start)), "")
        renamed = f"{_TRUNK[stem]}.{leaf}" if stem in _TRUNK else places.get(start, "") + name.removeprefix(start)
        if ".resnets." in name:
            inner, _, end = renamed.rpartition(".")
            block, _, layer = inner.rpartition(".")
            renamed = f"{block}.{_RESNET.get(layer, layer)}.{end}"
        found[f"model.diffusion_model.{renamed}"] = tensor
    return found


def _vae(network: Any) -> dict[str, Tensor]:
    last = len(network.config.block_out_channels) - 1
    found = {}
    for name, tensor in network.state_dict().items():
        renamed = name
        for pattern, replacement in _VAE:
            renamed = re.sub(pattern, replacement, renamed)
        renamed = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", renamed)
        renamed = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda match: f"up.{last - int(match[1])}.block.", renamed)
        renamed = re.sub(
            r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda match: f"up.{last - int(match[1])}.upsample.", renamed
        )
        flat = "attn_1" in renamed and tensor.ndim == 2  # a convolution of side 1 there, a matrix here
        found[f"first_stage_model.{renamed}"] = tensor[:, :, None, None] if flat else tensor
    return found


def _text_encoder(network: Any) -> dict[str, Tensor]:
    return {
        f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}": tensor
        for name, tensor in network.state_dict().items()
    }


_NAMES = {"unet": _unet, "vae": _vae, "text_encoder": _text_encoder}
