"""A dataset folder with all that a pair may have, and how two datasets are compared."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.shards import ShardWriter


def picture(seed: int, format: str = "JPEG", size: tuple[int, int] = (12, 8)) -> bytes:
    """Random pixels as a file."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def mask(size: tuple[int, int] = (12, 8)) -> bytes:
    """The left half may change."""
    buffer = io.BytesIO()
    image = Image.new("L", size, 0)
    image.paste(255, (0, 0, size[0] // 2, size[1]))
    image.save(buffer, "PNG")
    return buffer.getvalue()


def full_pair(number: int) -> EncodedPair:
    """One of a family of pairs that differ in what they have."""
    format = "PNG" if number % 3 == 0 else "JPEG"
    return EncodedPair(
        id=f"scene {number // 2}/{number}",
        original_image=picture(number // 2, format),  # pairs of a group share their original
        edited_image=picture(100 + number),
        instruction=f'make it "nümber" {number // 4}, please',
        expressive_instruction="" if number % 2 else "it glows\nin the dark",
        original_caption="a hill" if number % 4 else "",
        edited_caption="a green hill",
        kind=("recolour", "", "season")[number % 3],
        group=f"scene {number // 2}",
        mask=mask() if number % 2 else None,
        split=("train", "validation", "test")[number // 6 % 3],
        metadata={
            "seed": 1000 + number,
            "threshold": 0.25,
            "text_scale": 9.5,
            "scores": {"clip_image": 0.8, "beauty": number / 10},
            "note": ["x", {"deep": 1}],
        }
        if number % 5
        else {},
    )


def contents(path: Path, *, ids: bool = True) -> list[EncodedPair]:
    """Everything in a dataset folder, by id or by content."""
    dataset = ShardDataset(path)
    pairs = [dataset.encoded(index) for index in range(len(dataset))]
    if not ids:
        pairs = [replace(pair, id="", group="") for pair in pairs]
    return sorted(pairs, key=lambda pair: (pair.id, pair.original_image, pair.edited_image))


@pytest.fixture
def full_dataset(tmp_path: Path) -> Path:
    """Twenty pairs of three splits."""
    path = tmp_path / "full"
    with ShardWriter(path, name="full", licence="MIT") as writer:
        for number in range(20):
            writer.add(full_pair(number))
    return path


@pytest.fixture
def file() -> Callable[..., bytes]:
    """`file(seed, format="JPEG", size=(12, 8))`: a picture of random pixels."""
    return picture
