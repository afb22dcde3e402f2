"""One bar for the whole run: stage, steps done and to go, time left, losses."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from ip2p_lightning.formatting import duration
from ip2p_lightning.progress import bar
from ip2p_lightning.terminal import Terminal


class RunProgress(ProgressBar):
    """Counts optimizer steps of the run, where Lightning's own bar starts again at each epoch.

    Without a terminal (a log file, CI) it prints a line at intervals instead.

    Args:
        interval: least seconds between two readings of the losses, each of which waits for the device.
        line_interval: seconds between two lines where there is no terminal.
    """

    def __init__(self, interval: float = 0.5, line_interval: float = 20.0) -> None:
        super().__init__()
        self.interval = interval
        self.line_interval = line_interval
        self._console = Terminal()
        self._bar: Progress | None = None
        self._enabled = True
        self._begun = self._read = self._printed = 0.0
        self._first = 0

    def disable(self) -> None:
        """Show nothing (Lightning calls this on all ranks but the first)."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        self._console.print(*args, **kwargs)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        self._begun = self._printed = time.monotonic()
        self._first = trainer.global_step
        if self._enabled and self._console.is_terminal:
            told = TimeElapsedColumn(), TextColumn("{task.fields[losses]}")
            self._bar = bar(*told, wide=True, console=self._console)
            self._bar.add_task("train", total=total_steps(trainer), completed=trainer.global_step, losses="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on, and read the losses now and then."""
        now = time.monotonic()
        if not self._enabled or now - self._read < self.interval:
            return
        self._read = now
        self._show(trainer, getattr(getattr(pl_module, "stage", None), "name", "train"))
        if self._bar is None and now - self._printed >= self.line_interval:
            self._printed = now
            self._line(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say so; validation may take a while."""
        self._show(trainer, "validation")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the last step and let the terminal go."""
        self._show(trainer, "trained")
        if self._enabled and self._bar is None:
            self._line(trainer)
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Let the terminal go, so that the message can be read."""
        self._stop()

    def _show(self, trainer: L.Trainer, description: str) -> None:
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], description=description, completed=trainer.global_step, losses=_losses(trainer)
            )

    def _line(self, trainer: L.Trainer) -> None:
        step, total, spent = trainer.global_step, total_steps(trainer), time.monotonic() - self._begun
        left = ""
        if total and self._first < step < total:
            left = f", about {duration(spent / (step - self._first) * (total - step))} left"
        print(f"step {step}{f'/{total}' if total else ''}, {duration(spent)}{left}, {_losses(trainer)}", flush=True)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def total_steps(trainer: L.Trainer) -> int | None:
    """Optimizer steps at which the fit ends; None if unknown."""
    if trainer.max_steps > 0:
        return trainer.max_steps
    total = trainer.estimated_stepping_batches if (trainer.max_epochs or 0) > 0 else float("inf")
    return int(total) if total != float("inf") else None


def _losses(trainer: L.Trainer) -> str:
    shown = {name: value for name, value in trainer.callback_metrics.items() if "loss" in name and "_step" not in name}
    return "  ".join(f"{name.replace('train/', '')} {value.item():.3f}" for name, value in shown.items())
