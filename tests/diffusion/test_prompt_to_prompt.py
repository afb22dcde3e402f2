"""Sharing attention equals copying its maps; without a plan nothing differs from diffusers' own attention."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

from ip2p_lightning.diffusion.prompt_to_prompt import (
    AttentionPlan,
    CrossEdit,
    CrossEdits,
    PromptToPrompt,
    injected_steps,
)
from ip2p_lightning.models.denoiser import build_unet

pytestmark = pytest.mark.numeric

TOKENS = 6


class MapsOfOthers:
    """Plain attention with explicit maps: self-attention maps of `rows`, cross-attention maps changed by `edit`."""

    def __init__(self, rows=None, edit=None) -> None:
        self.rows, self.edit = rows, edit

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states=None, **kwargs) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(part) for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        maps = attn.get_attention_scores(query, key).unflatten(0, (len(context), -1))
        if encoder_hidden_states is None and self.rows is not None:
            maps = maps[self.rows]
        if encoder_hidden_states is not None and self.edit is not None:
            maps = self.edit(maps)
        return attn.to_out[0](attn.batch_to_head_dim(maps.flatten(0, 1) @ value))


@pytest.fixture
def unet() -> UNet2DConditionModel:
    unet = build_unet(4, 16, widths=(8, 16), heads=2, norm_groups=4).double().eval()
    for name, weight in unet.named_parameters():
        if "to_q.weight" in name or "to_k.weight" in name:
            weight.data.mul_(3)
    return unet


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(4, 4, 8, 8).double(), torch.randn(4, TOKENS, 16).double()


@torch.no_grad()
def call(unet: UNet2DConditionModel, inputs: tuple[Tensor, Tensor], plan: AttentionPlan | None) -> Tensor:
    with PromptToPrompt(unet) as control:
        control.plan = plan
        return unet(inputs[0], 500, encoder_hidden_states=inputs[1]).sample


@torch.no_grad()
def plain(unet: UNet2DConditionModel, inputs: tuple[Tensor, Tensor], processor: MapsOfOthers | None = None) -> Tensor:
    if processor:
        unet.set_attn_processor(dict.fromkeys(unet.attn_processors, processor))
    return unet(inputs[0], 500, encoder_hidden_states=inputs[1]).sample


def test_without_a_plan_it_is_diffusers_attention(unet, inputs):
    assert torch.equal(call(unet, inputs, None), plain(unet, inputs))
    assert torch.equal(call(unet, inputs, AttentionPlan(torch.arange(4))), plain(unet, inputs))


def test_queries_and_keys_of_another_are_its_maps(unet, inputs):
    """InstructPix2Pix's code copies the similarities (s0, s0, s2, s2) before the softmax."""
    rows = torch.tensor([0, 0, 2, 2])
    shared = call(unet, inputs, AttentionPlan(rows))
    own = plain(unet, inputs)
    assert torch.equal(shared[[0, 2]], own[[0, 2]])
    assert (shared - own)[[1, 3]].abs().max() > 1e-3
    torch.testing.assert_close(shared, plain(unet, inputs, MapsOfOthers(rows)))


def test_large_maps_may_be_left_alone(unet, inputs):
    rows = torch.tensor([0, 0, 2, 2])
    assert torch.equal(call(unet, inputs, AttentionPlan(rows, largest_map=8)), plain(unet, inputs))
    assert torch.equal(call(unet, inputs, AttentionPlan(rows, largest_map=64)), call(unet, inputs, AttentionPlan(rows)))
    assert not torch.equal(call(unet, inputs, AttentionPlan(rows, largest_map=16)), plain(unet, inputs))


def test_cross_attention_is_edited_as_the_paper_has_it(unet, inputs):
    """M' = c * (M_source @ mapper * a + M_target * (1 - a)) in the second sample; all others keep theirs to the bit."""
    mapper, kept, weights = torch.rand(TOKENS, TOKENS), torch.tensor([1.0, 1, 0, 1, 0, 0]), torch.rand(TOKENS)
    edit = CrossEdit(mapper, 1 - kept, weights, torch.ones(TOKENS))
    mixing, own = edit.at(0, 10)
    edits = CrossEdits(torch.tensor([1]), torch.tensor([0]), mixing[None], own[None])

    def maps(found: Tensor) -> Tensor:
        wanted = (found[0] @ mapper.double() * kept + found[1] * (1 - kept)) * weights
        return torch.stack([found[0], wanted, found[2], found[3]])

    edited, before = call(unet, inputs, AttentionPlan(cross=edits)), plain(unet, inputs)
    assert torch.equal(edited[[0, 2, 3]], before[[0, 2, 3]])
    torch.testing.assert_close(edited, plain(unet, inputs, MapsOfOthers(edit=maps)), atol=1e-6, rtol=1e-5)


def test_an_edit_that_changes_nothing(unet, inputs):
    edit = CrossEdit(torch.eye(TOKENS), torch.ones(TOKENS), torch.ones(TOKENS), torch.ones(TOKENS))
    mapper, own = edit.at(0, 10)
    edits = CrossEdits(torch.tensor([1, 3]), torch.tensor([0, 2]), mapper.expand(2, -1, -1), own.expand(2, -1))
    torch.testing.assert_close(call(unet, inputs, AttentionPlan(cross=edits)), plain(unet, inputs))


def test_an_edit_lasts_for_its_share_of_the_steps():
    share = torch.tensor([0.0, 0.5, 0.8], dtype=torch.float64)
    edit = CrossEdit(torch.eye(3), torch.zeros(3), 2 * torch.ones(3), share)
    following = [edit.at(step, 10)[1].tolist().count(0) for step in range(10)]
    assert following == [2] * 5 + [1] * 3 + [0] * 2
    assert [edit.active(step, 10) for step in range(10)] == [True] * 8 + [False] * 2
    mapper, own = edit.at(0, 10)
    assert mapper.diagonal().tolist() == [0, 2, 2]  # reweighting acts where attention follows
    assert own.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("share", "steps"), [(0.0, 0), (0.1, 10), (0.5, 50), (0.9, 90), (1.0, 99), (1.1, 100)])
def test_self_attention_is_shared_as_long_as_in_the_reference(share, steps):
    """Active while p > i / (len(sigmas) - 2), and there are 101 sigmas for 100 steps."""
    assert injected_steps(share, 100) == steps


def test_one_step():
    assert [injected_steps(share, 1) for share in (0.0, 0.5)] == [0, 1]


def test_processors_come_back_after_errors(unet, inputs):
    before = dict(unet.attn_processors)
    with pytest.raises(KeyError), PromptToPrompt(unet):
        raise KeyError
    assert unet.attn_processors == before


def test_networks_that_join_text_and_pixels():
    unet = UNet2DConditionModel(
        down_block_types=("SimpleCrossAttnDownBlock2D",),
        up_block_types=("SimpleCrossAttnUpBlock2D",),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(16,),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        cross_attention_dim=16,
    )
    with pytest.raises(ValueError, match="joins the text's keys to those of the pixels"), PromptToPrompt(unet):
        pass
