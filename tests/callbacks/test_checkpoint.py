"""Checkpoints exist for the last step, whatever the interval."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.callbacks.checkpoint import Checkpoint


@pytest.mark.parametrize("steps", [2, 3])
def test_the_last_step_is_saved(module, data, trainer, tmp_path, steps):
    saver = Checkpoint(
        tmp_path / "c", save_last=True, save_top_k=0, every_n_train_steps=2, enable_version_counter=False
    )
    trainer(saver, enable_checkpointing=True, max_steps=steps).fit(module, data)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["last.ckpt"]
    assert torch.load(tmp_path / "c" / "last.ckpt", weights_only=True)["global_step"] == steps


def test_every_interval_can_be_kept(module, data, trainer, tmp_path):
    saver = Checkpoint(
        tmp_path / "c", filename="step-{step}", auto_insert_metric_name=False, save_last=True, save_top_k=-1,
        every_n_train_steps=2,
    )  # fmt: skip
    trainer(saver, enable_checkpointing=True, max_steps=5).fit(module, data)
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"step-2.ckpt", "step-4.ckpt", "last.ckpt"}
