"""A job that measures: in one process or several with a device each, as a task of a job array, or by Ray's actors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal, TypeVar, cast

import lightning.pytorch as L
import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from ip2p_lightning.distributed.ranks import launch_ranks
from ip2p_lightning.evaluation.measurement import Measurement
from ip2p_lightning.evaluation.sharing import Ranks
from ip2p_lightning.evaluation.work import HandOut
from ip2p_lightning.store import Claims
from ip2p_lightning.store.actors import Worker, cluster, in_actors

Result = TypeVar("Result")
Job = Literal["evaluate", "tradeoff"]


def by_executor(
    config: DictConfig,
    job: Job,
    measure: Callable[[DictConfig, HandOut | None], Result],
    prepared: Callable[[DictConfig], Measurement],
) -> Result | None:
    """Measure as a configuration describes, by its `executor`.

    Args:
        config: has `executor`, `actors` and `address` besides what `in_processes` reads.
        job: which job other processes run.
        measure: `(config, hand_out) -> result`; `hand_out` has actors measure batches.
        prepared: a module's function that gives an actor the measurement of a configuration.

    Returns:
        The result; None in all but the first of several processes.

    Raises:
        ValueError: `devices` or `nodes` with an executor of another kind.
        ChildProcessError: another process died; names it, its last words and its log.
    """
    if config.executor == "processes":
        return in_processes(config, job, lambda own: measure(own, None))
    if config.devices * config.nodes != 1:
        raise ValueError(f"devices={config.devices} is for executor=processes; choose that, or devices=1")
    return measure(config, partial(_in_actors, config, prepared) if config.executor == "ray" else None)


def to_write(config: DictConfig) -> AbstractContextManager[object]:
    """The time in which a result is written: every member of a job array has it, and one after the other writes."""
    return Claims(config.output).hold("result") if config.executor == "array" else nullcontext()


def _in_actors(config: DictConfig, prepared: Callable[[DictConfig], Measurement], parts: Sequence[str]) -> None:
    gpus = torch.cuda.device_count() if device_of(config).startswith("cuda") else 0
    actors = config.actors or gpus or 1
    make = partial(_worker, cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True)), prepared)
    share = min(1.0, gpus / actors)
    with cluster(actors, share, config.address):
        in_actors(make, parts, actors, share)


def _worker(config: Mapping[str, Any], prepared: Callable[[DictConfig], Measurement]) -> Worker:
    """Stage function of a Ray actor, by the name of a batch; its editors are built here."""
    torch.set_num_threads(config["threads"] or 1)
    return prepared(OmegaConf.create(dict(config))).worker()


def in_processes(config: DictConfig, job: Job, measure: Callable[[DictConfig], Result]) -> Result | None:
    """Measure as a configuration describes, in `devices` processes on each of `nodes` machines.

    Args:
        config: has `devices`, `nodes`, `device`, `threads` and `output`; the last two are set for the process.
        job: which job the other processes run.
        measure: `config -> result`, of which the first process's is returned.

    Returns:
        The result; None in all but the first of several processes.

    Raises:
        ChildProcessError: another process died; names it, its last words and its log.
    """
    if config.devices * config.nodes == 1 and int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return measure(config)
    trainer = L.Trainer(
        accelerator="gpu" if device_of(config).startswith("cuda") else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    shared = config.copy()
    with open_dict(shared):
        shared.output_dir = str(config.output)  # where the other processes' logs go

    def work() -> Result:
        trainer.strategy.setup_environment()
        config.device = str(trainer.strategy.root_device)
        config.output = Ranks.current().first(lambda: str(config.output))  # each of torchrun's has a time of its own
        return measure(config)

    with launch_ranks(trainer, shared, f"ip2p_lightning.jobs.{job}:{job}"):
        launcher = trainer.strategy.launcher
        result = launcher.launch(work) if launcher is not None else work()
    return result if trainer.global_rank == 0 else None


def device_of(config: DictConfig) -> str:
    """The device of this process, with "auto" decided."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device
