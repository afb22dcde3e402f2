"""LPIPS is torchmetrics' own, with torchvision's weights in the layers that they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchmetrics.functional.image.lpips import _NoTrainLpips
from torchvision.models import squeezenet1_1

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.perceptual import LPIPS


def test_backbone_is_torchvisions(tmp_path: Path, scenes: PairBatch) -> None:
    torch.manual_seed(0)
    network = squeezenet1_1()
    save_file(network.state_dict(), tmp_path / "squeeze.safetensors")
    metric = LPIPS("squeeze", tmp_path / "squeeze.safetensors")
    pictures = scenes.original_image
    with torch.no_grad():
        relus = metric.distance.net(pictures)
        torch.testing.assert_close(relus[-1], network.features(pictures))
    values = metric.measure(pictures, scenes)
    theirs = _NoTrainLpips(net="squeeze", pnet_rand=True)
    theirs.load_state_dict(metric.distance.state_dict())
    torch.testing.assert_close(values, theirs(pictures, scenes.edited_image).flatten())
    assert (values > 0).all()
    assert metric.measure(scenes.edited_image, scenes).abs().max() == 0


def test_wrong_weights_are_named(tmp_path: Path, alexnet_file: Path) -> None:
    with pytest.raises(ValueError, match=r"no features\.0\.weight .*squeezenet1_1"):
        LPIPS("squeeze", alexnet_file)
    with pytest.raises(FileNotFoundError, match="nothing"):
        LPIPS("alex", tmp_path / "nothing.pth")
    with pytest.raises(ValueError, match="net='resnet'"):
        LPIPS("resnet")  # type: ignore[arg-type]
