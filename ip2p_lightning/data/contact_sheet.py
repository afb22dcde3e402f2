"""One image of many pairs: original and edited side by side, the instruction underneath."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.lettering import font, wrapped

_PAPER, _FRAME, _EDGE, _INK, _FAINT = "#ffffff", "#f1f1ef", "#dededb", "#1c1c1a", "#7a7a76"
_MARGIN, _GAP, _LINES = 28, 6, 3


def contact_sheet(pairs: Sequence[EditPair], *, title: str = "", columns: int = 3, side: int = 192) -> Image.Image:
    """Draw pairs of PIL images in a grid.

    Args:
        pairs: at least one.
        title: a line over the grid.
        columns: pairs in a row.
        side: images are fitted into squares of this many pixels; small ones are enlarged without smoothing.

    Raises:
        ValueError: no pairs.
    """
    if not pairs:
        raise ValueError("a contact sheet needs at least one pair")
    columns = min(columns, len(pairs))
    text_size = max(12, side // 13)
    rows = [[_card(pair, side, text_size) for pair in pairs[i : i + columns]] for i in range(0, len(pairs), columns)]
    heights = [max(card.height for card in row) for row in rows]
    top = _MARGIN + (3 * text_size if title else 0)
    width = columns * (rows[0][0].width + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, top + sum(heights) + len(rows) * _MARGIN), _PAPER)
    if title:
        ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN - 6), title, _INK, font(round(text_size * 1.25), bold=True))
    for row, height in zip(rows, heights, strict=True):
        for column, card in enumerate(row):
            sheet.paste(card, (_MARGIN + column * (card.width + _MARGIN), top))
        top += height + _MARGIN
    return sheet


def _card(pair: EditPair, side: int, text_size: int) -> Image.Image:
    """A pair and its texts."""
    bold, small, line = font(text_size, bold=True), font(round(text_size * 0.8)), round(text_size * 1.4)
    width = 2 * side + _GAP
    instruction = wrapped(pair.instruction, bold, width, _LINES)
    label = wrapped(" · ".join(filter(None, (pair.kind, pair.id))), small, width, 1)[0]
    card = Image.new("RGB", (width, side + 8 + (len(instruction) + 1) * line), _PAPER)
    draw = ImageDraw.Draw(card)
    card.paste(_fitted(pair.original_image, side), (0, 0))  # type: ignore[arg-type]
    card.paste(_fitted(pair.edited_image, side), (side + _GAP, 0))  # type: ignore[arg-type]
    for number, words in enumerate(instruction):
        draw.text((0, side + 8 + number * line), words, _INK, bold)
    draw.text((0, side + 8 + len(instruction) * line), label, _FAINT, small)
    return card


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """The image in the middle of a square, as large as it fits."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    square = Image.new("RGB", (side, side), _FRAME)
    square.paste(image.resize(size, smooth), ((side - size[0]) // 2, (side - size[1]) // 2))
    ImageDraw.Draw(square).rectangle((0, 0, side - 1, side - 1), outline=_EDGE)
    return square
