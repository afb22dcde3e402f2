"""The text encoders' sizes."""

from __future__ import annotations

import torch

from ip2p_lightning.models.text_encoder import load_text_encoder


def test_published_architecture_on_the_meta_device():
    with torch.device("meta"):
        encoder = load_text_encoder(None)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 123_060_480
    assert encoder.config.max_position_embeddings == 77
