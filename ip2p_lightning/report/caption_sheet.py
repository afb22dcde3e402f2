"""Images under the captions they were made of, as one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ip2p_lightning.lettering import font, wrapped

_GAP, _LINE = 6, 13


def caption_sheet(
    rows: Sequence[Sequence[Image.Image]], captions: Sequence[str], side: int = 128, columns: int = 8
) -> Image.Image:
    """Cells in rows, each with its images side by side over its caption.

    Args:
        rows: images of each caption, such as [low-resolution input, sample, truth]; equally many of each.
        captions: one for each cell.
        side: pixels of an image on the sheet; small ones are enlarged pixel by pixel.
        columns: cells in a row.

    Raises:
        ValueError: no cells, or numbers that differ.
    """
    if not rows or len(rows) != len(captions) or len({len(row) for row in rows}) != 1:
        raise ValueError(f"{len(rows)} cells and {len(captions)} captions make no sheet; give one caption a cell")
    columns = min(columns, len(rows))
    width = len(rows[0]) * side
    letters = font(10)
    lines = [wrapped(caption, letters, width) for caption in captions]
    height = side + _LINE * max(map(len, lines)) + 2 * _GAP
    sheet = Image.new("RGB", (columns * (width + 2 * _GAP), height * -(-len(rows) // columns)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (images, text) in enumerate(zip(rows, lines, strict=True)):
        left, top = _GAP + number % columns * (width + 2 * _GAP), _GAP + number // columns * height
        for place, image in enumerate(images):
            kind = Image.Resampling.NEAREST if image.width <= side else Image.Resampling.LANCZOS
            sheet.paste(image.convert("RGB").resize((side, side), kind), (left + place * side, top))
        pen.text((left, top + side + 2), "\n".join(text), "#1c1c1a", letters, spacing=2)
    return sheet
