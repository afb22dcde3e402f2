"""Drivers of a stage: ranks of Lightning, a member of a job array, a pool of Ray actors. Their results are equal.

All of them have `Doing` do blocks that they claim in the ledger, so that they may work in one folder at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import lightning.pytorch as L
import torch

from ip2p_lightning.generation.stages import Doing, StageError, StageRun, blocks_of, run_stage
from ip2p_lightning.precision import FULL
from ip2p_lightning.store.actors import ActorError, Worker, in_actors


class Executor(Protocol):
    """Execution of a stage's blocks: in this process, in those of a job, or by Ray actors."""

    @property
    def first(self) -> bool:
        """True for the process that checks, notes and merges for all of its job."""
        ...

    @property
    def processes(self) -> int:
        """Number of processes that share the work, as far as is known."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of this process's models."""
        ...

    def run(self, stage: StageRun) -> None:
        """Do what is left of a stage; on return every input is done, or was tried by some process."""
        ...

    def meet(self) -> None:
        """Wait for the other processes of this job."""
        ...


@dataclass(frozen=True)
class Processes:
    """The ranks of a Lightning trainer.

    Args:
        trainer: of any strategy.
    """

    trainer: L.Trainer

    @property
    def first(self) -> bool:
        return self.trainer.is_global_zero

    @property
    def processes(self) -> int:
        return self.trainer.world_size

    @property
    def device(self) -> torch.device:
        return self.trainer.strategy.root_device

    def run(self, stage: StageRun) -> None:
        run_stage(self.trainer, stage.build(), stage.inputs, stage.ledger, stage.batch_size)

    def meet(self) -> None:
        self.trainer.strategy.barrier()


@dataclass(frozen=True)
class Array:
    """One independent process; others may join, leave and die at any time, as the tasks of a job array do.

    Args:
        device: where models go.
        precision: arithmetic, see `arithmetic`.
    """

    device: torch.device
    precision: str = FULL
    first = True
    processes = 1

    def run(self, stage: StageRun) -> None:
        stage.ledger.folder.mkdir(parents=True, exist_ok=True)
        if not (blocks := blocks_of(stage)):
            return
        doing = Doing(stage.build(), stage.ledger, self.device, self.precision)
        for part in stage.ledger.parts.work(blocks):
            doing.commit(blocks[part])
        doing.end()
        stage.ledger.sweep()

    def worker(self, stage: StageRun) -> Worker:
        """Function that does a block of the stage and takes the name of its part; builds the models."""
        blocks = blocks_of(stage)
        doing = Doing(stage.build(), stage.ledger, self.device, self.precision)

        def work(part: str) -> None:
            for key in stage.ledger.parts.work([part] if part in blocks else []):
                doing.commit(blocks[key])

        return work

    def meet(self) -> None:
        """It knows of no other process."""


@dataclass(frozen=True)
class RayActors:
    """A pool of Ray actors (inside `cluster`), each with the models of the stage; this process hands out blocks.

    Args:
        make: `(stage, limit) -> Worker`, called in each actor; is pickled.
        actors: how many.
        gpus: share of an accelerator for each.
    """

    make: Callable[[str, int | None], Worker]
    actors: int
    gpus: float = 0.0
    first = True

    @property
    def processes(self) -> int:
        return self.actors

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.gpus else "cpu")

    def run(self, stage: StageRun) -> None:
        stage.ledger.folder.mkdir(parents=True, exist_ok=True)
        if not (blocks := blocks_of(stage)):
            return
        try:
            in_actors(partial(self.make, stage.name, stage.limit), list(blocks), self.actors, self.gpus)
        except ActorError as error:
            raise StageError(f"{stage.name}: {error}") from error
        stage.ledger.sweep()
        errors = stage.ledger.facts().errors
        if errors and not stage.ledger.records(stage.inputs):
            raise StageError(f"{stage.name}: all inputs failed, one of them with {next(iter(errors.values()))}")

    def meet(self) -> None:
        """The actors are gone."""
