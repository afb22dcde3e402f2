"""The average of the trained parameters: the recurrence, where it is used, and that a run resumes with it."""

from __future__ import annotations

import lightning.pytorch as L
import pytest
import torch

from ip2p_lightning.callbacks.ema import EMA

NAME = "denoiser.network.conv_in.weight"


class Record(L.Callback):
    """Remember a parameter after each step, and during validation."""

    def __init__(self) -> None:
        self.raw: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []

    def on_train_start(self, trainer, pl_module):
        self.raw.append(pl_module.get_parameter(NAME).detach().clone())

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.raw.append(pl_module.get_parameter(NAME).detach().clone())

    def on_validation_batch_end(self, trainer, pl_module, *args):
        self.validated.append(pl_module.get_parameter(NAME).detach().clone())


def averaged(raw: list[torch.Tensor], decay: float) -> torch.Tensor:
    average = raw[0]
    for n, current in enumerate(raw[1:]):
        d = min(decay, (1 + n) / (10 + n))
        average = d * average + (1 - d) * current
    return average


def test_the_module_ends_with_the_average(module, data, trainer):
    record, ema = Record(), EMA(0.2)
    trainer(ema, record, max_steps=4).fit(module, data)
    torch.testing.assert_close(module.get_parameter(NAME), averaged(record.raw, 0.2), rtol=1e-6, atol=1e-7)
    assert not torch.equal(module.get_parameter(NAME), record.raw[-1])
    assert ema.updates == 4


def test_validation_sees_the_average_and_training_goes_on_from_the_raw(module, data, trainer):
    record = Record()
    trainer(EMA(0.9), record, max_steps=4, limit_val_batches=1, val_check_interval=2).fit(module, data)
    assert len(record.validated) == 2
    torch.testing.assert_close(record.validated[0], averaged(record.raw[:3], 0.9), rtol=1e-6, atol=1e-7)


def test_training_is_the_same_with_and_without_the_average(module, data, trainer):
    start = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    runs = []
    for callbacks in ([EMA(0.9)], []):
        module.load_state_dict(start)
        torch.manual_seed(1)
        record = Record()
        trainer(*callbacks, record, max_steps=4, limit_val_batches=1, val_check_interval=2).fit(module, data)
        runs.append(record.raw)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_accumulated_batches_are_one_update(module, data, trainer):
    ema = EMA()
    trainer(ema, max_steps=2, accumulate_grad_batches=3).fit(module, data)
    assert ema.updates == 2


def test_only_what_is_trained_is_averaged_and_saved_beside_the_raw(module, data, trainer, tmp_path):
    saved = {}

    class Save(L.Callback):
        def on_train_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "a.ckpt")
            saved["raw"] = pl_module.get_parameter(NAME).detach().clone()

    trainer(EMA(0.9), Save()).fit(module, data)
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert set(checkpoint["raw_parameters"]) == trained
    assert all(name.startswith("denoiser.") for name in trained)
    torch.testing.assert_close(checkpoint["raw_parameters"][NAME], saved["raw"], rtol=0, atol=0)
    torch.testing.assert_close(checkpoint["state_dict"][NAME], module.get_parameter(NAME).detach(), rtol=0, atol=0)


def test_a_run_resumes_with_both(module, data, trainer, tmp_path):
    class Save(L.Callback):
        def on_train_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "a.ckpt")

    first = Record()
    trainer(EMA(0.9), Save(), first, max_steps=3).fit(module, data)
    second, ema = Record(), EMA(0.9)
    trainer(ema, second, max_steps=5).fit(module, data, ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    torch.testing.assert_close(second.raw[0], first.raw[-1], rtol=0, atol=0)
    assert ema.updates == 5
    expected = averaged([*first.raw, *second.raw[1:]], 0.9)
    torch.testing.assert_close(module.get_parameter(NAME), expected, rtol=1e-6, atol=1e-7)


def test_an_error_in_validation_leaves_the_raw_parameters(module, data, trainer):
    record = Record()

    class Fail(L.Callback):
        def on_validation_batch_end(self, *args):
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        trainer(EMA(0.9), record, Fail(), limit_val_batches=1, val_check_interval=2).fit(module, data)
    assert torch.equal(module.get_parameter(NAME), record.raw[-1])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_its_range_is_refused(decay: float):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        EMA(decay)
