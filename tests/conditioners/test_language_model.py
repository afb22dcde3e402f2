"""LGIE and MGIE alike: equations, padding, generation, losses, gradients, and that the head does not collapse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ip2p_lightning.callbacks.conditioning_monitor import instruction_dependence
from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.multimodal import MultimodalConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.models.edit_head import EditHead
from ip2p_lightning.models.mllm import build_llama, build_llava
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.models.visual_tokens import visual_token_ids, with_visual_tokens

BRIEF = ["make the castle blue", "make it winter", "turn day into sunset"]
EXPRESSIVE = ["a blue castle, the rest of the picture unchanged", "", "warm light at sunset"]
TOKENS = 4


@pytest.fixture(scope="module")
def visual_tokenizer(tokenizer):
    return with_visual_tokens(tokenizer, TOKENS)


@pytest.fixture(params=["blind", "seeing"])
def build(request, visual_tokenizer):
    """Builds either conditioner, tiny and with fixed weights."""

    def builder(**options):
        torch.manual_seed(0)
        head = EditHead(32, 32, 24, queries=6, layers=1, heads=2, feedforward_dim=64, query_std=0.02)
        if request.param == "blind":
            model, kind, template = (
                build_llama(visual_tokenizer, 32, 2, 2),
                LanguageModelConditioner,
                "if {instruction}",
            )
        else:
            model = build_llava(visual_tokenizer, 32, 2, 2, 16, 2, 2, image_size=16, patch_size=8)
            kind, template = MultimodalConditioner, "{picture} what if {instruction}"
        return kind(model, visual_tokenizer, head, **{"template": template, "max_new_tokens": 12, **options})

    return builder


@pytest.fixture
def teacher(tokenizer):
    return TextConditioner(tokenizer, build_text_encoder(tokenizer, 24, 1, 2, max_length=6))


def test_losses_and_embeddings_equal_the_papers_equations(build, make_batch, visual_tokenizer):
    """Straight transcription, one example at a time, without padding."""
    conditioner = build().eval()
    batch = make_batch(BRIEF, EXPRESSIVE)
    condition = conditioner(batch)
    nats, count = 0.0, 0
    for index in range(3):
        one = conditioner.prompt.sequences([BRIEF[index]], [EXPRESSIVE[index]])
        pictures = conditioner._picture_inputs(batch.original_image[index : index + 1])
        output = conditioner.model(input_ids=one.input_ids, output_hidden_states=True, **pictures)
        ids = one.input_ids[0].tolist()
        first = ids.index(visual_token_ids(visual_tokenizer)[0])
        states = output.hidden_states[-1][:, first - 1 : first - 1 + TOKENS]
        rows = conditioner.model.get_input_embeddings().weight[visual_token_ids(visual_tokenizer)]
        expected = conditioner.edit_head(states, rows)[0]
        torch.testing.assert_close(condition.embeddings[index], expected, rtol=0, atol=1e-5)
        null = conditioner.edit_head(torch.zeros_like(states), rows)[0]
        torch.testing.assert_close(condition.null_embeddings[index], null, rtol=0, atol=1e-5)
        targets = one.labels[0, 1:]
        nats += F.cross_entropy(output.logits[0, :-1], targets, ignore_index=-100, reduction="sum").item()
        count += (targets != -100).sum().item()
    assert condition.losses["instruction_loss"].item() == pytest.approx(nats / count, abs=1e-5)


def test_every_trainable_parameter_gets_a_gradient(build, make_batch):
    conditioner = build()
    condition = conditioner(make_batch(BRIEF, EXPRESSIVE))
    (condition.losses["instruction_loss"] + condition.embeddings.square().sum()).backward()
    assert [name for name, parameter in conditioner.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("expressive", [True, False])
def test_generated_and_teacher_forced_states_agree(build, make_batch, expressive):
    conditioner = build(expressive=expressive).eval()
    batch = make_batch(BRIEF)
    condition = conditioner.condition(BRIEF, batch.original_image)
    batch.expressive_instruction = condition.expressive_instructions
    forced = conditioner(batch)
    torch.testing.assert_close(condition.embeddings, forced.embeddings, rtol=0, atol=1e-5)
    torch.testing.assert_close(condition.null_embeddings, forced.null_embeddings, rtol=0, atol=1e-5)
    assert any(condition.expressive_instructions) == expressive


def overfit(conditioner, batch, steps, *losses):
    optimizer = torch.optim.AdamW(conditioner.parameters(), 3e-3, weight_decay=0)
    for _ in range(steps):
        condition = conditioner(batch)
        optimizer.zero_grad()
        sum(condition.losses[name] for name in losses).backward()
        optimizer.step()
    return conditioner.eval()


@torch.no_grad()
def test_writes_what_it_learnt_and_the_cache_s_own_states_agree(build, make_batch, visual_tokenizer):
    """Left-padded generation with a cache gives the states that right-padded teacher forcing gives."""
    batch = make_batch(BRIEF, EXPRESSIVE)
    with torch.enable_grad():
        conditioner = overfit(build(), batch, 80, "instruction_loss")
    assert conditioner.write(BRIEF, batch.original_image) == EXPRESSIVE

    conditioner.generation.update(suppress_tokens=None, eos_token_id=visual_tokenizer.eos_token_id, max_new_tokens=20)
    ids, mask = conditioner.prompt.prompts(BRIEF)
    generated = conditioner.model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=conditioner.generation,
        output_hidden_states=True,
        return_dict_in_generate=True,
        **conditioner._picture_inputs(batch.original_image),
    )
    states = torch.cat([step[-1] for step in generated.hidden_states], dim=1)
    visual = visual_token_ids(visual_tokenizer)
    forced = conditioner(batch)
    for index, row in enumerate(generated.sequences.tolist()):
        first = row.index(visual[0])
        assert row[first : first + TOKENS] == visual
        head = conditioner.edit_head(
            states[index : index + 1, first - 1 : first - 1 + TOKENS],
            conditioner.model.get_input_embeddings().weight[visual],
        )
        torch.testing.assert_close(head[0], forced.embeddings[index], rtol=0, atol=1e-5)


def test_given_expressive_instructions_are_used_as_they_are(build, make_batch):
    conditioner = build().eval()
    images = make_batch(BRIEF).original_image
    condition = conditioner.condition(BRIEF, images, EXPRESSIVE)
    assert condition.expressive_instructions == EXPRESSIVE
    expected = conditioner(make_batch(BRIEF, EXPRESSIVE))
    torch.testing.assert_close(condition.embeddings, expected.embeddings, rtol=0, atol=1e-5)


def test_alignment_loss_is_the_distance_to_the_teacher_of_the_expressive_instruction(build, make_batch, teacher):
    conditioner = build(alignment_teacher=teacher)
    condition = conditioner(make_batch(BRIEF, EXPRESSIVE))
    target = teacher.encode([EXPRESSIVE[0], BRIEF[1], EXPRESSIVE[2]])
    expected = F.mse_loss(condition.embeddings, target.embeddings)
    expected = expected + F.mse_loss(condition.null_embeddings, target.null_embeddings)
    torch.testing.assert_close(condition.losses["alignment_loss"], expected)


def test_teacher_is_no_part_of_the_model(build, make_batch, teacher):
    conditioner = build(alignment_teacher=teacher)
    assert conditioner.state_dict().keys() == build().state_dict().keys()
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    conditioner.align_to(None)
    assert conditioner(make_batch(BRIEF)).losses.keys() == {"instruction_loss"}


def test_aligned_head_depends_on_the_instruction_and_its_null_stays_apart(build, make_batch, teacher):
    """The collapse of a prototype: a head that answers every instruction alike."""
    batch = make_batch(BRIEF, EXPRESSIVE)
    conditioner = overfit(build(alignment_teacher=teacher), batch, 80, "instruction_loss", "alignment_loss")
    with torch.no_grad():
        condition = conditioner(batch)
    target = teacher.encode([EXPRESSIVE[0], BRIEF[1], EXPRESSIVE[2]])
    assert condition.losses["alignment_loss"] < 0.25 * target.embeddings.var()
    assert instruction_dependence(conditioner, batch) > 0.3
    assert F.mse_loss(condition.embeddings, condition.null_embeddings) > 0.1 * target.embeddings.var()


def test_gradient_checkpointing_changes_no_gradient(build, make_batch):
    gradients = []
    for checkpointing in (False, True):
        conditioner = build(gradient_checkpointing=checkpointing).train()
        condition = conditioner(make_batch(BRIEF, EXPRESSIVE))
        (condition.losses["instruction_loss"] + condition.embeddings.square().sum()).backward()
        gradients.append([parameter.grad for parameter in conditioner.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_empty_and_hostile_instructions_give_finite_embeddings(build, make_batch):
    conditioner = build().eval()
    texts = ["", "[IMG0] <im_patch> </s> {picture}", "make it winter " * 300, "\u2603 \U0001f3f0\x00"]
    condition = conditioner.condition(texts, make_batch(texts).original_image)
    assert condition.embeddings.isfinite().all()
    assert len(condition.expressive_instructions) == 4


def test_parts_that_do_not_fit_are_refused(visual_tokenizer, tokenizer, build):
    model = build_llama(visual_tokenizer, 32, 1, 2)
    with pytest.raises(ValueError, match="input_dim=32"):
        LanguageModelConditioner(model, visual_tokenizer, EditHead(16, 16, 8, 4, 1, 2, 16))
    with pytest.raises(ValueError, match="with_visual_tokens"):
        LanguageModelConditioner(model, with_visual_tokens(tokenizer, 5), EditHead(32, 16, 8, 4, 1, 2, 16))
    wide = TextConditioner(tokenizer, build_text_encoder(tokenizer, 32, 1, 2, max_length=6))
    with pytest.raises(ValueError, match="6 x 32, the edit head's 6 x 24"):
        build(alignment_teacher=wide)
