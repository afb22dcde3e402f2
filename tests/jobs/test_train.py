"""One run of training through its configuration: what it leaves, stages, resuming, and what it refuses."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import Trained, run, train

QUICK = ["~callbacks.pictures", "~callbacks.summary", "callbacks.progress.line_interval=1000"]
STAGE = (
    "{_target_:ip2p_lightning.methods.stage.Stage,name:%s,max_steps:%d,loss_weights:{%s:1.0},trainable:{%s:{lr:1e-3}}}"
)
LANGUAGE = STAGE % ("language", 3, "instruction_loss", "conditioner.*")
JOINT = STAGE % ("joint", 2, "editing_loss", "denoiser.*")
TWO_STAGES = f"stages=[{LANGUAGE},{JOINT}]"


@pytest.fixture
def composed(tmp_path: Path) -> Callable[..., DictConfig]:
    """`composed("seed=1", experiment="ip2p/tiny", name="a")` is a run in a folder of that name."""

    def make(*overrides: str, experiment: str = "ip2p/tiny", name: str = "run", quick: bool = True) -> DictConfig:
        words = [f"experiment={experiment}", f"output_dir={tmp_path / name}", *(QUICK if quick else []), *overrides]
        return compose("train", words)

    return make


def weights(trained: Trained, part: str) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trained.module.get_submodule(part).state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_all_that_it_promises(composed, tmp_path):
    config = composed("optimized_metric=val/editing_loss", "trainer.val_check_interval=4", quick=False)
    metric = run(config)
    folder = tmp_path / "run"
    assert metric is not None
    assert 0 < metric < 10
    assert OmegaConf.load(folder / "config.yaml").seed == 0
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == ["step-000004.png", "step-000008.png"]
    with (folder / "metrics" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"train/editing_loss", "val/editing_loss", "val/instruction_dependence", "lr-AdamW"} <= set(rows[0])
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8
    assert checkpoint["config"]["denoiser"] == OmegaConf.to_container(config.denoiser)
    assert not any(isinstance(value, str) and "${" in value for value in checkpoint["config"].values())


def test_a_short_run_has_a_curve_with_a_point_a_step(composed, tmp_path):
    """Of 3 steps an epoch, which is less than the interval that Lightning has by default."""
    train(composed("trainer.max_steps=-1", "stages.0.max_steps=-1", "trainer.max_epochs=3", "data.train.count=12"))
    with (tmp_path / "run/metrics/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == list(range(9))


def test_an_interval_that_is_asked_for_is_kept(composed, tmp_path):
    train(composed("trainer.log_every_n_steps=4"))
    with (tmp_path / "run/metrics/metrics.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]] == [3, 7]


def test_no_validation_pairs_are_said_in_a_sentence(composed, caplog):
    train(composed("data.validation=null"))
    assert "no validation pairs in data: training has no validation loss and no images" in caplog.text
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(composed("data.validation=null", name="none"))
    assert not [str(one.message) for one in caught if "Total length" in str(one.message)]


def test_the_same_seed_gives_the_same_bits(composed):
    first, again, other = (
        weights(train(composed(f"seed={seed}", name=name)), "denoiser") for seed, name in [(1, "a"), (1, "b"), (2, "c")]
    )
    assert same(first, again)
    assert not same(first, other)


def test_a_metric_that_was_never_logged(composed):
    with pytest.raises(ValueError, match=r"optimized_metric 'val/nothing' was never logged; these were: .*val/editing"):
        run(composed("optimized_metric=val/nothing", "trainer.max_steps=1"))


def test_stages_follow_each_other_in_one_count_of_steps(composed):
    class Watch(L.Callback):
        seen: list = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            trained = {name.split(".")[0] for name, p in pl_module.named_parameters() if p.requires_grad}
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.seen.append((pl_module.stage.name, trainer.global_step, trained, rate))

    from ip2p_lightning.config import build
    from ip2p_lightning.jobs.train import fit

    config = composed(TWO_STAGES, experiment="mgie/tiny")
    module, data = build(config.method), build(config.data)
    watch = Watch()
    trainer = build(config.trainer, callbacks=[watch], logger=False, enable_checkpointing=False)
    fit(trainer, module, data)
    assert [(stage, step) for stage, step, _, _ in watch.seen] == [
        ("language", 1), ("language", 2), ("language", 3), ("joint", 4), ("joint", 5),
    ]  # fmt: skip
    assert watch.seen[0][2] == {"conditioner"}
    assert watch.seen[4][2] == {"denoiser"}


def test_a_limit_bounds_all_stages_together(composed, tmp_path):
    trained = train(composed(TWO_STAGES, "trainer.max_steps=2", experiment="mgie/tiny"))
    assert trained.trainer.global_step == 2
    assert trained.checkpoint == tmp_path / "run/checkpoints/last.ckpt"
    assert torch.load(trained.checkpoint, weights_only=True)["stage"] == "language"


def test_training_begins_with_weights_of_another_run(composed, tmp_path):
    first = train(composed("seed=3", name="first"))
    source = f"{{checkpoint: {tmp_path}/first/checkpoints/last.ckpt, from: denoiser}}"
    second = train(composed(f"init=[{source}]", "stages.0.trainable={denoiser.*:{lr:0.0}}"))
    assert same(weights(first, "denoiser"), weights(second, "denoiser"))


def test_a_run_without_an_end(composed):
    with pytest.raises(ValueError, match="nothing ends stage 'editing'"):
        train(composed("stages.0.max_steps=-1"))


def test_a_stage_without_an_end_before_another(composed):
    with pytest.raises(ValueError, match="stage 'language' comes before another and needs max_steps"):
        train(composed(TWO_STAGES.replace("max_steps:3", "max_steps:-1"), experiment="mgie/tiny"))


def test_a_step_that_is_not_finite_stops_the_run(composed):
    with pytest.raises(FloatingPointError, match=r"step \d+ is not finite.*Lower the learning rate \(now 1e\+30\)"):
        train(composed("stages.0.trainable={denoiser.*:{lr:1e30}}"))


def test_wandb_works_without_an_account(composed, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(composed("logger=wandb", "trainer.max_steps=2"))
    assert list((tmp_path / "run").glob("wandb/offline-run-*/*.wandb"))
    assert (tmp_path / "run/metrics/metrics.csv").is_file()


def test_a_compiled_denoiser_learns_the_same_and_keeps_its_names(composed, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # without minutes of code generation
    denoiser = ["denoiser=transformer_tiny", "trainer.max_steps=1"]
    plain = train(composed(*denoiser, name="plain"))
    compiled = train(composed("compile=true", *denoiser))
    assert compiled.module.denoiser._compiled_call_impl is not None
    assert compiled.metrics["train/editing_loss"] == pytest.approx(plain.metrics["train/editing_loss"], rel=1e-5)
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == plain.module.state_dict().keys()


@pytest.mark.slow
def test_a_compiled_denoiser_is_not_compiled_anew_in_every_step(composed, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    with torch._dynamo.config.patch(recompile_limit=4, fail_on_recompile_limit_hit=True):
        train(composed("compile=true", "denoiser=transformer_tiny", "trainer.max_steps=8"))
