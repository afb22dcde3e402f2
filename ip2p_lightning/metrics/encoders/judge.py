"""The judge of the embedded world as metrics use it: each batch is read once."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ip2p_lightning.metrics.encoders.base import weights_digest
from ip2p_lightning.metrics.encoders.remembered import Remembered
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.zoo import load


class JudgeReader(nn.Module):
    """Reads what pictures show.

    Args:
        judge: frozen and put into evaluation mode.
        weights: where its weights come from, for the record.
    """

    def __init__(self, judge: AttributeJudge, weights: str = "random") -> None:
        super().__init__()
        self.judge, self.weights = judge.eval().requires_grad_(False), weights
        self._remembered: Remembered[list[dict[str, str]]] = Remembered()

    @classmethod
    def from_zoo(cls) -> JudgeReader:
        """The judge that comes with the package; raises FileNotFoundError if its weights are not there."""
        return cls(load("judge"), "zoo:judge")

    def read(self, images: Tensor) -> list[dict[str, str]]:
        """What each of the pictures [B, 3, H, W] in [-1, 1] shows: attribute -> value."""
        return self._remembered.get(images, self.judge.read)

    def provenance(self) -> dict[str, Any]:
        """Which weights, and the side at which they look at pictures."""
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
