"""A whole cascade: captions to images through its stages, and a folder of diffusers' IF pipelines to exchange it in.

The folder holds one pipeline folder for each stage (`IFPipeline`, `IFSuperResolutionPipeline`), of which the first has
the tokenizer and the text encoder, and `cascade.json`, which says their order and how each is sampled. A stage of
diffusers' UNet runs without this package; for `EfficientUNet` and `PixelTransformer` their modules must have been
imported, since diffusers imports nothing that a folder names.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import IFPipeline, IFSuperResolutionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, T5EncoderModel

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.conditioners.base import Conditioning
from ip2p_lightning.conditioners.caption import CaptionConditioner
from ip2p_lightning.diffusion.low_resolution import LowResolution, reduced
from ip2p_lightning.diffusion.stage_sampling import StageSampler, StageSettings
from ip2p_lightning.interop.components import load_scheduler
from ip2p_lightning.limits import JSON_BYTES
from ip2p_lightning.methods.cascade_stage import CascadeStage, StageParts
from ip2p_lightning.models.efficient_unet import EfficientUNet
from ip2p_lightning.models.loading import load_model, load_tokenizer
from ip2p_lightning.models.pixel_transformer import PixelTransformer
from ip2p_lightning.models.weight_files import WeightsError, components, read_index

INDEX = "cascade.json"
_NETWORKS: dict[str, Any] = {kind.__name__: kind for kind in (UNet2DConditionModel, EfficientUNet, PixelTransformer)}
_ENCODERS: dict[str, Any] = {kind.__name__: kind for kind in (T5EncoderModel, CLIPTextModel)}
OnStage = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all)."""


class Cascade:
    """Stages in order, each of which enlarges the images of the one before.

    Args:
        stages: name -> stage; the first is a base, all others super-resolution.

    Raises:
        ValueError: no stage, stages in a wrong order, or sides that do not fit.
    """

    def __init__(self, stages: Mapping[str, StageParts]) -> None:
        self.stages = dict(stages)
        if not self.stages:
            raise ValueError("a cascade needs at least one stage")
        before = None
        for name, stage in self.stages.items():
            low = stage.low_resolution
            if (low is None) != (before is None):
                raise ValueError(f"stage {name!r}: the first stage must be a base, all others super-resolution")
            if low is not None and before is not None and stage.side != before * low.factor:
                raise ValueError(
                    f"stage {name!r} makes images of {stage.side} pixels of {stage.side // low.factor}; the stage "
                    f"before it makes {before}"
                )
            before = stage.side

    @torch.no_grad()
    def __call__(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: Mapping[str, StageSettings] | None = None,
        *,
        until: str | None = None,
        image: Tensor | None = None,
        strength: float = 0.7,
        on_step: OnStage | None = None,
    ) -> dict[str, Tensor]:
        """Images [B, 3, side, side] in [-1, 1] of every stage, by its name.

        Args:
            prompts: B texts.
            seeds: B numbers; each stage seeds an image's generator with its number, so that images do not depend on
                the batch, and diffusers' pipelines make the same with `torch.Generator().manual_seed(seed)`.
            settings: stage -> overrides.
            until: the last stage that runs; all if None.
            image: [B, 3, H, W] images in [-1, 1] that every stage begins with (SDEdit), at its own side.
            strength: share of the steps that are taken from `image`, above 0 and at most 1.
            on_step: called after each step.

        Raises:
            ValueError: numbers of prompts and seeds that differ, or a stage that is not there.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds; give one seed for each image")
        self.check_names([*(settings or {}), *([until] if until else [])])
        images: dict[str, Tensor] = {}
        low: Tensor | None = None
        known: dict[tuple[int, str], Conditioning] = {}
        for name, stage in self.stages.items():
            conditioner = stage.conditioner
            key = id(conditioner.text_encoder), conditioner.null_text
            known[key] = known[key] if key in known else conditioner.encode(prompts)
            start = None if image is None else reduced(image, stage.side)
            low = stage.sample(
                known[key], low, settings=(settings or {}).get(name), start=start, strength=strength,
                generator=[torch.Generator(self.device).manual_seed(seed) for seed in seeds],
                on_step=(lambda done, of, name=name: on_step(name, done, of)) if on_step else None,
            ).clamp(-1, 1)  # fmt: skip
            images[name] = low
            if name == until:
                break
        return images

    def check_names(self, names: Iterable[str]) -> None:
        """Raise a ValueError at a name that is no stage's."""
        for name in names:
            if name not in self.stages:
                raise ValueError(f"there is no stage {name!r}; the stages are {', '.join(self.stages)}")

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return next(next(iter(self.stages.values())).network.parameters()).device

    def to(self, device: torch.device | str) -> Cascade:
        """Move all networks."""
        for stage in self.stages.values():
            stage.network.to(device)
            stage.conditioner.to(device)
        return self


def stage_pipeline(stage: StageParts, with_text: bool = True) -> IFPipeline | IFSuperResolutionPipeline:
    """A stage as diffusers' pipeline of these very parts (they are not copied).

    Args:
        stage: a base or a super-resolution stage.
        with_text: whether it gets tokenizer and text encoder; without them it takes `prompt_embeds`.

    Raises:
        ValueError: captions of another length than diffusers' pipelines know.
    """
    conditioner = stage.conditioner
    if conditioner.max_length != 77:
        raise ValueError(
            f"diffusers' IF pipelines read 77 tokens of a caption, this stage {conditioner.max_length}; train with "
            "conditioner.max_length=77 to export"
        )
    scheduler = copy.deepcopy(stage.sampler.scheduler)
    if "variance_type" not in scheduler.config:
        scheduler.register_to_config(variance_type="fixed_small")  # IF pipelines ask every scheduler for it
    parts: dict[str, Any] = {
        "tokenizer": conditioner.tokenizer if with_text else None,
        "text_encoder": conditioner.text_encoder if with_text else None,
        "unet": stage.network,
        "scheduler": scheduler,
        "safety_checker": None,
        "feature_extractor": None,
        "watermarker": None,
        "requires_safety_checker": False,
    }
    low = stage.low_resolution
    if low is None:
        pipeline: Any = IFPipeline(**parts)
    else:
        pipeline = IFSuperResolutionPipeline(**parts, image_noising_scheduler=low.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def export_cascade(cascade: Cascade, folder: str | Path) -> Path:
    """Write a cascade as a folder of pipelines; returns it.

    Raises:
        ValueError: a stage that diffusers' pipelines cannot run.
    """
    folder = Path(folder)
    stages = {}
    for number, (name, stage) in enumerate(cascade.stages.items()):
        stage_pipeline(stage, with_text=number == 0).save_pretrained(folder / name, safe_serialization=True)
        settings = {key: value for key, value in vars(stage.sampler.settings).items() if value is not None}
        thresholds = {"percentile": stage.sampler.percentile, "ceiling": stage.sampler.ceiling}
        stages[name] = {"null_text": stage.conditioner.null_text, **settings, **thresholds}
    (folder / INDEX).write_text(json.dumps({"stages": stages}, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(cascade), encoding="utf-8")
    return folder


def is_cascade(folder: str | Path) -> bool:
    """True if a folder holds an exported cascade."""
    return (Path(folder) / INDEX).is_file()


def load_cascade(folder: str | Path) -> Cascade:
    """Open a folder that `export_cascade` wrote.

    Raises:
        WeightsError: no cascade there, or parts that are not whole.
    """
    folder = Path(folder)
    index = read_json(folder / INDEX, "the order of a cascade's stages", limit=JSON_BYTES)
    described = index.get("stages") if isinstance(index, dict) else None
    if not isinstance(described, dict) or not described:
        raise WeightsError(f"{folder / INDEX} names no stages; copy the folder again")
    first = folder / _name(next(iter(described)), folder)
    text = components(read_index(first) or {})
    encoder: Any = load_model(_known(text, "text_encoder", _ENCODERS, first), first, "text_encoder")
    tokenizer = load_tokenizer(first, "tokenizer")
    stages: dict[str, StageParts] = {}
    side = None
    for name, entry in described.items():
        place = folder / _name(name, folder)
        try:
            settings = dict(entry)
            conditioner = CaptionConditioner(tokenizer, encoder, null_text=settings.pop("null_text"))
            stage = _stage(place, conditioner, settings, side)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{place}: its settings in {INDEX} make no stage ({error})") from error
        stages[name], side = stage.eval(), stage.side
    return Cascade(stages)


def _stage(folder: Path, conditioner: CaptionConditioner, settings: dict[str, Any], side: int | None) -> CascadeStage:
    index = components(read_index(folder) or {})
    network = load_model(_known(index, "unet", _NETWORKS, folder), folder, "unet")
    scheduler = load_scheduler(folder, index.get("scheduler", ""))
    low = None
    if side is not None:
        noising = load_scheduler(folder, index.get("image_noising_scheduler", ""), "image_noising_scheduler")
        low = LowResolution(network.config.sample_size // side, noising)
    return CascadeStage(conditioner, network, StageSampler(scheduler, **settings), low)


def _known(index: Mapping[str, str], role: str, kinds: Mapping[str, Any], folder: Path) -> Any:
    name = index.get(role, "nothing")
    if name not in kinds:
        raise WeightsError(f"{folder}: its {role} is {name}; a cascade's is {' or '.join(kinds)}")
    return kinds[name]


def _name(name: object, folder: Path) -> str:
    """A stage's name, which must be one of a folder inside."""
    if not isinstance(name, str) or not name.replace("_", "").isalnum():
        raise WeightsError(f"{folder / INDEX} names a stage {str(name)[:40]!r}, which is no plain name")
    return name


def _card(cascade: Cascade) -> str:
    """The README.md of the folder."""
    lines = ["---", "library_name: diffusers", "pipeline_tag: text-to-image", "tags: [imagen, ip2p-lightning]", "---",
             "", "# A cascade of text-to-image diffusion models", "",
             "| stage | pixels | network | guidance_scale | num_inference_steps | noise_level | null text |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, stage in cascade.stages.items():
        values = stage.sampler.settings
        level = "-" if stage.low_resolution is None else values.noise_level
        lines.append(f"| {name} | {stage.side} | {type(stage.network).__name__} | {values.guidance} | {values.steps} | "
                     f"{level} | {stage.conditioner.null_text} |")  # fmt: skip
    first = next(iter(cascade.stages))
    return "\n".join([
        *lines, "", "```python", "import ip2p_lightning as ip2p", 'cascade = ip2p.load_pipeline("this/folder")',
        'images = cascade(["a red house"], seeds=[0])  # stage -> [1, 3, side, side] in [-1, 1]', "```", "",
        "Each folder is a pipeline of diffusers, such as "
        f'`diffusers.DiffusionPipeline.from_pretrained("this/folder/{first}")`. Import the modules of its networks '
        f"first: {_modules(cascade)}. Later stages take `prompt_embeds` of "
        "the first. Where the null text is zeros, give `negative_prompt_embeds` of zeros: the pipelines' own is the "
        "states of the empty text.", "",
    ])  # fmt: skip


def _modules(cascade: Cascade) -> str:
    modules = sorted({type(stage.network).__module__ for stage in cascade.stages.values()})
    return ", ".join(f"`import {name}`" for name in modules)


def cascade_of_checkpoints(modules: Sequence[StageParts]) -> Cascade:
    """A cascade of trained stages, base first, named "base", "sr256" and "sr1024" as the experiments are.

    Raises:
        ValueError: more than three stages.
    """
    names = ("base", "sr256", "sr1024")
    if len(modules) > len(names):
        raise ValueError(f"{len(modules)} stages; a cascade has at most {len(names)}")
    return Cascade(dict(zip(names, modules, strict=False)))
