"""`ip2p export`: a checkpoint as a folder that `from_pretrained` of other libraries loads, and on the hub."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from ip2p_lightning.config import plain
from ip2p_lightning.data.making import folder_in_the_making
from ip2p_lightning.interop import export, export_lora
from ip2p_lightning.interop.cascade import cascade_of_checkpoints, export_cascade
from ip2p_lightning.interop.hub import Destination
from ip2p_lightning.jobs.publishing import describe, publish
from ip2p_lightning.methods.cascade import CascadeModule
from ip2p_lightning.methods.checkpoint import load_method, load_module


def run(config: DictConfig) -> None:
    """Write `config.output`, and push it where `config.push` names a repository.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: an output that holds files already, a model that cannot be exported, or a repository that cannot be
            pushed to.
    """
    output = Path(config.output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"output={output} exists already; choose a new folder, or remove it")
    paths = plain(config.checkpoint)
    destination = None if config.push is None else Destination(config.push, config.private, config.overwrite)
    if destination and (config.lora or isinstance(paths, list)):
        raise ValueError("push uploads a whole editor; push a cascade or an adapter with `hf upload REPOSITORY FOLDER`")
    if destination and not config.dry_run:
        destination.check()
    if isinstance(paths, list):
        stages = [load_method(path, CascadeModule, weights=config.weights, trust=config.trust) for path in paths]
        for path, stage in zip(paths, stages, strict=True):
            _check_finite(stage, str(path))
        with folder_in_the_making(output) as unfinished:
            export_cascade(cascade_of_checkpoints(stages), unfinished)
        print(output)
        return
    module = load_module(config.checkpoint, weights=config.weights, trust=config.trust)
    _check_finite(module, str(config.checkpoint))
    with folder_in_the_making(output) as unfinished:
        written = (export_lora if config.lora else export)(module, unfinished)
        if not config.lora:
            describe(unfinished, module, config)
    print(output / written.relative_to(unfinished))
    if destination:
        publish(output, destination, config.dry_run)


def _check_finite(module: torch.nn.Module, name: str) -> None:
    floats = {key: tensor for key, tensor in module.state_dict().items() if tensor.is_floating_point()}
    broken = [key for key, tensor in floats.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(
            f"{name}: {len(broken)} of its {len(floats)} tensors hold NaN or infinite values "
            f"({', '.join(broken[:3])}); export an earlier checkpoint of the run"
        )
