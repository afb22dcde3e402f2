"""Weights split over ranks: the same training as with whole weights, and checkpoints like any other's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from ip2p_lightning.callbacks.ema import EMA
from ip2p_lightning.config import build, compose
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.checkpoint import load_module

SHARDED = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true"]
QUICK = ["trainer.max_steps=2", "~callbacks.pictures", "~callbacks.summary", "~callbacks.ema"]


def job(folder: Path, *overrides: str) -> DictConfig:
    return compose("train", ["experiment=ip2p/tiny", *overrides, f"output_dir={folder}"])


@pytest.mark.slow
def test_split_weights_learn_what_whole_ones_do_and_their_checkpoint_reopens(tmp_path):
    whole = train(job(tmp_path / "whole", "trainer=ddp_cpu", *QUICK))
    split = train(job(tmp_path / "split", *SHARDED, *QUICK))
    assert split.checkpoint is not None
    loaded, expected = (load_module(run.checkpoint).denoiser.state_dict() for run in (split, whole))
    for name, tensor in loaded.items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=0)  # of two steps of 1e-3 by AdamW
    assert split.metrics["val/editing_loss"] == pytest.approx(whole.metrics["val/editing_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("callbacks", "stages", "message"),
    [
        ([EMA()], 1, "averaged weights need whole parameters.*~callbacks.ema"),
        ([], 2, "trainer=fsdp trains one stage, not 2"),
    ],
)
def test_what_needs_whole_weights_is_refused(callbacks: list[EMA], stages: int, message: str):
    config = job(Path("x"), "trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=1")
    trainer = build(config.trainer, callbacks=callbacks, logger=False, enable_checkpointing=False)
    module = build(config.method)
    module.stages *= stages
    trainer.strategy.connect(module)
    with pytest.raises(ValueError, match=message):
        trainer.strategy.setup(trainer)


def test_going_on_from_a_checkpoint_is_refused_and_the_remedy_named():
    strategy = build(job(Path("x"), "trainer=fsdp").trainer.strategy)
    with pytest.raises(ValueError, match=r"init=\[\{checkpoint: run/last.ckpt\}\] ckpt=null"):
        strategy.load_checkpoint("run/last.ckpt")


def test_deepspeed_s_configuration_is_lightning_s():
    config = job(Path("x"), "trainer=deepspeed", "trainer.strategy.stage=3")
    pytest.importorskip("deepspeed", reason="needs deepspeed")
    assert build(config.trainer.strategy).config["zero_optimization"]["stage"] == 3
