"""Stable Diffusion 1 as one .safetensors file in the original (CompVis) layout, the form most people have on disk.

The architecture is read off the tensors' shapes, so nothing is fetched; InstructPix2Pix's eight input channels are
recognised by them, too. The tokenizer, which such a file lacks, is CLIP's, whose table comes with open_clip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerBase

from ip2p_lightning.models.weight_files import WeightsError

M = TypeVar("M", bound=nn.Module)

_UNET, _VAE, _TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
_EMA = "model_ema."
_OTHERS = {  # a key's beginning -> what the file is instead
    "conditioner.embedders.": "Stable Diffusion XL",
    "cond_stage_model.model.": "Stable Diffusion 2",
    "lora_": "a LoRA adapter: merge it into its base first (fuse_lora)",
    "double_blocks.": "Flux",
    "model.diffusion_model.double_blocks.": "Flux",
    "model.diffusion_model.joint_blocks.": "Stable Diffusion 3",
    "down_blocks.": "a UNet in diffusers' layout: give its folder, with config.json",
    "text_model.": "a text encoder in transformers' layout: give its folder, with config.json",
    "encoder.": "one network alone: give its folder, with config.json",
}


def is_single_file(weights: str | Path) -> bool:
    """True if `weights` is a file that `load_single` is to open."""
    return str(weights).endswith(".safetensors") and Path(weights).expanduser().is_file()


def load_single(kind: type[M], path: Path, dtype: torch.dtype) -> M:
    """One network of the file.

    Args:
        kind: `UNet2DConditionModel`, `AutoencoderKL` or `CLIPTextModel`.
        path: the file.
        dtype: of the weights in memory.

    Raises:
        WeightsError: not Stable Diffusion 1 in the original layout, a class that it does not hold, or damage.
    """
    builders: dict[Any, Any] = {
        UNet2DConditionModel: (_UNET, _unet),
        AutoencoderKL: (_VAE, _autoencoder),
        CLIPTextModel: (_TEXT, _text_encoder),
    }
    if kind not in builders:
        raise WeightsError(f"{path}: a single file holds no {kind.__name__}; give a folder")
    prefix, build = builders[kind]
    model, weights = build(_tensors(path, prefix))
    own = model.state_dict()
    wrong = sorted(name for name in own if name not in weights or weights[name].shape != own[name].shape)
    if wrong:
        raise WeightsError(
            f"{path}: {len(wrong)} tensors of its {kind.__name__} are missing or of another shape "
            f"({', '.join(wrong[:3])}); copy or fetch the file again"
        )
    model.load_state_dict({name: weights[name] for name in own})
    return model.to(dtype).eval()


def single_channels(path: Path) -> int:
    """Input channels of the file's UNet: 4 for Stable Diffusion, 8 for InstructPix2Pix; errors as `load_single`."""
    return _tensors(path, f"{_UNET}input_blocks.0.0.")[f"{_UNET}input_blocks.0.0.weight"].shape[1]


def single_tokenizer() -> PreTrainedTokenizerBase:
    """CLIP's tokenizer, as Stable Diffusion 1 has it."""
    from open_clip.tokenizer import SimpleTokenizer  # seconds of imports

    table = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(word, word): number for word, number in table.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=cast(Any, list(table.bpe_ranks)), model_max_length=77)


def _tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix; of a UNet the averaged ones where the file holds both."""
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            _check_layout(path, names)
            wanted = {name: name for name in names if name.startswith(prefix)}
            if prefix.startswith(_UNET):
                averaged = {name: _EMA + "".join(name.split(".")[1:]) for name in wanted}
                if set(averaged.values()) <= set(names):
                    wanted = averaged
            return {name: file.get_tensor(stored) for name, stored in wanted.items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not readable as safetensors ({error}); copy or fetch it again") from error


def _check_layout(path: Path, names: list[str]) -> None:
    for beginning, what in _OTHERS.items():
        if any(name.startswith(beginning) for name in names):
            raise WeightsError(
                f"{path} is not Stable Diffusion 1 in the original layout but {what}"
                + ("" if "folder" in what or "merge" in what else ", which is not trained here")
            )
    for prefix, part in ((_UNET, "UNet"), (_VAE, "autoencoder"), (_TEXT, "text encoder")):
        if not any(name.startswith(prefix) for name in names):
            raise WeightsError(f"{path} has no {part} ({prefix}...): not Stable Diffusion 1 in the original layout")


def _unet(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    widths, attends = [], []
    states = 768
    width, attention = 0, False
    for block in count(1):
        start = f"{_UNET}input_blocks.{block}."
        if f"{start}0.out_layers.3.weight" in tensors:
            width = tensors[f"{start}0.out_layers.3.weight"].shape[0]
            attended = tensors.get(f"{start}1.transformer_blocks.0.attn2.to_k.weight")
            attention = attended is not None
            states = attended.shape[1] if attended is not None else states
            continue
        widths.append(width)
        attends.append(attention)
        if f"{start}0.op.weight" not in tensors:
            break
    layers = sum(f"{_UNET}input_blocks.{block}.0.out_layers.3.weight" in tensors for block in range(1, 100))
    config: dict[str, Any] = {
        "sample_size": 64,
        "in_channels": tensors[f"{_UNET}input_blocks.0.0.weight"].shape[1],
        "out_channels": tensors[f"{_UNET}out.2.weight"].shape[0],
        "down_block_types": ["CrossAttnDownBlock2D" if attends_ else "DownBlock2D" for attends_ in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attends_ else "UpBlock2D" for attends_ in reversed(attends)],
        "block_out_channels": widths,
        "layers_per_block": layers // len(widths),
        "cross_attention_dim": states,
    }
    return UNet2DConditionModel(**config), single_file_utils.convert_ldm_unet_checkpoint(tensors, config)


def _autoencoder(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    first = {
        int(found[1]): tensor.shape[0]
        for name, tensor in tensors.items()
        if (found := re.fullmatch(rf"{re.escape(_VAE)}encoder\.down\.(\d+)\.block\.0\.conv1\.weight", name))
    }
    widths = [first[level] for level in sorted(first)]
    blocks = re.compile(rf"{re.escape(_VAE)}encoder\.down\.0\.block\.\d+\.conv1\.weight")
    config: dict[str, Any] = {
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": widths,
        "layers_per_block": sum(bool(blocks.fullmatch(name)) for name in tensors),
        "latent_channels": tensors[f"{_VAE}post_quant_conv.weight"].shape[1],
        "sample_size": 512,
        "scaling_factor": 0.18215,
    }
    return AutoencoderKL(**config), single_file_utils.convert_ldm_vae_checkpoint(tensors, config)


def _text_encoder(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    weights = {name.removeprefix(_TEXT).removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    words, positions = weights["embeddings.token_embedding.weight"], weights["embeddings.position_embedding.weight"]
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}
    config = CLIPTextConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        intermediate_size=weights["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, words.shape[1] // 64),
        max_position_embeddings=positions.shape[0],
    )
    model = CLIPTextModel(config)
    nested = all(name.startswith("text_model.") for name in model.state_dict())
    return model, {f"text_model.{name}": tensor for name, tensor in weights.items()} if nested else weights
