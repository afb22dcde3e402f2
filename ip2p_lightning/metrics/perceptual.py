"""LPIPS (Zhang et al. 2018): torchmetrics' network and its bundled heads, with a backbone from a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchmetrics.functional.image.lpips import _NoTrainLpips
from torchvision.models import get_model_weights

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.encoders.base import weights_digest

Net = Literal["alex", "vgg", "squeeze"]
_TORCHVISION = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


class LPIPS(EditMetric):
    """Learned perceptual distance to the true image; 0 for identical images.

    Args:
        net: "alex" (LPIPS' own default), "vgg" or "squeeze".
        backbone: file with torchvision's weights of that network (`.pth` or `.safetensors`); None to let torchvision
            fetch them once.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown network, or weights of another one.
    """

    higher_is_better = False
    label: ClassVar[str] = "LPIPS"

    def __init__(self, net: Net = "alex", backbone: str | Path | None = None) -> None:
        super().__init__()
        if net not in get_args(Net):
            raise ValueError(f"net={net!r}: LPIPS has heads for {', '.join(get_args(Net))}")
        self.net, self.source = net, "torchvision" if backbone is None else str(backbone)
        self.distance = _NoTrainLpips(net=net, pnet_rand=True).requires_grad_(False)
        state = _fetched(net) if backbone is None else _read(Path(backbone))
        _fill(self.distance.net, state, net, self.source)

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return self.distance(images, pairs.edited_image).flatten(1).mean(1)

    def provenance(self) -> dict[str, Any]:
        weights = {"net": self.net, "backbone": self.source, "sha256": weights_digest(self.distance)}
        return super().provenance() | weights


def _fetched(net: Net) -> dict[str, Tensor]:
    return dict(get_model_weights(_TORCHVISION[net])["DEFAULT"].get_state_dict(progress=False))  # type: ignore[index]


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise FileNotFoundError(f"LPIPS' backbone {file} does not exist; give torchvision's weights, or leave it out")
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)


def _fill(network: torch.nn.Module, state: dict[str, Tensor], net: Net, source: str) -> None:
    """Copy torchvision's `features.<i>.*` to the slices that torchmetrics cuts the same layers into."""
    for name, parameter in network.named_parameters():
        layer = "features." + name.split(".", 2 if net == "squeeze" else 1)[-1]
        if layer not in state or state[layer].shape != parameter.shape:
            raise ValueError(
                f"{source} has no {layer} of shape {tuple(parameter.shape)}: these are not torchvision's weights of "
                f"{_TORCHVISION[net]}, which net={net} needs"
            )
        parameter.data.copy_(state[layer])
