"""Plans of studies: like trainings are one row, sums are of what is known, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.studies.plan import plan_study
from ip2p_lightning.studies.run import Run

SHORT = ("experiment=ip2p/tiny", "trainer.max_steps=4", "~callbacks.pictures")


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    measured = ("checkpoint=<train/0>/checkpoints/last.ckpt", "data=shards", "data.path=no/pairs", "count=50")
    return [
        *(Run(f"train/{seed}", "train", (*SHORT, f"seed={seed}", "rate=10")) for seed in range(3)),
        Run("train/rateless", "train", SHORT),
        Run("train/paper", "train", ("experiment=ip2p/paper", "data.path=no/pairs")),
        Run("evaluate", "evaluate", measured, {"seed": 0}),
        Run("tradeoff", "tradeoff", (*measured, "image_scales=[1,2]"), points=({"s": 1}, {"s": 2})),
        Run("broken", "evaluate", ("editor=not_there",)),
    ]


def test_a_study_takes_what_its_runs_take(runs: list[Run], tmp_path: Path):
    plan = plan_study(runs, tmp_path)
    counts = [(name, count) for name, _, count in plan.trainings]
    assert counts == [("ip2p/tiny", 3), ("ip2p/tiny", 1), ("ip2p/paper", 1)]
    tiny, rateless, paper = (plan for _, plan, _ in plan.trainings)
    assert tiny.cost is not None
    assert tiny.cost.device_hours == pytest.approx(4 * tiny.pairs_per_step / 10 / 3600)
    assert rateless.cost is None
    assert paper.steps == 10_000
    assert (plan.measurements, plan.edits) == (2, 150)
    assert list(plan.faults) == ["broken"]
    assert plan.missing["pairs at no/pairs"].endswith("output=no/pairs")
    told = "\n".join(plan.lines())
    assert "5 trainings: 205 device hours; of unknown hours (no rate, or no pairs to count): 1" in told
    assert "cannot run: broken: " in told
    assert not list(tmp_path.iterdir())


def test_pairs_and_weights_that_are_there_are_not_missing(tmp_path: Path):
    (tmp_path / "pairs").mkdir()
    plan = plan_study(
        [Run("x", "evaluate", ("checkpoint=x.ckpt", "data=shards", f"data.path={tmp_path / 'pairs'}"))],
        tmp_path / "runs",
    )
    assert list(plan.lines())[-1] == "nothing is missing"
    assert "measurements: 1 with 0 edits, and 1 of all pairs" in list(plan.lines())[-2]


def test_weights_of_the_hub_that_are_not_on_the_machine_are_named(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    plan = plan_study([run for run in runs if run.name == "train/paper"], tmp_path / "runs")
    assert plan.missing[f"weights {name}"] == f"hf download {name}"
