"""A step that is not finite stops the run, says what and where, and never reaches the weights."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.callbacks.nan_guard import NanGuard


def poison_when(module, step: int) -> None:
    """Make the denoiser's output infinite from the given batch on."""
    seen = []

    def hook(part, inputs, output):
        seen.append(1)
        return output * float("inf") if len(seen) > step else output

    module.denoiser.register_forward_hook(hook)


def test_a_loss_that_is_not_finite_is_named_with_its_batch(module, data, trainer):
    poison_when(module, step=2)
    run = trainer(NanGuard(), max_steps=5)
    before = []
    module.register_forward_pre_hook(lambda *_: before.append(module.denoiser.network.conv_in.weight.detach().clone()))
    with pytest.raises(FloatingPointError) as caught:
        run.fit(module, data)
    message = str(caught.value)
    assert "step 3 is not finite" in message
    assert "train/editing_loss" in message
    assert "simple-train-0-" in message  # the ids of the batch
    assert "learning rate" in message
    assert "0.001" in message
    assert torch.equal(module.denoiser.network.conv_in.weight, before[-1])
    assert run.global_step == 2


def test_gradients_that_are_not_finite_are_named(module, data, trainer):
    module.denoiser.network.conv_in.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(FloatingPointError, match=r"gradients of denoiser\.network\.conv_in\.weight"):
        trainer(NanGuard()).fit(module, data)


def test_the_batch_at_fault_is_found_among_accumulated_ones(module, data, trainer):
    poison_when(module, step=1)
    with pytest.raises(FloatingPointError) as caught:
        trainer(NanGuard(), accumulate_grad_batches=2).fit(module, data)
    ids = str(caught.value).split("Batch: ")[1].split(". The weights")[0].split(", ")
    assert len(ids) == 4  # the second batch, not both


def test_a_healthy_run_is_left_alone(module, data, trainer):
    run = trainer(NanGuard(), accumulate_grad_batches=2)
    run.fit(module, data)
    assert run.global_step == 3
