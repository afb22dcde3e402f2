"""Expressive instructions: what is asked, what is kept of an answer, and each mistake of the release that is mended."""

from __future__ import annotations

import pytest
import torch
from factories import LANGUAGE, MULTIMODAL, TEXT
from transformers import BatchEncoding, T5Config, T5ForConditionalGeneration

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.config import instantiate_trusted
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.generation.expressive import (
    VICUNA_QUESTION,
    MllmExpander,
    TrainedExpander,
    agreement,
    clean,
    shortened,
)
from ip2p_lightning.generation.summarisers import ChatSummariser, Seq2SeqSummariser
from ip2p_lightning.models.causal_lm import build_causal_lm
from ip2p_lightning.models.mllm import build_llava
from ip2p_lightning.models.visual_tokens import with_visual_tokens
from ip2p_lightning.world.tokenizer import world_tokenizer

PICTURES = [torch.rand(3, 20, 30) * 2 - 1, torch.rand(3, 16, 16) * 2 - 1, torch.rand(3, 40, 24) * 2 - 1]
COMMANDS = ["make it winter", "add a boat", "make the house red"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", ""),
        (" \n ", ""),
        ("...", ""),
        ("Snow lies on the roof", "Snow lies on the roof."),
        ("Snow falls. It is cold. Nobody is there.", "Snow falls. It is cold."),
        ("Snow falls.It is 2.5 m deep. Ok.", "Snow falls.It is 2.5 m deep. Ok."),
        ("Is it cold? Yes! Very.", "Is it cold? Yes!"),
        ('A sign says "Stop." It is red. More.', 'A sign says "Stop." It is red.'),
        ('A sign says "Stop."', 'A sign says "Stop."'),
        ("Snow (a lot of it!)", "Snow (a lot of it!)"),
        ('A sign says "Stop"', 'A sign says "Stop".'),
        ("It is dark. An alternative would be dusk. More.", "It is dark."),
        ("Alternatively, leave it.", ""),
        ("Snow falls.[IMG0][IMG1] rubbish", "Snow falls."),
        ("Snow falls.</s> USER: more", "Snow falls."),
        ("The sign says ASSISTANT: on it.", "The sign says ASSISTANT: on it."),
    ],
)
def test_answers_are_cleaned(answer: str, expected: str):
    assert clean(answer) == expected
    assert clean(expected) == expected


def test_as_many_sentences_as_wanted_are_kept():
    assert [clean("A. B! C?", count) for count in (1, 2, 3, 9)] == ["A.", "A. B!", "A. B! C?", "A. B! C?"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three", "one two three"),
        ("one two. three four five", "one two."),
        ("one two, three, four five", "one two, three, four."),
        ("One. Two three. Four five", "One. Two three."),
    ],
)
def test_texts_are_cut_where_a_sentence_or_a_word_ends(text: str, expected: str):
    assert shortened(text, 4) == expected


def test_agreement_is_the_f1_of_the_words():
    assert agreement("A red house.", "a red house") == 1
    assert agreement("", "a house") == agreement("snow", "a house") == 0
    assert agreement("the red house", "the blue house by the sea") == pytest.approx(2 * 2 / 9)


@pytest.fixture(scope="module")
def llava():
    torch.manual_seed(0)
    tokenizer = with_visual_tokens(world_tokenizer(), 2)
    sizes = {"hidden_size": 32, "layers": 1, "heads": 2, "vision_hidden_size": 16, "vision_layers": 1}
    return build_llava(tokenizer, **sizes, vision_heads=2, image_size=16, patch_size=8), tokenizer


def expander(llava, **options) -> MllmExpander:
    return MllmExpander(*llava, **{"max_new_tokens": 12, "device": "cpu", **options})


def test_what_a_picture_is_said_to_become_is_its_own(llava):
    together = expander(llava).describe(PICTURES, COMMANDS)
    alone = [expander(llava).describe([p], [c])[0] for p, c in zip(PICTURES, COMMANDS, strict=True)]
    assert together == alone
    assert expander(llava, batch_size=2).write(PICTURES, COMMANDS) == expander(llava).write(PICTURES, COMMANDS)
    assert not any("[IMG" in text or "im_patch" in text for text in together)
    assert expander(llava).write([], []) == []


def test_the_question_is_the_release_s():
    question = VICUNA_QUESTION.split("USER: ")[1]
    assert question == "what will this image be like if '{instruction}'  (in a short paragraph)\n{picture} ASSISTANT:"


class Longwinded(MllmExpander):
    """Says what it is told to say."""

    def describe(self, images, instructions):
        return [instruction.replace("|", " ") for instruction in instructions]


class FirstWords:
    """Shortens to three words, or to nothing."""

    name = "first words"

    def __init__(self, words: int = 3) -> None:
        self.words, self.seen, self.device = words, [], None

    def to(self, device: torch.device) -> None:
        self.device = device

    def shorten(self, texts):
        self.seen += texts
        return [" ".join(text.split()[: self.words]) for text in texts]


def test_only_long_answers_are_shortened(llava):
    summariser = FirstWords()
    long = "the house is covered in deep snow from its roof to the ground"
    told = Longwinded(*llava, summariser, words=8, device="cpu")
    assert told.write(PICTURES, ["Snow falls.", long, ""]) == ["Snow falls.", "the house is.", ""]
    assert summariser.seen == [f"{long}."]
    assert str(summariser.device) == "cpu"
    assert told.name == "LlavaForConditionalGeneration, first words"


def test_a_summariser_that_fails_costs_nothing_but_the_end(llava):
    told = Longwinded(*llava, FirstWords(0), words=4, device="cpu")
    assert told.write(PICTURES[:1], ["the house is covered in snow"]) == ["the house is covered."]
    assert Longwinded(*llava, None, words=4, device="cpu").name.endswith("cut at 4 words")


def test_a_t5_is_asked_as_the_release_asks():
    torch.manual_seed(0)
    tokenizer = world_tokenizer()
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    asked = []

    def spy(texts, **options) -> BatchEncoding:
        asked.extend(texts)
        return tokenizer(texts, **options)

    spy.batch_decode = tokenizer.batch_decode  # type: ignore[attr-defined]
    summariser = Seq2SeqSummariser(T5ForConditionalGeneration(config), spy, max_length=8)  # type: ignore[arg-type]
    summariser.to(torch.device("cpu"))
    texts = ["a red house by the sea", "a tree"]
    shorter = summariser.shorten(texts)
    assert asked[0] == "summarize the following paragraph in 32 words:\n\na red house by the sea"
    assert shorter == [Seq2SeqSummariser(summariser.model, tokenizer, max_length=8).shorten([t])[0] for t in texts]
    assert summariser.settings == {
        "num_beams": 5, "min_length": 5, "max_length": 8, "no_repeat_ngram_size": 3, "do_sample": False,
    }  # fmt: skip


def test_a_chat_model_can_shorten_too():
    tokenizer = world_tokenizer()
    model = build_causal_lm(tokenizer, hidden_size=16, layers=1, heads=2)
    with pytest.raises(ValueError, match="chat template"):
        ChatSummariser(model, tokenizer)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    (text,) = ChatSummariser(model, tokenizer, max_new_tokens=4).shorten(["a red house"])
    assert "\n" not in text


@pytest.mark.parametrize("config", [MULTIMODAL, LANGUAGE])
def test_a_trained_model_writes_what_its_conditioner_does(config: dict):
    torch.manual_seed(0)
    conditioner: LanguageModelConditioner = instantiate_trusted(config).eval()
    source = WorldSource(3, size=16)
    pictures = [to_tensor(source[index].original_image) for index in range(3)]  # type: ignore[arg-type]
    expected = conditioner.write(COMMANDS, torch.stack(pictures))
    written = TrainedExpander(conditioner, batch_size=2, device="cpu").write(pictures, COMMANDS)
    assert written == [" ".join(text.split()) for text in expected]
    mixed = TrainedExpander(conditioner, device="cpu").write(PICTURES, COMMANDS)
    assert len(mixed) == 3


def test_a_conditioner_that_writes_nothing_is_refused():
    with pytest.raises(ValueError, match="TextConditioner writes no expressive instructions"):
        TrainedExpander(instantiate_trusted(TEXT))


@pytest.mark.parametrize("option", [{"words": 0}, {"sentences": 0}, {"batch_size": 0}])
def test_settings_are_checked(llava, option: dict):
    with pytest.raises(ValueError, match=next(iter(option))):
        expander(llava, **option)
