"""Stages as Lightning predict jobs: blocks of inputs are claimed, done, and written as parts.

Ranks of one job and members of a job array do the same: each takes the next block that is neither done nor claimed.
They may join late and be killed; a block is in the result once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import lightning.pytorch as L
import torch
from diffusers import DiffusionPipeline
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ip2p_lightning.generation.manifest import Facts, Input, Ledger, Result
from ip2p_lightning.model_server import EndpointError
from ip2p_lightning.precision import FULL, arithmetic

log = logging.getLogger(__name__)


class StageError(ValueError):
    """A stage that cannot go on; the message has the last input's error."""


PATIENCE = 10
"""A process stops after so many inputs in a row that ended in an error: the fault is not theirs then."""


class Work(Protocol):
    """Work of a stage on its inputs; depends on each input alone, not on others of its batch."""

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

    def __call__(self, inputs: Sequence[Any]) -> Mapping[str, bytes | Result]:
        """Input id -> its result as it is stored."""
        ...


@dataclass(frozen=True)
class Block:
    """Inputs that are done together, and make a part.

    Args:
        part: its name.
        inputs: at least one.
    """

    part: str
    inputs: Sequence[Input]


@dataclass(frozen=True)
class Results:
    """Results of a block.

    Args:
        part: name of the block's part.
        records: id of the input -> its result.
        facts: about the work.
        made_of: id of the input -> digest of its content.
    """

    part: str
    records: Mapping[str, bytes | Result]
    facts: Facts
    made_of: dict[str, str]


@dataclass(frozen=True)
class StageRun:
    """A stage to be run.

    Args:
        name: of the stage.
        build: makes the work, with its models, in the process that does it.
        inputs: all inputs, the same in each process.
        ledger: where the results go.
        batch_size: inputs in a block.
        limit: how many of the stage's inputs these are; None for all.
    """

    name: str
    build: Callable[[], Work]
    inputs: Sequence[Input]
    ledger: Ledger
    batch_size: int
    limit: int | None = None


class Doing:
    """Does blocks of a stage, whichever driver hands them out.

    Args:
        work: see there.
        ledger: where the results go.
        device: where the models of the work go; None leaves them.
        precision: arithmetic, see `arithmetic`.
    """

    def __init__(self, work: Work, ledger: Ledger, device: torch.device | None = None, precision: str = FULL) -> None:
        self.work, self.ledger, self.precision = work, ledger, precision
        self.kind = device.type if device is not None else "cpu"
        self._failures, self._succeeded, self._last = 0, 0, ""
        if device is not None:
            self.to(device)

    def to(self, device: torch.device) -> None:
        """Move the networks and pipelines that the objects of the work hold."""
        for model in self.work.models:
            for part in vars(model).values():
                if isinstance(part, nn.Module | DiffusionPipeline):
                    part.to(device)

    def commit(self, block: Block) -> Results:
        """Do a block; when this returns, it is safe from whatever happens to the process."""
        with arithmetic(self.precision, self.kind):
            results = self.results(block)
        self.ledger.commit(results.records, results.facts, results.part, results.made_of)
        return results

    @torch.no_grad()
    def results(self, block: Block) -> Results:
        """The results for a block; after an error in it, one input at a time, so that the fault stays with its input.

        Raises:
            EndpointError: a server that a part of the work needs is not there.
            StageError: too many inputs in a row failed; the last error is its cause.
        """
        batch, calls, begun = block.inputs, self.work.calls, time.monotonic()
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
        return Results(block.part, records, facts, {entry.id: entry.digest for entry in batch})

    def _singly(self, batch: Sequence[Input], errors: dict[str, str]) -> dict[str, bytes | Result]:
        records: dict[str, bytes | Result] = {}
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

    def end(self) -> None:
        """To be called at the end: an error where nothing could be done at all, however few the inputs were.

        Raises:
            StageError: every input of this process failed.
        """
        if self._failures and not self._succeeded:
            raise StageError(
                f"{self.work.name}: all {self._failures} inputs failed, the last one with {self._last}; mend that and "
                "give the same command again"
            )


class Stage(L.LightningModule):
    """Does a stage's work on the device that the trainer gives.

    Args:
        doing: does a block.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, doing: Doing) -> None:
        super().__init__()
        self.doing, self.work = doing, doing.work

    def on_predict_start(self) -> None:
        """Move what Lightning does not know of."""
        self.doing.to(self.device)

    def predict_step(self, block: Block | None, batch_idx: int = 0) -> Results | None:
        """Do a block; None where others have done the rest."""
        return None if block is None else self.doing.commit(block)

    def on_predict_end(self) -> None:
        """See `Doing.end`."""
        self.doing.end()


class Inputs(L.LightningDataModule):
    """The inputs of a stage that are not done yet, in blocks that the first free process takes.

    Args:
        inputs: all of them, the same in each process.
        ledger: of the stage.
        batch_size: inputs in a block.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, inputs: Sequence[Input], ledger: Ledger, batch_size: int) -> None:
        super().__init__()
        self.inputs, self.ledger, self.batch_size = inputs, ledger, batch_size
        self._next: Generator[Block, None, None] | None = None
        self._parts: list[str] = []

    def predict_dataloader(self) -> DataLoader:
        """The next free block at each step, and None where there is no more.

        Raises:
            RuntimeError: the ranks do not see the same files.
        """
        assert self.trainer is not None
        self._check_folder(self.trainer)
        blocks = self.blocks()
        self._parts = list(blocks)
        self.trainer.strategy.barrier()  # no rank writes before all ranks have looked
        self._next = self._claimed(blocks)
        return DataLoader(_Turns(self._next, len(blocks)), batch_size=1, collate_fn=_only)

    def blocks(self) -> dict[str, Block]:
        """See `blocks_of`."""
        return _blocks(self.inputs, self.ledger, self.batch_size)

    def done(self) -> int:
        """Number of blocks that are done, by any process."""
        return len(self._parts) - len(self.ledger.parts.missing(self._parts))

    def close(self) -> None:
        """Give back what is claimed, whatever ended the stage."""
        if self._next is not None:
            self._next.close()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Inputs are texts and places of files; they stay where they are."""
        return batch

    def _claimed(self, blocks: Mapping[str, Block]) -> Generator[Block, None, None]:
        for part in self.ledger.parts.work(blocks):
            yield blocks[part]

    def _check_folder(self, trainer: L.Trainer) -> None:
        """Check that a file of the first rank is there for all."""
        token = self.ledger.folder / f".seen-{trainer.strategy.broadcast(uuid4().hex)}"
        if trainer.is_global_zero:
            token.touch()
        trainer.strategy.barrier()
        seen = trainer.strategy.reduce_boolean_decision(token.exists(), all=True)
        if trainer.is_global_zero:
            token.unlink(missing_ok=True)
        if not seen:
            raise RuntimeError(
                f"the processes see different files in {self.ledger.folder}; it must lie on one file system of all "
                "machines"
            )


class _Turns(Dataset[Block | None]):
    """As many turns as there are blocks; who has a turn gets the next free block, not that of the turn's number."""

    def __init__(self, blocks: Iterator[Block], count: int) -> None:
        self._blocks, self._count = blocks, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, turn: int) -> Block | None:
        return next(self._blocks, None)


def _only(turn: list[Block | None]) -> Block | None:
    return turn[0]


def blocks_of(stage: StageRun) -> dict[str, Block]:
    """The name of each block's part -> what is not done of the block."""
    return _blocks(stage.inputs, stage.ledger, stage.batch_size)


def _blocks(inputs: Sequence[Input], ledger: Ledger, batch_size: int) -> dict[str, Block]:
    there = ledger.parts.keys()  # before the look at the records: a part that comes later is no earlier attempt
    done = ledger.records(inputs)
    found: dict[str, Block] = {}
    for number, start in enumerate(range(0, len(inputs), batch_size)):
        left = [entry for entry in inputs[start : start + batch_size] if entry.id not in done]
        if left:
            part = ledger.block(number, left, there)
            found[part] = Block(part, left)
    return found


def run_stage(trainer: L.Trainer, work: Work, inputs: Sequence[Input], ledger: Ledger, batch_size: int) -> None:
    """Do what is not done yet of a stage, on all ranks; on return every input is done, or was tried by some process.

    Args:
        trainer: of any strategy.
        work: what is done.
        inputs: all inputs, the same in each process.
        ledger: where the results go.
        batch_size: inputs in a block.
    """
    if trainer.is_global_zero:
        ledger.folder.mkdir(parents=True, exist_ok=True)
    shared = Inputs(inputs, ledger, batch_size)
    try:
        trainer.predict(Stage(Doing(work, ledger)), datamodule=shared, return_predictions=False)
    finally:
        shared.close()
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        ledger.sweep()
