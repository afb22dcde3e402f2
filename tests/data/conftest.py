"""Small pairs of random pixels and a dataset folder made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.shards import ShardWriter

KINDS = ("recolour", "season", "remove")


def noise(seed: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def noise_pair(number: int, size: tuple[int, int] = (16, 16)) -> EditPair:
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return EditPair(
        id=f"pair/{number}",
        original_image=noise(2 * number, size),
        edited_image=noise(2 * number + 1, size),
        instruction=f"do number {number}",
        expressive_instruction=f"number {number} with ünïcode",
        original_caption="before",
        edited_caption="after",
        kind=KINDS[number % 3],
        group=f"group {number // 2}",
        mask=mask if number % 2 else None,
        metadata={"seed": number, "threshold": 0.5, "scores": {"clip_image": number / 100}, "note": ["x", 1]},
    )


class NoisePairs:
    """A source of random pixels."""

    name, licence = "noise", "CC0-1.0"

    def __init__(self, count: int, size: tuple[int, int] = (16, 16), start: int = 0) -> None:
        self.count, self.size, self.start = count, size, start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> EditPair:
        return noise_pair(self.start + index, self.size)

    def fingerprint(self) -> str:
        return f"{self.count} {self.size} {self.start}"


@pytest.fixture
def pairs() -> Callable[..., NoisePairs]:
    return NoisePairs


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder of 100 pairs in several shards: 80 train, 10 validation, 10 test."""
    path = tmp_path / "dataset"
    with ShardWriter(path, name="noise", licence="CC0-1.0", max_shard_bytes=60_000) as writer:
        for number in range(100):
            writer.add(noise_pair(number), "train" if number < 80 else "validation" if number < 90 else "test")
    return path
