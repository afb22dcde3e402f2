"""Pixel space as an autoencoder."""

from __future__ import annotations

import torch

from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.identity import IdentityAutoencoder


def test_latents_are_the_pixels():
    images = torch.rand(2, 3, 5, 7) * 2 - 1
    autoencoder = Autoencoder(IdentityAutoencoder())
    assert torch.equal(autoencoder.encode_edited(images), images)
    assert torch.equal(autoencoder.encode_original(images), images)
    assert torch.equal(autoencoder.decode(images), images)
