"""A checkpoint file as data: read without running anything in it, and checked for the form of what it holds."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ip2p_lightning.config.arguments import shown
from ip2p_lightning.config.stored import check_bounds
from ip2p_lightning.methods.stored_names import current_names
from ip2p_lightning.models.torch_file import check_archive

_EMPTY: Mapping[str, Any] = {"raw_parameters": {}, "pretrained": {}, "config": None, "stage": None}
"""Keys that a checkpoint may lack."""
_FORMS: Mapping[str, tuple[type, ...]] = {
    "state_dict": (dict,),
    "raw_parameters": (dict,),
    "pretrained": (dict,),
    "config": (dict, type(None)),
    "stage": (str, type(None)),
    "global_step": (int,),
    "epoch": (int,),
    "loops": (dict,),
    "callbacks": (dict,),
    "optimizer_states": (list,),
    "lr_schedulers": (list,),
    "EditDataModule": (dict,),
}
_STEPS = 2**53
"""Above any number of steps that a run takes."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and what to do."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a Lightning checkpoint without running anything in it; tensors stay on disk until they are used.

    Returns:
        What it holds, with the configuration in today's names, and an empty value for each of "raw_parameters",
        "pretrained", "config" and "stage" that it lacks.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, not a checkpoint, or one that holds more than tensors and plain values.
        LimitError: more values than the limits allow.
    """
    if Path(path).is_dir():
        raise FileNotFoundError(f"{path} is a folder, not a checkpoint file; give the path of a .ckpt of `ip2p train`")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint file; give the path of a .ckpt, or a diffusers folder")
    check_archive(path, CheckpointError)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # torch's own text tells how to run the code in it
        raise CheckpointError(
            f"{path}: not readable as a checkpoint: it holds more than tensors and plain values, or is no torch file; "
            "only weights are read, so have its author save its state_dict with `ip2p train` or as safetensors"
        ) from error
    except Exception as error:  # torch raises many types on damaged and foreign files
        reason = str(error).splitlines()[0][:200].rstrip(".:") if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not readable as a checkpoint ({reason}); it may be truncated: copy it again"
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(f"{path}: a torch file, but no Lightning checkpoint (it has no `state_dict`)")
    checkpoint = {**_EMPTY, **{name: value for name, value in checkpoint.items() if value is not None}}
    _check_form(checkpoint, path)
    if checkpoint["config"] is not None:
        check_bounds(checkpoint["config"], f"{path}: its configuration")
        checkpoint["config"] = current_names(checkpoint["config"])
    return checkpoint


def _check_form(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that values present have the types that Lightning and this package give them."""
    for name, forms in _FORMS.items():
        value = checkpoint.get(name)
        if name in checkpoint and (not isinstance(value, forms) or isinstance(value, bool)):
            raise CheckpointError(
                f"{path}: damaged: its {name} is a {type(value).__name__}, not a {forms[0].__name__}; copy it again, "
                "or take another checkpoint of the run"
            )
    if not isinstance(checkpoint.get("loops", {"fit_loop": {}}).get("fit_loop"), dict):
        raise CheckpointError(f"{path}: damaged: its loops have no fit_loop, so that no run can go on from it")
    for group in ("state_dict", "raw_parameters"):
        for name, value in checkpoint[group].items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                raise CheckpointError(f"{path}: damaged: its {group} has {shown(name)}, which is no named tensor")
    for name, mark in checkpoint["pretrained"].items():
        right = isinstance(mark, list | tuple) and len(mark) == 2 and isinstance(mark[0], int)
        if not isinstance(name, str) or not right or not isinstance(mark[1], str):
            raise CheckpointError(
                f"{path}: damaged: pretrained says of {shown(name)} {shown(mark)}, not a checksum and a source"
            )
    for name in ("global_step", "epoch"):
        if not 0 <= checkpoint.get(name, 0) <= _STEPS:
            raise CheckpointError(f"{path}: damaged: its {name} is {shown(checkpoint[name], 40)}, no number of steps")
