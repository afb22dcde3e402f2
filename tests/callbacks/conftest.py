"""A tiny run to hang callbacks on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.methods.editing import EditingModule


@pytest.fixture
def module() -> EditingModule:
    """InstructPix2Pix, tiny, with the same random weights in every test."""
    torch.manual_seed(0)
    return build(compose("train", ["experiment=ip2p/tiny", "output_dir=unused"]).method)


@pytest.fixture
def data() -> EditDataModule:
    """32 training pairs in batches of 4, 4 validation pairs."""
    return build(compose("train", ["experiment=ip2p/tiny", "output_dir=unused"]).data)


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., L.Trainer]:
    """`trainer(callback, ..., max_steps=3)` is a silent CPU trainer in a folder of its own."""

    def make(*callbacks: L.Callback, **options: Any) -> L.Trainer:
        defaults: dict[str, Any] = {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": tmp_path,
            "max_epochs": -1,
            "max_steps": 3,
            "num_sanity_val_steps": 0,
            "limit_val_batches": 0,
        }
        return L.Trainer(callbacks=list(callbacks), **{**defaults, **options})

    return make
