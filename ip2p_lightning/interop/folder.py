"""Export to folders of diffusers' layout, and back.

InstructPix2Pix on Stable Diffusion's architecture becomes a `StableDiffusionInstructPix2PixPipeline`, which anybody
runs without this package; everything else becomes one of the pipelines in `pipeline`, whose parts load alone.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffusers import (
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
)
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.interop.cascade import is_cascade, load_cascade
from ip2p_lightning.interop.components import load_components, pipeline_index
from ip2p_lightning.interop.lora import merged
from ip2p_lightning.interop.model_card import model_card
from ip2p_lightning.interop.own_parts import CONFIG, export_own, load_own, own_parts
from ip2p_lightning.interop.pipeline import EditingPipeline, MGIEPipeline, TextEditingPipeline, objective_of
from ip2p_lightning.methods.editing_model import EditingModel, EditingParts
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser
from ip2p_lightning.models.weight_files import WeightsError

_OURS: dict[str, type[EditingPipeline]] = {kind.__name__: kind for kind in (TextEditingPipeline, MGIEPipeline)}
PIPELINES = (*_OURS, StableDiffusionInstructPix2PixPipeline.__name__)
"""Names of the pipelines that `load_pipeline` opens."""
_MISFITS = (KeyError, TypeError, ValueError, AttributeError, RuntimeError)
"""Errors of parts of different models that are put together."""


def export(module: EditingParts, folder: str | Path) -> Path:
    """Write a module as a pipeline folder: safetensors, tokenizer, scheduler, model card.

    LoRA adapters are merged into the exported weights (`export_lora` writes them alone). A module with parts that no
    pipeline describes is written as its configuration and weights, which `load_folder` reopens; see `own_parts`.

    Args:
        module: trained; left as it is.
        folder: made if need be.

    Returns:
        The folder.

    Raises:
        ValueError: parts that no pipeline describes, in a module that was built by hand.
    """
    folder = Path(folder)
    if own_parts(module):
        return export_own(module, folder)
    pipeline = as_pipeline(module)
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text(model_card(pipeline, module.sampler), encoding="utf-8")
    return folder


def as_pipeline(module: EditingParts) -> DiffusionPipeline:
    """The pipeline that edits as the module does; it shares the module's networks."""
    conditioner, vae = module.conditioner, module.autoencoder.vae
    denoiser = "unet" if isinstance(module.denoiser, UNetDenoiser) else "transformer"
    parts: dict[str, Any] = {
        "vae": vae,
        "scheduler": module.sampler.scheduler,
        denoiser: merged(module.denoiser.network),
    }
    if isinstance(conditioner, TextConditioner):
        parts["text_encoder"] = conditioner.text_encoder
        parts["tokenizer"] = _of_length(conditioner.tokenizer, conditioner.max_length)
        if _is_instruct_pix2pix(module):
            parts |= {"safety_checker": None, "feature_extractor": None}
            return StableDiffusionInstructPix2PixPipeline(**parts, requires_safety_checker=False)
        asked = {"mask": conditioner.mask, "pooled": conditioner.pooled}
        return TextEditingPipeline(**parts, **asked, **_values(module))
    if isinstance(conditioner, LanguageModelConditioner):
        return MGIEPipeline(
            mllm=conditioner.model,
            tokenizer=conditioner.tokenizer,
            edit_head=conditioner.edit_head,
            template=conditioner.prompt.template,
            max_text_length=conditioner.prompt.max_text_length,
            max_new_tokens=conditioner.generation.max_new_tokens,
            no_repeat_ngram_size=conditioner.generation.no_repeat_ngram_size,
            expressive=conditioner.expressive,
            **parts,
            **_values(module),
        )
    raise ValueError(
        f"no pipeline edits with {type(conditioner).__name__}; edit with the checkpoint (ip2p edit checkpoint=...), or "
        "write a pipeline for it next to MGIEPipeline"
    )


def load_pipeline(folder: str | Path, trust: Iterable[str] | None = None) -> Any:
    """Open a folder that edits by instruction as a pipeline of diffusers, or an exported cascade as a `Cascade`.

    Every part is opened by its role, in float32; what the folder asks for beyond that (a safety checker, an image
    processor, classes of its own) is left alone.

    Args:
        folder: one that `export` wrote, any InstructPix2Pix in diffusers' format, a hub name of one, or a single file
            of it in the original layout (.safetensors).
        trust: packages of yours whose networks may be parts.

    Raises:
        WeightsError: no pipeline there, one that does not edit by instruction, or parts that are not whole.

    Examples:
        >>> import ip2p_lightning as ip2p
        >>> from ip2p_lightning.shipped import path
        >>> pipeline = ip2p.load_pipeline(path("instruct_pix2pix"))
        >>> type(pipeline).__name__
        'TextEditingPipeline'
    """
    if is_cascade(folder):
        return load_cascade(folder)
    index = pipeline_index(folder)
    name = index["_class_name"]
    if name not in PIPELINES:
        raise WeightsError(f"{folder} holds a {name}, {_why_not(name, index)}")
    values: dict[str, Any]
    if kind := _OURS.get(name):
        known = inspect.signature(kind).parameters
        values = {key: value for key, value in index.items() if key in known and not isinstance(value, list)}
    else:
        kind, values = StableDiffusionInstructPix2PixPipeline, {"safety_checker": None, "feature_extractor": None}
        values["requires_safety_checker"] = False
    parts = load_components(folder, index, trust=trust)
    try:
        return kind(**parts, **values)
    except _MISFITS as error:
        raise WeightsError(f"{folder}: its parts do not make up a {name} ({_line(error)})") from error


def load_folder(folder: str | Path, trust: Iterable[str] | None = None) -> EditingModel:
    """Open a pipeline folder as a model that edits (and whose weights training can begin with).

    Args:
        folder: see `load_pipeline`; or one of a model that no pipeline describes.
        trust: see `load_pipeline`.

    Raises:
        As `load_pipeline`.
    """
    if (Path(folder) / CONFIG).is_file():
        return load_own(Path(folder), trust)
    if is_cascade(folder):
        raise WeightsError(f"{folder} holds a cascade, which makes images of captions (ip2p sample); give an editor")
    pipeline = load_pipeline(folder, trust)
    try:
        if isinstance(pipeline, EditingPipeline):
            return pipeline.as_module()
        return EditingModel(
            conditioner=TextConditioner(pipeline.tokenizer, pipeline.text_encoder),
            denoiser=UNetDenoiser(pipeline.unet),
            autoencoder=Autoencoder(pipeline.vae),
            objective=objective_of(pipeline.scheduler),
            sampler=Sampler(pipeline.scheduler),
        ).eval()
    except _MISFITS as error:
        raise WeightsError(f"{folder}: its parts do not fit together ({_line(error)})") from error


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _why_not(name: str, index: Mapping[str, Any]) -> str:
    """Remedy for a pipeline that is not opened."""
    ours = f"StableDiffusionInstructPix2PixPipeline, {' or '.join(_OURS)}"
    if name == StableDiffusionPipeline.__name__:
        return (
            f"which does not edit by instruction; edit with a {ours}, or train one from it: "
            "ip2p train experiment=ip2p/paper base_model=FOLDER data.path=DATA"
        )
    if "InstructPix2Pix" in name or "Edit" in name or "Kontext" in name:
        return (
            "an editor of another architecture that this package does not run, and that nothing here can begin with; "
            f"edit with diffusers' own class, score the results with ip2p evaluate editor=outputs, or give a {ours}"
        )
    reason = "another architecture" if "unet" not in index or "XL" in name else "no editor"
    return f"which does not edit by instruction ({reason}), and nothing here can begin with it; give a {ours}"


def _is_instruct_pix2pix(module: EditingParts) -> bool:
    """True if diffusers' own pipeline edits exactly as the module does."""
    vae, guidance = module.autoencoder.vae, module.sampler.guidance
    unscaled = not module.autoencoder.scale_original or vae.config.scaling_factor == 1
    return (
        isinstance(module.denoiser, UNetDenoiser)
        and not module.denoiser.residual
        and isinstance(module.conditioner.text_encoder, CLIPTextModel)
        and not (module.conditioner.mask or module.conditioner.pooled)
        and type(vae).__module__.startswith("diffusers.")
        and not vae.config.get("shift_factor")
        and unscaled
        and not isinstance(module.sampler.scheduler, FlowMatchEulerDiscreteScheduler)
        and (guidance.start, guidance.stop) == (0.0, 1.0)
    )


def _values(module: EditingParts) -> dict[str, Any]:
    """Sampling settings of the parts, see `EditingPipeline`."""
    used = {"residual": module.denoiser.residual, "scale_original": module.autoencoder.scale_original}
    return used | asdict(module.sampler.settings)


def _of_length(tokenizer: PreTrainedTokenizerBase, length: int) -> PreTrainedTokenizerBase:
    """Pipelines pad to `model_max_length`, training to the conditioner's length."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = length
    return tokenizer
