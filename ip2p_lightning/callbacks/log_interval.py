"""Metrics of every step while a run is short: a curve of three points says nothing."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L

from ip2p_lightning.callbacks.progress import total_steps


class LogInterval(L.Callback):
    """Sets the trainer's `log_every_n_steps` so that a curve has some hundred points, and a short run one a step.

    Args:
        points: of a curve, at least, where there are as many steps.
    """

    def __init__(self, points: int = 200) -> None:
        self.points = points
        self._most: int | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Once the number of steps is known; the trainer's own interval is the largest."""
        loop: Any = trainer  # Lightning does not declare the attribute
        most = self._most = self._most or int(loop.log_every_n_steps)
        if (steps := total_steps(trainer)) is not None:
            loop.log_every_n_steps = max(1, min(most, steps // self.points))
