"""The parts of a pipeline folder, each opened by its role.

A folder's index is data: the class that it names for a part is taken only where that role knows it, and nothing else
that the index may ask for is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
from diffusers import (
    AsymmetricAutoencoderKL,
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    SchedulerMixin,
    SD3Transformer2DModel,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import AutoModelForCausalLM, CLIPTextModel, LlavaForConditionalGeneration

from ip2p_lightning.config.trust import Trust, find
from ip2p_lightning.models.edit_head import EditHead
from ip2p_lightning.models.folder_files import check_folder
from ip2p_lightning.models.identity import IdentityAutoencoder
from ip2p_lightning.models.loading import load_model, load_tokenizer, quiet
from ip2p_lightning.models.patch_pca import PatchPCA
from ip2p_lightning.models.single_file import SCHEDULE, is_single_file, single_channels
from ip2p_lightning.models.taef2 import TAEF2
from ip2p_lightning.models.weight_files import (
    MissingWeightsError,
    WeightsError,
    components,
    find_settings,
    local_folder,
    read_index,
)

_ROLES: dict[str, tuple[Any, ...]] = {
    "text_encoder": (CLIPTextModel,),
    "mllm": (LlavaForConditionalGeneration,),
    "edit_head": (EditHead,),
    "unet": (UNet2DConditionModel,),
    "transformer": (SD3Transformer2DModel,),
    "vae": (AutoencoderKL, AsymmetricAutoencoderKL, AutoencoderTiny, IdentityAutoencoder, PatchPCA, TAEF2),
}
_SETTINGS = ("tokenizer", "scheduler")


def pipeline_index(weights: str | Path) -> dict[str, Any]:
    """The index of a pipeline folder, or what it would be for a single file in the original layout.

    Raises:
        WeightsError: no pipeline there; says what is.
    """
    if is_single_file(weights):
        edits = single_channels(Path(weights).expanduser()) == 8
        kind = StableDiffusionInstructPix2PixPipeline if edits else StableDiffusionPipeline
        networks = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "vae": AutoencoderKL}
        parts = {part: ["", cls.__name__] for part, cls in networks.items()}
        return {"_class_name": kind.__name__, **parts, "tokenizer": ["", ""], "scheduler": ["", ""]}
    index = read_index(weights)
    if index is None:
        raise MissingWeightsError(f"{weights}: no model_index.json there, so it is no pipeline; {_instead(weights)}")
    return index


def load_components(
    weights: str | Path,
    index: Mapping[str, Any],
    variant: str | None = None,
    dtype: str = "float32",
    without: Sequence[str] = (),
    trust: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Role -> part, for the parts of a pipeline that edit or make images; others (a safety checker) are left out.

    Args:
        weights: folder, hub name or single file.
        index: its `pipeline_index`.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory.
        without: roles that are not opened.
        trust: packages of the user's, whose networks may be parts, too.

    Raises:
        WeightsError: a class that its role does not know, or a part that is not whole.
    """
    parts: dict[str, Any] = {}
    for role, name in components(index).items():
        if role in without or role not in (*_ROLES, *_SETTINGS):
            continue
        if role == "tokenizer":
            parts[role] = load_tokenizer(weights, role)
        elif role == "scheduler":
            parts[role] = _scheduler(weights, name, single=index["_class_name"])
        else:
            parts[role] = load_model(_kind(role, name, weights, index, trust), weights, role, variant, dtype)
    return parts


def _kind(role: str, name: str, weights: str | Path, index: Mapping[str, Any], trust: Iterable[str] | None) -> Any:
    found = {kind.__name__: kind for kind in _ROLES[role]}
    if role == "mllm" and name.endswith("ForCausalLM"):
        return AutoModelForCausalLM  # whose class the model's own type decides, within transformers
    library = str(index[role][0])
    if name not in found and library.split(".")[0] not in ("diffusers", "transformers", "ip2p_lightning", ""):
        return find(f"{library}.{name}", f"{weights}: model_index.json: {role}", Trust.of(trust)).call
    if name not in found:
        raise WeightsError(f"{weights}: its {role} is a {name}; opened is {' or '.join(found)}")
    return found[name]


def _scheduler(weights: str | Path, name: str, single: str) -> Any:
    if is_single_file(weights):
        return single_scheduler(single == StableDiffusionInstructPix2PixPipeline.__name__)
    return load_scheduler(weights, name)


def single_scheduler(edits: bool) -> Any:
    """The scheduler for a single file, which holds none: that of its kind on the hub.

    Args:
        edits: an InstructPix2Pix, not Stable Diffusion.
    """
    if edits:
        return EulerAncestralDiscreteScheduler(**SCHEDULE)
    return DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False)


def load_scheduler(weights: str | Path, name: str, role: str = "scheduler") -> Any:
    """A scheduler of a pipeline folder.

    Args:
        weights: folder or hub name.
        name: of its class in diffusers.
        role: which of the pipeline's schedulers; the subfolder where it lies.

    Raises:
        WeightsError: a class that diffusers does not have, or a scheduler that cannot be built.
    """
    kind = getattr(diffusers, name, None) if name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise WeightsError(f"{weights}: its {role} is a {name}, which diffusers does not have")
    folder = find_settings(weights, role)
    check_folder(folder, local_folder(weights))
    with quiet():
        try:
            return kind.from_pretrained(folder)
        except Exception as error:  # whatever arithmetic on the numbers of a damaged file raises
            raise WeightsError(
                f"{weights}: its {role} cannot be built ({type(error).__name__}); copy the folder again"
            ) from error


def _instead(weights: str | Path) -> str:
    """Kind of folder that has no index."""
    path = Path(weights).expanduser()
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if "pytorch_lora_weights.safetensors" in names or "adapter_config.json" in names:
        return "it holds a LoRA adapter: merge it into its base first (fuse_lora), or train with ablation=lora"
    if steps := [name for name in names if name.startswith("checkpoint-")]:
        return (
            f"it holds a training script's checkpoints: init='[{{pretrained: {path / steps[-1]}, to: denoiser}}]' "
            "begins with one, or save the whole pipeline with save_pretrained"
        )
    if parts := [name for name in names if (path / name / "config.json").is_file()]:
        return (
            f"it holds {', '.join(parts)} alone: init='[{{pretrained: {path}, to: denoiser}}]' begins with such a part "
            "in training"
        )
    if "config.json" in names:
        return f"it holds one network alone: init='[{{pretrained: {path}, to: denoiser}}]' begins with it in training"
    return "give a checkpoint (.ckpt), a folder in diffusers' format or a hub name"
