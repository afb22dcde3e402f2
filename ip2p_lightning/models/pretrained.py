"""Weights that a pretrained folder holds already need not travel in checkpoints.

Loaders call `tag_pretrained`; the module that trains keeps the marks by name; a checkpoint then leaves out every
weight that still has its mark's bits and stores the mark instead. On the way back the folder gives the weight, and the
mark tells whether it is still the same one. Anything changed since (trained, initialised from elsewhere, resized,
cast) no longer has its mark's bits and is stored as usual, so a missing or lost mark costs space, never weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class WeightOrigin(NamedTuple):
    """Source of a weight, and the checksum of its bits."""

    checksum: int
    source: str


def tag_pretrained(model: M, source: object) -> M:
    """Note the origin of the parameters of a model that was just loaded; returns the model.

    Args:
        model: as `from_pretrained` gave it, before anything changes it.
        source: folder or hub name that it came from.
    """
    for parameter in model.parameters():
        if not parameter.is_meta:
            parameter.pretrained_mark = WeightOrigin(checksum(parameter), str(source))  # type: ignore[attr-defined]
    return model


def marks(module: nn.Module) -> dict[str, WeightOrigin]:
    """The marks of all parameters below `module`, by name."""
    named = module.named_parameters(remove_duplicate=False)
    return {name: mark for name, parameter in named if (mark := getattr(parameter, "pretrained_mark", None))}


def checksum(tensor: Tensor) -> int:
    """Sum of the tensor's bits read as integers, modulo 2^64: the same on every device, and fast."""
    bits = tensor.detach().contiguous().view(_INTEGERS[tensor.element_size()])
    return int(bits.sum(dtype=torch.int64))


def without_pretrained(
    state: Mapping[str, Tensor], known: Mapping[str, WeightOrigin]
) -> tuple[dict[str, Tensor], dict[str, WeightOrigin]]:
    """Split a state dict: what must be stored, and the marks of what need not be."""
    kept = {name: mark for name, mark in known.items() if name in state and checksum(state[name]) == mark.checksum}
    return {name: tensor for name, tensor in state.items() if name not in kept}, kept


def with_pretrained(
    state: Mapping[str, Tensor], left_out: Mapping[str, WeightOrigin], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Undo `without_pretrained` with the weights of a freshly built module.

    Args:
        state: what was stored.
        left_out: the marks stored next to it.
        own: state dict of a module that was built alike.

    Raises:
        ValueError: a weight that the module lacks or holds with other bits; names it and its source.
    """
    for name, (expected, source) in left_out.items():
        if name not in own or checksum(own[name]) != expected:
            raise ValueError(
                f"{name} was left out of the checkpoint because {source!r} holds it, but "
                + ("the module that was built has no such weight" if name not in own else "its value is another now")
                + f"; build the module from the same revision of {source!r} as in training"
            )
    return {**state, **{name: own[name] for name in left_out}}
