"""Causal language models that write text: published ones from hubs, folders and Python packages, and small new ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.config.parts import buildable, loads
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.lora import with_lora
from ip2p_lightning.models.mllm import build_llama

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of Llama's blocks and of most that followed it."""


@loads("weights")
def load_causal_lm(
    weights: str | Path,
    gguf_file: str | None = None,
    dtype: str = "float32",
    lora: Mapping[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    variant: str | None = None,
) -> PreTrainedModel:
    """A published causal language model.

    Args:
        weights: see `load_model`.
        gguf_file: name of a GGUF file in it, which is converted to plain weights (needs `pip install gguf`).
        dtype: of the weights, "float32", "bfloat16" or "float16".
        lora: arguments of `with_lora`; the model's own weights are then frozen by the stage's patterns. None for none.
        gradient_checkpointing: trade a second forward pass for memory.
        variant: which weight files, see `find_weights`.

    Raises:
        ModuleNotFoundError: no such package, or one that reading it needs; tells what to install.
    """
    if gguf_file and importlib.util.find_spec("gguf") is None:
        raise ModuleNotFoundError(f"reading {gguf_file} needs gguf: pip install gguf")
    model: PreTrainedModel = load_model(AutoModelForCausalLM, weights, None, variant, dtype, gguf_file)
    if gguf_file:
        _forget_quantisation(model)
        model.config.name_or_path = f"{weights}/{gguf_file}"
    if lora is not None:
        _adapt(model, lora)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


@buildable
def build_causal_lm(
    tokenizer: PreTrainedTokenizerBase,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 2,
    lora: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """A small, randomly initialised Llama; arguments as for `build_llama` and `load_causal_lm`."""
    model = build_llama(tokenizer, hidden_size, layers, heads)
    if lora is not None:
        _adapt(model, lora)
    return model


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str, begin: bool = True) -> list[int]:
    """Token ids of a text that may spell special tokens without becoming any.

    Args:
        tokenizer: any.
        text: to be continued, or the continuation.
        begin: put before it what the tokenizer begins texts with.
    """
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    if not begin:
        return ids
    frame = cast("list[int]", tokenizer("").input_ids)
    return [*(id for id in frame if id != tokenizer.eos_token_id), *ids]


def _adapt(model: PreTrainedModel, lora: Mapping[str, Any]) -> None:
    """Add an adapter in float32: its steps are too small for less, whatever the model's own weights are in."""
    before = set(model.parameters())
    with_lora(model, **{"targets": LORA_TARGETS, **lora})
    for parameter in model.parameters():
        if parameter not in before:
            parameter.data = parameter.data.float()


def _forget_quantisation(model: PreTrainedModel) -> None:
    """The weights are plain numbers by now; as long as the model says otherwise it can neither be cast nor saved."""
    for holder, name in (
        (model, "hf_quantizer"),
        (model, "is_quantized"),
        (model, "quantization_method"),
        (model.config, "quantization_config"),
    ):
        if name in vars(holder):
            delattr(holder, name)
