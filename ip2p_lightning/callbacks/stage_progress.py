"""A bar for each stage of generation: inputs done of those that were left, of all ranks as far as this one can tell."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from ip2p_lightning.formatting import duration
from ip2p_lightning.progress import bar
from ip2p_lightning.terminal import Terminal


class StageProgress(ProgressBar):
    """Counts batches of the first rank; the others have as many.

    Without a terminal (a log file, CI) it prints a line at intervals instead.

    Args:
        line_interval: seconds between two lines where there is no terminal.
    """

    def __init__(self, line_interval: float = 20.0) -> None:
        super().__init__()
        self.line_interval = line_interval
        self._console = Terminal()
        self._bar: Progress | None = None
        self._enabled = True
        self._begun = self._printed = 0.0
        self._inputs = self._failed = self._calls = 0

    def disable(self) -> None:
        """Show nothing (Lightning calls this on all ranks but the first)."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        self._begun = self._printed = time.monotonic()
        self._inputs = self._failed = self._calls = 0
        if self._enabled and self._console.is_terminal:
            told = TimeElapsedColumn(), TextColumn("{task.fields[told]}")
            self._bar = bar(*told, wide=True, console=self._console)
            self._bar.add_task(_name(pl_module), total=_batches(trainer), told="")
            self._bar.start()

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Move on by a block, and by those that other processes have done."""
        if outputs is None:
            return
        facts = outputs.facts
        self._inputs += facts.inputs
        self._failed += len(facts.errors)
        self._calls += facts.calls
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=_done(trainer), told=self._told())
        elif self._enabled and time.monotonic() - self._printed >= self.line_interval:
            self._printed = time.monotonic()
            self._line(trainer, pl_module, _done(trainer))

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the terminal go, or say that the stage is done."""
        if self._enabled and self._bar is None:
            self._line(trainer, pl_module, _batches(trainer))
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Let the terminal go, so that the message can be read."""
        self._stop()

    def _told(self) -> str:
        calls = f", {self._calls:,} denoiser calls" if self._calls else ""
        failed = f", {self._failed:,} failed" if self._failed else ""
        return f"{self._inputs:,} inputs{calls}{failed}"

    def _line(self, trainer: L.Trainer, module: L.LightningModule, done: int) -> None:
        total, spent = _batches(trainer), time.monotonic() - self._begun
        left = f", about {duration(spent / done * (total - done))} left" if 0 < done < total else ""
        print(f"{_name(module)}: batch {done}/{total}, {self._told()}, {duration(spent)}{left}", flush=True)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _batches(trainer: L.Trainer) -> int:
    return int(sum(trainer.num_predict_batches))


def _done(trainer: L.Trainer) -> int:
    return trainer.datamodule.done()  # type: ignore[attr-defined]


def _name(module: L.LightningModule) -> str:
    return str(getattr(getattr(module, "work", None), "name", "predict"))
