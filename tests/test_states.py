"""Masks and pooled vectors beside embeddings, from the conditioner to the denoisers and through guidance."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel

from ip2p_lightning.conditioners.base import Conditioning
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.diffusion.dropout import ConditioningDropout
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.objective import FlowMatchingObjective
from ip2p_lightning.diffusion.per_sample_guidance import PerSampleGuidance
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.interop.folder import export, load_folder
from ip2p_lightning.methods.editing_model import EditingModel
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import Denoiser, TransformerDenoiser, UNetDenoiser, build_transformer, build_unet
from ip2p_lightning.models.identity import IdentityAutoencoder
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.states import States
from ip2p_lightning.world.tokenizer import world_tokenizer

DYNAMIC = {"use_dynamic_shifting": True, "base_image_seq_len": 16, "max_image_seq_len": 64}


def denoiser(kind: str, pooled: int | None = None) -> Denoiser:
    if kind == "unet":
        return UNetDenoiser(build_unet(4, 16, widths=(16, 32), heads=2, pooled_dim=pooled)).eval()
    made = TransformerDenoiser(build_transformer(4, 16, width=24, layers=2, heads=2)).eval()
    with torch.no_grad():  # it starts at zero
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def latents() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([3, 700])


@pytest.mark.parametrize("kind", ["unet", "transformer"])
@torch.no_grad()
def test_padding_changes_nothing_that_a_denoiser_predicts(kind: str) -> None:
    made, given = denoiser(kind), latents()
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]).bool()
    embeddings = torch.randn(2, 5, 16)
    padded = torch.where(mask[..., None], embeddings, torch.randn(2, 5, 16))
    first = made(*given, States(embeddings, mask))
    torch.testing.assert_close(made(*given, States(padded, mask)), first)
    assert not torch.allclose(made(*given, States(padded)), made(*given, States(embeddings)), atol=1e-4)
    alone = [tensor[1:] for tensor in given]
    torch.testing.assert_close(made(*alone, States(embeddings[1:, :2])), first[1:], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_an_open_mask_is_no_mask() -> None:
    made, given, embeddings = denoiser("transformer"), latents(), torch.randn(2, 5, 16)
    without = made(*given, States(embeddings))
    torch.testing.assert_close(made(*given, States(embeddings, torch.ones(2, 5).bool())), without)
    torch.testing.assert_close(made(*given, States(embeddings)), without, rtol=0, atol=0)


def test_pooled_vectors_reach_the_time_embedding() -> None:
    for kind, dim in (("unet", 6), ("transformer", 16)):
        made, given, embeddings = denoiser(kind, dim), latents(), torch.randn(2, 5, 16)
        first = made(*given, States(embeddings, pooled=torch.randn(2, dim)))
        assert not torch.allclose(made(*given, States(embeddings, pooled=torch.randn(2, dim))), first, atol=1e-4)


def test_stable_diffusion_xl_takes_pooled_vectors_and_sizes() -> None:
    network = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        norm_num_groups=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16, attention_head_dim=2,
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 6,
    )  # fmt: skip
    made, given = UNetDenoiser(network).eval(), latents()
    assert made(*given, States(torch.randn(2, 5, 16), pooled=torch.randn(2, 6))).shape == given[0].shape


def test_pooled_vectors_without_a_place_and_places_without_vectors() -> None:
    with pytest.raises(ValueError, match="pooled_dim=6"):
        denoiser("unet")(*latents(), States(torch.randn(2, 5, 16), pooled=torch.randn(2, 6)))
    with pytest.raises(ValueError, match="conditioner gives none"):
        denoiser("unet", 6)(*latents(), States(torch.randn(2, 5, 16)))
    with pytest.raises(ValueError, match="null_mask"):
        Conditioning(torch.randn(2, 5, 16), torch.randn(2, 5, 16), mask=torch.ones(2, 5).bool())


def both() -> tuple[States, States]:
    each = [States(torch.randn(2, 5, 16), torch.rand(2, 5) < 0.7, torch.randn(2, 6)) for _ in range(2)]
    return each[0], each[1]


def test_guidance_batches_and_dropout_keep_masks_and_vectors_with_their_states() -> None:
    states, null = both()
    seen: list[States] = []

    def denoise(noisy: torch.Tensor, _: torch.Tensor, __: torch.Tensor, given: States) -> torch.Tensor:
        seen.append(given)
        return noisy

    noisy, original, t = latents()
    TwoScaleGuidance(7.5, 1.5)(denoise, noisy, original, t, states, null)
    PerSampleGuidance([TwoScaleGuidance(7.5, 1.5)] * 2, [0, 1])(denoise, noisy, original, t, states, null, progress=0.5)
    for given in seen:
        for name in ("embeddings", "mask", "pooled"):
            parts = [getattr(part, name) for part in (states, null, null)]
            assert torch.equal(getattr(given, name), torch.cat(parts))
    dropped, _ = ConditioningDropout(1, 0, 0)(states, null, original)
    assert torch.equal(dropped.mask, null.mask)
    assert torch.equal(dropped.pooled, null.pooled)


def conditioner(**options: bool) -> TextConditioner:
    tokenizer = world_tokenizer()
    encoder = build_text_encoder(tokenizer, hidden_size=16, layers=1, heads=2, max_length=8)
    return TextConditioner(tokenizer, encoder.requires_grad_(False), **options).eval()


def test_a_text_encoder_tells_tokens_from_padding() -> None:
    condition = conditioner(mask=True, pooled=True).encode(["make it night", "night"])
    lengths = condition.mask.sum(1)
    assert lengths[0] == lengths[1] + 2
    assert condition.null_mask.sum(1).tolist() == [lengths[1] - 1] * 2
    assert condition.pooled.shape == condition.null_pooled.shape == (2, 16)


def test_a_model_with_masks_and_vectors_edits_and_reopens(tmp_path) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**DYNAMIC)
    model = EditingModel(
        conditioner(mask=True, pooled=True),
        UNetDenoiser(build_unet(3, 16, widths=(16, 32), heads=2, pooled_dim=16)),
        Autoencoder(IdentityAutoencoder()),
        FlowMatchingObjective(scheduler),
        Sampler(scheduler, 2),
    ).eval()
    images = torch.rand(1, 3, 8, 8) * 2 - 1
    edits = [
        editor.edit(images, ["make it night"], generator=torch.Generator().manual_seed(0))[0]
        for editor in (model, load_folder(export(model, tmp_path / "folder")))
    ]
    torch.testing.assert_close(edits[0], edits[1])


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("tokens", [16, 40, 64])
def test_training_and_sampling_share_a_shift_by_tokens(kind: str, tokens: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**DYNAMIC, time_shift_type=kind, base_shift=0.5, max_shift=1.25)
    mu = 0.5 + 0.75 * (tokens - 16) / 48
    factor = math.exp(mu) if kind == "exponential" else mu
    objective = FlowMatchingObjective(scheduler)
    noised = objective.noise(torch.randn(6, 4, 16, 16), torch.Generator().manual_seed(0), tokens)
    plain = FlowMatchingObjective(FlowMatchEulerDiscreteScheduler()).noise(
        torch.randn(6, 4, 16, 16), torch.Generator().manual_seed(0)
    )
    u = plain.timesteps / 1000
    torch.testing.assert_close(noised.timesteps, 1000 * factor * u / (1 + (factor - 1) * u), atol=1e-2, rtol=1e-4)

    seen: list[float] = []

    def denoise(noisy: torch.Tensor, _: torch.Tensor, timesteps: torch.Tensor, __: States) -> torch.Tensor:
        seen.append(float(timesteps[0]))
        return torch.zeros_like(noisy)

    nothing = States(torch.zeros(1, 1, 1))
    Sampler(scheduler, 4)(denoise, torch.zeros(1, 4, 16, 16), nothing, nothing, tokens=tokens)
    scheduler.set_timesteps(4, mu=mu)
    assert seen == pytest.approx(scheduler.timesteps.tolist())


def test_transformers_count_patches() -> None:
    patched = TransformerDenoiser(build_transformer(4, 16, width=24, layers=1, heads=2, patch_size=2))
    assert patched.tokens(torch.zeros(1, 4, 8, 8)) == 16
    assert denoiser("unet").tokens(torch.zeros(1, 4, 8, 8)) == 64
