"""Recipes shared by the studies: how models of each size are trained and measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from diffusers import StableDiffusionPipeline

from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.text_to_image import TextToImageModule
from ip2p_lightning.studies.run import Run
from ip2p_lightning.studies.study import Options
from ip2p_lightning.studies.tasks import GENERAL, Task

SEEDS: Mapping[str, tuple[int, ...]] = {"tiny": (0,), "world": (0, 1), "paper": (0, 1, 2)}
"""Seeds of the runs of a study, by size."""

PAPER_SIDE = 512
"""Side in pixels at which the papers edit and measure, whatever they trained at: the release of InstructPix2Pix
(metrics/compute_metrics.py, res = 512) and that of MGIE (demo.ipynb, sz=512)."""
_PAPER = ("data=shards", f"data.transform.resolution={PAPER_SIDE}", "count=2000")

_TRAIN: Mapping[str, tuple[str, ...]] = {
    "tiny": ("trainer.max_steps=2", "~callbacks.pictures", "~callbacks.summary", "~callbacks.speed", "threads=1"),
    "world": ("trainer.limit_val_batches=0", "~callbacks.pictures", "~callbacks.summary", "threads=1"),
    "paper": (),
}
# A smaller network than ip2p/world's and a tenth of its steps: about a minute on one core; far from the end of
# learning, but far enough for the arms of a study to differ.
_SMALL = ("denoiser.network.width=128", "denoiser.network.heads=4", "denoiser.network.layers=2")
_EVALUATE: Mapping[str, tuple[str, ...]] = {
    "tiny": ("data=world_tiny", "split=validation", "device=cpu", "show=1", "worst=0", "intervals.resamples=20"),
    "world": ("data=world", "data.validation.count=256", "split=validation", "device=cpu", "worst=0"),
    "paper": (
        "data=shards",
        f"data.transform.resolution={PAPER_SIDE}",
        "count=2000",
        "worst=0",
        "metrics=full",
        "missing=gap",
    ),
}
PAPERS = ("dino", "clip_i", "clip_t", "lpips")
"""Columns of `metrics=full` that the papers' tables have and `pixels` has not: DINO, CVS, CTS and LPIPS."""


_TRADEOFF: Mapping[str, tuple[str, ...]] = {
    "tiny": ("data=world_tiny", "split=validation", "device=cpu", "intervals.resamples=20"),
    "world": ("data=world", "data.validation.count=256", "split=validation", "device=cpu"),
    "paper": _PAPER,
}


PAIRS = "data/pairs"
"""Folder of the general pairs at size paper, unless the option `pairs` names another."""
# Neither paper states how it tunes. InstructPix2Pix: rate and warm-up of MagicBrush's finetune.yaml, whose number of
# steps is not known to us, so 2,000 of 256 pairs. MGIE: a tenth of its epochs.
_TUNING: Mapping[str, tuple[str, ...]] = {
    "ip2p": (
        "++stages.0.trainable={denoiser.*: {lr: 5.0e-5}}",
        "stages.0.warmup=1000",
        "stages.0.max_steps=2000",
        "trainer.accumulate_grad_batches=1",
    ),
    "mgie": ("trainer.max_epochs=4",),
}


def train(options: Options, name: str, family: str, seed: int, *overrides: str, steps: tuple[int, ...] = ()) -> Run:
    """A training run.

    Args:
        options: of the study. With a `base`, world runs have its network's size: the experiment's own.
        name: of the run.
        family: of the experiment ("ip2p"); the size completes it.
        seed: of everything that it draws.
        overrides: what this run does otherwise; comes last, so that no option of the study takes a task's pairs away.
        steps: of each stage at size world; the experiment's own if empty.
    """
    words = [f"experiment={family}/{options.size}", f"seed={seed}", *_TRAIN[options.size]]
    if options.size == "world":
        words += [*(() if options.base else _SMALL), *(f"stages.{n}.max_steps={s}" for n, s in enumerate(steps))]
    if options.size == "paper":
        words.append(f"data.path={options.pairs or PAIRS}")
    return Run(name, "train", (*words, *options.train.split(), *overrides))


def ip2p(options: Options, seed: int) -> list[Run]:
    """The plain InstructPix2Pix of a size, one run for all studies; none if `options.base` takes its place."""
    if options.base:
        return []
    return [train(options, f"train/ip2p-{seed}", "ip2p", seed, steps=(800,))]


def ip2p_checkpoint(options: Options, seed: int) -> str:
    """The checkpoint that `ip2p` leaves, or `options.base`."""
    return options.base or f"<train/ip2p-{seed}>/checkpoints/last.ckpt"


def begun(options: Options, name: str, family: str, seed: int, *overrides: str) -> Run:
    """A training run of MGIE, LGIE, FZ or FT, which at size world begins with `ip2p`'s checkpoint."""
    steps = {"mgie": (300, 120), "lgie": (300, 120), "mgie_ft": (300, 120), "mgie_fz": (300,)}[family]
    words = [f"base={ip2p_checkpoint(options, seed)}"] if options.size == "world" else []
    return train(options, name, family, seed, *words, *overrides, steps=steps)


def general(options: Options, family: str, seed: int) -> list[Run]:
    """Training runs of which the last leaves a model of a family that learnt from `tasks.GENERAL` pairs."""
    words = GENERAL[options.size]
    if family == "ip2p":
        return [train(options, f"train/general/ip2p-{seed}", family, seed, *words, steps=(800,))]
    model = begun(options, f"train/general/{family}-{seed}", family, seed, *words)
    if options.size != "world" or options.base:
        return [model]
    begin = f"train/general/ip2p-{seed}"
    moved = tuple(word.replace(f"train/ip2p-{seed}", begin) for word in model.overrides)
    return [*general(options, "ip2p", seed), replace(model, overrides=moved)]


def tuned(options: Options, name: str, family: str, seed: int, model: Run, task: Task) -> Run:
    """A training run that goes on from another one's weights on the pairs of a task."""
    words = [word for word in model.overrides if word.startswith("base=")] + list(
        _TUNING[family] if options.size == "paper" else ()
    )
    init = f"init=[{{checkpoint: '<{model.name}>/checkpoints/last.ckpt'}}]"
    return train(
        options, name, family, seed, *words, init, *task.trained(options.size), steps=(100, 100)[: _stages(family)]
    )


def without_instruction_loss(options: Options) -> list[str]:
    """Overrides that take MGIE's instruction loss out of all stages of its experiment."""
    return [
        f"stages.{n}.loss_weights.instruction_loss=0" for n in range(_stages("mgie") if options.size == "world" else 1)
    ]


def text_to_image(options: Options) -> tuple[list[Run], list[str]]:
    """Runs that train the text-to-image model of baselines, and overrides of `editor.pipeline` for it.

    At size world the zoo's takes its place, at size paper Stable Diffusion 1.5.
    """
    if options.size == "world":
        return [], []
    if options.size == "paper":
        weights = "stable-diffusion-v1-5/stable-diffusion-v1-5"
        target = "ip2p_lightning.generation.pipelines.load_pipeline"
        words = [f"editor.pipeline._target_={target}", f"+editor.pipeline.weights={weights}"]
        return [], [*words, "~editor.pipeline.name", "editor.text_scale=7.5", "editor.steps=50"]
    small = ["unet.widths=[16,32]", "data.train.size=32", "data.train.count=8", "data.batch_size=2", "data.workers=0"]
    words = ["experiment=zoo/text_to_image", *_TRAIN["tiny"][:1], "~callbacks.summary", "~callbacks.speed", "threads=1"]
    model = Run("train/text_to_image", "train", (*words, *small, "trainer.limit_val_batches=0"))
    opened = ["editor.pipeline._target_=ip2p_lightning.studies.recipes.open_pipeline", "~editor.pipeline.name"]
    return [model], [*opened, f"+editor.pipeline.checkpoint=<{model.name}>/checkpoints/last.ckpt", "editor.steps=2"]


def open_pipeline(checkpoint: str) -> StableDiffusionPipeline:
    """The pipeline of a text-to-image run's checkpoint, without progress bars."""
    pipeline = load_method(checkpoint, TextToImageModule).pipeline()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _stages(family: str) -> int:
    """Number of stages of a family's world experiment."""
    return 1 if family in ("ip2p", "mgie_fz") else 2


def evaluate(options: Options, name: str, model: str | Run, labels: Mapping[str, Any], *overrides: str) -> Run:
    """An evaluation run.

    Args:
        options: of the study.
        name: of the run.
        model: the training run whose last checkpoint is measured, or a checkpoint; "" for editors that have none.
        labels: of the row that it makes.
        overrides: what this run does otherwise.
    """
    checkpoint = f"<{model.name}>/checkpoints/last.ckpt" if isinstance(model, Run) else model
    words = [
        *([f"checkpoint={checkpoint}"] if checkpoint else []),
        *_EVALUATE[options.size],
        *_measured(options),
        *overrides,
    ]
    return Run(name, "evaluate", tuple(words), labels)


def sweep(options: Options, name: str, points: Sequence[Mapping[str, Any]], checkpoint: str, *overrides: str) -> Run:
    """A run of `ip2p tradeoff`, whose points are rows.

    Args:
        options: of the study.
        name: of the run.
        points: labels of its points, in its order.
        checkpoint: of the editor that is swept.
        overrides: what this run does otherwise.
    """
    words = [f"checkpoint={checkpoint}", *_TRADEOFF[options.size], *_measured(options), *overrides]
    return Run(name, "tradeoff", tuple(words), points=tuple(points))


def _measured(options: Options) -> list[str]:
    """At size paper the general pairs, and the study's options for evaluations; a run's own words follow."""
    return [*([f"data.path={options.pairs or PAIRS}"] if options.size == "paper" else []), *options.evaluate.split()]


def shown_editor(options: Options) -> tuple[list[Run], str]:
    """The InstructPix2Pix whose edits are looked at, as the runs that train it and its checkpoint.

    That is `options.base`; without it, at size world the one that comes with the package, else the studies' own.
    """
    if options.size == "world" and not options.base:
        return [], "instruct_pix2pix"
    return ip2p(options, seed=0), ip2p_checkpoint(options, 0)


def as_baseline(words: Sequence[str], name: str) -> list[str]:
    """Overrides of `editor` in `ip2p evaluate` as those of a baseline in `ip2p tradeoff`."""
    return [re.sub(r"^([~+]*)editor\.", rf"\1baselines.{name}.make.", word) for word in words]
