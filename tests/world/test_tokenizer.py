"""The tokenizer: one token a word, any text, special tokens, round trips."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ip2p_lightning.world.tokenizer import FOLDER, texts, train_tokenizer, words, world_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return world_tokenizer()


def test_every_word_of_the_world_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    split = [word for word in words(samples=30) if len(tokenizer(word, add_special_tokens=False).input_ids) != 1]
    assert split == []


def test_texts_fit_and_come_back(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in list(texts(samples=5)):
        ids = tokenizer(text).input_ids
        assert len(ids) <= tokenizer.model_max_length
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("text", ["Füge ein Schloss hinzu!", "雪を降らせて", "x" * 50, "", "🎈 up", "a\nb\tc"])
def test_any_other_text_can_be_encoded(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_special_tokens_are_set_and_the_end_has_the_largest_id(tokenizer: PreTrainedTokenizerFast) -> None:
    special = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id]
    assert len(set(special)) == 4
    assert tokenizer.eos_token_id == len(tokenizer) - 1


def test_padding_and_truncation(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = tokenizer(["make it winter", "word " * 200], padding="max_length", truncation=True, return_tensors="pt")
    assert batch.input_ids.shape == (2, tokenizer.model_max_length)
    assert batch.input_ids[0, -1] == tokenizer.pad_token_id
    assert batch.input_ids[1, -1] == tokenizer.eos_token_id


def test_other_loaders_read_the_folder() -> None:
    assert AutoTokenizer.from_pretrained(str(FOLDER))("make it winter").input_ids == (
        world_tokenizer()("make it winter").input_ids
    )


def test_training_is_deterministic(tmp_path: Path) -> None:
    corpus = ["make it winter", "paint the castle red"]
    for folder in ("one", "two"):
        train_tokenizer(corpus, tmp_path / folder)
    one, two = ((tmp_path / folder / "tokenizer.json").read_bytes() for folder in ("one", "two"))
    assert one == two
