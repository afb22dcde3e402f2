"""Distributions of the diffusion time: range, shape, reproducibility."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.diffusion.timesteps import (
    LogitNormalTimesteps,
    PowerTimesteps,
    TimestepDistribution,
    UniformTimesteps,
)

pytestmark = pytest.mark.numeric

DISTRIBUTIONS = [UniformTimesteps(), PowerTimesteps(0.5), PowerTimesteps(0.01), LogitNormalTimesteps(8.0, 5.0)]


@pytest.mark.parametrize("draw", DISTRIBUTIONS, ids=lambda draw: type(draw).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fractions_index_the_schedule_whatever_the_default_type(draw: TimestepDistribution, dtype: torch.dtype) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        fractions = draw(50_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    finally:
        torch.set_default_dtype(before)
    assert fractions.dtype == torch.float32
    assert fractions.min() >= 0
    assert (fractions * 1000).long().max() <= 999


def test_largest_uniform_number_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda count, **_: torch.full((count,), 1 - 2**-24))
    for draw in DISTRIBUTIONS[:3]:
        assert (draw(3, torch.device("cpu"), None) * 1000).long().tolist() == [999] * 3


def test_uniform_covers_every_time_alike() -> None:
    fractions = UniformTimesteps()(200_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    counts = torch.bincount((fractions * 20).long(), minlength=20).float() / len(fractions)
    assert (counts - 0.05).abs().max() < 0.003


def test_square_root_makes_the_density_grow_linearly() -> None:
    fractions = PowerTimesteps(0.5)(200_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    for time in (0.25, 0.5, 0.75):  # density 2u integrates to u^2
        assert float((fractions < time).float().mean()) == pytest.approx(time**2, abs=0.005)


def test_logit_normal_has_its_median_at_the_mean() -> None:
    fractions = LogitNormalTimesteps(0.7, 1.3)(200_000, torch.device("cpu"), torch.Generator().manual_seed(0))
    logits = torch.logit(fractions)
    assert float(logits.mean()) == pytest.approx(0.7, abs=0.02)
    assert float(logits.std()) == pytest.approx(1.3, abs=0.02)


def test_generator_decides() -> None:
    for draw in DISTRIBUTIONS:
        first, second = (draw(9, torch.device("cpu"), torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(first, second)


def test_power_must_be_positive() -> None:
    with pytest.raises(ValueError, match="above 0"):
        PowerTimesteps(0)
