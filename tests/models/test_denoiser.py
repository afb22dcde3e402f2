"""The denoisers: widening is exact, the residual is exact, both architectures keep one interface."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from ip2p_lightning.models.denoiser import (
    Denoiser,
    TransformerDenoiser,
    UNetDenoiser,
    build_transformer,
    build_unet,
    widen,
)
from ip2p_lightning.states import States


def inputs(channels: int = 4, size: int = 8, dim: int = 16, count: int = 3) -> tuple[Any, ...]:
    latents = torch.randn(2, count, channels, size, size)
    return latents[0], latents[1], torch.tensor([0, 500, 999])[:count], States(torch.randn(count, 5, dim))


def unet(**changes: object) -> UNet2DConditionModel:
    options = {"widths": (16, 32), "heads": 2} | changes
    return build_unet(latent_channels=4, embedding_dim=16, **options)


@pytest.mark.parametrize("block", ["down", "plain"])
def test_widened_unet_equals_the_narrow_one_for_any_original(block: str) -> None:
    narrow = unet() if block == "down" else UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2,
    )  # fmt: skip
    narrow.eval()
    noisy, original, t, states = inputs()
    with torch.no_grad():
        before = narrow(noisy, t, encoder_hidden_states=states.embeddings).sample
        denoiser = UNetDenoiser(narrow).eval()
        after = [denoiser(noisy, picture, t, states) for picture in (original, 100 * original, torch.zeros_like(noisy))]
    assert before.std() > 0
    for output in after:
        assert (output - before).abs().max() == 0


def test_widening_keeps_weights_and_bias_and_says_so_in_the_config() -> None:
    narrow = unet()
    weight, bias = narrow.conv_in.weight.clone(), narrow.conv_in.bias.clone()
    wide = widen(narrow)
    assert torch.equal(wide.conv_in.weight[:, :4], weight)
    assert not wide.conv_in.weight[:, 4:].any()
    assert torch.equal(wide.conv_in.bias, bias)
    assert bias.any()
    assert wide.config.in_channels == 8
    assert UNet2DConditionModel.from_config(wide.config).conv_in.weight.shape[1] == 8


def test_widening_happens_once_and_keeps_the_type() -> None:
    network = UNetDenoiser(unet().bfloat16()).network
    assert network.conv_in.weight.dtype == torch.bfloat16
    assert UNetDenoiser(network).network.conv_in.in_channels == 8


def test_a_widened_unet_learns_to_see_the_original() -> None:
    denoiser = UNetDenoiser(unet())
    denoiser(*inputs()).pow(2).mean().backward()
    assert denoiser.network.conv_in.weight.grad[:, 4:].abs().max() > 0


def test_unet_of_other_channels_is_refused() -> None:
    network = UNet2DConditionModel(
        in_channels=9, out_channels=4, block_out_channels=(8,), norm_num_groups=4, cross_attention_dim=16,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), attention_head_dim=2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="9 input and 4 output channels"):
        UNetDenoiser(network)


def test_widening_works_on_the_meta_device() -> None:
    with torch.device("meta"):
        denoiser = UNetDenoiser(unet())
    assert denoiser.network.conv_in.weight.shape[1] == 8
    assert denoiser.network.conv_in.weight.is_meta


def silent(denoiser: Denoiser) -> Denoiser:
    """The same denoiser with a network that outputs zero."""
    output = denoiser.network.conv_out if isinstance(denoiser, UNetDenoiser) else denoiser.network.proj_out
    torch.nn.init.zeros_(output.weight)
    torch.nn.init.zeros_(output.bias)
    return denoiser


@pytest.mark.parametrize("residual", [1.0, 0.5])
def test_residual_network_that_outputs_zero_copies_the_original(residual: float) -> None:
    noisy, original, t, states = inputs()
    for denoiser in (UNetDenoiser(unet(), residual), TransformerDenoiser(build_transformer(4, 16, 24, 1, 2), residual)):
        output = silent(denoiser)(noisy, original, t, states)
        assert torch.equal(output, residual * original)
        assert not silent(denoiser)(noisy, torch.zeros_like(original), t, states).any()


def test_transformer_starts_at_zero_and_wakes_up() -> None:
    """adaLN-zero: nothing at first; after two steps every input matters."""
    denoiser = TransformerDenoiser(build_transformer(4, 16, width=24, layers=2, heads=2))
    batch = inputs()
    assert not denoiser(*batch).any()
    optimizer = torch.optim.SGD(denoiser.parameters(), lr=1.0)
    target = torch.randn_like(batch[0])
    for _ in range(4):
        optimizer.zero_grad()
        (denoiser(*batch) - target).pow(2).mean().backward()
        optimizer.step()
    for position in (0, 1, 3):
        changed = list(batch)
        other = torch.randn(3, 5, 16) if position == 3 else torch.randn_like(changed[position])
        changed[position] = States(other) if position == 3 else other
        assert not torch.equal(denoiser(*changed), denoiser(*batch))


@pytest.mark.parametrize("size", [(8, 8), (16, 8), (4, 12)])
def test_other_sizes_than_the_trained_one(size: tuple[int, int]) -> None:
    noisy, original = torch.randn(2, 1, 4, *size)
    for denoiser in (UNetDenoiser(unet()), TransformerDenoiser(build_transformer(4, 16, 24, 1, 2, sample_size=8))):
        assert denoiser(noisy, original, torch.tensor([3]), States(torch.randn(1, 5, 16))).shape == noisy.shape


@pytest.mark.parametrize("pooled", [None, 4])
def test_pooled_text_reaches_the_time_embedding(pooled: int | None) -> None:
    network = unet(pooled_text_heads=pooled)
    assert hasattr(network, "add_embedding") == bool(pooled)
    denoiser = UNetDenoiser(network)
    assert denoiser(*inputs()).shape == (3, 4, 8, 8)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    batch = inputs()
    for build in (
        lambda on: UNetDenoiser(unet(), gradient_checkpointing=on),
        lambda on: TransformerDenoiser(build_transformer(4, 16, 24, 2, 2), residual=1.0, gradient_checkpointing=on),
    ):
        gradients = []
        for on in (False, True):
            torch.manual_seed(0)
            denoiser = build(on).train()
            assert denoiser.network.is_gradient_checkpointing is on
            denoiser(*batch).pow(2).mean().backward()
            assert all(parameter.grad is not None for parameter in denoiser.parameters()), "DDP needs every one used"
            gradients.append([parameter.grad for parameter in denoiser.parameters()])
        for plain, checkpointed in zip(*gradients, strict=True):
            torch.testing.assert_close(plain, checkpointed)


def test_gate_of_minus_one_erases_the_original_and_zero_keeps_it() -> None:
    denoiser = TransformerDenoiser(build_transformer(4, 16, 24, 1, 2, gated=True), residual=1.0)
    noisy, original, embeddings = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16)
    assert torch.equal(denoiser(noisy, original, torch.tensor([3, 9]), States(embeddings)), original)
    bias = denoiser.network.proj_out.bias.data.view(1, 1, 8)  # one patch position; content, then gate
    bias[..., :4], bias[..., 4:] = 0.25, -1.0
    erased = denoiser(noisy, original, torch.tensor([3, 9]), States(embeddings))
    torch.testing.assert_close(erased, torch.full_like(original, 0.25))


def test_neighbouring_tokens_have_clearly_different_positions() -> None:
    network = build_transformer(4, 16, width=48, heads=2, layers=1)
    table = torch.nn.functional.normalize(network.pos_embed.pos_embed[0], dim=-1)
    likeness = table @ table.T - torch.eye(len(table))
    assert likeness.max() < 0.9
    assert "pos_embed.pos_embed" in network.state_dict()  # reopened folders keep it
