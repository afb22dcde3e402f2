"""Checkpoints reopened from the file alone: what it describes is built, and its weights are loaded into that."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from hydra.errors import InstantiationException
from torch import Tensor, nn

from ip2p_lightning.config import instantiate_trusted
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.methods.stored_names import current_names
from ip2p_lightning.models.pretrained import Mark, with_pretrained

Weights = Literal["ema", "raw"]
Method = TypeVar("Method", bound=StagedModule)

_TRAINING_ONLY = ("sources", "alignment_teacher")
"""Arguments of parts that are left out when a checkpoint is reopened: data to fit on, and teachers."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and what to do."""


def load_module(path: str | Path, device: str | torch.device = "cpu", weights: Weights = "ema") -> EditingModule:
    """Rebuild the editing module that a checkpoint of `ip2p train` holds; see `load_method`."""
    return load_method(path, EditingModule, device, weights)


def load_method(
    path: str | Path, method: type[Method], device: str | torch.device = "cpu", weights: Weights = "ema"
) -> Method:
    """Rebuild the module that a checkpoint of `ip2p train` holds, in evaluation mode.

    The file is untrusted: its configuration may build this package's parts and classes of diffusers, transformers and
    torch.optim alone, and its tensors are read without unpickling code.

    Args:
        path: the `.ckpt` file.
        method: the class that it must be of.
        device: where to put the module.
        weights: "ema" for the moving average where the run kept one, "raw" for what training went on from.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, no checkpoint of this package, or weights that do not fit its own configuration.
        ValueError: a configuration that asks for anything else to be built.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint.get("config")
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise CheckpointError(
            f"{path}: holds no configuration, so what to build is unknown; train with `ip2p train` (or pass "
            "`config=` to EditingModule), or build the module in Python and call `initialise`"
        )
    try:
        with torch.random.fork_rng(devices=[]):  # building must not disturb the caller's random numbers
            module = instantiate_trusted(_for_inference(config))
    except InstantiationException as error:
        raise CheckpointError(f"{path}: cannot build what it describes: {error.__cause__ or error}") from error
    if not isinstance(module, method):
        raise CheckpointError(
            f"{path}: holds a {type(module).__name__}, not the {method.__name__} that is asked for here; "
            "`config.yaml` in its run folder says which experiment made it"
        )
    state = with_pretrained(state_of(checkpoint, weights), left_out_of(checkpoint), module.state_dict())
    load_strictly(module, state, origin=str(path))
    module.config = dict(config)
    module.stage = next((stage for stage in module.stages if stage.name == checkpoint.get("stage")), module.stage)
    return module.to(device).eval()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a Lightning checkpoint without running anything in it; tensors stay on disk until they are used.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, not a checkpoint, or one that holds more than tensors and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint file; give the path of a .ckpt, or a diffusers folder")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # torch's own text tells how to run the code in it
        raise CheckpointError(
            f"{path}: not readable as a checkpoint: it holds more than tensors and plain values, or is no torch file; "
            "only weights are read, so have its author save its state_dict with `ip2p train` or as safetensors"
        ) from error
    except Exception as error:  # torch raises many types on damaged and foreign files
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not readable as a checkpoint ({reason}); it may be truncated: copy it again"
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(f"{path}: a torch file, but no Lightning checkpoint (it has no `state_dict`)")
    return checkpoint | {"config": current_names(checkpoint["config"])} if "config" in checkpoint else checkpoint


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """`module.load_state_dict`, with an error that says what differs.

    Raises:
        CheckpointError: missing, surplus or differently shaped weights; names the first three of each.
    """
    own = module.state_dict()
    shapes = [
        f"{name} is {list(tensor.shape)}, the model needs {list(own[name].shape)}"
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape
    ]
    problems = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": shapes,
    }
    found = [f"{len(names)} {what} ({_first(names)})" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f"{origin}: weights of another architecture than {type(module).__name__}'s: {'; '.join(found)}. "
            "Choose the same model configuration, or the part (from / to) that fits"
        )
    module.load_state_dict(state, strict=True)


def state_of(checkpoint: Mapping[str, Any], weights: Weights) -> dict[str, Tensor]:
    """The averaged or the raw weights in a checkpoint."""
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights={weights!r}: choose ema or raw")
    return {**checkpoint["state_dict"], **(checkpoint.get("raw_parameters") or {} if weights == "raw" else {})}


def left_out_of(checkpoint: Mapping[str, Any]) -> dict[str, Mark]:
    """Pretrained weights that a checkpoint leaves out, and where each is found."""
    return {name: Mark(*mark) for name, mark in checkpoint.get("pretrained", {}).items()}


def _for_inference(node: Any) -> Any:
    """The configuration without what only training needs; what was fitted on `sources` is among the weights."""
    if isinstance(node, Mapping):
        return {key: None if key in _TRAINING_ONLY else _for_inference(value) for key, value in node.items()}
    return [_for_inference(value) for value in node] if isinstance(node, list | tuple) else node


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
