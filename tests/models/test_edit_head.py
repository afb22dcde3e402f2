"""The edit head: published size and names, its equation, gradients and saving."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.models.edit_head import EditHead

SMALL = {"input_dim": 12, "hidden_dim": 16, "output_dim": 10, "queries": 5, "layers": 2, "heads": 2}


def test_published_size_and_names_on_the_meta_device():
    with torch.device("meta"):
        head = EditHead()
    state = head.state_dict()
    assert sum(parameter.numel() for parameter in head.parameters()) == 31_958_784
    assert len(state) == 129
    assert {name.split(".")[0] for name in state} == {"query", "llm2hid", "hid2feat", "mapper"}
    assert state["query"].shape == (1, 77, 512)
    assert state["mapper.decoder.layers.3.multihead_attn.in_proj_weight"].shape == (1536, 512)
    assert "mapper.encoder.norm.weight" in state
    assert head(torch.empty(2, 8, 4096, device="meta"), torch.empty(8, 4096, device="meta")).shape == (2, 77, 768)


@torch.no_grad()
def test_equals_the_modules_put_together_by_hand():
    head = EditHead(**SMALL, feedforward_dim=32).eval()
    states, tokens = torch.randn(3, 4, 12), torch.randn(4, 12)
    memory = head.llm2hid(states + tokens)
    for layer in head.mapper.encoder.layers:
        normed = layer.norm1(memory)
        memory = memory + layer.self_attn(normed, normed, normed)[0]
        memory = memory + layer.linear2(layer.linear1(layer.norm2(memory)).relu())
    memory = head.mapper.encoder.norm(memory)
    hidden = head.query.repeat(3, 1, 1)
    for layer in head.mapper.decoder.layers:
        normed = layer.norm1(hidden)
        hidden = hidden + layer.self_attn(normed, normed, normed)[0]
        hidden = hidden + layer.multihead_attn(layer.norm2(hidden), memory, memory)[0]
        hidden = hidden + layer.linear2(layer.linear1(layer.norm3(hidden)).relu())
    expected = head.hid2feat(head.mapper.decoder.norm(hidden))
    torch.testing.assert_close(head(states, tokens), expected, rtol=0, atol=1e-5)


def test_every_parameter_gets_a_gradient_and_query_std_sets_the_spread():
    head = EditHead(**{**SMALL, "queries": 400}, feedforward_dim=32, query_std=0.02)
    head(torch.randn(2, 4, 12), torch.randn(4, 12)).square().sum().backward()
    assert [name for name, parameter in head.named_parameters() if parameter.grad is None] == []
    assert head.query.std().item() == pytest.approx(0.02, rel=0.05)


def test_saves_and_reopens(tmp_path):
    head = EditHead(**SMALL, feedforward_dim=32).eval()
    head.save_pretrained(tmp_path)
    states, tokens = torch.randn(1, 4, 12), torch.randn(4, 12)
    assert torch.equal(head(states, tokens), EditHead.from_pretrained(tmp_path)(states, tokens))
