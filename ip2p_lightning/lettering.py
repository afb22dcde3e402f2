"""Text on images: one font for all sheets and grids, and lines that fit a width."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@lru_cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Matplotlib's own DejaVu Sans: always installed, and it has Greek, Cyrillic and more.

    Args:
        size: in pixels.
        bold: the bold cut.
    """
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def wrapped(text: str, letters: ImageFont.FreeTypeFont, width: int, limit: int | None = None) -> list[str]:
    """Break a text into lines of at most `width` pixels; [""] for no text.

    Args:
        text: words; white space counts as one space.
        letters: the font.
        width: of a line, in pixels; a longer word is broken.
        limit: lines at most, the last of which ends in an ellipsis if something is left over; None for all.
    """
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest and len(lines) != limit:
        end = min(len(rest), width)  # no letter is narrower than a pixel
        last = len(lines) + 1 == limit
        while end > 1 and letters.getlength(rest[:end] + ("…" if last and end < len(rest) else "")) > width:
            space = rest.rfind(" ", 0, end)
            end = space if space > 0 else end - 1
        lines.append(rest[:end] + ("…" if last and end < len(rest) else ""))
        rest = rest[end:].lstrip()
    return lines or [""]
