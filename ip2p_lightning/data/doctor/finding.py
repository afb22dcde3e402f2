"""A fault of a pair, and the kinds of faults there are."""

from __future__ import annotations

from dataclasses import dataclass

KINDS: dict[str, str] = {
    "unusable": "the row cannot be read: a missing partner, images of different sizes, a damaged file",
    "swapped": "original and edited image seem to be exchanged",
    "misaligned": "what should stay has moved: shift, zoom, rotation",
    "stretched": "the edited image has another aspect ratio than the original",
    "duplicate": "the same images are another pair's, too",
    "leak": "the same original is in another split, too",
    "unchanged": "the edited image is the original",
    "text": "the instruction is empty, is no instruction, or seems to be another pair's",
    "small": "the images are below the resolution of training",
}
"""Kind -> what it means."""


@dataclass(frozen=True)
class Finding:
    """One fault.

    Args:
        id: of the pair; file and row where there is no pair; "" for the set as a whole.
        kind: one of `KINDS`.
        detail: what was found, with its measure.
        remedy: what to do about it.
    """

    id: str
    kind: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.id or 'all pairs'}: {self.kind}: {self.detail}{f'; {self.remedy}' if self.remedy else ''}"
