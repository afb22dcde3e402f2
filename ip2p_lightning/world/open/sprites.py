"""The sprites of the open level: opened from their one file, repainted, resized and turned; each result is kept."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ip2p_lightning.world.palette import PAINTS

FILE = Path(__file__).parent / "sprites" / "sprites.zip"
SIDE = 96
"""Pixels of a sprite's frame in `FILE`."""
_PEOPLE = (5, 4, 91, 90)  # people fill this part of their frames
_HUES = 36
_BAND = 0.09  # hues this near to the main one, of a full turn, belong to what is painted
_WINDOWS = (0.50, 0.62)  # hues of window panes in daylight
_GLOW = (255, 214, 92)
_SHADES = 0.1


@lru_cache(maxsize=1)
def _archive() -> dict[str, bytes]:
    with zipfile.ZipFile(FILE) as archive:
        return {name.removesuffix(".webp"): archive.read(name) for name in archive.namelist()}


def pixel_digest() -> str:
    """SHA-256 of the decoded pixels of every sprite, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(_archive()):
        digest.update(name.encode() + _frame(name).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=512)
def _frame(name: str) -> Image.Image:
    return Image.open(io.BytesIO(_archive()[name]), formats=["WEBP"]).convert("RGBA")


@lru_cache(maxsize=512)
def cut_out(name: str) -> Image.Image:
    """A sprite without the empty margin of its frame, RGBA; people keep one frame, so that hats move no heads."""
    frame = _frame(name)
    if any(f"{tone:x}" in name for tone in range(0x1F3FB, 0x1F400)):
        return frame.crop(_PEOPLE)
    return frame.crop(Image.fromarray(np.asarray(frame.getchannel("A")) > 40).getbbox())


@lru_cache(maxsize=2048)
def painted(name: str, colour: str, shade: int, lit: bool) -> Image.Image:
    """A sprite in another colour.

    Args:
        name: code points.
        colour: of `PAINTS`, for all that has about the sprite's main hue; "" keeps its own.
        shade: -1, 0 or 1: a darker, the usual or a lighter tone of that colour.
        lit: whether its window panes glow.
    """
    image = cut_out(name)
    if not colour and not lit:
        return image
    alpha = image.getchannel("A")
    hsv = np.asarray(image.convert("RGB").convert("HSV"), np.float32) / 255
    rgb = np.asarray(image.convert("RGB"), np.float32)
    if colour:
        rgb = _repaint(rgb, hsv, np.asarray(alpha) > 128, np.array(PAINTS[colour], np.float32), 1 + _SHADES * shade)
    if lit:
        panes = _panes(hsv)[..., None]
        rgb = rgb * (1 - panes) + panes * np.array(_GLOW, np.float32)
    result = Image.fromarray(rgb.clip(0, 255).round().astype(np.uint8))
    result.putalpha(alpha)
    return result


@lru_cache(maxsize=256)
def has_windows(name: str) -> bool:
    """True if a sprite has panes that a person sees glow."""
    image = cut_out(name)
    panes = _panes(np.asarray(image.convert("RGB").convert("HSV"), np.float32) / 255)
    return bool(panes[np.asarray(image.getchannel("A")) > 128].mean() > 0.04)


def _panes(hsv: np.ndarray) -> np.ndarray:
    """Share of each pixel that is window pane, [H, W] in 0..1."""
    hue, saturation = hsv[..., 0], hsv[..., 1]
    inside = (hue > _WINDOWS[0]) & (hue < _WINDOWS[1])
    return np.where(inside, ((saturation - 0.3) / 0.2).clip(0, 1), 0)


def _repaint(rgb: np.ndarray, hsv: np.ndarray, opaque: np.ndarray, paint: np.ndarray, tone: float) -> np.ndarray:
    """Give what has the main hue another colour; its shading, the brightness relative to the mean, stays."""
    hue, saturation = hsv[..., 0], hsv[..., 1]
    weight = saturation * (opaque & (saturation > 0.25))
    counts = np.bincount((hue * _HUES).astype(int).ravel() % _HUES, weight.ravel(), _HUES)
    main = (np.argmax(counts + np.roll(counts, 1) + np.roll(counts, -1)) + 0.5) / _HUES
    distance = np.abs((hue - main + 0.5) % 1 - 0.5)
    part = (((_BAND + 0.04) - distance) / 0.04).clip(0, 1) * ((saturation - 0.2) / 0.15).clip(0, 1)
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    mean = (grey * part * opaque).sum() / max(1e-6, (part * opaque).sum())
    relief = ((grey - mean) / mean)[..., None]
    new = paint * tone * (1 + 0.75 * np.minimum(relief, 0)) + (255 - paint * min(tone, 1)) * np.maximum(relief, 0) * 0.6
    return rgb * (1 - part[..., None]) + new * part[..., None]


@lru_cache(maxsize=8192)
def sized(name: str, colour: str, shade: int, lit: bool, height: int, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
    """A sprite as it is pasted.

    Args:
        name: code points.
        colour: see `painted`.
        shade: see `painted`.
        lit: see `painted`.
        height: in pixels; the width follows.
        flipped: mirrored.

    Returns:
        float32 RGB [H, W, 3] in 0..255, times its coverage; coverage [H, W, 1] in 0..1. Not to be written to.
    """
    image = painted(name, colour, shade, lit)
    width = max(1, round(image.width * height / image.height))
    if flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(
        image.resize((width, height), Image.Resampling.BOX if height < 96 else Image.Resampling.BICUBIC)
    )
    cover = pixels[..., 3:].astype(np.float32) / 255
    cover[cover < 0.02] = 0
    return pixels[..., :3] * cover, cover
