"""The text conditioner against the encoder alone, its null condition, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel

from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.models.text_encoder import build_text_encoder

BRIEF = ["make the house blue", "turn day into sunset"]
EXPRESSIVE = ["a blue house stands on the hill under a clear sky", "the sun sets over the ocean"]


@pytest.fixture
def encoder(tokenizer):
    return build_text_encoder(tokenizer, hidden_size=32, layers=2, heads=2, max_length=20)


def test_states_equal_the_encoder_s_for_padded_texts(tokenizer, encoder, make_batch):
    conditioner = TextConditioner(tokenizer, encoder, max_length=20).eval()
    condition = conditioner(make_batch(BRIEF))
    ids = tokenizer(BRIEF, padding="max_length", truncation=True, max_length=20, return_tensors="pt").input_ids
    assert condition.embeddings.shape == (2, 20, 32)
    assert conditioner.embedding_dim == 32
    torch.testing.assert_close(condition.embeddings, encoder(ids).last_hidden_state, rtol=0, atol=1e-6)


def test_null_condition_is_the_empty_text(tokenizer, encoder):
    conditioner = TextConditioner(tokenizer, encoder, max_length=20).eval()
    condition = conditioner.condition(["", BRIEF[0]], torch.zeros(2, 3, 16, 16))
    torch.testing.assert_close(condition.embeddings[0], condition.null_embeddings[1], rtol=0, atol=1e-6)
    assert not torch.allclose(condition.embeddings[1], condition.null_embeddings[1], atol=1e-2)


def test_stable_diffusion_s_pipeline_would_use_the_same_states(tokenizer, encoder):
    unet = UNet2DConditionModel(
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        block_out_channels=(8,),
        norm_num_groups=4,
        cross_attention_dim=32,
        in_channels=8,
    )
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = 20  # where the pipeline looks for it
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs = pipeline._encode_prompt(BRIEF, torch.device("cpu"), 1, True)
    ours = TextConditioner(tokenizer, encoder).eval().condition(BRIEF, torch.zeros(2, 3, 16, 16))
    expected = torch.cat([ours.embeddings, ours.null_embeddings, ours.null_embeddings])
    torch.testing.assert_close(theirs, expected, rtol=0, atol=1e-6)


def test_frozen_encoder_builds_no_graph_and_stays_in_evaluation_mode(tokenizer, encoder, make_batch):
    conditioner = TextConditioner(tokenizer, encoder.requires_grad_(False), max_length=20).train()
    assert not conditioner(make_batch(BRIEF)).embeddings.requires_grad
    assert not encoder.training


def test_every_parameter_of_a_learning_encoder_gets_a_gradient(tokenizer, encoder, make_batch):
    conditioner = TextConditioner(tokenizer, encoder, max_length=20).train()
    conditioner(make_batch(BRIEF)).embeddings.square().sum().backward()
    assert encoder.training
    assert [name for name, parameter in conditioner.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(("probability", "shown"), [(0.0, BRIEF), (1.0, EXPRESSIVE)])
def test_expressive_probability_chooses_the_text(tokenizer, encoder, make_batch, probability, shown):
    conditioner = TextConditioner(tokenizer, encoder, 20, probability).eval()
    torch.testing.assert_close(
        conditioner(make_batch(BRIEF, EXPRESSIVE)).embeddings, conditioner.encode(shown).embeddings
    )


def test_expressive_probability_mixes_and_falls_back_on_the_instruction(tokenizer, encoder, make_batch):
    conditioner = TextConditioner(tokenizer, encoder, 20, 0.5)
    batch = make_batch(["brief"] * 100, ["expressive"] * 50 + [""] * 50)
    texts = conditioner._texts(batch)
    assert 10 < texts[:50].count("expressive") < 40
    assert texts[50:] == ["brief"] * 50


def test_long_texts_are_cut(tokenizer, encoder):
    conditioner = TextConditioner(tokenizer, encoder, 20).eval()
    assert conditioner.encode(["castle " * 500]).embeddings.shape == (1, 20, 32)


def test_refuses_lengths_and_probabilities_that_cannot_be(tokenizer, encoder):
    with pytest.raises(ValueError, match="set max_length=20"):
        TextConditioner(tokenizer, encoder, 21)
    with pytest.raises(ValueError, match="expressive_probability"):
        TextConditioner(tokenizer, encoder, 20, 1.5)


def test_the_null_states_of_a_frozen_encoder_are_computed_once(tokenizer, encoder):
    conditioner = TextConditioner(tokenizer, encoder.requires_grad_(False), 20)
    calls: list[int] = []
    encoder.register_forward_pre_hook(lambda network, inputs: calls.append(len(inputs[0])))
    first = conditioner.encode(["a", "b"])
    assert torch.equal(conditioner.encode(["c"]).null_embeddings[0], first.null_embeddings[0])
    assert calls == [2, 1, 1]  # two texts, the empty one, one text
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(2)
    changed = conditioner.encode(["c"]).null_embeddings[0]
    assert not torch.allclose(changed, first.null_embeddings[0])
    torch.testing.assert_close(changed, conditioner.encode([""]).embeddings[0])


def test_the_null_states_of_an_encoder_that_learns_are_never_kept(tokenizer, encoder):
    conditioner = TextConditioner(tokenizer, encoder, 20)
    with torch.no_grad():
        before = conditioner.encode(["a"]).null_embeddings[0]
        encoder.get_input_embeddings().weight.data.mul_(2)  # torch counts no new version
        assert not torch.allclose(conditioner.encode(["a"]).null_embeddings[0], before)
