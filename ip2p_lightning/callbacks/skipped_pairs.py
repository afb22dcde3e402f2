"""Say at the end of an epoch which damaged pairs were left out of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as L
import torch

from ip2p_lightning.data.skipped import SkippedPair

_SHOWN = 5  # culprits named in a warning


class SkippedPairs(L.Callback):
    """Warn, at the end of each epoch of training, validation and test, how many damaged pairs were replaced and which.

    For data with ``on_error="skip"``; every process names its own pairs. The number of all processes' goes to the
    metrics as ``data/skipped_<split>`` where there is a logger.
    """

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the training pairs."""
        self._report(trainer, "train")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the validation pairs."""
        self._report(trainer, "validation")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the test pairs."""
        self._report(trainer, "test")

    def _report(self, trainer: L.Trainer, split: str) -> None:
        source: Any = getattr(getattr(trainer, "datamodule", None), split, None)
        if not hasattr(source, "take_skipped"):
            return
        skipped = source.take_skipped()
        count = torch.tensor(len(skipped), device=trainer.strategy.root_device)
        total = int(trainer.strategy.reduce(count, reduce_op="sum"))
        if total:
            for logger in trainer.loggers:
                logger.log_metrics({f"data/skipped_{split}": total}, step=trainer.global_step)
        if skipped:
            self._warn(trainer, split, skipped)

    def _warn(self, trainer: L.Trainer, split: str, skipped: Sequence[SkippedPair]) -> None:
        culprits = list(dict.fromkeys(pair.message for pair in skipped))
        more = f" and {len(culprits) - _SHOWN:,} more" if len(culprits) > _SHOWN else ""
        listed = "".join(f"\n  {message}" for message in culprits[:_SHOWN])
        process = f" of process {trainer.global_rank}" if trainer.world_size > 1 else ""
        warnings.warn(
            f"epoch {trainer.current_epoch}{process}: {len(skipped):,} {split} pair(s) could not be read and others "
            f"were taken instead:{listed}{more}",
            stacklevel=2,
        )
