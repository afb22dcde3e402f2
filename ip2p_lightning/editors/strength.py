"""Weaker and stronger edits: from the input towards the result, and beyond it.

An edit at strength s is input + s (result - input), clipped to what an image can hold. It costs no evaluation of a
model, works with every editor, and leaves what the edit did not touch exactly as it was. On held-out edits of the
shipped models it keeps the rest better than text scales do (`benchmarks/strength.py`).
"""

from __future__ import annotations

from PIL import Image
from torch import Tensor

STEP = 4 / 3
"""Factor of one "stronger"; "less" divides by it, so that each takes the other back."""
WEAKEST, STRONGEST = 0.05, 2.0
"""Beyond twice its change, an edit is mostly clipped colours."""


def checked_strength(strength: float) -> float:
    """A strength within its range.

    Raises:
        TypeError: no number.
        ValueError: out of range.
    """
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise TypeError(f"strength={strength!r} must be a number")
    if not WEAKEST <= strength <= STRONGEST:
        raise ValueError(f"strength={strength:g} must be between {WEAKEST} and {STRONGEST:g}; 1 is the edit as it is")
    return float(strength)


def at_strength(before: Image.Image, after: Image.Image, strength: float) -> Image.Image:
    """The edit of an image, weakened (below 1) or exaggerated (above); `after`'s profile and EXIF data stay.

    Args:
        before: RGB or RGBA.
        after: of the same mode and size.
        strength: 1 for `after` itself.
    """
    if strength == 1:
        return after
    result = Image.blend(before, after, strength)
    result.info |= {key: after.info[key] for key in ("icc_profile", "exif") if key in after.info}
    return result


def tensor_at_strength(before: Tensor, after: Tensor, strength: float) -> Tensor:
    """`at_strength` for tensors in [-1, 1]."""
    return after if strength == 1 else (before + strength * (after - before)).clamp(-1, 1)
