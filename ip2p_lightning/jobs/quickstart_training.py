"""The quickstart's training runs: data held in memory, precision, threads and number of steps fitted to the machine."""

from __future__ import annotations

import copy
import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as L
import torch
from omegaconf import DictConfig, OmegaConf
from transformers import LlavaConfig

from ip2p_lightning import zoo
from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources.memory import MemorySource
from ip2p_lightning.formatting import plural
from ip2p_lightning.jobs.train import train
from ip2p_lightning.models.loading import load_tokenizer
from ip2p_lightning.models.mllm import llava_sizes
from ip2p_lightning.models.visual_tokens import visual_token_ids

_OVERHEAD = 1.05
"""Training takes so many times what its steps take: averaged weights on disk, validation, images."""
_WARM_UP = 2
_CHECKPOINT_STEPS = 200
"""Largest loss by an interruption."""


SHIPPED, NOTHING = "shipped", "nothing"
"""Weights that a run begins with: models of the zoo where it names some (`start`), or random weights."""


def check_start(config: DictConfig) -> None:
    """Say before anything is rendered whether the runs can begin with what `config.start` asks for.

    Raises:
        ValueError: an unknown `start`.
        FileNotFoundError: a shipped model whose weights are not there.
    """
    if config.start not in (SHIPPED, NOTHING):
        raise ValueError(
            f"start={config.start}: choose {SHIPPED} (parts of the runs begin with models of the zoo) or {NOTHING} "
            "(random weights)"
        )
    if config.start == SHIPPED:
        for name in {str(name) for run in config.runs.values() for name in run.get("start", {}).values()}:
            zoo.path(name)


@lru_cache(maxsize=4)
def in_memory(path: str, split: str) -> MemorySource:
    """A split of a dataset folder, read and decoded once for all runs of this process.

    Args:
        path: the dataset folder.
        split: "train" or "validation".
    """
    return MemorySource(ShardDataset(path, Selection(split=split)))


class StepClock(L.Callback):
    """Notes when each optimizer step of each stage ends."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Note the time."""
        stage = getattr(pl_module, "stage", None)
        self.times.setdefault(getattr(stage, "name", "train"), []).append(time.perf_counter())

    def seconds_per_step(self) -> dict[str, float]:
        """Stage -> median time of a step, the first few left out."""
        steps = {name: [b - a for a, b in pairwise(times)] for name, times in self.times.items()}
        return {name: statistics.median(step[_WARM_UP - 1 :] or step) for name, step in steps.items() if step}


def composed(config: DictConfig, run: DictConfig, folder: Path) -> DictConfig:
    """The training configuration of one run: its experiment on the quickstart's pairs.

    Args:
        config: the quickstart's.
        run: an entry of its `runs`.
        folder: the run folder.
    """
    words = [f"experiment={run.experiment}", f"seed={config.seed}", *run.overrides]
    training = compose("train", words)
    OmegaConf.set_struct(training, False)
    training.output_dir = str(folder)
    training.data = OmegaConf.create(plain(config.training_data))
    training.callbacks.pop("summary", None)
    training.callbacks.checkpoint.every_n_train_steps = _CHECKPOINT_STEPS
    for stage in training.stages:
        stage.max_steps = max(1, round(stage.max_steps * config.longer))
    if config.start == SHIPPED:
        for part, name in run.get("start", {}).items():
            begin_with(training, str(part), zoo.path(str(name)))
    return training


def begin_with(training: DictConfig, part: str, folder: Path) -> None:
    """Let a part of a run begin with the weights of a pipeline folder, as the papers' parts begin with published ones.

    A multimodal language model takes the sizes and the number of [IMG] tokens of the folder's.

    Args:
        training: the run's configuration; changed in place.
        part: such as "conditioner.model".
        folder: a model of the zoo.

    Raises:
        ValueError: a language model of another vocabulary.
    """
    training.init.append({"pretrained": str(folder), "to": part})
    if part != "conditioner.model":
        return
    tokenizer = load_tokenizer(folder, "tokenizer")
    training.conditioner.tokenizer.count = len(visual_token_ids(tokenizer))
    training.conditioner.model.update(llava_sizes(LlavaConfig.from_pretrained(folder / "mllm")))
    if build(training.conditioner.tokenizer).get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"{folder}: its language model has another vocabulary than {part} here; train with start={NOTHING}, or "
            "train the shipped model again"
        )


class ExecutionSettings(NamedTuple):
    """Precision and number of threads of a run.

    Args:
        precision: Lightning's name of the arithmetic.
        threads: torch's CPU threads.
    """

    precision: str
    threads: int

    @classmethod
    def all(cls, precision: str, threads: int | None) -> list[ExecutionSettings]:
        """Settings to choose from; without a number of threads, one thread and as many as torch would take.

        On a machine with other work, one thread can be many times as fast as two that wait for each other.
        """
        counts = [threads] if threads else sorted({torch.get_num_threads(), 1}, reverse=True)
        return [cls(precision, count) for count in counts]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> ExecutionSettings:
        """The settings that `fit_to_machine` found."""
        return cls(facts["precision"], facts["threads"])

    def apply(self, training: DictConfig) -> None:
        """Let a training configuration compute with these settings."""
        training.trainer.precision, training.threads = self

    def __str__(self) -> str:
        return f"{self.precision} on {plural(self.threads, 'thread')}"


def fit_to_machine(
    training: DictConfig,
    choices: Sequence[ExecutionSettings],
    steps: int,
    seconds: float,
    taken: Mapping[str, int] | None = None,
) -> tuple[DictConfig, dict[str, Any]]:
    """Choose the fastest settings, and shorten the stages alike if they would take longer than there is time.

    Args:
        training: the run's configuration; changed in place.
        choices: to choose from.
        steps: training steps for timing each.
        seconds: what the run may take, this timing included.
        taken: stage -> steps that an earlier attempt with less time has trained.

    Returns:
        The configuration, and what was found: the settings, seconds a step by stage, the share of the steps kept.
    """
    started, taken = time.monotonic(), taken or {}
    timed = {settings: time_steps(training, settings, steps) for settings in choices}
    ahead = {stage.name: stage.max_steps - taken.get(stage.name, 0) for stage in training.stages}
    cost = {settings: sum(count * times[name] for name, count in ahead.items()) for settings, times in timed.items()}
    settings = min(cost, key=lambda settings: cost[settings])
    left = max(1.0, seconds - (time.monotonic() - started))
    share = min(1.0, left / (_OVERHEAD * cost[settings]))
    settings.apply(training)
    whole = sum(stage.max_steps for stage in training.stages)
    for stage in training.stages:
        stage.max_steps = taken.get(stage.name, 0) + max(1, int(ahead[stage.name] * share))
    kept = sum(stage.max_steps for stage in training.stages) / whole
    return training, {**settings._asdict(), "seconds_per_step": timed[settings], "share_of_steps": round(kept, 3)}


def whole_seconds(fitted: Mapping[str, Any]) -> float:
    """Seconds of all steps of a run's recipe on this machine, from the result of `fit_to_machine`."""
    steps: Mapping[str, int] = fitted["stages"]
    return _OVERHEAD * sum(n / fitted["share_of_steps"] * fitted["seconds_per_step"][name] for name, n in steps.items())


def time_steps(training: DictConfig, settings: ExecutionSettings, steps: int) -> dict[str, float]:
    """Seconds a training step takes in each stage, measured on a few steps whose results are thrown away."""
    trial = copy.deepcopy(training)  # not resolved: the method's stages must stay those below
    with tempfile.TemporaryDirectory(prefix="ip2p-") as folder:
        trial.output_dir = trial.trainer.default_root_dir = folder
        settings.apply(trial)
        trial.trainer.limit_val_batches = 0
        trial.callbacks = {"clock": {"_target_": f"{__name__}.{StepClock.__name__}"}}
        trial.trainer.update({"logger": False, "enable_checkpointing": False, "enable_progress_bar": False})
        trial.logger, trial.ckpt = None, None
        for stage in trial.stages:
            stage.max_steps = steps
        logging.getLogger("ip2p_lightning").setLevel(logging.WARNING)
        try:
            trainer = train(trial).trainer
        finally:
            logging.getLogger("ip2p_lightning").setLevel(logging.NOTSET)
    clock = next(callback for callback in trainer.callbacks if isinstance(callback, StepClock))  # type: ignore[attr-defined]
    return clock.seconds_per_step()


def train_run(training: DictConfig) -> dict[str, Any]:
    """Train, going on from a checkpoint in the run folder if there is one.

    Returns:
        Steps, pairs a step and parameters by part.
    """
    folder = Path(training.output_dir)
    last = checkpoint(folder)
    training.ckpt = str(last) if last.is_file() else None
    trained = train(training)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in trained.module.named_children()}
    return {
        "steps": trained.trainer.global_step,
        "batch_size": training.data.batch_size,
        "stages": [f"{stage.name}, {stage.max_steps:,} steps" for stage in training.stages],
        "parameters": {name: count for name, count in parts.items() if count and name != "autoencoder"},
    }


def checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run folder."""
    return folder / "checkpoints" / "last.ckpt"
