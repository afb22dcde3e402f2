"""`ip2p sample`: images of captions through a cascade's stages, or from an image on (SDEdit)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image

from ip2p_lightning.config import build, plain
from ip2p_lightning.data.images import open_image, to_pil, to_tensor
from ip2p_lightning.data.saving import save_image
from ip2p_lightning.data.transforms import centred
from ip2p_lightning.diffusion.stage_sampling import StageSettings
from ip2p_lightning.evaluation.prompts.prompt_set import read_prompts
from ip2p_lightning.files import alone
from ip2p_lightning.interop.cascade import INDEX, Cascade, cascade_of_checkpoints, is_cascade, load_cascade
from ip2p_lightning.jobs.sample_plan import Sample, plan
from ip2p_lightning.report.caption_sheet import caption_sheet
from ip2p_lightning.safety import Guard
from ip2p_lightning.untrusted import printable


def run(config: DictConfig) -> None:
    """Check everything, then sample and write as `conf/sample.yaml` describes; prints a line for each image.

    Raises:
        FileNotFoundError: no such cascade, image or file of prompts.
        ValueError: no prompt, a stage that is not there, or an output that is in the way.
    """
    prompts = _prompts(config)
    image = None if config.image is None else open_image(config.image)
    cascade = open_cascade(plain(config.cascade), config.weights, plain(config.trust), config.device)
    settings = settings_of(cascade, {name: plain(config[name]) for name in vars(StageSettings())})
    cascade.check_names([config.until] if config.until else [])
    written = _stages(cascade, config)[0 if config.all_stages else -1 :]
    seeds = [int(seed) for seed in plain(config.seeds)]
    jobs = plan(prompts, seeds, Path(config.output), config.overwrite, written)
    if not jobs:
        print("every image is there already; nothing was left to do")
        return
    guard: Guard | None = build(config.safety) if config.get("safety") else None
    jobs = [job for job in jobs if _passes(job, guard.refuses_text(job.prompt) if guard else "")]
    output = Path(config.output)
    with nullcontext() if output.suffix else alone(output):
        made = _make(cascade, jobs, settings, image, guard, config)
        if config.sheet and made:
            shown = [[open_image(job.output)] for job in made]
            sheet = caption_sheet(shown, [job.prompt for job in made])
            print(save_image(sheet, made[0].output.with_name("sheet.png")))
    if guard is not None and (summary := guard.summary()):
        print(summary)


def _make(
    cascade: Cascade,
    jobs: Sequence[Sample],
    settings: Mapping[str, StageSettings],
    image: Image.Image | None,
    guard: Guard | None,
    config: DictConfig,
) -> list[Sample]:
    """Sample and write in batches; returns the samples that were not refused."""
    names = _stages(cascade, config)
    written = names[0 if config.all_stages else -1 :]
    start = None
    if image is not None:
        side = cascade.stages[names[-1]].side
        start = to_tensor(image.crop(centred(*image.size, aspect=1)).resize((side, side)))[None]
    made: list[Sample] = []
    for first in range(0, len(jobs), config.batch_size):
        batch = jobs[first : first + config.batch_size]
        began = time.perf_counter()
        images = cascade(
            [job.prompt for job in batch], [job.seed for job in batch], settings, until=config.until,
            image=None if start is None else start.expand(len(batch), -1, -1, -1).to(cascade.device),
            strength=config.strength,
        )  # fmt: skip
        reasons = guard.refuses_images(list(images[written[-1]])) if guard else [""] * len(batch)
        made += _save(batch, images, written, config.quality, reasons)
        print(f"{first + len(batch)} of {len(jobs)} images, {(time.perf_counter() - began) / len(batch):.2f} s each")
    return made


def _stages(cascade: Cascade, config: DictConfig) -> list[str]:
    """Names of the stages that run."""
    names = list(cascade.stages)
    return names[: names.index(config.until) + 1] if config.until else names


def open_cascade(place: str | Sequence[str], weights: Any, trust: Sequence[str], device: str = "auto") -> Cascade:
    """A folder, or the checkpoints of its stages, base first.

    Raises:
        FileNotFoundError: nothing there; ValueError: something else than a cascade.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(place, str) and not place.endswith(".ckpt"):
        if not Path(place).is_dir():
            raise FileNotFoundError(
                f"cascade={place}: no such folder; give what `ip2p export` wrote of a cascade's checkpoints, or the "
                "checkpoints: cascade=[base.ckpt,sr256.ckpt]"
            )
        if not is_cascade(place):
            raise ValueError(
                f"cascade={place} holds no {INDEX}, so it is no exported cascade; see `ip2p export --help`"
            )
        return load_cascade(place).to(device)
    from ip2p_lightning.methods.cascade import CascadeModule
    from ip2p_lightning.methods.checkpoint import load_method

    paths = [place] if isinstance(place, str) else list(place)
    modules = [load_method(path, CascadeModule, device, weights, trust) for path in paths]
    return cascade_of_checkpoints(modules)


def settings_of(cascade: Cascade, given: Mapping[str, Any]) -> dict[str, StageSettings]:
    """Settings of each stage from values that hold for all stages, or for those that are named.

    Args:
        cascade: says which stages there are.
        given: name of a setting -> one value, a mapping of stages to values, or None.

    Raises:
        ValueError: a stage that is not there, or a value out of its range.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in cascade.stages}
    for setting, value in given.items():
        if isinstance(value, Mapping):
            cascade.check_names(map(str, value))
        values = value if isinstance(value, Mapping) else dict.fromkeys(cascade.stages, value)
        for stage, one in values.items():
            found[str(stage)][setting] = one
    return {stage: StageSettings(**values) for stage, values in found.items()}


def _prompts(config: DictConfig) -> list[str]:
    given = plain(config.prompt)
    if (given is None) == (config.prompts is None):
        raise ValueError('give either prompt="a red house" (or a list), or prompts=FILE with one on each line')
    if given is None:
        return [prompt.text for prompt in read_prompts(config.prompts).prompts]
    return [str(text) for text in given] if isinstance(given, list) else [str(given)]


def _passes(job: Sample, reason: str) -> bool:
    """True if nothing speaks against a sample; prints what does."""
    if reason:
        print(printable(f"{job.prompt} (seed {job.seed}): {reason}"))
    return not reason


def _save(
    jobs: Sequence[Sample],
    images: Mapping[str, torch.Tensor],
    names: Sequence[str],
    quality: int,
    reasons: Sequence[str],
) -> list[Sample]:
    """Write the images of stages, but for refused ones; prints a line for each sample, returns the written ones."""
    kept = []
    for number, (job, reason) in enumerate(zip(jobs, reasons, strict=True)):
        if not _passes(job, reason):
            continue
        for name in names:
            save_image(to_pil(images[name][number]), job.of_stage(name, names[-1]), quality)
        kept.append(job)
        print(printable(f"{job.output}  {job.prompt} (seed {job.seed})"))
    return kept
