"""The added tokens: order, published ids, and that the original tokenizer stays as it was."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from ip2p_lightning.models.visual_tokens import visual_token_ids, with_visual_tokens


def llama_sized_tokenizer():
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{index}": index for index in range(3, 32000)}}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_llama_s_vocabulary_gets_the_published_ids():
    plain = llama_sized_tokenizer()
    tokenizer = with_visual_tokens(plain)
    assert tokenizer.convert_tokens_to_ids(["<im_patch>", "<im_start>", "<im_end>"]) == [32000, 32001, 32002]
    assert visual_token_ids(tokenizer) == list(range(32003, 32011))
    assert len(tokenizer) == 32011
    assert tokenizer.pad_token == "<unk>"
    assert len(plain) == 32000


def test_adding_twice_changes_nothing():
    tokenizer = with_visual_tokens(llama_sized_tokenizer(), 4)
    assert len(with_visual_tokens(tokenizer, 4)) == len(tokenizer) == 32007


def test_refusals_name_the_remedy():
    with pytest.raises(ValueError, match="with_visual_tokens"):
        visual_token_ids(llama_sized_tokenizer())
    with pytest.raises(ValueError, match="at least 1"):
        with_visual_tokens(llama_sized_tokenizer(), 0)
