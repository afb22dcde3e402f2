"""The check of instructions, the same for editors and pipelines."""

from __future__ import annotations

from collections.abc import Sequence


def check_instructions(instructions: Sequence[str], images: int) -> None:
    """One instruction that is not empty for each image.

    Raises:
        ValueError: another number, or an empty instruction; says which.
    """
    if isinstance(instructions, str) or len(instructions) != images:
        count = "one text" if isinstance(instructions, str) else f"{len(instructions)} instructions"
        raise ValueError(f"{images} images and {count}: give a list with one instruction for each image")
    for index, instruction in enumerate(instructions):
        if not instruction.strip():
            raise ValueError(
                f"instruction {index + 1} of {len(instructions)} is empty; say what to change, for example "
                "'make it winter'"
            )
