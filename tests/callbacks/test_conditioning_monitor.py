"""The monitor tells an edit head that listens from one that has collapsed."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from ip2p_lightning.callbacks.conditioning_monitor import ConditioningMonitor, instruction_dependence
from ip2p_lightning.config import build, compose


@pytest.fixture
def batch(data):
    return next(iter(data.val_dataloader()))


def collapse(module) -> None:
    """Every text gets the embeddings of no text."""
    module.conditioner.register_forward_hook(
        lambda part, inputs, output: replace(output, embeddings=output.null_embeddings)
    )


def test_dependence_is_zero_for_a_constant_and_not_for_a_text_encoder(module, batch):
    module.eval()
    assert instruction_dependence(module.conditioner, batch) > 0.05
    collapse(module)
    assert instruction_dependence(module.conditioner, batch) == 0


@pytest.mark.numeric
def test_rounding_is_no_dependence(module, batch):
    """Every token of every text has the same embedding, but for the last digit."""

    def flatten(part, inputs, output):
        noise = torch.randint_like(output.embeddings, 0, 2) * torch.finfo(torch.float32).eps
        return replace(output, embeddings=output.embeddings.mean((0, 1), keepdim=True) * (1 + noise))

    module.eval().conditioner.register_forward_hook(flatten)
    assert instruction_dependence(module.conditioner, batch) == 0


def test_dependence_of_one_text_alone_cannot_be_said(module, batch):
    batch.instruction = ["make it night"] * len(batch)
    assert instruction_dependence(module.conditioner, batch).isnan()


def test_a_collapse_is_logged_and_warned_of(module, data, trainer):
    collapse(module)
    run = trainer(ConditioningMonitor(after=2), limit_val_batches=1, val_check_interval=2)
    with pytest.warns(UserWarning, match="hardly depends on the instruction"):
        run.fit(module, data)
    assert run.callback_metrics["val/instruction_dependence"] == 0


def test_a_healthy_conditioner_is_logged_without_a_warning(module, data, trainer):
    run = trainer(ConditioningMonitor(after=0), limit_val_batches=1, val_check_interval=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hardly depends.*")
        run.fit(module, data)
    assert run.callback_metrics["val/instruction_dependence"] > 0.05


def test_the_multimodal_conditioner_can_be_measured():
    config = compose("train", ["experiment=mgie/tiny", "output_dir=unused"])
    torch.manual_seed(0)
    module, data = build(config.method).eval(), build(config.data)
    assert instruction_dependence(module.conditioner, next(iter(data.val_dataloader()))) > 0
