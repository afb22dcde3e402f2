"""Writing with a language model: what is sampled, that a caption's answer is its own, that rubbish is counted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.triple_checks import tally
from ip2p_lightning.generation.writers.completion import CompletionWriter
from ip2p_lightning.generation.writers.language_model import AddressedSampling, LanguageModelWriter
from ip2p_lightning.methods.writer import WriterModule
from ip2p_lightning.models.causal_lm import build_causal_lm, text_ids
from ip2p_lightning.models.triple_format import END, completion, prompt
from ip2p_lightning.world.tokenizer import world_tokenizer

CAPTIONS = [
    Caption("1", "a red house by the sea", "http://a/1.jpg"),
    Caption("2", "a dog"),
    Caption("3", "two trees on the left and on the right in front of hills on a clear summer day"),
    Caption("4", ""),
]
RECORD = ("a red house by the sea", "make it blue", "a blue house by the sea")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return world_tokenizer()


def fresh(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    torch.manual_seed(0)
    return build_causal_lm(tokenizer, hidden_size=32, layers=1, heads=2)


def writer(tokenizer: PreTrainedTokenizerBase, **options) -> LanguageModelWriter:
    settings = {"shots": 0, "max_new_tokens": 12, "retries": 0, "device": "cpu", **options}
    return LanguageModelWriter(fresh(tokenizer), tokenizer, **settings)


@pytest.fixture(scope="module")
def learned(tokenizer: PreTrainedTokenizerBase) -> WriterModule:
    """A tiny model that knows one record by heart."""
    module = WriterModule(fresh(tokenizer), tokenizer)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    ids, labels = module.rows([RECORD])
    for _ in range(60):
        loss = module.model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    return module


def test_a_learned_record_is_written(learned: WriterModule):
    tuned = LanguageModelWriter(learned.model, learned.tokenizer, shots=0, temperature=0, device="cpu", name="tuned")
    (triple,) = tuned.write(CAPTIONS[:1])
    assert triple == EditTriple(
        "1", RECORD[0], RECORD[1], RECORD[2], group="1", url="http://a/1.jpg", metadata={"tries": 1}
    )
    assert tuned.name == "tuned"


def test_an_answer_depends_on_seed_and_caption_alone(tokenizer: PreTrainedTokenizerBase):
    texts, seeds = [caption.text for caption in CAPTIONS[:3]], [11, 12, 13]
    together = writer(tokenizer).complete(texts, seeds)
    alone = [writer(tokenizer).complete([text], [seed])[0] for text, seed in zip(texts, seeds, strict=True)]
    pairs = writer(tokenizer, batch_size=2).complete(texts[::-1], seeds[::-1])[::-1]
    assert together == alone == pairs
    assert writer(tokenizer).complete(texts, [1, 2, 3]) != together


def test_a_model_without_training_writes_rubbish_that_is_counted(tokenizer: PreTrainedTokenizerBase):
    outcomes = writer(tokenizer, retries=1).write(CAPTIONS)
    assert [outcome.id for outcome in outcomes] == ["1", "2", "3", "4"]
    counts = tally(outcomes)
    assert counts["empty"] >= 1
    assert counts["kept"] == 0
    assert counts.total() == 4
    assert all(isinstance(outcome, Rejected) and outcome.detail for outcome in outcomes[:3])


def test_a_model_of_nothing_but_nan_is_counted_too(tokenizer: PreTrainedTokenizerBase):
    broken = writer(tokenizer)
    with torch.no_grad():
        broken.model.lm_head.weight.fill_(math.nan)
    assert tally(broken.write(CAPTIONS))["kept"] == 0


def test_a_caption_without_room_for_an_answer_is_rejected(tokenizer: PreTrainedTokenizerBase):
    model = fresh(tokenizer)
    model.config.max_position_embeddings = 24
    cramped = LanguageModelWriter(model, tokenizer, shots=0, max_new_tokens=10, retries=2, device="cpu")
    outcomes = cramped.write(CAPTIONS[1:3])
    assert isinstance(outcomes[1], Rejected)
    assert (outcomes[1].id, outcomes[1].reason) == ("3", "too_long")
    assert "tokens" in outcomes[1].detail


class Scripted(CompletionWriter):
    """Says what it is told to, and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *answers: list[str | Rejected], retries: int = 3) -> None:
        super().__init__(retries=retries)
        self.answers, self.asked = list(answers), []

    def complete(self, captions, seeds):
        self.asked.append((list(captions), list(seeds)))
        return self.answers.pop(0)


GOOD = completion("make it a cat", "a cat")


def test_only_what_failed_is_asked_for_again_with_other_randomness():
    captions = [Caption(str(number), f"dog  {number}") for number in range(3)]
    scripted = Scripted([GOOD, "rubbish", completion("make it stay", "Dog 2.")], [completion("go", ""), GOOD], [GOOD])
    outcomes = scripted.write(captions, seed=5)
    assert [asked for asked, _ in scripted.asked] == [["dog 0", "dog 1", "dog 2"], ["dog 1", "dog 2"], ["dog 1"]]
    assert [outcome.metadata["tries"] for outcome in outcomes] == [1, 3, 2]  # type: ignore[union-attr]
    seeds = [seed for _, seeds in scripted.asked for seed in seeds]
    assert len(set(seeds)) == 6
    assert max(seeds) < 2**64


def test_the_last_reason_is_reported_and_refusals_are_final():
    refusal = Rejected("", "refused", "400 too long")
    scripted = Scripted([refusal, "rubbish"], [completion("a", "a naked man")], retries=1)
    first, second = scripted.write([Caption("1", "a dog"), Caption("2", "a man")])
    assert first == Rejected("1", "refused", "400 too long")
    assert second == Rejected("2", "unsafe", "naked")
    assert [len(asked) for asked, _ in scripted.asked] == [2, 1]


def test_sampling_follows_the_probabilities():
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    rows = 4000
    sampling = AddressedSampling(range(rows), 0, 1.0, 1.0, 0.0, 0.0)
    scores = sampling(torch.zeros(rows, 0, dtype=torch.long), probabilities.log().repeat(rows, 1))
    assert torch.isfinite(scores).sum(1).eq(1).all()
    share = scores.argmax(1).bincount(minlength=4) / rows
    torch.testing.assert_close(share, probabilities, atol=0.03, rtol=0)


def test_top_p_and_temperature_narrow_the_choice():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(500, 1)
    nothing = torch.zeros(500, 0, dtype=torch.long)
    nucleus = AddressedSampling(range(500), 0, 1.0, 0.7, 0.0, 0.0)(nothing, logits)
    assert set(nucleus.argmax(1).tolist()) == {0, 1}
    assert set(AddressedSampling(range(500), 0, 0.0, 1.0, 0.0, 0.0)(nothing, logits).argmax(1).tolist()) == {0}
    assert set(AddressedSampling(range(500), 0, 0.05, 1.0, 0.0, 0.0)(nothing, logits).argmax(1).tolist()) == {0}


def test_penalties_are_openai_s_and_count_what_was_written():
    written = torch.tensor([[3, 3, 3, 1, 1, 2]])  # the first three are the prompt
    logits = torch.tensor([[0.0, 1.0, 0.85, 0.7]])
    greedy = AddressedSampling([0], 3, 0.0, 1.0, 0.1, 0.05)
    assert greedy(written, logits).argmax() == 1  # 1.0 - 2 * 0.1 - 0.05 = 0.75, 0.85 - 0.15 = 0.7, 0.7
    assert AddressedSampling([0], 3, 0.0, 1.0, 0.15, 0.05)(written, logits).argmax() == 3
    assert AddressedSampling([0], 0, 0.0, 1.0, 0.2, 0.0)(written, logits).argmax() == 2


def test_text_that_spells_special_tokens_stays_text(tokenizer: PreTrainedTokenizerBase):
    eos = str(tokenizer.eos_token)
    ids = text_ids(tokenizer, prompt(f"a dog {eos}"))
    assert tokenizer.eos_token_id not in ids
    assert END not in tokenizer.decode(ids)


@pytest.mark.parametrize(
    "option", [{"shots": 7}, {"temperature": -1}, {"top_p": 0}, {"max_new_tokens": 0}, {"retries": -1}]
)
def test_settings_are_checked(tokenizer: PreTrainedTokenizerBase, option: dict):
    with pytest.raises(ValueError, match=next(iter(option))):
        writer(tokenizer, **option)


def test_a_checkpoint_must_be_there():
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        LanguageModelWriter.from_checkpoint(Path("nothing.ckpt"))
