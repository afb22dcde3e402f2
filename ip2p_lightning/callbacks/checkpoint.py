"""Checkpoints at intervals, of the last step, and when the run is asked to stop; from each a run goes on exactly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as L
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from ip2p_lightning.training.durable import DurableCheckpointIO
from ip2p_lightning.training.loop_state import rewind
from ip2p_lightning.training.stop_request import StopRequest


class Checkpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint` with three promises more.

    - `last.ckpt` is also written when training ends between two intervals; Lightning writes it then only if nothing
      was saved before, so that the steps after the last interval would be lost.
    - Files appear under their names only once they are whole and on the disk, and a run that goes on from any of them
      takes the steps that it would have taken.
    - A signal to stop ends the run after the step at hand, with `last.ckpt` and an exit code that tells: 75 for
      SIGTERM and SIGUSR1, 130 for Ctrl-C. A SLURM job that got SIGUSR1 is queued again.

    Args:
        arguments: those of `ModelCheckpoint`.
        stop_signals: names of the signals to heed; none leaves them to Lightning.
    """

    def __init__(
        self, *arguments: Any, stop_signals: Sequence[str] = ("SIGTERM", "SIGUSR1", "SIGINT"), **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.stop = StopRequest(stop_signals)
        self._step = 0

    @property
    def state_key(self) -> str:
        """What tells the scores of one metric from another's; a run may go on with another interval."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*exists and is not empty")  # stages and resumed runs share a folder
            super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DurableCheckpointIO()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Heed signals (from here on: Lightning has set its own handlers just before)."""
        super().on_train_start(trainer, pl_module)
        self._step = trainer.global_step
        self.stop.listen()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the interval, and stop if asked to; only ever after an optimizer step."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._stop_if_asked(trainer)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop if asked to: validation may take longer than whoever asked will wait."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._stop_if_asked(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write `last.ckpt` unless this very step has been saved."""
        self.stop.restore()
        if self.save_last and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.stop.restore()
        super().on_exception(trainer, pl_module, exception)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Make Lightning's counts those of a run that goes on after a complete step."""
        if trainer.state.fn == TrainerFn.FITTING:
            rewind(
                checkpoint, trainer.accumulate_grad_batches, finished=0 < trainer.max_steps <= checkpoint["global_step"]
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The dirpath has changed")  # a run that goes on has a new folder
            super().load_state_dict(state_dict)

    def _stop_if_asked(self, trainer: L.Trainer) -> None:
        if not self.stop.asked(trainer):
            return
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        state = f"at step {trainer.global_step}; {self.last_model_path} holds all of it"
        self.stop.end(trainer, state, "go on with ckpt=auto")
