"""A job that measures, in one process or in several, each with a device of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal, TypeVar

import lightning.pytorch as L
import torch
from omegaconf import DictConfig, open_dict

from ip2p_lightning.distributed.ranks import ranks
from ip2p_lightning.evaluation.sharing import Ranks

Result = TypeVar("Result")


def in_processes(
    config: DictConfig, job: Literal["evaluate", "tradeoff"], measure: Callable[[DictConfig], Result]
) -> Result | None:
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

    with ranks(trainer, shared, f"ip2p_lightning.jobs.{job}:{job}"):
        launcher = trainer.strategy.launcher
        result = launcher.launch(work) if launcher is not None else work()
    return result if trainer.global_rank == 0 else None


def device_of(config: DictConfig) -> str:
    """The device of this process, with "auto" decided."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device
