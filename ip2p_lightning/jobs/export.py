"""`ip2p export`: a checkpoint as a folder that `from_pretrained` of diffusers and transformers loads."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from ip2p_lightning.data.making import folder_in_the_making
from ip2p_lightning.interop import export, export_lora
from ip2p_lightning.methods.checkpoint import load_module


def run(config: DictConfig) -> None:
    """Write `config.output`.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: an output that holds files already, or a model that cannot be exported.
    """
    output = Path(config.output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"output={output} exists already; choose a new folder, or remove it")
    module = load_module(config.checkpoint, weights=config.weights, trust=config.trust)
    _check_finite(module, str(config.checkpoint))
    with folder_in_the_making(output) as unfinished:
        written = (export_lora if config.lora else export)(module, unfinished)
    print(output / written.relative_to(unfinished))


def _check_finite(module: torch.nn.Module, name: str) -> None:
    floats = {key: tensor for key, tensor in module.state_dict().items() if tensor.is_floating_point()}
    broken = [key for key, tensor in floats.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(
            f"{name}: {len(broken)} of its {len(floats)} tensors hold NaN or infinite values "
            f"({', '.join(broken[:3])}); export an earlier checkpoint of the run"
        )
