"""What a run that goes on may change: optimizer settings act, memory and places pass, lost states are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import Trained, train
from ip2p_lightning.methods.checkpoint import CheckpointError

QUICK = ["~callbacks.pictures", "~callbacks.summary", "callbacks.progress.line_interval=1000"]
EACH = ["callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.save_top_k=-1"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Trained]:
    def start(*words: str, name: str = "run") -> Trained:
        overrides = ["experiment=ip2p/tiny", f"output_dir={tmp_path / name}", *QUICK, *words]
        return train(compose("train", overrides))

    return start


def groups(trained: Trained) -> dict[str, Any]:
    return trained.trainer.optimizers[0].param_groups[0]


def differ(a: Trained, b: Trained) -> bool:
    ours, theirs = (trained.module.state_dict() for trained in (a, b))
    return any(not torch.equal(ours[name], theirs[name]) for name in ours)


RATE = "++stages.0.trainable={denoiser.*: {lr: 1.0e-5}}"


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        (RATE, "lr", 1e-5),
        ("optimizer.weight_decay=0.5", "weight_decay", 0.5),
        ("optimizer.betas=[0.5,0.9]", "betas", (0.5, 0.9)),
        ("+optimizer.eps=1e-3", "eps", 1e-3),
        ("+optimizer.amsgrad=false", "amsgrad", False),
    ],
)
def test_changed_optimizer_settings_act_and_are_said(run, tmp_path: Path, caplog, word: str, key: str, value: object):
    run("stages.0.max_steps=2", name="a")
    ckpt = [f"ckpt={tmp_path}/a/checkpoints/last.ckpt", "stages.0.max_steps=4"]
    before = run(*ckpt, name="b")
    with caplog.at_level(logging.INFO):
        after = run(*ckpt, word, name="c")
    assert groups(after)[key] == value or list(groups(after)[key]) == list(value)  # type: ignore[call-overload]
    changed = key != "amsgrad"  # which is what it was
    assert differ(before, after) == changed
    assert (f"{key} " in caplog.text and "other optimizer settings" in caplog.text) == changed


@pytest.mark.parametrize("rate", [1e-3, 5e-4])
def test_a_rate_keeps_its_place_in_the_schedule(run, tmp_path: Path, rate: float):
    schedule = ["+stages.0.warmup=2", "+stages.0.decay=linear", "stages.0.max_steps=8"]
    run(*schedule, *EACH, f"++stages.0.trainable={{denoiser.*: {{lr: {rate}}}}}", name="whole")
    run(*schedule, *EACH, "trainer.max_steps=4", name="a")
    seen: list[list[float]] = []
    ckpt = f"ckpt={tmp_path}/a/checkpoints/step-4.ckpt"
    run(*schedule, ckpt, f"++stages.0.trainable={{denoiser.*: {{lr: {rate}}}}}", name="b")
    for name in ("whole", "b"):
        rows = (tmp_path / name / "metrics/metrics.csv").read_text().splitlines()
        column = next(index for index, title in enumerate(rows[0].split(",")) if title.startswith("lr-"))
        seen.append([float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]][-4:])
    assert seen[0] == pytest.approx(seen[1])


def test_another_set_of_learners_is_refused_in_a_line(run, tmp_path: Path):
    run("stages.0.max_steps=1", name="a")
    ckpt = [f"ckpt={tmp_path}/a/checkpoints/last.ckpt", "stages.0.max_steps=2"]
    with pytest.raises(ValueError, match=r"trainable.*init="):
        run(*ckpt, "++stages.0.trainable={conditioner.*: {lr: 1.0e-5}}", name="b")


def test_memory_switches_and_precision_pass(run, tmp_path: Path, caplog):
    run("stages.0.max_steps=2", name="a")
    ckpt = [f"ckpt={tmp_path}/a/checkpoints/last.ckpt", "stages.0.max_steps=4"]
    plain = run(*ckpt, name="b")
    assert not differ(plain, run(*ckpt, "denoiser.gradient_checkpointing=true", "data.workers=1", name="c"))
    with caplog.at_level(logging.INFO):
        run(*ckpt, "trainer.precision=bf16-mixed", name="d")
    assert "from here on in bf16-mixed, before in 32-true" in caplog.text


def test_without_the_averages_a_run_goes_on_from_the_raw_weights(run, tmp_path: Path):
    run("stages.0.max_steps=2", name="a")
    ckpt = [f"ckpt={tmp_path}/a/checkpoints/last.ckpt", "stages.0.max_steps=4"]
    run(*ckpt, name="b")
    plain = run(*ckpt, "~callbacks.ema", name="c").module.state_dict()
    raw = torch.load(tmp_path / "b/checkpoints/last.ckpt", weights_only=True)["raw_parameters"]
    assert all(torch.equal(plain[name], tensor) for name, tensor in raw.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer_states": []}, "no optimizer state"),
        ({"optimizer_states": [{}]}, "no optimizer state"),
        ({"raw_parameters": None}, "no raw weights next to the averaged ones"),
        ({"raw_parameters": {}}, "no raw weights"),
        ({"global_step": None}, "no step count"),
        ({"loops": None}, "no state of the loops"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused(run, tmp_path: Path, change: dict, message: str, made: Path):
    path = tmp_path / "x.ckpt"
    torch.save(torch.load(made, weights_only=True) | change, path)
    with pytest.raises(CheckpointError, match=rf"not whole.*{message}.*init={path}"):
        run(f"ckpt={path}", "stages.0.max_steps=2", name="b")
    run(f"init={path}", "stages.0.max_steps=1", name="c")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    trained = train(compose("train", ["experiment=ip2p/tiny", f"output_dir={folder}", "trainer.max_steps=1", *QUICK]))
    assert trained.checkpoint is not None
    return trained.checkpoint


def test_the_best_are_chosen_at_each_validation(run, tmp_path: Path):
    best = ["callbacks.checkpoint.monitor=val/editing_loss", "callbacks.checkpoint.save_top_k=2"]
    run(*best, "stages.0.max_steps=6", "trainer.val_check_interval=1", name="a")
    kept = sorted(path.name for path in (tmp_path / "a/checkpoints").glob("step-*.ckpt"))
    assert len(kept) == 2
    rows = [row.split(",") for row in (tmp_path / "a/metrics/metrics.csv").read_text().splitlines()]
    value, at = (rows[0].index(name) for name in ("val/editing_loss", "step"))
    losses = {int(row[at]): float(row[value]) for row in rows[1:] if row[value]}
    steps = sorted(losses, key=lambda place: losses[place])[:2]
    assert kept == sorted(f"step-{place}.ckpt" for place in steps)
    whole = run("stages.0.max_steps=6", "trainer.val_check_interval=1", name="whole")
    again = run(
        "stages.0.max_steps=6", "trainer.val_check_interval=1", f"ckpt={tmp_path}/a/checkpoints/{kept[0]}", name="b"
    )
    assert not differ(whole, again)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["callbacks.checkpoint.monitor=val/typo"], r"monitor=val/typo is not logged; these are: .*val/editing_loss"),
        (["callbacks.checkpoint.monitor=val/editing_loss", "trainer.limit_val_batches=0"], "needs validation pairs"),
        (["callbacks.checkpoint.monitor=editing_loss"], r"choose a metric of validation \(val/editing_loss\) or of"),
    ],
)
def test_a_choice_that_can_never_be_made_is_refused(run, words: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        run("callbacks.checkpoint.save_top_k=3", "stages.0.max_steps=4", "trainer.val_check_interval=1", *words)


def test_an_interval_beyond_the_run_is_said_at_the_start(run, caplog):
    run("callbacks.checkpoint.save_top_k=-1", "stages.0.max_steps=2")
    assert "no checkpoint is kept besides last.ckpt" in caplog.text
    assert "every_n_train_steps=1000, but the run ends after 2 steps" in caplog.text
