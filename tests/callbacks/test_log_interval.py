"""A short run logs every step, a long one as often as Lightning would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ip2p_lightning.callbacks.log_interval import LogInterval


@pytest.mark.parametrize(("steps", "interval"), [(33, 1), (200, 1), (399, 1), (4000, 20), (50_000, 50), (-1, 50)])
def test_so_many_points(steps: int, interval: int) -> None:
    trainer: Any = SimpleNamespace(max_steps=steps, max_epochs=-1, log_every_n_steps=50)
    LogInterval().on_train_start(trainer, None)  # type: ignore[arg-type]
    assert trainer.log_every_n_steps == interval


def test_a_longer_stage_after_a_short_one() -> None:
    callback, trainer = LogInterval(), SimpleNamespace(max_steps=100, max_epochs=-1, log_every_n_steps=50)
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    trainer.max_steps = 20_000
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert trainer.log_every_n_steps == 50
