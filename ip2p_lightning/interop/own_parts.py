"""Folders of models that no pipeline describes: parts of a user's own package, guidance of another kind.

They hold what a checkpoint holds to be reopened, and nothing of training: the configuration, which is data that chooses
among trusted parts, and every weight.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.multimodal import MultimodalConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.methods.editing_model import EditingParts
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import TransformerDenoiser, UNetDenoiser
from ip2p_lightning.models.weight_files import WeightsError

CONFIG, WEIGHTS = "ip2p_lightning.json", "model.safetensors"
_DESCRIBED = {
    "conditioner": (TextConditioner, LanguageModelConditioner, MultimodalConditioner),
    "denoiser": (UNetDenoiser, TransformerDenoiser),
    "autoencoder": (Autoencoder,),
    "sampler": (Sampler,),
}
"""The classes whose arguments pipelines keep; a subclass may have others."""


def own_parts(module: EditingParts) -> list[str]:
    """The parts that no pipeline describes, as "conditioner (WordConditioner)"."""
    parts = {name: getattr(module, name) for name in _DESCRIBED}
    found = {name: part for name, part in parts.items() if type(part) not in _DESCRIBED[name]}
    if type(module.sampler.guidance) is not TwoScaleGuidance:
        found["sampler.guidance"] = module.sampler.guidance
    return [f"{name} ({type(part).__name__})" for name, part in found.items()]


def export_own(module: Any, folder: Path) -> Path:
    """Write configuration and weights.

    Args:
        module: of `load_module`, which keeps the configuration that built it.
        folder: made if need be.

    Raises:
        ValueError: a module that was built by hand.
    """
    if not getattr(module, "config", None):
        raise ValueError(
            f"no pipeline describes {', '.join(own_parts(module))}, and this module was not built from a "
            "configuration, which could be kept instead; give EditingModule its config=, or export a checkpoint"
        )
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(module.config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def load_own(folder: Path, trust: Iterable[str] | None = None) -> Any:
    """Rebuild the module of a folder that `export_own` wrote, in evaluation mode.

    Args:
        folder: that holds `CONFIG`.
        trust: of the user; see `load_method`.

    Raises:
        WeightsError: weights that cannot be read.
        CheckpointError, TrustError, LimitError: see `load_method`.
    """
    from ip2p_lightning.methods.checkpoint import rebuilt  # imports Lightning
    from ip2p_lightning.methods.editing import EditingModule

    config, file = read_json(folder / CONFIG, "a model's configuration"), folder / WEIGHTS
    try:
        state = load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} is missing or damaged ({error}); copy the folder again") from error
    return rebuilt(config, state, EditingModule, str(folder), file.stat().st_size, trust).eval()
