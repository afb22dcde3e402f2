"""The closed-form codec: orthonormal, exact with all components, optimal with fewer, saved and reopened."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.models.patch_pca import PatchPCA, fitted_patch_pca

pytestmark = pytest.mark.numeric


@pytest.fixture
def images():
    """Smooth coloured pictures, so that patches have structure."""
    coarse = torch.rand(16, 3, 4, 4) * 2 - 1
    smooth = torch.nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(-1, 1)
    return (smooth + 0.05 * torch.randn_like(smooth)).clamp(-1, 1)


def error(codec, images):
    return (codec.decode(codec.encode(images).latent_dist.mode()).sample - images).square().mean()


@pytest.mark.parametrize("fitted", [False, True])
def test_exact_with_every_component(images, fitted):
    codec = PatchPCA(4, 48)
    codec = codec.fit(images) if fitted else codec
    latents = codec.encode(images).latent_dist.mode()
    torch.testing.assert_close(codec.decode(latents).sample, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(codec.basis @ codec.basis.T, torch.eye(48), rtol=0, atol=1e-5)


def test_every_component_has_unit_variance_and_importance_gives_back_the_error_of_pixels(images):
    codec = PatchPCA(4, 48).fit(images)
    latents = codec.encode(images).latent_dist.sample()
    spreads = latents.movedim(1, -1).flatten(0, 2).std(0, correction=0)
    torch.testing.assert_close(spreads, torch.ones(48), rtol=0, atol=1e-2)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert codec.importance.mean() == pytest.approx(1, abs=1e-5)
    assert (codec.importance.diff() <= 1e-6).all()
    wrong = latents + torch.randn_like(latents)
    pixels = (codec.decode(wrong).sample - images).square().mean((1, 2, 3))
    weighted = ((wrong - latents).square() * codec.importance[:, None, None]).mean((1, 2, 3))
    torch.testing.assert_close(weighted / weighted[0], pixels / pixels[0], rtol=1e-4, atol=0)


def test_a_cell_is_a_patch(images):
    codec = PatchPCA(8, 20).fit(images)
    changed = images.clone()
    changed[:, :, 8:16, 24:32] *= -1
    moved = (codec.encode(images)[0].mode() - codec.encode(changed)[0].mode()).abs().sum((0, 1)) > 1e-6
    assert moved.nonzero().tolist() == [[1, 3]]


def test_fit_beats_the_cosine_transform_and_more_components_beat_fewer(images):
    errors = [error(PatchPCA(4, count).fit(images), images) for count in (4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < error(PatchPCA(4, 8), images)
    assert error(PatchPCA(4, 8), images) < error(PatchPCA(4, 2), images)


def test_fit_is_the_same_at_every_call_and_survives_saving(images, tmp_path):
    codec = PatchPCA(4, 8).fit(images)
    codec.save_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").is_file()
    for other in (PatchPCA(4, 8).fit(images), PatchPCA.from_pretrained(tmp_path)):
        for name, tensor in codec.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name


def test_fitted_on_sources_of_pairs():
    pairs = [
        EditPair(str(i), Image.effect_noise((16, 16), 30).convert("RGB"), Image.new("RGB", (16, 16), "red"), "redden")
        for i in range(4)
    ]
    codec = fitted_patch_pca([pairs], patch_size=4, latent_channels=6)
    assert codec.config.block_out_channels == (6, 6, 6)
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 16, 16)
    assert error(codec, red) < 1e-3


def test_refusals_name_the_remedy():
    with pytest.raises(ValueError, match="power of two"):
        PatchPCA(6, 8)
    with pytest.raises(ValueError, match=r"1\.\.48"):
        PatchPCA(4, 49)
    with pytest.raises(ValueError, match="more images"):
        PatchPCA(8, 64).fit(torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="one colour"):
        PatchPCA(4, 8).fit(torch.ones(4, 3, 16, 16))
    with pytest.raises(ValueError, match="multiples of 8"):
        PatchPCA(8, 64).encode(torch.zeros(1, 3, 20, 16))
