"""Pairs whose errors can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ip2p_lightning.data.pair import PairBatch


def make_pairs(count: int = 4, size: int = 16, masked: bool = True, seed: int = 0) -> PairBatch:
    """Random pairs that differ in the left half alone, which the mask marks."""
    generator = torch.Generator().manual_seed(seed)
    original = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    mask = torch.zeros(count, 1, size, size)
    mask[..., : size // 2] = 1
    edited = torch.where(mask.bool(), torch.rand(count, 3, size, size, generator=generator) * 2 - 1, original)
    texts = {name: [f"{name} {i}" for i in range(count)] for name in ("original_caption", "edited_caption")}
    return PairBatch(
        id=[f"pair{i}" for i in range(count)],
        original_image=original,
        edited_image=edited,
        instruction=["make it so"] * count,
        expressive_instruction=["it is so"] * count,
        kind=["recolour", "season"] * (count // 2) + ["recolour"] * (count % 2),
        mask=mask if masked else None,
        **texts,
    )


@pytest.fixture
def pairs() -> PairBatch:
    return make_pairs()


@pytest.fixture
def pairs_of() -> Callable[..., PairBatch]:
    return make_pairs
