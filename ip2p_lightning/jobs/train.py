"""`ip2p train`: one run of training, stage by stage, in one Lightning trainer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.callbacks.log_interval import LogInterval
from ip2p_lightning.conditioners.cut_texts import warn_of_data
from ip2p_lightning.config import build, plain
from ip2p_lightning.data.datamodule import NO_VALIDATION
from ip2p_lightning.distributed.ranks import launch_ranks, sweeping
from ip2p_lightning.interop.warm_start import initialise
from ip2p_lightning.jobs.arithmetic import decide_precision, matmul_precision
from ip2p_lightning.jobs.resuming import check_resumable, find_checkpoint
from ip2p_lightning.jobs.train_plan import plan, show
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.models.pretrained import marks
from ip2p_lightning.redaction import without_secrets
from ip2p_lightning.terminal import Terminal
from ip2p_lightning.training.run_folder import check_free, held

log = logging.getLogger(__name__)

_EXPECTED = (
    r"Be aware that when using `ckpt_path`, callbacks",  # ours says it
    r".*isinstance\(treespec, LeafSpec\)",  # inside Lightning
    r"Found \d+ module\(s\) in eval mode",  # frozen parts are
    r".*does not have many workers",  # data.workers is the user's choice
    r"This DataLoader will create",  # likewise: more of them than cores
    r"The number of training batches .* is smaller than the logging interval",  # which is adapted afterwards
    r"Total length of `list` across ranks is zero",  # no validation pairs: said in our words
    r"You defined a `validation_step` but have no",  # likewise
    r"You're resuming from a checkpoint that ended before the epoch ended",  # our loader goes on at its place
)
"""Warnings of Lightning that are of no use here."""


def run(config: DictConfig) -> float | None:
    """Train, and return the metric named by `optimized_metric` (for sweepers), if any; with `plan`, print and stop.

    Raises:
        ValueError: a metric that was never logged.
    """
    if config.plan:
        show(plan(config), Terminal())
        return None
    metrics = train(config).metrics
    name = config.optimized_metric
    if name is None:
        return None
    if name not in metrics:
        raise ValueError(f"optimized_metric {name!r} was never logged; these were: {', '.join(sorted(metrics))}")
    return metrics[name]


@dataclass(frozen=True)
class Trained:
    """Result of `train`.

    Args:
        module: the trained module, with averaged weights if a callback averages them.
        trainer: the trainer, after its last stage.
        metrics: the last value of each logged metric; those of validation are the final weights'.
        checkpoint: the last checkpoint, if a callback writes any.
    """

    module: StagedModule
    trainer: L.Trainer
    metrics: dict[str, float]
    checkpoint: Path | None


def train(config: DictConfig) -> Trained:
    """Train as `conf/train.yaml` describes, and validate the result.

    Leaves in `output_dir`: config.yaml (resolved), checkpoints/last.ckpt, metrics, images.

    Args:
        config: composed from conf/train.yaml.

    Raises:
        RunFolderError: `output_dir` holds another run, or another process is at work there.
    """
    folder = Path(config.output_dir)
    with held(folder) if rank_zero_only.rank == 0 else nullcontext():
        rank_zero_only(check_free)(folder, config.ckpt, config.overwrite)
        with matmul_precision(config.get("matmul_precision")):
            return _train(config)


def _train(config: DictConfig) -> Trained:
    _quieten()
    L.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    data = build(config.data)
    if getattr(data, "validation", ...) is None:
        log.warning("no validation pairs in %s: %s", config.data.get("path", "data"), NO_VALIDATION)
    module: StagedModule = build(config.method)
    module.config, module.trust = plain(config.method), tuple(config.trust)
    if (conditioner := getattr(module, "conditioner", None)) is not None and hasattr(data, "sources"):
        warn_of_data(conditioner, data.sources())
    _say_sources(module, config)
    initialise(module, plain(config.init))
    if config.channels_last:
        module.to(memory_format=torch.channels_last)
    if config.compile:
        learner = module.learners[-1]
        log.info("compiling the %s in the first step: minutes, perhaps, and a signal is heeded after it", learner)
        module.get_submodule(learner).compile()
    loggers = list(build(config.logger).values()) if config.logger else []
    callbacks = list(build(config.callbacks).values()) if config.callbacks else []
    callbacks += [build(config.cache)] if config.get("cache") else []
    if config.trainer.get("log_every_n_steps") is None:
        callbacks.insert(0, LogInterval())
    checkpoint = find_checkpoint(config.ckpt, Path(config.output_dir), beside=not sweeping())
    origin = check_resumable(checkpoint, module) if checkpoint else None
    decide_precision(config.trainer, origin.precision if origin else None)
    trainer: L.Trainer = build(config.trainer, callbacks=callbacks, logger=loggers)
    _record(config, loggers)
    with launch_ranks(trainer, config, f"{__name__}:train", checkpoint):
        fit(trainer, module, data, checkpoint, origin.stage if origin else None)
        metrics = dict(trainer.callback_metrics)
        trainer.validate(module, data, verbose=False)
    metrics |= trainer.callback_metrics
    if origin and trainer.global_step == origin.step:
        log.warning(
            "nothing was left to do: %s had come to its end at step %s; to go on, give it more steps: "
            "stages.%s.max_steps=..., or trainer.max_steps, trainer.max_epochs where those end the run",
            origin.path,
            origin.step,
            len(module.stages) - 1,
        )
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    saved = getattr(trainer.checkpoint_callback, "last_model_path", "")
    if saved:
        log.info("checkpoint: %s", saved)
    return Trained(
        module, trainer, {name: float(value) for name, value in metrics.items()}, Path(saved) if saved else None
    )


def fit(
    trainer: L.Trainer,
    module: StagedModule,
    data: L.LightningDataModule,
    checkpoint: Path | None = None,
    begun: str | None = None,
) -> None:
    """Fit the module's stages one after the other; steps are counted through.

    Args:
        trainer: its `max_steps`, if positive, bounds all stages together.
        module: has `stages`.
        data: pairs.
        checkpoint: file to resume from.
        begun: the stage in which it was written; earlier stages are left out.

    Raises:
        ValueError: a stage without an end before another, nothing at all that ends the run, or an unknown `begun`.
    """
    limit = trainer.max_steps
    ends = _ends(module.stages, limit, endless=trainer.max_epochs == -1 and not _timed(trainer))
    names = [stage.name for stage in module.stages]
    if begun is not None and begun not in names:
        raise ValueError(f"{checkpoint} stopped in stage {begun!r}, but the stages are {', '.join(names)}")
    first = names.index(begun) if begun is not None else 0
    for stage, end in list(zip(module.stages, ends, strict=True))[first:]:
        if len(names) > 1:
            log.info("stage %s, up to step %s", stage.name, end if end > 0 else "the trainer's end")
        module.stage = stage
        trainer.fit_loop.epoch_loop.max_steps = end
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        checkpoint = None
        if trainer.fit_loop.restarting:
            _forget_restart(trainer)
        if 0 < limit <= trainer.global_step:
            break


def _ends(stages: Sequence[Stage], limit: int, endless: bool) -> list[int]:
    """The global step at which each stage ends; -1 for a last stage that the trainer ends."""
    ends, total = [], 0
    for index, stage in enumerate(stages):
        if stage.max_steps <= 0:
            if index + 1 < len(stages):
                raise ValueError(f"stage {stage.name!r} comes before another and needs max_steps above 0")
            if endless and limit <= 0:
                raise ValueError(
                    f"nothing ends stage {stage.name!r}: set its max_steps, trainer.max_steps, trainer.max_epochs or "
                    "trainer.max_time"
                )
            ends.append(limit)
            break
        total += stage.max_steps
        ends.append(min(total, limit) if limit > 0 else total)
    return ends


def _timed(trainer: L.Trainer) -> bool:
    return any(isinstance(callback, L.callbacks.Timer) for callback in trainer.callbacks)  # type: ignore[attr-defined]


def _forget_restart(trainer: L.Trainer) -> None:
    """A stage without a step left was loaded, but not run: the next one must not take its place for its own."""
    steps = trainer.fit_loop.epoch_loop
    for loop in (trainer.fit_loop, steps, steps.val_loop, steps.automatic_optimization):
        loop.on_iteration_done()


@rank_zero_only
def _say_sources(module: StagedModule, config: DictConfig) -> None:
    """Say where pretrained parts come from, and warn where they are not of one base model."""
    base = config.get("base_model")
    found: dict[str, list[str]] = {}
    for part in module.parts:
        network = getattr(module, part, None)
        for source in dict.fromkeys(mark.source for mark in marks(network).values()) if network else ():
            found.setdefault(source, []).append(part)
    for source, parts in found.items():
        log.info("weights of %s: %s", ", ".join(parts), source)
    text = {"conditioner"} if hasattr(getattr(module, "conditioner", None), "text_encoder") else set()
    models = {source for source, parts in found.items() if {"denoiser", "autoencoder", *text} & set(parts)}
    if len(models) > 1 or (base and models - {str(base)}):
        log.warning(
            "parts of different models are put together (%s)%s; where that is not meant, give base_model alone",
            ", ".join(sorted(models)),
            f" under base_model={base}" if base else "",
        )


@rank_zero_only
def _record(config: DictConfig, loggers: Sequence[Any]) -> None:
    """Keep the configuration in the run folder and with each logger."""
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    settings = without_secrets(config)
    OmegaConf.save(OmegaConf.create(settings), folder / "config.yaml")
    for logger in loggers:
        logger.log_hyperparams(settings)


def _quieten() -> None:
    """Silence what Lightning says of hardware it has not found, and warnings about what is meant to be so."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in _EXPECTED:
        warnings.filterwarnings("ignore", message=message)
