"""LoRA adapters of the denoiser: export alone in diffusers' format, or merged into the weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, TypeVar

from diffusers.loaders import SD3LoraLoaderMixin, StableDiffusionLoraLoaderMixin
from torch import nn

from ip2p_lightning.methods.editing_model import EditingParts
from ip2p_lightning.models.denoiser import UNetDenoiser

N = TypeVar("N", bound=nn.Module)


def export_lora(module: EditingParts, folder: str | Path) -> Path:
    """Write the denoiser's adapter alone, a few megabytes that `pipeline.load_lora_weights(folder)` adds to the base.

    Args:
        module: its denoiser was built with `lora`.
        folder: made if need be.

    Returns:
        The file.

    Raises:
        ValueError: a denoiser without an adapter.
    """
    network = module.denoiser.network
    if not getattr(network, "peft_config", None):
        raise ValueError(
            "the denoiser has no LoRA adapter; train with ablation=lora, or export the whole model (lora=false)"
        )
    from peft.utils import get_peft_model_state_dict

    layers: dict[str, Any] = get_peft_model_state_dict(network)
    settings = network.peft_config["default"].to_dict()
    if isinstance(module.denoiser, UNetDenoiser):
        StableDiffusionLoraLoaderMixin.save_lora_weights(
            folder, unet_lora_layers=layers, unet_lora_adapter_metadata=settings
        )
    else:
        SD3LoraLoaderMixin.save_lora_weights(
            folder, transformer_lora_layers=layers, transformer_lora_adapter_metadata=settings
        )
    return Path(folder) / "pytorch_lora_weights.safetensors"


def merged(network: N) -> N:
    """The network itself, or if it carries an adapter a copy with the adapter merged into plain weights."""
    if not getattr(network, "peft_config", None):
        return network
    plain: Any = copy.deepcopy(network)
    plain.fuse_lora()
    plain.unload_lora()
    return plain
