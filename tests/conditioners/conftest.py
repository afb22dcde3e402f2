"""The tokenizer of the tests and small batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.world.tokenizer import world_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    """The embedded world's tokenizer."""
    return world_tokenizer()


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
