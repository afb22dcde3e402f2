"""The quickstart's runs are fitted to the machine: fewer steps where time is short, the recipe's where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from ip2p_lightning import zoo
from ip2p_lightning.config import build, compose
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.interop.warm_start import initialise
from ip2p_lightning.jobs import quickstart_training as training_jobs
from ip2p_lightning.jobs.quickstart_training import (
    ExecutionSettings,
    begin_with,
    composed,
    fit_to_machine,
    in_memory,
    time_steps,
    train_run,
)
from ip2p_lightning.models.mllm import build_llava
from ip2p_lightning.models.visual_tokens import with_visual_tokens
from ip2p_lightning.report.curves import log_files
from ip2p_lightning.world.tokenizer import world_tokenizer

TINY = [
    "size=32",
    "training_data.batch_size=4",
    "~sets.photographs",
    "runs.ip2p.experiment=ip2p/tiny",
    "runs.mgie.experiment=mgie/tiny",
    "runs.mgie.overrides=[]",
    "start=nothing",
]


@pytest.fixture
def config(tmp_path: Path) -> DictConfig:
    sources = {"train": WorldSource(12, 32), "validation": WorldSource(4, 32, split="validation")}
    render_dataset(sources, tmp_path / "pairs" / "scenes")
    config = compose("quickstart", [*TINY, f"folder={tmp_path}"])
    config.training_data.train = [config.training_data.train[0]]
    return config


def test_composed_runs_train_on_the_rendered_pairs(config: DictConfig, tmp_path: Path) -> None:
    config.longer = 3
    training = composed(config, config.runs.ip2p, tmp_path / "ip2p")
    assert [stage.max_steps for stage in training.stages] == [24]
    data = build(training.data)
    assert {split: len(source) for split, source in data.sources().items()} == {"train": 12, "validation": 4}
    assert in_memory(path=str(tmp_path / "pairs" / "scenes"), split="train") is data.train


def test_mgie_begins_with_the_shipped_language_model(tmp_path: Path) -> None:
    config = compose("quickstart", [f"folder={tmp_path}", 'runs.mgie.overrides=["base=none"]'])
    training = composed(config, config.runs.mgie, tmp_path / "mgie")
    training.conditioner.alignment_teacher = None
    holder = torch.nn.Module()
    holder.conditioner = build(training.conditioner)
    (source,) = [entry for entry in training.init if "pretrained" in entry]
    initialise(holder, [source])
    shipped = zoo.load("mgie").module.conditioner.model.state_dict()
    for name, tensor in holder.conditioner.model.state_dict().items():
        assert torch.equal(tensor, shipped[name]), name
    config.start = "nothing"
    assert not [entry for entry in composed(config, config.runs.mgie, tmp_path).init if "pretrained" in entry]


def test_sizes_follow_the_shipped_model_and_another_vocabulary_is_refused(tmp_path: Path) -> None:
    config = compose("quickstart", [f"folder={tmp_path}", "start=nothing", 'runs.mgie.overrides=["base=none"]'])
    training = composed(config, config.runs.mgie, tmp_path / "mgie")
    folder = tmp_path / "zoo"
    tokenizer = with_visual_tokens(world_tokenizer(), 5)
    tokenizer.save_pretrained(folder / "tokenizer")
    build_llava(tokenizer, hidden_size=32, layers=1, heads=2, vision_hidden_size=16, vision_layers=1, vision_heads=2,
                image_size=32, patch_size=8).save_pretrained(folder / "mllm")  # fmt: skip
    begin_with(training, "conditioner.model", folder)
    assert training.conditioner.tokenizer.count == 5
    assert (training.conditioner.model.hidden_size, training.conditioner.edit_head.input_dim) == (32, 32)
    assert training.conditioner.model.patch_size == 8
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder / "tokenizer")
    with pytest.raises(ValueError, match="its language model has another vocabulary"):
        begin_with(training, "conditioner.model", folder)


def test_steps_are_timed_by_stage_and_leave_nothing_behind(config: DictConfig, tmp_path: Path) -> None:
    config.longer = 10**6  # a trial that did not shorten the stages would never end
    training = composed(config, config.runs.mgie, tmp_path / "mgie")
    first = training.stages[0].copy()
    first.update({"name": "language", "loss_weights": {"instruction_loss": 1.0}, "max_steps": 5})
    first.trainable = {"conditioner.*": {"lr": 1e-3}}
    training.stages = [first, training.stages[0]]
    times = time_steps(training, ExecutionSettings("32-true", 1), 4)
    assert set(times) == {"language", "joint"}
    assert all(seconds > 0 for seconds in times.values())
    assert not (tmp_path / "mgie").exists()


def test_stages_shrink_alike_where_time_is_short(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [ExecutionSettings("32-true", 2), ExecutionSettings("bf16-mixed", 2), ExecutionSettings("bf16-mixed", 1)]
    costs = dict(zip(ways, (0.2, 0.1, 0.3), strict=True))
    monkeypatch.setattr(training_jobs, "time_steps", lambda training, way, steps: {"editing": costs[way]})
    config.longer = 100
    training = composed(config, config.runs.ip2p, tmp_path / "ip2p")
    training, found = fit_to_machine(training, ways, 3, 40.0)
    assert (training.trainer.precision, training.threads) == ExecutionSettings.of(found) == ("bf16-mixed", 2)
    assert training.stages[0].max_steps == pytest.approx(800 * 40 / (1.05 * 80), abs=3)
    training = composed(config, config.runs.ip2p, tmp_path / "ip2p")
    training, found = fit_to_machine(training, ways[:1], 3, 1e6)
    assert (training.stages[0].max_steps, found["share_of_steps"]) == (800, 1)


def test_ways_of_computing_are_one_thread_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert ExecutionSettings.all("a", None) == [("a", 4), ("a", 1)]
    assert ExecutionSettings.all("a", 3) == [("a", 3)]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert ExecutionSettings.all("a", None) == [("a", 1)]


@pytest.mark.slow
def test_training_goes_on_from_its_checkpoint(config: DictConfig, tmp_path: Path) -> None:
    folder = tmp_path / "ip2p"
    training = composed(config, config.runs.ip2p, folder)
    training.trainer.max_steps = 3  # stopped half way
    assert train_run(training)["steps"] == 3
    training.trainer.max_steps = -1
    facts = train_run(training)
    assert facts["steps"] == 8
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 8
    first, second = log_files(folder)
    assert (first.parent.name, second.parent.name) == ("metrics-00", "metrics")
    assert set(facts["parameters"]) == {"conditioner", "denoiser"}
