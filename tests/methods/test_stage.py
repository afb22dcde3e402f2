"""Stages: which parameters learn, how fast, under which losses, on what schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ip2p_lightning.methods.stage import Stage


@pytest.fixture
def network() -> nn.Module:
    return nn.ModuleDict(
        {
            "conditioner": nn.ModuleDict({"model": nn.Linear(2, 2), "edit_head": nn.Linear(2, 2)}),
            "denoiser": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
        }
    )


def test_first_matching_pattern_wins_and_the_rest_is_frozen(network: nn.Module) -> None:
    stage = Stage(trainable={"denoiser.0.*": {"lr": 1.0}, "denoiser.*": {"lr": 2.0}, "*edit_head.bias": {"lr": 3.0}})
    groups = stage.parameter_groups(network)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    expected = {
        "denoiser.0.weight": 1.0,
        "denoiser.0.bias": 1.0,
        "denoiser.1.weight": 2.0,
        "denoiser.1.bias": 2.0,
        "conditioner.edit_head.bias": 3.0,
    }
    for name, parameter in network.named_parameters():
        assert rates.get(id(parameter)) == expected.get(name), name
        assert parameter.requires_grad == (name in expected), name


def test_next_stage_unfreezes_what_it_trains(network: nn.Module) -> None:
    Stage(trainable={"conditioner.edit_head.*": {}}).parameter_groups(network)
    Stage(trainable={"denoiser.*": {}}).parameter_groups(network)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in network.named_parameters() if name.startswith("denoiser.")}


def test_pattern_without_a_match_is_an_error(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"'unet\.\*' matches no parameter.*conditioner\.edit_head"):
        Stage(trainable={"unet.*": {}}).parameter_groups(network)
    with pytest.raises(ValueError, match="an earlier pattern has not taken"):
        Stage(trainable={"*": {}, "denoiser.*": {}}).parameter_groups(network)


def test_total_weighs_losses_and_ignores_those_without_weight() -> None:
    losses = {name: torch.tensor(value) for name, value in (("instruction_loss", 2.0), ("editing_loss", 3.0))}
    assert Stage(loss_weights={"instruction_loss": 1.0, "editing_loss": 0.5}).total(losses) == 3.5
    assert Stage(loss_weights={"editing_loss": 2.0, "instruction_loss": 0.0}).total(losses) == 6.0


@pytest.mark.parametrize("weights", [{"alignment_loss": 1.0}, {"editing_loss": 0.0}, {}])
def test_total_refuses_losses_that_are_not_there(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="correct the stage's loss_weights"):
        Stage(loss_weights=weights).total({"editing_loss": torch.tensor(1.0)})


@pytest.mark.parametrize(
    ("decay", "shape"),
    [
        ("constant", lambda done: 1.0),
        ("linear", lambda done: 1 - done),
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
    ],
)
def test_schedule_warms_up_then_decays_to_the_stage_s_end(decay: str, shape: object) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = Stage(decay=decay, warmup=4).schedule(optimizer, steps=14)
    rates = []
    for _ in range(14):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [2 * step / 4 for step in range(4)] + [2 * shape(step / 10) for step in range(10)]
    assert rates == pytest.approx(expected)
