"""Parts of a thing: its sprite, a shirt below a head, a hat or a flag on top."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from ip2p_lightning.world.open.kinds import HATS, KINDS
from ip2p_lightning.world.open.scene import Thing
from ip2p_lightning.world.open.sprites import cut_out, sized
from ip2p_lightning.world.palette import PAINTS, shade

_HEAD = 0.66  # height of a head, of the whole person's
_HAT = {"crown": (0.34, 0.2), "top hat": (0.48, 0.17), "cap": (0.42, 0.3), "straw hat": (0.5, 0.34)}
"""Height of a hat and how deep it sits, as shares of the head's height."""
_FLAG = 0.24
_FACTOR = 4


@dataclass(frozen=True)
class Layer:
    """One part at its place.

    Args:
        rgb: float32 [H, W, 3] in 0..255, times coverage.
        cover: float32 [H, W, 1] in 0..1.
        left, top: pixels on the image.
    """

    rgb: np.ndarray
    cover: np.ndarray
    left: int
    top: int


def box(thing: Thing) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a thing without hat and flag, as shares of the image's side."""
    wide, high = _measures(thing)
    return (thing.x - wide / 2, thing.foot - high, thing.x + wide / 2, thing.foot)


def layers(thing: Thing, size: int, lights: bool) -> list[Layer]:
    """The parts of a thing from back to front, on an image of ``size`` pixels."""
    height = max(2, round(_measures(thing)[1] * size))
    foot, middle = round(thing.foot * size), thing.x * size
    lit = lights and thing.family == "building"
    if thing.family == "person":
        tall = max(2, round(height * _HEAD))
        body = _shirt(thing.colour, thing.shade, max(2, round(height * 0.46)))
        parts = [_put(*body, middle, foot), _put(*_sprite(thing, tall, False), middle, foot - height + tall)]
        head, crown = tall, foot - height
    else:
        parts = [_put(*_sprite(thing, height, lit), middle, foot)]
        head, crown = height, foot - height
    if thing.hat:
        tall, deep = (round(share * head) for share in _HAT[thing.hat])
        parts.append(_put(*sized(HATS[thing.hat], "", 0, False, max(2, tall), False), middle, crown + deep))
    if thing.flag:
        tall = max(4, round(_FLAG * size * thing.extent / 0.5))
        flag = _flag(thing.flag, tall)
        parts.append(_put(*flag, middle + _top(thing) * parts[0].cover.shape[1] + flag[1].shape[1] / 2, crown + 2))
    return parts


def width(kind: str, sprite: str, extent: float) -> float:
    """Width of a thing whose larger side is ``extent``, in the same unit."""
    if KINDS[kind].family == "person":
        return extent * 0.9
    image = cut_out(sprite)
    return extent * image.width / max(image.size)


def _measures(thing: Thing) -> tuple[float, float]:
    wide = width(thing.kind, thing.sprite, thing.extent)
    if thing.family == "person":
        return wide, thing.extent
    image = cut_out(thing.sprite)
    return wide, thing.extent * image.height / max(image.size)


def _sprite(thing: Thing, height: int, lit: bool) -> tuple[np.ndarray, np.ndarray]:
    colour = "" if thing.family == "person" else thing.colour
    return sized(thing.sprite, colour, thing.shade, lit, height, thing.flipped)


def _put(rgb: np.ndarray, cover: np.ndarray, middle: float, foot: int) -> Layer:
    return Layer(rgb, cover, round(middle - cover.shape[1] / 2), foot - cover.shape[0])


@lru_cache(maxsize=512)
def _top(thing: Thing) -> float:
    """Horizontal offset of a building's highest point from its middle, in widths."""
    alpha = np.asarray(cut_out(thing.sprite).getchannel("A"))
    columns = np.nonzero(alpha[:3].max(axis=0) > 128)[0]
    middle = (float(columns.mean()) + 0.5) / alpha.shape[1] - 0.5
    return -middle if thing.flipped else middle


@lru_cache(maxsize=512)
def _shirt(colour: str, tone: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Shoulders in a shirt, rounder towards the sides."""
    width = round(height * 1.75)
    high, wide = height * _FACTOR, width * _FACTOR
    cover = Image.new("L", (wide, high))
    ImageDraw.Draw(cover).rounded_rectangle((0, 0, wide - 1, high * 2), radius=high * 0.72, fill=255)
    across = np.linspace(-1, 1, wide)[None, :, None]
    down = np.linspace(0, 1, high)[:, None, None]
    light = 1.06 + 0.16 * tone - 0.3 * np.clip(across + 0.25, 0, 1.2) ** 2 - 0.22 * down
    rgb = np.clip(np.array(PAINTS[colour]) * light, 0, 255).astype(np.uint8)
    pen = ImageDraw.Draw(picture := Image.fromarray(rgb))
    collar = shade(PAINTS[colour], 0.62)
    pen.ellipse((wide * 0.36, -high * 0.24, wide * 0.64, high * 0.3), fill=collar)
    return _reduced(picture, cover)


@lru_cache(maxsize=256)
def _flag(colour: str, height: int) -> tuple[np.ndarray, np.ndarray]:
    """A pole, and a waving cloth to its right."""
    high, wide = height * _FACTOR, round(height * 0.95) * _FACTOR
    picture, cover = Image.new("RGB", (wide, high)), Image.new("L", (wide, high))
    pens = ImageDraw.Draw(picture), ImageDraw.Draw(cover)
    paint, pole = PAINTS[colour], max(_FACTOR, round(high * 0.07))
    cloth = [(0, 0.02), (0.3, 0.07), (0.65, 0.0), (1, 0.06), (1, 0.6), (0.65, 0.54), (0.3, 0.61), (0, 0.56)]
    points = [(x * wide, y * high) for x, y in cloth]
    fold = [(x * wide, y * high) for x, y in ((0.3, 0.07), (0.65, 0.0), (0.65, 0.54), (0.3, 0.61))]
    for pen, fills in zip(pens, ((paint, shade(paint, 0.82), (84, 72, 70)), (255, 255, 255)), strict=True):
        pen.polygon(points, fill=fills[0])
        pen.polygon(fold, fill=fills[1])
        pen.rectangle((0, 0, pole, high), fill=fills[2])
    return _reduced(picture, cover)


def _reduced(picture: Image.Image, cover: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    picture.putalpha(cover)
    pixels = np.asarray(picture.reduce(_FACTOR))
    small = pixels[..., 3:].astype(np.float32) / 255
    return pixels[..., :3] * small, small
