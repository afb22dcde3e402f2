"""Images redone in another medium: pure functions of PIL RGB images, at any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

Medium = Callable[[Image.Image], Image.Image]


def black_and_white(image: Image.Image) -> Image.Image:
    """Luminance alone."""
    return image.convert("L").convert("RGB")


def sepia(image: Image.Image) -> Image.Image:
    """Luminance in the browns of an old print."""
    return ImageOps.colorize(image.convert("L"), black=(36, 20, 8), mid=(150, 108, 66), white=(255, 240, 208))


def sketch(image: Image.Image) -> Image.Image:
    """Dark pencil lines on white paper where luminance falls, over a faint tone."""
    grey = image.convert("L")
    around = grey.filter(ImageFilter.GaussianBlur(max(1.0, min(image.size) / 60)))
    light, mean = np.asarray(grey, np.float32), np.asarray(around, np.float32)
    lines = np.clip(1 - 2.6 * (1 - (light + 40) / (mean + 40)), 0.1, 1.0)
    paper = 255 * lines * (0.84 + 0.16 * light / 255)
    return Image.fromarray(paper.astype(np.uint8)).convert("RGB")


def mosaic(image: Image.Image, tiles: int = 16) -> Image.Image:
    """Square tiles of one colour each, ``tiles`` along the shorter side."""
    scale = tiles / min(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def painting(image: Image.Image) -> Image.Image:
    """Brush strokes: colours smoothed within edges, dragged along swirls, with the relief of thick paint."""
    smooth = image.filter(ImageFilter.MedianFilter(2 * max(1, round(min(image.size) / 96)) + 1))
    height, width = smooth.height, smooth.width
    side = min(height, width)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / side
    drag = 0.014 * side
    across = columns * side + drag * np.sin(15 * rows + 4 * np.sin(7 * columns))
    down = rows * side + drag * np.sin(13 * columns + 4 * np.sin(6 * rows))
    pixels = np.asarray(smooth)[
        np.clip(down.round().astype(int), 0, height - 1), np.clip(across.round().astype(int), 0, width - 1)
    ]
    strokes = np.sin(2 * np.pi * (11 * rows + 4 * columns) + 3 * np.sin(9 * columns + 5 * rows))
    relief = 1 + 0.14 * strokes * (0.6 + 0.4 * np.sin(40 * columns - 18 * rows))
    vivid = pixels.mean(axis=2, keepdims=True) * -0.25 + pixels * 1.25
    painted = np.clip(vivid * relief[..., None] + 4, 0, 255).astype(np.uint8)
    return ImageChops.lighter(Image.fromarray(painted), Image.new("RGB", smooth.size, (24, 18, 22)))
