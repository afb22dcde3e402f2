"""Interface of encoders: images, and perhaps texts, to unit vectors; each batch is encoded once."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ip2p_lightning.metrics.encoders.preparation import Preparation
from ip2p_lightning.metrics.encoders.tensor_cache import TensorCache

_TEXTS = 8  # batches of texts remembered


class Encoder(nn.Module, ABC):
    """Images to unit vectors.

    Features of the last few batches are remembered, so that metrics which are given one encoder share them. Weights are
    frozen. Features of one image do not depend on the others of its batch but for rounding.

    Args:
        network: frozen and put into evaluation mode.
        preparation: images [B, 3, H, W] in [-1, 1] to what the network takes.
        weights: where the weights come from, for the record ("openai", a path; "random" if nothing trained them).
    """

    def __init__(self, network: nn.Module, preparation: Preparation, weights: str) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.preparation, self.weights = preparation, weights
        self._remembered: TensorCache[Tensor] = TensorCache()
        self._digest = ""

    @abstractmethod
    def features(self, prepared: Tensor) -> Tensor:
        """Prepared images to features [B, D]."""

    def pictures(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to unit vectors float32 [B, D]."""
        return self._remembered.get(images, self._encode)

    def provenance(self) -> dict[str, Any]:
        """Provenance: network, weights (source and digest) and preparation."""
        self._digest = self._digest or weights_digest(self.network)
        return {
            "network": type(self.network).__name__,
            "weights": self.weights,
            "sha256": self._digest,
            "preparation": str(self.preparation),
        }

    def train(self, mode: bool = True) -> Encoder:
        """Stays in evaluation mode, whatever holds it."""
        return super().train(False)

    @torch.no_grad()
    def _encode(self, images: Tensor) -> Tensor:
        parameter = next(self.network.parameters())
        prepared = self.preparation(images.float()).to(parameter.device, parameter.dtype)
        with _as_it_is(parameter.device):
            return F.normalize(self.features(prepared).float(), dim=1)


class TextEncoder(Encoder):
    """An encoder of images and texts in one space."""

    def __init__(self, network: nn.Module, preparation: Preparation, weights: str) -> None:
        super().__init__(network, preparation, weights)
        self._said: dict[tuple[str, ...], Tensor] = {}

    @abstractmethod
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """B texts to features [B, D]."""

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """B texts to unit vectors float32 [B, D]; each batch of texts is encoded once."""
        key, device = tuple(texts), next(self.network.parameters()).device
        if key not in self._said or self._said[key].device != device:
            while len(self._said) >= _TEXTS:
                self._said.pop(next(iter(self._said)))
            with _as_it_is(device):
                self._said[key] = F.normalize(self.text_features(list(texts)).float(), dim=1)
        return self._said[key]


def _as_it_is(device: torch.device) -> torch.autocast:
    """Without autocast: measures are taken in the type of the encoder's weights, whatever the job computes in."""
    return torch.autocast(device.type, enabled=False)


def weights_digest(network: nn.Module) -> str:
    """First 16 hexadecimal digits of the SHA-256 of all parameters and buffers, with names and types."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
