"""Operations of photo editing as pure functions of PIL RGB images, at any size."""

from __future__ import annotations

from PIL import Image, ImageEnhance, ImageFilter

STRENGTHS = {"a bit": 0.65, "": 1.0, "much": 1.7}
"""Strength word -> factor of an operation's usual amount."""


def brightness(image: Image.Image, amount: float) -> Image.Image:
    """Multiply all light by ``2 ** amount``: 1 doubles it, -1 halves it."""
    return ImageEnhance.Brightness(image).enhance(2.0**amount)


def contrast(image: Image.Image, amount: float) -> Image.Image:
    """Multiply the distance from the mean grey by ``2 ** amount``."""
    return ImageEnhance.Contrast(image).enhance(2.0**amount)


def saturation(image: Image.Image, amount: float) -> Image.Image:
    """Multiply the distance from grey of the same luminance by ``2 ** amount``."""
    return ImageEnhance.Color(image).enhance(2.0**amount)


def blur(image: Image.Image, amount: float) -> Image.Image:
    """Gaussian blur with a radius of ``amount`` 40ths of the shorter side."""
    return image.filter(ImageFilter.GaussianBlur(amount * min(image.size) / 40))


def zoom(image: Image.Image, left: float, top: float, share: float) -> Image.Image:
    """Crop and enlarge to the old size: ``share`` of each side, from (left, top), all from 0 to 1.

    Raises:
        ValueError: a crop that reaches outside the image.
    """
    if not (0 < share <= 1 and 0 <= left <= 1 - share + 1e-9 and 0 <= top <= 1 - share + 1e-9):
        raise ValueError(f"crop of {share} from ({left}, {top}) reaches outside the image; keep within 0 to 1")
    width, height = image.size
    box = (left * width, top * height, (left + share) * width, (top + share) * height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def turn(image: Image.Image, quarters: int) -> Image.Image:
    """Rotate counter-clockwise by quarter turns; an oblong image is scaled back to its old size."""
    method = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
    turned = image if quarters % 4 == 0 else image.transpose(method[quarters % 4])
    return turned if turned.size == image.size else turned.resize(image.size, Image.Resampling.BICUBIC)


def mirror(image: Image.Image, upside_down: bool = False) -> Image.Image:
    """Swap left and right, or top and bottom."""
    flip = Image.Transpose.FLIP_TOP_BOTTOM if upside_down else Image.Transpose.FLIP_LEFT_RIGHT
    return image.transpose(flip)
