"""Pairs that are corrupted on purpose, so that it is known which are wrong: to test filters, to study what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from PIL import Image

MISTAKE = "mistake"
"""Key of a pair's metadata: one of `MISTAKES`, or `RIGHT`."""
RIGHT = "right"
NO_EDIT, UNRELATED, WRONG_EDIT = "no edit", "unrelated", "wrong edit"
MISTAKES = (NO_EDIT, UNRELATED, WRONG_EDIT)
"""Images in the place of the edited one: the original (as where Prompt-to-Prompt kept too much of it), the edited image
of another pair (as where it kept too little), or another edit of the same original."""


class Mistakes:
    """Rates of mistakes.

    Args:
        rates: mistake -> share of the pairs; the others are right.
        possible: those of `MISTAKES` that the maker of the pairs can make.

    Raises:
        ValueError: a mistake that is not possible, or rates that are no shares.
    """

    def __init__(self, rates: Mapping[str, float], possible: Sequence[str] = MISTAKES) -> None:
        if unknown := sorted(set(rates) - set(possible)):
            raise ValueError(f"rates: {unknown} cannot be made here; choose from {list(possible)}")
        if min(rates.values(), default=0) < 0 or sum(rates.values()) > 1:
            raise ValueError(f"rates={dict(rates)} must not be negative and sum to at most 1")
        self.rates = dict(rates)

    def __str__(self) -> str:
        return ", ".join(f"{name} {rate:g}" for name, rate in self.rates.items())

    def draw(self, random: Random) -> str:
        """One of `rates`, or `RIGHT`; takes one number of `random`."""
        position = random.random()
        for name, rate in self.rates.items():
            if position < rate:
                return name
            position -= rate
        return RIGHT


def shown(mistake: str, original: Image.Image, edited: Image.Image, other: Callable[[], Image.Image]) -> Image.Image:
    """The image that a pair shows as its edited one.

    Args:
        mistake: one of `MISTAKES`, or `RIGHT`.
        original: of the right pair.
        edited: of the right pair.
        other: gives the image of another pair or another edit, as the mistake asks; called only if it does.
    """
    if mistake == RIGHT:
        return edited
    return original if mistake == NO_EDIT else other()
