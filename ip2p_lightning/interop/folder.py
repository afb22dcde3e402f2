"""Export to folders of diffusers' layout, and back.

InstructPix2Pix on Stable Diffusion's architecture becomes a `StableDiffusionInstructPix2PixPipeline`, which anybody
runs without this package; everything else becomes one of the pipelines in `pipeline`, whose parts load alone.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, StableDiffusionInstructPix2PixPipeline
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.interop.lora import merged
from ip2p_lightning.interop.model_card import model_card
from ip2p_lightning.interop.pipeline import EditingPipeline, MGIEPipeline, TextEditingPipeline, objective_of
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser

_OURS: dict[str, type[EditingPipeline]] = {kind.__name__: kind for kind in (TextEditingPipeline, MGIEPipeline)}


def export(module: EditingModule, folder: str | Path) -> Path:
    """Write a module as a pipeline folder: safetensors, tokenizer, scheduler, model card.

    LoRA adapters are merged into the exported weights (`export_lora` writes them alone).

    Args:
        module: trained; left as it is.
        folder: made if need be.

    Returns:
        The folder.

    Raises:
        ValueError: a conditioner that has no pipeline.
    """
    folder = Path(folder)
    pipeline = as_pipeline(module)
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text(model_card(pipeline, module.sampler), encoding="utf-8")
    return folder


def as_pipeline(module: EditingModule) -> DiffusionPipeline:
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
        return TextEditingPipeline(**parts, **_values(module))
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
        "write a pipeline for it beside MGIEPipeline"
    )


def load_pipeline(folder: str | Path) -> DiffusionPipeline:
    """Open a folder that edits by instruction as a pipeline of diffusers.

    Args:
        folder: one that `export` wrote, any InstructPix2Pix in diffusers' format, or a hub name of one.

    Raises:
        FileNotFoundError: no pipeline there.
        ValueError: a pipeline that does not edit by instruction.

    Example:
        >>> import ip2p_lightning as ip2p
        >>> from ip2p_lightning.shipped import path
        >>> pipeline = ip2p.load_pipeline(path("instruct_pix2pix"))
        >>> type(pipeline).__name__
        'TextEditingPipeline'
    """
    try:
        index: Any = DiffusionPipeline.load_config(str(folder))
    except OSError as error:
        raise FileNotFoundError(
            f"{folder}: no model_index.json there; give a checkpoint (.ckpt) or a folder in diffusers' format"
        ) from error
    name = index["_class_name"]
    if name in _OURS:
        return _OURS[name].from_pretrained(folder, use_safetensors=True)
    if name != StableDiffusionInstructPix2PixPipeline.__name__:
        raise ValueError(
            f"{folder} holds a {name}, which does not edit by instruction; use a "
            f"StableDiffusionInstructPix2PixPipeline, {' or '.join(_OURS)}, or train from it "
            "(init=[{pretrained: folder, to: denoiser}])"
        )
    return StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, use_safetensors=True, safety_checker=None, requires_safety_checker=False
    )


def load_folder(folder: str | Path) -> EditingModule:
    """Open a pipeline folder as a module that edits (and that training can begin from).

    Args:
        folder: see `load_pipeline`.

    Raises:
        As `load_pipeline`.
    """
    pipeline: Any = load_pipeline(folder)
    if isinstance(pipeline, EditingPipeline):
        return pipeline.as_module()
    return EditingModule(
        conditioner=TextConditioner(pipeline.tokenizer, pipeline.text_encoder),
        denoiser=UNetDenoiser(pipeline.unet),
        autoencoder=Autoencoder(pipeline.vae),
        objective=objective_of(pipeline.scheduler),
        sampler=Sampler(pipeline.scheduler),
    ).eval()


def _is_instruct_pix2pix(module: EditingModule) -> bool:
    """Whether diffusers' own pipeline edits exactly as the module does."""
    vae, guidance = module.autoencoder.vae, module.sampler.guidance
    unscaled = not module.autoencoder.scale_original or vae.config.scaling_factor == 1
    return (
        isinstance(module.denoiser, UNetDenoiser)
        and not module.denoiser.residual
        and isinstance(module.conditioner.text_encoder, CLIPTextModel)
        and type(vae).__module__.startswith("diffusers.")
        and not vae.config.get("shift_factor")
        and unscaled
        and not isinstance(module.sampler.scheduler, FlowMatchEulerDiscreteScheduler)
        and (guidance.start, guidance.stop) == (0.0, 1.0)
    )


def _values(module: EditingModule) -> dict[str, Any]:
    """How the parts are used, see `EditingPipeline`."""
    used = {"residual": module.denoiser.residual, "scale_original": module.autoencoder.scale_original}
    return used | asdict(module.sampler.settings)


def _of_length(tokenizer: PreTrainedTokenizerBase, length: int) -> PreTrainedTokenizerBase:
    """Pipelines pad to `model_max_length`, training to the conditioner's length."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = length
    return tokenizer
