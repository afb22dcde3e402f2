"""An image next to its edits: a contact sheet, and an animation that changes between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from PIL import Image, ImageDraw

from ip2p_lightning.data.images import as_rgb
from ip2p_lightning.files import write_whole

_SIDE, _GAP, _LINE, _COLUMNS = 256, 8, 16, 4
_SECONDS = 0.8


def sheet(images: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    """All images in rows of four, each over its label.

    Args:
        images: at least one.
        labels: one for each; cut to the width of a cell.
    """
    columns, rows = min(len(images), _COLUMNS), -(-len(images) // _COLUMNS)
    width, height = _SIDE + _GAP, _SIDE + _LINE + _GAP
    whole = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    pen = ImageDraw.Draw(whole)
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = _GAP + place % _COLUMNS * width, _GAP + place // _COLUMNS * height
        small = _thumbnail(image)
        whole.paste(small, (left + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2))
        while pen.textlength(label) > _SIDE:
            label = f"{label.rstrip('.')[:-1]}..."
        pen.text((left, top + _SIDE + 2), label, fill="black")
    return whole


def animation(images: Sequence[Image.Image], path: Path) -> Path:
    """An endless WebP animation of images of one size or several, the first one's shape; returns the path."""
    first = _thumbnail(images[0], 2 * _SIDE)
    frames = [_thumbnail(image, 2 * _SIDE).resize(first.size) for image in images]

    def save(file: IO[bytes]) -> None:
        frames[0].save(
            file, "WEBP", save_all=True, append_images=frames[1:], duration=int(1000 * _SECONDS), loop=0, quality=90
        )

    write_whole(path, save)
    return path


def _thumbnail(image: Image.Image, side: int = _SIDE) -> Image.Image:
    small = as_rgb(image).copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    if max(small.size) < side:
        scale = side / max(small.size)
        size = (max(1, round(small.width * scale)), max(1, round(small.height * scale)))
        small = small.resize(size, Image.Resampling.NEAREST)
    return small
