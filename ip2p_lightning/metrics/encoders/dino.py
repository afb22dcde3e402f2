"""DINO (Caron et al. 2021) and other vision transformers: the normalised state of the class token."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor
from transformers import AutoModel

from ip2p_lightning.metrics.encoders.base import Encoder
from ip2p_lightning.metrics.encoders.preparation import IMAGENET_MEAN, IMAGENET_STD, Photographed
from ip2p_lightning.models.loading import load_model


def dino_preparation(resize: int = 256, crop: int = 224) -> Photographed:
    """MagicBrush's: the shorter side to `resize` pixels (bicubic), the central `crop` pixels, ImageNet's statistics."""
    steps = Resize(resize, InterpolationMode.BICUBIC), CenterCrop(crop)
    return Photographed(Compose([*steps, ToTensor(), Normalize(IMAGENET_MEAN, IMAGENET_STD)]))


class TimmEncoder(Encoder):
    """A model of timm without its classifier."""

    network: Any

    @classmethod
    def from_pretrained(
        cls, name: str = "vit_small_patch16_224.dino", weights: str | None = None, resize: int = 256, crop: int = 224
    ) -> TimmEncoder:
        """Open weights.

        Args:
            name: of timm; the default is MagicBrush's DINO.
            weights: a local file; None for timm's own, from the hub.
            resize: see `dino_preparation`.
            crop: see `dino_preparation`.
        """
        network = timm.create_model(name, pretrained=weights is None, num_classes=0, checkpoint_path=weights or "")
        return cls(network, dino_preparation(resize, crop), f"{name} {weights or 'of timm'}")

    def features(self, prepared: Tensor) -> Tensor:
        return self.network(prepared)


class TransformersEncoder(Encoder):
    """A vision transformer of transformers."""

    network: Any

    @classmethod
    def from_pretrained(
        cls, name: str = "facebook/dino-vits16", resize: int = 256, crop: int = 224
    ) -> TransformersEncoder:
        """Open weights.

        Args:
            name: of the hub, or a folder; the default is MagicBrush's DINO.
            resize: see `dino_preparation`.
            crop: see `dino_preparation`.
        """
        return cls(load_model(AutoModel, name, unused=("pooler.",)), dino_preparation(resize, crop), name)

    def features(self, prepared: Tensor) -> Tensor:
        return self.network(prepared).last_hidden_state[:, 0]
