"""One thing that a frozen network says of a pair, and what that depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ip2p_lightning.data.pair import EditPair, PairBatch

_IRRELEVANT = ("transformers_version", "dtype", "torch_dtype")


@dataclass(frozen=True)
class Encoding:
    """Encoder output that is cached for each pair.

    Args:
        name: of its folder; letters and underscores.
        network: what computes it; all of its parameters are frozen.
        encode: from a batch to tensors [B, ...] by name, the names under which a batch's `cached` holds them.
        key: what the result depends on where that is less than the whole pair, such as a text: pairs with equal keys
            share one result, and images are empty when `encode` is called. None: on the images, so that each crop
            and flip has its own.
        settings: what else it depends on, plain values.

    Raises:
        ValueError: a network that learns.
    """

    name: str
    network: nn.Module
    encode: Callable[[PairBatch], Mapping[str, Tensor]]
    key: Callable[[EditPair], str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        learning = [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]
        if learning:
            raise ValueError(
                f"{type(self.network).__name__} learns ({learning[0]} and {len(learning) - 1} more parameters), so "
                f"what it says changes with each step and cannot be cached as {self.name!r}; freeze it or leave it out"
            )

    def fingerprint(self) -> str:
        """Digest of the network's weights and configuration, and of the settings."""
        return digest([weights_digest(self.network), self.settings])


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of a network's class, configuration and weights: names, shapes, types and bits."""
    sha = hashlib.sha256(digest([type(network).__qualname__, _configuration(network)]).encode())
    for name, tensor in sorted(network.state_dict().items()):
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what a tokenizer makes of texts."""
    if isinstance(tokenizer, PreTrainedTokenizerFast):
        whole = json.loads(tokenizer.backend_tokenizer.to_str())
        # How the last call padded and cut is kept there, too.
        rules: Any = {name: rule for name, rule in whole.items() if name not in ("padding", "truncation")}
    else:
        rules = tokenizer.get_vocab()
    return digest([type(tokenizer).__name__, rules, tokenizer.special_tokens_map])


def digest(value: Any) -> str:
    """SHA-256 of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _configuration(network: nn.Module) -> dict[str, Any]:
    config: Any = getattr(network, "config", None) or {}
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {name: value for name, value in values.items() if name[0] != "_" and name not in _IRRELEVANT}
