"""Published files of torch.save: weights are read, and nothing else happens."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from ip2p_lightning.models.torch_file import named_tensors, read_torch
from ip2p_lightning.models.weight_files import WeightsError


def test_the_callbacks_of_an_old_trainer_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Checkpoints of Lightning 1.4 name a class as a key, and hold an instance's state and numbers of numpy."""
    module: Any = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    ran = []

    class ModelCheckpoint:
        def __setstate__(self, state: Any) -> None:
            ran.append(state)

    ModelCheckpoint.__module__ = module.__name__
    ModelCheckpoint.__qualname__ = "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint
    instance: Any = ModelCheckpoint()
    instance.best = 3
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        weights = {"x": torch.arange(3.0)}
        torch.save({"state_dict": weights, "callbacks": {ModelCheckpoint: {"best": instance}}}, tmp_path / "x.ckpt")
    stored = read_torch(tmp_path / "x.ckpt")
    assert torch.equal(stored["state_dict"]["x"], weights["x"])
    assert not ran


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


def test_code_in_a_file_does_not_run(tmp_path: Path):
    torch.save({"x": torch.ones(1), "y": Canary(tmp_path / "ran")}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="holds more than weights") as caught:
        read_torch(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_files_of_other_kinds_are_said(tmp_path: Path):
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(WeightsError, match=r"before version 1\.6"):
        read_torch(path)
    torch.save([1], path)
    with pytest.raises(WeightsError, match="holds a list"):
        read_torch(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="truncated"):
        read_torch(path)
    with pytest.raises(WeightsError, match="no such file"):
        read_torch(tmp_path / "y.pt")


@pytest.mark.parametrize("value", [3, torch.ones(1).expand(10**9)], ids=["number", "expanded"])
def test_what_is_no_weight_is_named(value: Any, tmp_path: Path):
    torch.save({"a": torch.ones(1), "b.c": value}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"b\.c"):
        named_tensors(read_torch(tmp_path / "x.pt"), tmp_path / "x.pt")
