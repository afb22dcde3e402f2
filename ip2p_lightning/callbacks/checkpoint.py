"""Checkpoints at intervals, of the last step, and when the run is asked to stop; from each a run goes on exactly."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as L
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from ip2p_lightning.callbacks.ema import EMA
from ip2p_lightning.methods.resumed_state import misfit
from ip2p_lightning.training.durable import DurableCheckpointIO
from ip2p_lightning.training.loop_state import rewind
from ip2p_lightning.training.stop_request import StopRequest

log = logging.getLogger(__name__)

_STATE = {"best_k_models": {}, "kth_best_model_path": "", "best_model_path": "", "last_model_path": "", "dirpath": ""}
"""State that Lightning keeps of the best checkpoints, with a value of the type of each."""


class Checkpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint` with four promises more.

    - `last.ckpt` is also written when training ends between two intervals; Lightning writes it then only if nothing
      was saved before, so that the steps after the last interval would be lost.
    - Files appear under their names only once they are whole and on the disk, and a run that goes on from any of them
      takes the steps that it would have taken.
    - A signal to stop ends the run after the step at hand, with `last.ckpt` and an exit code that tells: 75 for
      SIGTERM and SIGUSR1, 130 for Ctrl-C. A SLURM job that got SIGUSR1 is queued again.
    - The best by a metric of validation are chosen at each validation; a choice that can never be made is refused.

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
        """Key of the metric by which checkpoints are ranked; a run may resume with another interval."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*exists and is not empty")  # stages and resumed runs share a folder
            super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DurableCheckpointIO()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Heed signals (from here on: Lightning has set its own handlers just before).

        Raises:
            ValueError: a best checkpoint that could never be chosen.
        """
        super().on_train_start(trainer, pl_module)
        self._check_choice(trainer)
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
        """Stop if asked to: validation may take longer than the scheduler will wait."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Choose by a metric of validation as soon as it is there, rather than by the last one at an interval.

        Raises:
            ValueError: the metric is not among those that this run logs.
        """
        if not self._by_validation or trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        candidates = self._monitor_candidates(trainer)
        if self.monitor not in candidates:
            known = ", ".join(sorted(name for name in candidates if name not in ("epoch", "step")))
            raise ValueError(f"callbacks.checkpoint.monitor={self.monitor} is not logged; these are: {known}")
        if not self._should_skip_saving_checkpoint(trainer):
            super()._save_topk_checkpoint(trainer, candidates)
            if self._should_skip_saving_checkpoint(trainer):  # it was one of the best; the last one is as new as that
                self._save_last_checkpoint(trainer, candidates)

    def _save_topk_checkpoint(self, trainer: L.Trainer, monitor_candidates: dict[str, Any]) -> None:
        if not self._by_validation:
            super()._save_topk_checkpoint(trainer, monitor_candidates)

    @property
    def _by_validation(self) -> bool:
        return bool(self.save_top_k) and str(self.monitor).startswith("val/")

    def _check_choice(self, trainer: L.Trainer) -> None:
        """Refuse or warn where no checkpoint would be kept besides last.ckpt, though that is asked for."""
        if not self.save_top_k:
            if self.monitor is not None:
                log.warning("callbacks.checkpoint.monitor=%s does nothing without save_top_k=1 or more", self.monitor)
            return
        if self._by_validation:
            if not trainer.enable_validation or not sum(trainer.num_val_batches):
                raise ValueError(
                    f"callbacks.checkpoint.monitor={self.monitor} needs validation pairs, and this run has none; give "
                    "the data a validation split, or choose a metric of training such as train/loss"
                )
            return
        stage = getattr(trainer.lightning_module, "stage", None)
        known = {"train/loss", *(f"train/{name}" for name in getattr(stage, "loss_weights", {}))}
        if self.monitor is not None and not str(self.monitor).startswith("train/"):
            raise ValueError(
                f"callbacks.checkpoint.monitor={self.monitor}: choose a metric of validation (val/editing_loss) or of "
                f"training ({', '.join(sorted(known))})"
            )
        steps, interval = int(trainer.estimated_stepping_batches), self._every_n_train_steps
        if 0 < steps < interval:
            log.warning(
                "no checkpoint is kept besides last.ckpt: callbacks.checkpoint.every_n_train_steps=%s, but the run "
                "ends after %s steps; lower it",
                interval,
                steps,
            )

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
            averages = any(isinstance(callback, EMA) for callback in trainer.callbacks)  # type: ignore[attr-defined]
            if not averages and checkpoint.get("raw_parameters"):  # the state_dict holds the average
                log.info("without callbacks.ema the run goes on from the raw weights, and averages no more")
                own = dict(pl_module.named_parameters())
                for name, raw in (checkpoint.get("raw_parameters") or {}).items():
                    own[name].data.copy_(raw)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best so far, where they are files of this very folder: Lightning removes what falls behind."""
        if found := misfit(state_dict, _STATE, "the checkpoint's list of the best"):
            raise ValueError(f"{found}; go on from another checkpoint, or without callbacks.checkpoint.monitor")
        scores = [state_dict.get(name) for name in ("best_model_score", "kth_value")]
        if not all(score is None or isinstance(score, Tensor | float) for score in scores):
            raise ValueError("the checkpoint's scores of the best are no numbers; go on from another checkpoint")
        best = {path: score for path, score in state_dict["best_k_models"].items() if self._is_own(path, score)}
        worst = state_dict["kth_best_model_path"]
        if len(best) < len(state_dict["best_k_models"]) or (worst and worst not in best):
            log.info("of the best checkpoints so far those are forgotten that are not in %s", self.dirpath)
            state_dict = {**state_dict, "best_k_models": {}, "kth_best_model_path": "", "kth_value": self.kth_value}
        state_dict = {"best_model_score": None, **state_dict}
        if not self._is_own(state_dict["last_model_path"], None):
            state_dict = {**state_dict, "last_model_path": ""}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The dirpath has changed")  # a run that goes on has a new folder
            super().load_state_dict(state_dict)

    def _is_own(self, path: object, score: object) -> bool:
        """True if a stored path is one of a checkpoint in this folder, and its score a number."""
        number = score is None or isinstance(score, Tensor | float | int)
        return isinstance(path, str) and number and (not path or path == f"{self.dirpath}/{os.path.basename(path)}")

    def _stop_if_asked(self, trainer: L.Trainer) -> None:
        if not self.stop.asked(trainer):
            return
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        state = f"at step {trainer.global_step}; {self.last_model_path} holds all of it"
        self.stop.end(trainer, state, "go on with ckpt=auto")
