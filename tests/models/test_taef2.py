"""TAEF2: its published weights on real photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.taef2 import TAEF2, load_taef2


@pytest.mark.real
@torch.no_grad()
def test_published_weights_reconstruct_real_photographs(shared_data, tmp_path):
    model = load_taef2(shared_data("taef2"))
    autoencoder = Autoencoder(model)
    ratios = []
    for name in ("0.jpg", "2.jpg", "5.jpg"):
        photo = Image.open(shared_data("ml-mgie") / "_input" / name).convert("RGB").resize((128, 128), Image.LANCZOS)
        image = torch.from_numpy(np.array(photo)).movedim(-1, 0)[None].float() / 127.5 - 1
        latents = autoencoder.encode_edited(image)
        assert latents.shape == (1, 32, 16, 16)
        assert 0.5 < latents.std() < 1.3
        ratios.append(-10 * ((autoencoder.decode(latents) - image) / 2).square().mean().log10().item())
    assert min(ratios) > 24  # decibels
    model.save_pretrained(tmp_path)
    assert torch.equal(TAEF2.from_pretrained(tmp_path).decode(latents).sample, model.decode(latents).sample)


def test_missing_files_say_where_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="madebyollin/taesd"):
        load_taef2(tmp_path)
