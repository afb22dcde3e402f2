"""The codec's decoder: exact components before training, better than they on noised latents after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation.rows import tensors_of
from ip2p_lightning.methods.codec import CodecModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.patch_pca import fitted_patch_pca
from ip2p_lightning.models.refined_patch_pca import RefinedPatchPCA, fitted_refined_patch_pca


@pytest.fixture(scope="module")
def source() -> WorldSource:
    return WorldSource(24, size=32, level="open")


@pytest.fixture(scope="module")
def batch(source: WorldSource) -> PairBatch:
    return PairBatch.collate([tensors_of(source[index], None) for index in range(16)])


def codec(source: WorldSource) -> RefinedPatchPCA:
    torch.manual_seed(0)
    return fitted_refined_patch_pca([source], 8, 32, width=32, blocks=1)


def test_an_untrained_decoder_is_the_closed_form(source: WorldSource, batch: PairBatch, tmp_path: Path) -> None:
    ours, plain = Autoencoder(codec(source), True), Autoencoder(fitted_patch_pca([source], 8, 32), True)
    latents = ours.encode_original(batch.original_image)
    assert torch.equal(latents, plain.encode_original(batch.original_image))
    assert torch.equal(ours.decode(latents), plain.decode(latents))
    assert (ours.channels, ours.factor) == (32, 8)
    ours.vae.save_pretrained(str(tmp_path))
    opened = RefinedPatchPCA.from_pretrained(str(tmp_path))
    assert torch.equal(opened.decode(latents).sample, ours.vae.decode(latents).sample)


def test_training_takes_the_noise_off(source: WorldSource, batch: PairBatch) -> None:
    module = CodecModule(codec(source), noise=0.6)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    latents = module.codec.encode(batch.original_image).latent_dist.mode()
    noised = latents + 0.4 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))

    def error() -> float:
        with torch.no_grad():
            return (module.codec.decode(noised).sample - batch.original_image).abs().mean().item()

    before = error()
    for step in range(40):
        losses = module(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (losses["pixel_loss"] + 0.25 * losses["edge_loss"]).backward()
        optimizer.step()
    assert error() < 0.9 * before


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        CodecModule(RefinedPatchPCA(4, 8, width=8, blocks=1), noise=-1)
    with pytest.raises(ValueError, match="multiple of 4"):
        RefinedPatchPCA(2, 8)
