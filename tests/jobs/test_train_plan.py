"""Plans of training runs say what the runs then take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import train
from ip2p_lightning.jobs.train_plan import device_count, plan
from ip2p_lightning.training.plan import TrainingPlan

UNET, EDIT_HEAD, EMBEDDINGS = 859_520_964 + 320 * 4 * 9, 31_958_784, 32_011 * 4096
GB = 1e9


def planned(experiment: str, *words: str) -> TrainingPlan:
    return plan(compose("train", [f"experiment={experiment}", "output_dir=unused", *words]))


def test_the_published_recipes(capsys: pytest.CaptureFixture[str]):
    ip2p = planned("ip2p/paper", "data.path=not/there")
    assert {part.name: part.trained for part in ip2p.parts} == {"conditioner": 0, "denoiser": UNET, "autoencoder": 0}
    memory = {name: round((value or 0) / GB, 1) for name, value in ip2p.memory.items()}
    assert memory == {"weights": 4.3, "gradients": 3.4, "optimizer": 6.9, "averages": 3.4}, "docs/weights.md"
    assert (ip2p.steps, ip2p.pairs_per_step, ip2p.devices) == (10_000, 1024, 8)
    assert ip2p.cost is not None
    assert ip2p.cost.hours == pytest.approx(25.5, rel=0.01), "the rate in the experiment is the paper's"
    assert all("stable-diffusion" in " ".join(part.weights) for part in ip2p.parts)

    mgie = planned("mgie/paper", "data.path=not/there")
    assert {part.name: part.trained for part in mgie.parts} == {
        "conditioner": 2 * EMBEDDINGS + EDIT_HEAD,
        "denoiser": UNET,
        "autoencoder": 0,
    }
    memory = {name: round((value or 0) / GB, 1) for name, value in mgie.memory.items()}
    assert memory == {"weights": 32.2, "gradients": 4.6, "optimizer": 9.2, "averages": 4.6}, "docs/weights.md"
    assert mgie.steps is None
    assert mgie.cost is None
    assert any(line.startswith("hours: unknown") for line in mgie.lines())


def test_what_learns_is_split_over_devices_where_the_strategy_does_it():
    whole = planned("ip2p/paper", "data.path=x")
    split = planned("ip2p/paper", "data.path=x", "trainer=fsdp", "trainer.devices=8", "~callbacks.ema")
    assert split.memory["gradients"] == (whole.memory["gradients"] or 0) // 8
    assert split.memory["averages"] == 0
    with pytest.raises(ValueError, match="not for DeepSpeed"):
        planned("ip2p/paper", "data.path=x", "trainer=deepspeed")


@pytest.mark.parametrize("experiment", ["ip2p/tiny", "mgie/tiny", "imagen/tiny/base"])
def test_a_run_takes_what_its_plan_says(experiment: str, tmp_path: Path):
    words = ["trainer.max_steps=2", "~callbacks.pictures", "~callbacks.summary", "callbacks.speed.skip=0"]
    words = [word for word in words if experiment[0] != "i" or "pictures" not in word]
    before = planned(experiment, *words)
    done = train(compose("train", [f"experiment={experiment}", f"output_dir={tmp_path}", *words]))
    module, trainer = done.module, done.trainer
    named = {name: sum(t.numel() for t in {id(t): t for t in child.state_dict(keep_vars=True).values()}.values())
             for name, child in module.named_children()}  # fmt: skip
    assert {part.name: part.parameters for part in before.parts} == {n: count for n, count in named.items() if count}
    assert trainer.global_step == before.steps == 2
    states = [t for o in trainer.optimizers for state in o.state.values() for t in state.values()]
    held = sum(t.nbytes for t in states if isinstance(t, torch.Tensor))
    assert before.optimizer_bytes is not None
    assert before.optimizer_bytes >= held, "of the stage that has the most"
    assert done.checkpoint is not None
    assert before.checkpoint_bytes == pytest.approx(done.checkpoint.stat().st_size, rel=0.35), "and its configuration"


def test_the_rate_of_a_short_run_is_that_of_the_long_one(ip2p: Callable[..., str], tmp_path: Path):
    few: list[Any] = [
        "experiment=ip2p/tiny",
        "~callbacks.pictures",
        "~callbacks.summary",
        "trainer.limit_val_batches=0",
    ]
    ip2p(
        "train",
        *few,
        "trainer.max_steps=6",
        "callbacks.speed.skip=1",
        "trainer.log_every_n_steps=1",
        "output_dir=short",
    )
    assert "hours: unknown" in ip2p("train", *few, "plan=true", "output_dir=new")
    told = ip2p("train", *few, "plan=true", "rates_from=short", "stages.0.max_steps=1000", "output_dir=new")
    assert "(measured in short)" in told
    assert not (tmp_path / "new").exists()
    (tmp_path / "none" / "metrics").mkdir(parents=True)
    (tmp_path / "none" / "metrics" / "metrics.csv").write_text("step,val/loss\n1,2\n")
    assert "measured no rate" in ip2p("train", *few, "plan=true", "rates_from=none", "output_dir=new", fails=True)


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"devices": 2, "num_nodes": 3}, 6),
        ({"devices": "0,2"}, 2),
        ({"devices": [0, 1, 5]}, 3),
        ({"devices": "4"}, 4),
        ({"devices": "auto", "accelerator": "cpu"}, 1),
    ],
)
def test_devices_are_counted_on_all_machines(trainer: dict[str, Any], expected: int):
    assert device_count(trainer) == expected
