"""The speed report: what it counts, that it adds up, and that it leaves training alone."""

from __future__ import annotations

import copy
import logging
import time

import pytest
import torch
from factories import tiny_module
from lightning.pytorch.profilers import SimpleProfiler

from ip2p_lightning.callbacks.speed import PHASES, Speed
from ip2p_lightning.training.cost import Cost, whole_run
from ip2p_lightning.training.peaks import peak_flops
from ip2p_lightning.training.step_clock import StepClock


def test_the_phases_of_a_step_add_up(module, data, trainer, caplog):
    speed = Speed(skip=2)
    with caplog.at_level(logging.INFO, logger="ip2p_lightning.callbacks.speed"):
        run = trainer(speed, max_steps=6, log_every_n_steps=2)
        run.fit(module, data)
    summary = speed.summary
    assert {"pairs_per_second", "data_wait", "memory_gb", "teraflops"} < set(summary)
    assert all(summary[f"{phase}_ms"] > 0 for phase in PHASES)
    step = sum(summary[f"{phase}_ms"] for phase in PHASES) / 1e3
    assert step * summary["pairs_per_second"] / 4 + summary["data_wait"] <= 1.001
    assert 0 < summary["data_wait"] < 1
    assert "utilisation" not in summary  # of a processor nobody knows the peak
    assert "pairs/s" in caplog.text
    assert "cost: 8 steps of 4 pairs" in caplog.text  # the experiment's, not this trial's 6
    assert {name for name in run.callback_metrics if name.startswith("speed/")} == {f"speed/{n}" for n in summary}


def test_training_is_the_same_with_it(module, data, trainer):
    start = copy.deepcopy(module.state_dict())
    results = []
    for callbacks in ([], [Speed(skip=0)]):
        module.load_state_dict(start)
        torch.manual_seed(0)
        trainer(*callbacks, max_steps=4).fit(module, data)
        results.append(copy.deepcopy(module.state_dict()))
    assert all(torch.equal(results[0][name], results[1][name]) for name in start)


def test_a_run_that_validates_and_accumulates_is_counted_in_pairs(module, data, trainer):
    speed = Speed(skip=1)
    options = {"accumulate_grad_batches": 2, "limit_val_batches": 1.0, "val_check_interval": 3}
    trainer(speed, max_steps=3, **options).fit(module, data)
    assert speed._whole.samples == 5 * 4
    assert speed._whole.batches == 5


def test_operations_are_those_of_forward_and_backward(module, data, trainer):
    speed = Speed()
    trainer(speed, max_steps=3).fit(module, data)
    batch = next(iter(data.train_dataloader()))
    with torch.utils.flop_counter.FlopCounterMode(display=False) as forward:
        module(batch)
    assert speed.flops_per_batch is not None
    assert forward.get_total_flops() < speed.flops_per_batch < 3.1 * forward.get_total_flops()


def test_waiting_for_data_is_seen_and_validation_is_not(module, data, trainer, monkeypatch):
    slow, original = 0.05, type(data.train).__getitem__
    monkeypatch.setattr(type(data.train), "__getitem__", lambda s, i: (time.sleep(slow), original(s, i))[1])
    speed = Speed(skip=1)
    trainer(speed, max_steps=4, limit_val_batches=1.0, val_check_interval=2).fit(module, data)
    seconds_per_batch = 4 / speed.summary["pairs_per_second"]
    assert speed.summary["data_wait"] * seconds_per_batch > 4 * slow


def test_hooks_and_profiler_are_as_before(module, data, trainer):
    profiler = SimpleProfiler()
    run = trainer(Speed(), max_steps=2, profiler=profiler)
    run.fit(module, data)
    assert run.profiler is profiler
    assert "train_dataloader_next" in str(list(profiler.recorded_durations))
    assert not module.denoiser._forward_pre_hooks


def test_a_clock_reads_each_phase_once():
    clock = StepClock(torch.device("cpu"))
    for phase in ("a", "b", "a", "end"):
        clock.mark(phase)
        time.sleep(0.002)
    spent = clock.read()
    assert set(spent) == {"a", "b"}
    assert min(spent.values()) > 0
    assert clock.read() == {}


def test_peaks_are_found_by_name_and_precision():
    assert peak_flops("NVIDIA A100-SXM4-80GB", "bf16-mixed") == 312e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "32-true", tensor_float=True) == 156e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "32-true", tensor_float=False) == 19.5e12
    assert peak_flops("NVIDIA H100 PCIe", "16-mixed") == 756e12
    assert peak_flops("NVIDIA L40S", "bf16-true") == 362e12
    assert peak_flops("Tesla V100-SXM2-16GB", "32-true", tensor_float=True) == 15.7e12
    assert peak_flops("Somebody's accelerator", "bf16-mixed") is None


def test_cost_of_the_published_run():
    """InstructPix2Pix: 10,000 steps of 1,024 pairs took 25.5 hours on 8 GPUs, so 111.5 pairs a second."""
    cost = Cost(10_000, 1024, 111.5, devices=8, disk=30_800_000_000)
    assert cost.hours == pytest.approx(25.5, abs=0.05)
    assert cost.device_hours == pytest.approx(204, abs=0.5)
    assert str(cost) == "cost: 10,000 steps of 1,024 pairs take 25.5 hours, 204 device hours, 30.8 GB of cache"
    with pytest.raises(ValueError, match="rate"):
        Cost(1, 1, 0.0)


def test_cost_of_a_run_that_epochs_end(data, trainer):
    module = tiny_module()
    run = trainer(max_steps=-1, max_epochs=2, limit_train_batches=5, accumulate_grad_batches=2)
    run.fit(module, data)
    cost = whole_run(run, module.stages, pairs_per_second=10.0, pairs_per_batch=4.0)
    assert cost is not None
    assert (cost.steps, cost.pairs_per_step, cost.disk) == (6, 8, 0)
    assert cost.hours == pytest.approx(6 * 8 / 10 / 3600)
    run.fit_loop.max_epochs = -1
    assert whole_run(run, module.stages, 10.0, 4.0) is None  # only time ends it
