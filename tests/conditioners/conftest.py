"""A small real tokenizer and small batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from ip2p_lightning.data.pair import PairBatch

TEXTS = (
    "make the house blue",
    "turn day into sunset",
    "a blue house stands on the hill under a clear sky",
    "the sun sets over the ocean and the castle turns orange",
    "what will this image be like if",
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with special tokens, trained on a few sentences."""
    backend = ByteLevelBPETokenizer(add_prefix_space=True)
    backend.train_from_iterator(TEXTS, vocab_size=400, min_frequency=1, special_tokens=["<pad>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend._tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., PairBatch]:
    """`make_batch(instructions, expressive)` is a batch of random 16 px pictures with those texts."""

    def make(instructions: list[str], expressive: list[str] | None = None, size: int = 16) -> PairBatch:
        count = len(instructions)
        generator = torch.Generator().manual_seed(count)
        images = torch.rand(2, count, 3, size, size, generator=generator) * 2 - 1
        empty = [""] * count
        return PairBatch(
            [str(i) for i in range(count)], *images, instructions, expressive or empty, empty, empty, empty
        )

    return make
