"""What every editor promises: pictures and instructions in, edited pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from PIL import Image
from torch import Tensor

Pictures = TypeVar("Pictures", Tensor, Sequence[Image.Image])
"""Float tensors [B, 3, H, W] in [-1, 1], or PIL pictures of any mode and size."""


@dataclass(frozen=True)
class EditResult(Generic[Pictures]):
    """Edited pictures.

    Args:
        images: of the type that was given. Tensors keep their size; PIL pictures come back at the size that the
            editor works at.
        expressive_instructions: what the model wrote for each picture, if it writes at all.
    """

    images: Pictures
    expressive_instructions: list[str] = field(default_factory=list)


class Editor(Protocol):
    """Edits pictures by instruction."""

    def edit(
        self,
        images: Pictures,
        instructions: Sequence[str],
        *,
        seeds: Sequence[int] | int = 0,
        text_scale: float | None = None,
        image_scale: float | None = None,
        steps: int | None = None,
    ) -> EditResult[Pictures]:
        """Edit B pictures; a result depends on its own picture, instruction and seed, not on the others.

        Args:
            images: B pictures.
            instructions: B commands.
            seeds: one for each picture, or one for all.
            text_scale: s_T; None for the editor's own.
            image_scale: s_I; None for the editor's own.
            steps: sampling steps; None for the editor's own.

        Raises:
            ValueError: numbers that do not agree, or an empty instruction.
        """
        ...


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
