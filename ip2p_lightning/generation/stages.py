"""Stages as Lightning predict jobs: what is not in the manifests yet is shared out, done, and written batch by batch.

The ranks need no word of each other but at the start, when all look at the same manifests before anyone writes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import lightning.pytorch as L
import torch
from diffusers import DiffusionPipeline
from lightning.pytorch.callbacks import BasePredictionWriter, Callback
from torch import nn
from torch.utils.data import DataLoader

from ip2p_lightning.generation.manifest import Facts, Input, Ledger
from ip2p_lightning.model_server import EndpointError

log = logging.getLogger(__name__)


class StageError(ValueError):
    """A stage that cannot go on; the message has the last input's error."""


PATIENCE = 10
"""A process stops after so many inputs in a row that ended in an error: the fault is not theirs then."""


class Work(Protocol):
    """What a stage does with its inputs; depends on each input alone, not on those beside it."""

    name: str
    """Of the stage."""

    @property
    def calls(self) -> int:
        """Samples that went through a denoiser so far."""
        ...

    @property
    def models(self) -> Sequence[Any]:
        """Objects whose networks and pipelines are to be moved to the device."""
        ...

    def __call__(self, inputs: Sequence[Any]) -> dict[str, bytes]:
        """Input id -> its result as it is stored."""
        ...


@dataclass(frozen=True)
class Results:
    """What came of a batch.

    Args:
        records: id of the input -> its result.
        facts: about the work.
        made_of: id of the input -> digest of its content.
    """

    records: dict[str, bytes]
    facts: Facts
    made_of: dict[str, str]


class Stage(L.LightningModule):
    """Does a stage's work on the device that the trainer gives.

    Args:
        work: see there.
        ledger: where the results go.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, work: Work, ledger: Ledger) -> None:
        super().__init__()
        self.work, self.ledger = work, ledger
        self._failures, self._succeeded, self._last = 0, 0, ""

    def configure_callbacks(self) -> list[Callback]:
        """The writer of this stage, which takes the place of another's."""
        return [PartWriter(self.ledger)]

    def on_predict_start(self) -> None:
        """Move what Lightning does not know of: networks and pipelines that plain objects hold."""
        for model in self.work.models:
            for part in vars(model).values():
                if isinstance(part, nn.Module | DiffusionPipeline):
                    part.to(self.device)

    @torch.no_grad()
    def predict_step(self, batch: Sequence[Input], batch_idx: int = 0) -> Results:
        """The results for a batch; after an error in it, one input at a time, so that the fault stays with its input.

        Raises:
            EndpointError: a server that a part of the work needs is not there.
            StageError: too many inputs in a row failed; the last error is its cause.
        """
        calls, begun = self.work.calls, time.monotonic()
        errors: dict[str, str] = {}
        try:
            records = self.work(batch)
            self._failures, self._succeeded = 0, self._succeeded + len(batch)
        except EndpointError:
            raise  # the server's fault, not the input's
        except Exception as error:
            if len(batch) == 1:
                records = {}
                self._note(batch[0].id, error, errors)
            else:
                records = self._singly(batch, errors)
        seconds = time.monotonic() - begun
        facts = Facts(len(batch), self.work.calls - calls, seconds, errors)
        return Results(records, facts, {entry.id: entry.digest for entry in batch})

    def _singly(self, batch: Sequence[Input], errors: dict[str, str]) -> dict[str, bytes]:
        records: dict[str, bytes] = {}
        for entry in batch:
            try:
                records |= self.work([entry])
                self._failures, self._succeeded = 0, self._succeeded + 1
            except EndpointError:
                raise
            except Exception as error:
                self._note(entry.id, error, errors)
        return records

    def _note(self, id: str, error: Exception, errors: dict[str, str]) -> None:
        self._failures += 1
        errors[id] = self._last = f"{type(error).__name__}: {error}"[:500]
        log.warning("%s: %s failed and is left for the next run: %s", self.work.name, id, errors[id])
        if self._failures >= PATIENCE:
            raise StageError(
                f"{self.work.name}: {self._failures} inputs in a row failed, the last one ({id}) with {errors[id]}; "
                "mend that and give the same command again: what is done is kept"
            ) from error

    def on_predict_end(self) -> None:
        """End the job with an error where nothing could be done at all, however few the inputs were.

        Raises:
            StageError: every input of this process failed.
        """
        if self._failures and not self._succeeded:
            raise StageError(
                f"{self.work.name}: all {self._failures} inputs failed, the last one with {self._last}; mend that and "
                "give the same command again"
            )


class PartWriter(BasePredictionWriter):
    """Writes the results of each batch as a part of the ledger.

    Args:
        ledger: of the stage.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(write_interval="batch")
        self.ledger = ledger

    def write_on_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        prediction: Results,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """When this returns, the batch is safe from whatever happens to the process."""
        self.ledger.commit(prediction.records, prediction.facts, trainer.global_rank, prediction.made_of)


class Inputs(L.LightningDataModule):
    """The inputs of a stage that are not done yet, shared out among the ranks.

    Args:
        inputs: all of them, the same on each rank.
        ledger: of the stage.
        batch_size: inputs in a batch, and in a part.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, inputs: Sequence[Input], ledger: Ledger, batch_size: int) -> None:
        super().__init__()
        self.inputs, self.ledger, self.batch_size = inputs, ledger, batch_size

    def predict_dataloader(self) -> DataLoader:
        """This rank's share, one input after the other to each rank.

        Raises:
            RuntimeError: the ranks do not see the same manifests.
        """
        assert self.trainer is not None
        todo = todo_of(self.inputs, self.ledger)
        digest = blake2b("\0".join(entry.id for entry in todo).encode(), digest_size=16).hexdigest()
        if self.trainer.strategy.broadcast(digest) != digest:
            raise RuntimeError(
                f"the processes see different files in {self.ledger.folder}; it must lie on one file system of all "
                "machines. Wait a moment and give the command again"
            )
        self.trainer.strategy.barrier()  # nobody writes before all have looked
        share = list(todo[self.trainer.global_rank :: self.trainer.world_size])
        return DataLoader(share, batch_size=self.batch_size, collate_fn=list)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Inputs are texts and places of files; they stay where they are."""
        return batch


def todo_of(inputs: Sequence[Input], ledger: Ledger) -> list[Input]:
    """The inputs without a result of their content, in their order."""
    done = ledger.records(inputs)
    return [entry for entry in inputs if entry.id not in done]


def run_stage(trainer: L.Trainer, work: Work, inputs: Sequence[Input], ledger: Ledger, batch_size: int) -> None:
    """Do what is not done yet of a stage, on all ranks; on return all of them are through.

    Args:
        trainer: of any strategy.
        work: what is done.
        inputs: all inputs, the same on each rank.
        ledger: where the results go.
        batch_size: inputs in a batch, and in a part.
    """
    if trainer.is_global_zero:
        ledger.folder.mkdir(parents=True, exist_ok=True)
        ledger.sweep()
    trainer.predict(Stage(work, ledger), datamodule=Inputs(inputs, ledger, batch_size), return_predictions=False)
    trainer.strategy.barrier()
