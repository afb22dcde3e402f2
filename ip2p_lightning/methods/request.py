"""The check of a request to edit, the same for every editor and pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor


def check_request(images: Tensor | Sequence[Image.Image], instructions: Sequence[str], seeds: int | Sequence[int]) -> (
    list[int]
):  # fmt: skip
    """The seeds, one for each picture.

    Raises:
        ValueError: numbers that do not agree, or an empty instruction.
    """
    if isinstance(instructions, str):
        raise ValueError(f"instructions must be a list with one text for each picture, got {instructions!r} itself")
    seeds = [seeds] * len(images) if isinstance(seeds, int) else list(seeds)
    if not len(images) == len(instructions) == len(seeds):
        raise ValueError(
            f"{len(images)} pictures, {len(instructions)} instructions and {len(seeds)} seeds: give one of each for "
            "every edit (repeat a picture to edit it in several ways)"
        )
    for index, instruction in enumerate(instructions):
        if not instruction.strip():
            raise ValueError(
                f"instruction {index + 1} of {len(instructions)} is empty; say what to change, for example "
                "'make it winter'"
            )
    return seeds
