"""Edits as one PNG for a README or a slide: rows of original | instruction | our edit | truth."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ip2p_lightning.evaluation.result import Example

_PAPER, _INK, _SOFT, _GOOD = "#ffffff", "#1f1d1a", "#6d675e", "#2c7a59"
_GAP, _HEADER, _MARGIN = 14, 34, 20


def edit_grid(examples: Sequence[Example], side: int = 144, text_width: int = 250, columns: int = 1) -> Image.Image:
    """Rows of original | instruction and the model's own words | our edit | truth, in one or more columns.

    Args:
        examples: what to show, column by column.
        side: pixels of a picture's longer side; smaller ones are enlarged smoothly.
        text_width: pixels for the texts.
        columns: how many rows stand side by side.

    Raises:
        ValueError: nothing to show.
    """
    if not examples:
        raise ValueError("there are no examples to draw; evaluate with kept examples first")
    rows = -(-len(examples) // columns)
    cell = (3 * side + text_width + 3 * _GAP, side + _GAP)
    size = (columns * (cell[0] + 2 * _GAP) - 2 * _GAP + 2 * _MARGIN, rows * cell[1] + _HEADER + 2 * _MARGIN - _GAP)
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column in range(min(columns, len(examples))):
        left = _MARGIN + column * (cell[0] + 2 * _GAP)
        for name, x in _places(left, side, text_width).items():
            draw.text((x, _MARGIN), name, fill=_SOFT, font=_font(14))
        for row, example in enumerate(examples[column * rows : (column + 1) * rows]):
            _draw_row(canvas, example, (left, _MARGIN + _HEADER + row * cell[1]), side, text_width)
    return canvas


def _places(left: int, side: int, text_width: int) -> dict[str, int]:
    text = left + side + _GAP
    edited = text + text_width + _GAP
    return {"original": left, "instruction": text, "our edit": edited, "truth": edited + side + _GAP}


def _draw_row(canvas: Image.Image, example: Example, corner: tuple[int, int], side: int, text_width: int) -> None:
    left, top = corner
    places = _places(left, side, text_width)
    for name, image in (("original", example.original), ("our edit", example.edited), ("truth", example.truth)):
        scale = side / max(image.size)
        shape = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        canvas.paste(image.convert("RGB").resize(shape, Image.Resampling.BICUBIC), (places[name], top))
    draw = ImageDraw.Draw(canvas)
    lines = [(line, _INK, 17) for line in _wrapped(draw, example.instruction, _font(17), text_width)]
    words = [(line, _SOFT, 13) for line in _wrapped(draw, example.written_instruction, _font(13), text_width)]
    if example.text_exact:
        words.append(("= the true one, word for word", _GOOD, 12))
    lines = [*lines, *words]
    while sum(size + 6 for *_, size in lines) > side:
        lines.pop()
    y = top + (side - sum(size + 6 for *_, size in lines)) // 2
    for line, colour, size in lines:
        draw.text((places["instruction"], y), line, fill=colour, font=_font(size))
        y += size + 6


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines no wider than `width` pixels (a longer word stands alone)."""
    lines: list[str] = []
    for word in text.split():
        if lines and draw.textlength(f"{lines[-1]} {word}", font=font) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's own font, given FreeType, which its wheels contain
    return font
