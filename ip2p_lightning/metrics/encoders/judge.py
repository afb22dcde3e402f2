"""The judge of the embedded world as metrics use it: each batch is read once."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ip2p_lightning import shipped
from ip2p_lightning.metrics.encoders.base import weights_digest
from ip2p_lightning.metrics.encoders.tensor_cache import TensorCache
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.models.loading import load_model


class JudgeReader(nn.Module):
    """Reads what images show.

    Args:
        judge: frozen and put into evaluation mode.
        weights: where its weights come from, for the record.
    """

    def __init__(self, judge: AttributeJudge, weights: str = "random") -> None:
        super().__init__()
        self.judge, self.weights = judge.eval().requires_grad_(False), weights
        self._remembered: TensorCache[list[dict[str, str]]] = TensorCache()

    @classmethod
    def from_pretrained(cls, name: str) -> JudgeReader:
        """Open weights.

        Args:
            name: a folder of an `AttributeJudge`, or "zoo:judge", the one that comes with this package.

        Raises:
            WeightsError: no such folder, or no sound weights in it.
        """
        folder = shipped.path(name) if name.startswith(shipped.PREFIX) else name
        return cls(load_model(AttributeJudge, folder), name)

    def read(self, images: Tensor) -> list[dict[str, str]]:
        """Attributes read from images [B, 3, H, W] in [-1, 1]: attribute -> value."""
        return self._remembered.get(images, self.judge.read)

    def provenance(self) -> dict[str, Any]:
        """Provenance: weights, and the side of their input images."""
        size = f"bilinear to {self.judge.size} x {self.judge.size} with smoothing where the size differs"
        return {
            "network": type(self.judge).__name__,
            "weights": self.weights,
            "sha256": weights_digest(self.judge),
            "preparation": size,
        }

    def train(self, mode: bool = True) -> JudgeReader:
        """Stays in evaluation mode, whatever holds it."""
        return super().train(False)
