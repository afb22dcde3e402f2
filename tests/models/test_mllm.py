"""Builders and loaders of language models: published counts on the meta device, projector, loading, unused parts."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from ip2p_lightning.models.mllm import build_llama, build_llava, load_llama, load_llava, retire_unused_vision
from ip2p_lightning.models.visual_tokens import with_visual_tokens
from ip2p_lightning.world.tokenizer import world_tokenizer

LLAMA_7B = 6_738_415_616
ADDED_ROWS = 11 * 4096 * 2  # input and output rows of three picture tokens and eight [IMG]


@pytest.fixture(scope="module")
def tokenizer():
    return with_visual_tokens(world_tokenizer(), 4)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def tiny_llava(tokenizer):
    return build_llava(tokenizer, 16, 2, 2, vision_hidden_size=8, vision_heads=2, image_size=16)


def test_published_sizes_on_the_meta_device(tokenizer):
    with torch.device("meta"):
        llama, llava = load_llama(None, tokenizer), load_llava(None, tokenizer)
    assert parameters(llama) == LLAMA_7B + ADDED_ROWS
    width, mlp, layers = 1024, 4096, 24
    block = 4 * (width * width + width) + 2 * width * mlp + mlp + width + 4 * width
    embeddings = width + 3 * 14 * 14 * width + 257 * width  # class token, patches, positions
    vision = embeddings + layers * block + 2 * 2 * width  # with the norms before and after
    assert parameters(llava.model.vision_tower) == vision == 303_179_776
    single_linear = 1024 * 4096 + 4096
    identity = 4096 * 4096 + 4096  # transformers' second projector layer, which stays the identity
    assert parameters(llava) == LLAMA_7B + ADDED_ROWS + vision + single_linear + identity == 7_062_665_216
    assert llava.config.image_seq_length == 256
    assert llava.config.vision_feature_layer == -2


def test_paper_projector_is_one_linear_layer(monkeypatch, tokenizer):
    from transformers import CLIPVisionConfig, LlamaConfig

    from ip2p_lightning.models import mllm

    monkeypatch.setattr(
        mllm,
        "LLAMA_7B",
        LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2),
    )
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    monkeypatch.setattr(mllm, "CLIP_L14_VISION", vision)
    projector = load_llava(None, tokenizer).model.multi_modal_projector
    features = torch.randn(2, 3, 32)
    expected = linear(features, projector.linear_1.weight, projector.linear_1.bias)
    torch.testing.assert_close(projector(features), expected)


@pytest.mark.parametrize(("build", "load"), [(build_llama, load_llama), (tiny_llava, load_llava)])
def test_loading_a_folder_makes_room_for_new_tokens_and_keeps_the_rest(tokenizer, tmp_path, build, load):
    model = build(tokenizer)
    model.save_pretrained(tmp_path)
    larger = with_visual_tokens(tokenizer, 8)
    loaded = load(tmp_path, larger, "float32")
    rows = len(tokenizer)
    assert loaded.get_input_embeddings().num_embeddings == len(larger) == rows + 4
    assert loaded.get_output_embeddings().out_features == len(larger)
    assert torch.equal(loaded.get_input_embeddings().weight[:rows], model.get_input_embeddings().weight)
    spread = model.config.get_text_config().initializer_range
    assert loaded.get_input_embeddings().weight[rows:].std().item() == pytest.approx(spread, rel=0.5)
    kept, expected = loaded.state_dict(), model.state_dict()
    assert [name for name in expected if "embed_tokens" not in name and "lm_head" not in name
            and not torch.equal(kept[name], expected[name])] == []  # fmt: skip


def test_retired_parts_keep_their_names_and_values_but_are_no_parameters(tokenizer, tmp_path):
    model = tiny_llava(tokenizer)
    model.config.vision_feature_layer = -2
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pixels = torch.randn(1, 3, 16, 16)
    features = model.get_image_features(pixels).pooler_output[0]
    retire_unused_vision(model)
    trainable = {name for name, _ in model.named_parameters()}
    gone = before.keys() - trainable
    assert gone == {name for name in before if "post_layernorm" in name or "vision_tower.encoder.layers.1." in name}
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(model.get_image_features(pixels).pooler_output[0], features)
    model.save_pretrained(tmp_path)
    assert load_llava(tmp_path, tokenizer).state_dict().keys() == before.keys()
