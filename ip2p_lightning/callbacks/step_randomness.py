"""Global random numbers with an address: what layers draw in a step does not depend on what was drawn before it."""

from __future__ import annotations

import random
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch

from ip2p_lightning.data.randomness import hashed_integer


class StepRandomness(L.Callback):
    """Seed the global generators at each batch from (seed, epoch, batch, rank).

    Dropout layers, layer drop and the like draw from them. Their states would have to be kept for every rank, and still
    differ after a resume by whatever else draws (each new iterator of a loader does); so they begin again at each
    batch. After training they begin again from the seed that they had before.
    """

    def __init__(self) -> None:
        self._seed = 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember the run's seed."""
        self._seed = torch.initial_seed()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed Python's, NumPy's and torch's generators (of every device)."""
        _seed(hashed_integer(self._seed, "step", trainer.current_epoch, batch_idx, trainer.global_rank))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the seed back; the next stage derives its own steps from it."""
        _seed(self._seed)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries draw from the global state)
    torch.manual_seed(seed)
