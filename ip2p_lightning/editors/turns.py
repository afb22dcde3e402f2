"""The turns of a conversation, and what somebody said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL import Image

from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.strength import at_strength


@dataclass(frozen=True, eq=False)
class Turn:
    """One edit of a conversation.

    Args:
        number: 1, 2, ... in the order in which they were made.
        parent: number of the turn whose image it edits; 0 for the original.
        ask: number of the first turn of the same instruction for the same image: those of one `ask` are alternatives.
        instruction: what was asked for.
        before: image that is edited, RGB or RGBA.
        edited: the same after the edit, at full strength.
        seed: of the noise.
        strength: see `at_strength`.
        sampling: overrides of the editor's steps and scales.
        mask: see `EditRequest`.
        expressive_instruction: what the model wrote, or was given; "" for models that write none.
        by_hand: whether the expressive instruction was given.
        notes: see `EditResult`.
    """

    number: int
    parent: int
    ask: int
    instruction: str
    before: Image.Image
    edited: Image.Image
    seed: int = 0
    strength: float = 1.0
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    mask: Image.Image | None = None
    expressive_instruction: str = ""
    by_hand: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def image(self) -> Image.Image:
        """The edited image at its strength."""
        return at_strength(self.before, self.edited, self.strength)

    @property
    def settings(self) -> dict[str, Any]:
        """Options of `Editor.edit` that repeat this turn's edit of its image; without the mask."""
        options: dict[str, Any] = {"instruction": self.instruction, "seed": self.seed, **self.sampling.given()}
        if self.strength != 1:
            options["strength"] = round(self.strength, 4)
        if self.by_hand:
            options["expressive_instruction"] = self.expressive_instruction
        return options


@dataclass(frozen=True)
class Preference:
    """A preference: one turn over others, or one alone as good (no others) or as bad (none chosen).

    Args:
        chosen: number of the preferred turn; None if none is.
        rejected: numbers of those it was preferred to.
        time: when, ISO 8601 in UTC.
    """

    chosen: int | None
    rejected: tuple[int, ...]
    time: str


@dataclass(frozen=True)
class Content:
    """All that a conversation holds.

    Args:
        name: of the editor; "" if unknown.
        original: RGB or RGBA.
        turns: number 1 first.
        visited: numbers of the turns that were looked at, 0 for the original, as `undo` and `redo` go through them.
        place: in `visited` of the current one.
        preferences: in order.
    """

    name: str
    original: Image.Image
    turns: Sequence[Turn]
    visited: Sequence[int]
    place: int
    preferences: Sequence[Preference]
