"""Edits as one PNG for a README or a slide: rows of original | instruction | our edit | truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from ip2p_lightning.evaluation.result import Example
from ip2p_lightning.lettering import font, wrapped

_PAPER, _INK, _SOFT, _GOOD = "#ffffff", "#1f1d1a", "#6d675e", "#2c7a59"
_GAP, _HEADER, _MARGIN = 14, 34, 20


def edit_grid(
    examples: Sequence[Example],
    side: int = 144,
    text_width: int = 250,
    columns: int = 1,
    others: Mapping[str, Sequence[Image.Image]] | None = None,
) -> Image.Image:
    """Rows of original | instruction and the model's own words | our edit | truth, in one or more columns.

    Args:
        examples: what to show, column by column.
        side: pixels of an image's longer side; smaller ones are enlarged smoothly.
        text_width: pixels for the texts.
        columns: how many rows stand side by side.
        others: name of another editor -> its edits of the examples, shown between ours and the truth.

    Raises:
        ValueError: nothing to show, or another editor without an edit of each example.
    """
    if not examples:
        raise ValueError("there are no examples to draw; evaluate with kept examples first")
    others = others or {}
    for name, edits in others.items():
        if len(edits) != len(examples):
            raise ValueError(f"{name} has {len(edits)} edits for {len(examples)} examples; give one of each")
    pictures = [
        [example.original, example.edited, *(edits[index] for edits in others.values()), example.truth]
        for index, example in enumerate(examples)
    ]
    names = ["original", "instruction", "our edit", *others, "truth"]
    rows = -(-len(examples) // columns)
    cell = ((3 + len(others)) * side + text_width + (3 + len(others)) * _GAP, side + _GAP)
    size = (columns * (cell[0] + 2 * _GAP) - 2 * _GAP + 2 * _MARGIN, rows * cell[1] + _HEADER + 2 * _MARGIN - _GAP)
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column in range(min(columns, len(examples))):
        left = _MARGIN + column * (cell[0] + 2 * _GAP)
        places = _places(left, side, text_width, len(names))
        for name, x in zip(names, places, strict=True):
            lines = wrapped(name, font(14), side, 2)
            draw.text((x, _MARGIN - 17 * (len(lines) - 1)), "\n".join(lines), fill=_SOFT, font=font(14), spacing=3)
        for row, index in enumerate(range(column * rows, min((column + 1) * rows, len(examples)))):
            top = _MARGIN + _HEADER + row * cell[1]
            _draw_text(canvas, examples[index], (places[1], top), side, text_width)
            for x, image in zip([places[0], *places[2:]], pictures[index], strict=True):
                _draw_picture(canvas, image, (x, top), side)
    return canvas


def _places(left: int, side: int, text_width: int, count: int) -> list[int]:
    """Left ends of the original, the text, and the images after it."""
    edited = left + side + text_width + 2 * _GAP
    return [left, left + side + _GAP, *(edited + index * (side + _GAP) for index in range(count - 2))]


def _draw_picture(canvas: Image.Image, image: Image.Image, corner: tuple[int, int], side: int) -> None:
    scale = side / max(image.size)
    shape = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas.paste(image.convert("RGB").resize(shape, Image.Resampling.BICUBIC), corner)


def _draw_text(canvas: Image.Image, example: Example, corner: tuple[int, int], side: int, text_width: int) -> None:
    """The instruction and the model's own words, as many lines of them as fit."""
    left, top = corner
    draw = ImageDraw.Draw(canvas)
    lines = [(line, _INK, 17) for line in wrapped(example.instruction, font(17), text_width)]
    words = [(line, _SOFT, 13) for line in wrapped(example.written_instruction, font(13), text_width) if line]
    if example.text_exact:
        words.append(("= the true one, word for word", _GOOD, 12))
    lines = [*lines, *words]
    while sum(size + 6 for *_, size in lines) > side:
        lines.pop()
    y = top + (side - sum(size + 6 for *_, size in lines)) // 2
    for line, colour, size in lines:
        draw.text((left, y), line, fill=colour, font=font(size))
        y += size + 6
