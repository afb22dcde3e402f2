"""Cost of a whole run at a measured rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightning.pytorch as L

from ip2p_lightning.methods.stage import Stage


@dataclass(frozen=True)
class Cost:
    """Time, devices and disk of a run.

    Args:
        steps: optimizer steps.
        pairs_per_step: pairs in one of them, on all devices together.
        pairs_per_second: measured, on all devices together.
        devices: how many.
        disk: bytes of the cache, 0 without one.

    Raises:
        ValueError: a rate that is not above 0.
    """

    steps: int
    pairs_per_step: int
    pairs_per_second: float
    devices: int = 1
    disk: int = 0

    def __post_init__(self) -> None:
        if not self.pairs_per_second > 0:
            raise ValueError(f"a rate of {self.pairs_per_second} pairs a second tells nothing of a run's cost")

    @property
    def hours(self) -> float:
        """Wall time."""
        return self.steps * self.pairs_per_step / self.pairs_per_second / 3600

    @property
    def device_hours(self) -> float:
        """Wall time of all devices together."""
        return self.hours * self.devices

    def __str__(self) -> str:
        disk = f", {self.disk / 1e9:.3g} GB of cache" if self.disk else ""
        return (
            f"cost: {self.steps:,} steps of {self.pairs_per_step:,} pairs take {self.hours:.3g} hours, "
            f"{self.device_hours:.3g} device hours{disk}"
        )


def whole_run(
    trainer: L.Trainer, stages: Sequence[Stage], pairs_per_second: float, pairs_per_batch: float, disk: int = 0
) -> Cost | None:
    """The cost of all stages at a rate that a few steps have shown; None for a run that only time ends.

    What cuts this very run short, `trainer.max_steps` above all, is left out: a trial of some dozen steps tells the
    cost of the whole.

    Args:
        trainer: has run.
        stages: all of them.
        pairs_per_second: measured, on all devices together.
        pairs_per_batch: of one process.
        disk: bytes of the cache.
    """
    steps = [stage.max_steps for stage in stages]
    if steps[-1] <= 0:
        if (trainer.max_epochs or 0) <= 0 or trainer.num_training_batches == float("inf"):
            return None
        per_epoch = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        steps[-1] = per_epoch * int(trainer.max_epochs or 0)
    per_step = round(pairs_per_batch * trainer.accumulate_grad_batches * trainer.world_size)
    return Cost(sum(steps), per_step, pairs_per_second, trainer.world_size, disk)
