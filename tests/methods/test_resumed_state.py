"""States of a checkpoint that are not those of the run that goes on from it are named, in whatever way they differ."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from factories import quiet_trainer, tiny_loader, tiny_module
from torch import nn

from ip2p_lightning.callbacks.checkpoint import Checkpoint
from ip2p_lightning.callbacks.ema import EMA
from ip2p_lightning.jobs.resuming import check_resumable
from ip2p_lightning.methods.checkpoint import CheckpointError
from ip2p_lightning.methods.resumed_state import LOOPS, check_states, misfit

DELETE = object()


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    node = value
    for key in path[:-1]:
        node = node[key]
    if new is DELETE:
        del node[path[-1]]
    else:
        node[path[-1]] = new
    return value


def model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def stored(kind: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW, **settings: Any) -> dict[str, Any]:
    network = model()
    optimizer = kind(network.parameters(), lr=1e-3, **settings)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"global_step": 1, "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [], "raw_parameters": {}}


def check(checkpoint: dict[str, Any], schedule: dict[str, Any] | None = None, **settings: Any) -> None:
    network = model()
    check_states(checkpoint, network, torch.optim.AdamW(network.parameters(), lr=1e-3, **settings), schedule)


STATE = ("optimizer_states", 0, "state")


def test_sound_states_pass() -> None:
    check(stored())
    check(stored(torch.optim.Adam))
    check(stored(amsgrad=True), amsgrad=True)
    check(changed(stored(), (*STATE, 1), DELETE))  # a parameter that never had a gradient has no state


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (STATE, {}, "is empty"),
        (STATE, "x", "not a mapping"),
        ((*STATE, 99), {"step": torch.zeros(())}, "none of the parameters"),
        ((*STATE, 0), [1], "keeps"),
        ((*STATE, 0), {}, "keeps nothing of a parameter, this one exp_avg, exp_avg_sq, step"),
        ((*STATE, 0, "exp_avg"), DELETE, "keeps"),
        ((*STATE, 0, "exp_avg"), torch.zeros(1), r"exp_avg of its optimizer's parameter 0.*\[2, 3\]"),
        ((*STATE, 0, "exp_avg"), torch.zeros(()), "exp_avg"),
        ((*STATE, 0, "exp_avg_sq"), torch.zeros(3, 2), "exp_avg_sq"),
        ((*STATE, 0, "step"), torch.zeros(5), "step"),
        ((*STATE, 0, "step"), "x", "step"),
        (("lr_schedulers",), [], None),
        (("raw_parameters",), {"weight": torch.zeros(2, 3)}, r"raw weights.*see bias"),
        (("raw_parameters",), {"weight": 1, "bias": 1, "more": 1}, r"see more"),
    ],
)
def test_states_of_an_optimizer_and_raw_weights(path: tuple[Any, ...], value: Any, message: str | None) -> None:
    if message is None:
        check(changed(stored(), path, value))
        return
    with pytest.raises(ValueError, match=rf"cannot be gone on from exactly: .*{message}.*init=") as caught:
        check(changed(stored(), path, value))
    assert "\n" not in str(caught.value)


def test_the_state_of_another_optimizer() -> None:
    with pytest.raises(ValueError, match="keeps momentum_buffer of a parameter, this one exp_avg"):
        check(stored(torch.optim.SGD, momentum=0.9))
    with pytest.raises(ValueError, match="max_exp_avg_sq"):
        check(stored(), amsgrad=True)


SCHEDULE = {"last_epoch": 3, "base_lrs": [1e-3], "_step_count": 4, "lr_lambdas": [None], "_is_initial": False}


@pytest.mark.parametrize(
    "schedules",
    [
        [],
        ["x"],
        [{}],
        [SCHEDULE, SCHEDULE],
        [SCHEDULE | {"get_lr": 3}],
        [SCHEDULE | {"last_epoch": "x"}],
        [SCHEDULE | {"base_lrs": [1e-3, 1e-3]}],
        [SCHEDULE | {"base_lrs": ["x"]}],
        [{name: value for name, value in SCHEDULE.items() if name != "_step_count"}],
    ],
)
def test_states_of_schedules(schedules: list[Any]) -> None:
    with pytest.raises(ValueError, match="schedule"):
        check(stored() | {"lr_schedulers": schedules}, SCHEDULE)
    check(stored() | {"lr_schedulers": [SCHEDULE]}, SCHEDULE)


def test_the_forms_of_the_loops_are_lightning_s() -> None:
    assert misfit(quiet_trainer().fit_loop.state_dict(), LOOPS, "loops") is None


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sound")
    saving = Checkpoint(dirpath=folder, every_n_train_steps=1, save_last=True, stop_signals=())
    quiet_trainer(max_steps=1, enable_checkpointing=True, callbacks=[EMA(), saving]).fit(tiny_module(), tiny_loader(1))
    return torch.load(folder / "last.ckpt", weights_only=True)


def test_a_sound_checkpoint_passes(sound: dict[str, Any], tmp_path: Path) -> None:
    torch.save(sound, tmp_path / "x.ckpt")
    assert check_resumable(tmp_path / "x.ckpt", tiny_module()).step == 1


FIT = ("loops", "fit_loop")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        *(((*FIT, name), DELETE, f"has no {name}") for name in LOOPS),
        *(((*FIT, name), "x", f"{name} is 'x'") for name in LOOPS),
        ((*FIT, "epoch_progress", "total", "ready"), -1, "ready is -1, no count"),
        ((*FIT, "epoch_progress", "total", "ready"), 2**70, "no count"),
        ((*FIT, "epoch_loop.batch_progress", "current", "ready"), "abc", "no count"),
        ((*FIT, "epoch_loop.batch_progress", "is_last_batch"), "x", "not a bool"),
        ((*FIT, "state_dict"), {"combined_loader": "x"}, "not a list"),
        ((*FIT, "state_dict"), {"combined_loader": [{"step_size": 4}]}, "has no epoch"),
        (("EditDataModule",), {"train": {"epoch": 0}}, "has no pairs"),
        (("EditDataModule",), {"train": "x"}, "not a mapping"),
        (("callbacks",), {}, "raw weights without the count"),
        (("optimizer_states", 0, "param_groups"), "x", "no optimizer state"),
        (("optimizer_states", 0, "param_groups", 0, "lr"), "x", "no optimizer state"),
        (("optimizer_states", 0, "param_groups", 0, "params"), DELETE, "no optimizer state"),
        (("state_dict", "denoiser.network.conv_in.bias"), torch.zeros(1), r"of another shape \(denoiser"),
        (("state_dict", "denoiser.network.conv_in.bias"), DELETE, r"1 missing \(denoiser"),
        (("raw_parameters", "denoiser.network.conv_in.bias"), torch.zeros(1), r"raw weights.*shape \[1\]"),
        (("raw_parameters", "zz"), torch.zeros(1), "raw weights hold zz"),
    ],
)
def test_damage_to_a_checkpoint(
    path: tuple[Any, ...], value: Any, message: str, sound: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "x.ckpt"
    torch.save(changed(sound, path, value), file)
    with pytest.raises(CheckpointError, match=rf"x\.ckpt.*{message}") as caught:
        check_resumable(file, tiny_module())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", ["x", {}, {"updates": -1}, {"updates": 1.5}, {"updates": "3"}])
def test_a_count_of_averages(state: Any) -> None:
    with pytest.raises(ValueError, match="count of averages"):
        EMA().load_state_dict(state)


def test_the_best_of_other_folders_are_forgotten_not_removed(tmp_path: Path) -> None:
    """Lightning removes what falls behind the best, and compares folders without resolving `..`."""
    callback = Checkpoint(dirpath=tmp_path / "checkpoints", monitor="val/loss", save_top_k=1)
    sound = callback.state_dict()
    inside, outside = f"{callback.dirpath}/step-1.ckpt", f"{callback.dirpath}/../../precious.ckpt"
    score = torch.tensor(0.5)
    for path, kept in ((inside, {inside: score}), (outside, {}), ("/etc/passwd", {}), ("step-1.ckpt", {})):
        state = {"best_k_models": {path: score}, "kth_best_model_path": path, "last_model_path": path}
        callback.load_state_dict(sound | state)
        assert callback.best_k_models == kept
        assert (callback.kth_best_model_path, callback.last_model_path) == ((path, path) if kept else ("", ""))
    for name in ("best_k_models", "kth_best_model_path", "best_model_path", "last_model_path", "kth_value"):
        with pytest.raises(ValueError, match="the checkpoint's"):
            callback.load_state_dict(sound | {name: 3})
