"""Low-rank adapters (Hu et al. 2021) through peft: train a few weights next to pretrained ones."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from transformers import PreTrainedModel

Network = UNet2DConditionModel | SD3Transformer2DModel | PreTrainedModel


def with_lora(
    network: Network,
    rank: int = 8,
    alpha: int | None = None,
    targets: Sequence[str] = ("to_q", "to_k", "to_v", "to_out.0"),
    dropout: float = 0.0,
) -> Network:
    """Add an adapter to a denoiser's network or a language model, in place; it changes nothing until it is trained.

    Denoisers call it with their key `lora`, as in `denoiser.lora={rank: 8}`. Train it with
    `trainable: {"denoiser.*lora*": {lr: 1e-4}}`; a UNet that is widened for the first time also needs its first
    convolution, `"denoiser.network.conv_in.*"`.

    Args:
        network: of diffusers (widened) or of transformers.
        rank: r of the update W + (alpha / r) B A.
        alpha: scale; `rank` if None.
        targets: names that adapted layers end in (the attention's projections).
        dropout: of the adapter's input.

    Raises:
        ModuleNotFoundError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("LoRA needs peft: pip install 'ip2p-lightning[lora]'") from error
    network.add_adapter(
        LoraConfig(
            r=rank, lora_alpha=alpha or rank, target_modules=list(targets), lora_dropout=dropout, init_lora_weights=True
        )
    )
    return network
