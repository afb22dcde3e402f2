"""The networks of a configuration without their weights, on the meta device: parameters can be counted before a run.

A part that would be read from published weights is built as its published architecture; a tokenizer in its place has
the published number of words. Nothing is read or fetched for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import hydra
import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ip2p_lightning.config import build
from ip2p_lightning.config.parts import buildable, place_of
from ip2p_lightning.methods.staged import StagedModule

_LLAMA, _CLIP = 32_000, 49_408
"""Words of the tokenizers of LLaMA, which are given [IMG] tokens, and of CLIP."""
_VISUAL = "with_visual_tokens"
_TOKENIZER = "load_tokenizer"


@dataclass(frozen=True)
class Architecture:
    """A method's networks, and the weights that they would be filled with.

    Args:
        module: the method; on the meta device where weights would be read.
        weights: part -> folders and hub names, in order, for the parts that read any.
    """

    module: StagedModule
    weights: dict[str, list[str]]


def without_weights(config: Mapping[str, Any]) -> Architecture:
    """Build a method.

    Args:
        config: plain, of the method, as for `build`; left as it is.
    """
    own = deepcopy(dict(config))
    weights: dict[str, list[str]] = {}
    ready: dict[str, Any] = {}
    for part in [name for name, value in own.items() if isinstance(value, dict) and "_target_" in value]:
        places = _empty(own[part])
        if not places:
            continue
        weights[part] = list(dict.fromkeys(places))
        with torch.device("meta"):
            network = build(own[part])
        if isinstance(network, nn.Module):  # schedules compute with numbers when they are built
            ready[part] = network
            del own[part]
    return Architecture(build(own, **ready), weights)


def _empty(node: Any, visual: bool = False) -> list[str]:
    """Take the places of weights out of a configuration, in place; returns them."""
    if isinstance(node, list):
        return [place for child in node for place in _empty(child, visual)]
    if not isinstance(node, dict):
        return []
    target = str(node.get("_target_", ""))
    name = target.rpartition(".")[2]
    found = [place for child in node.values() for place in _empty(child, visual or name == _VISUAL)]
    if not target.startswith(f"{__name__.partition('.')[0]}."):
        return found
    argument = place_of(hydra.utils.get_object(target))
    place = node.get(argument) if argument else None
    if argument is None or place is None:
        return found
    if name == _TOKENIZER:
        node.clear()
        node |= {"_target_": f"{__name__}.{stand_in_tokenizer.__name__}", "words": _LLAMA if visual else _CLIP}
    else:
        node[argument] = None
    return [*found, str(place)]


@buildable
def stand_in_tokenizer(words: int) -> PreTrainedTokenizerBase:
    """A tokenizer of a number of words, in the place of one that is not read."""
    special = ["<unk>", "<s>", "</s>"]
    table = {word: index for index, word in enumerate([*special, *map(str, range(words - len(special)))])}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(table, unk_token="<unk>")),
        unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>",
    )  # fmt: skip
