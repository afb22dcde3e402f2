"""A scene's image: things and their shadows, pasted into the backdrop in the light of the hour; and what they cover."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image

from ip2p_lightning.world.canvas import Brush, Canvas
from ip2p_lightning.world.open.backdrop import backdrop
from ip2p_lightning.world.open.parts import Layer, box, layers
from ip2p_lightning.world.open.scene import OpenScene, Thing
from ip2p_lightning.world.palette import LIGHT

_SHADOW = {"clear": 0.42, "cloudy": 0.28, "rainy": 0.26, "snowy": 0.26, "foggy": 0.2}
"""Darkness of a shadow in its middle."""
_LENGTH = {"day": 0.25, "dawn": 0.8, "sunset": 0.8, "night": 0.3}
"""Shift of shadows by a sun at the side, to the other side, in widths."""
_UNSHADED = ("sky", "boat", "worker", "person")


def draw(scene: OpenScene, size: int = 64) -> Image.Image:
    """Paint a scene: RGB of ``size`` x ``size`` pixels.

    Raises:
        ValueError: ``size`` below 16.
    """
    if size < 16:
        raise ValueError(f"size is {size}, but nothing of an open scene is visible below 16 pixels; ask for 16 or more")
    picture = backdrop(scene, size).copy()
    gain, offset = (np.array(values, np.float32) for values in LIGHT[scene.time])
    for thing in _ordered(scene):
        for shadow in _shadow(thing, scene, size):
            _blend(picture, shadow)
        for layer in layers(thing, size, scene.lights):
            lit = Layer(layer.rgb * gain + offset * layer.cover, layer.cover, layer.left, layer.top)
            _blend(picture, lit)
    if scene.weather in ("rainy", "snowy"):
        cover = _fall(scene.weather, scene.surroundings.fall, size)
        colour = (190, 212, 240) if scene.weather == "rainy" else (250, 252, 255)
        picture = picture * (1 - cover) + np.array(colour, np.float32) * cover
    return Image.fromarray(picture.clip(0, 255).round().astype(np.uint8))


def coverage(scene: OpenScene, things: Iterable[Thing], size: int = 64, shadows: bool = True) -> np.ndarray:
    """Coverage of each pixel by the given things of a scene, with their shadows: float32 [size, size] in 0..1."""
    free = np.ones((size, size, 1), np.float32)
    for thing in things:
        parts = layers(thing, size, scene.lights) + (_shadow(thing, scene, size) if shadows else [])
        for layer in parts:
            window, part = _window(free, layer)
            window *= 1 - part.cover
    return 1 - free[..., 0]


def _ordered(scene: OpenScene) -> list[Thing]:
    """From far to near."""
    return sorted(scene.things, key=lambda thing: (thing.family in ("worker", "person"), thing.foot, thing.x))


def _blend(picture: np.ndarray, layer: Layer) -> None:
    window, part = _window(picture, layer)
    window *= 1 - part.cover
    window += part.rgb


def _window(picture: np.ndarray, layer: Layer) -> tuple[np.ndarray, Layer]:
    """The part of an image that a layer lies on, and the part of the layer that lies on the image."""
    size = picture.shape[0]
    high, wide = layer.cover.shape[:2]
    top, left = max(0, layer.top), max(0, layer.left)
    rows, columns = (
        slice(top - layer.top, min(high, size - layer.top)),
        slice(left - layer.left, min(wide, size - layer.left)),
    )
    window = picture[top : max(top, layer.top + rows.stop), left : max(left, layer.left + columns.stop)]
    return window, Layer(layer.rgb[rows, columns], layer.cover[rows, columns], left, top)


def _shadow(thing: Thing, scene: OpenScene, size: int) -> list[Layer]:
    if thing.family in _UNSHADED:
        return []
    left, _, right, foot = box(thing)
    wide, high = max(4, round((right - left) * size * 1.25)), max(3, round((right - left) * size * 0.3))
    dark, cover = _blot(wide, high, _SHADOW[scene.weather])
    shift = -scene.surroundings.sun * _LENGTH[scene.time] * (right - left)
    return [Layer(dark, cover, round((thing.x + shift) * size - wide / 2), round(foot * size - high * 0.62))]


@lru_cache(maxsize=512)
def _blot(wide: int, high: int, dark: float) -> tuple[np.ndarray, np.ndarray]:
    across, down = np.linspace(-1, 1, wide)[None], np.linspace(-1, 1, high)[:, None]
    cover = dark * np.clip(1.25 * (1 - (across**2 + down**2)), 0, 1)[..., None].astype(np.float32)
    return np.array((18, 20, 44), np.float32) * cover, cover


@lru_cache(maxsize=512)
def _fall(weather: str, seed: int, size: int) -> np.ndarray:
    """Coverage of each pixel by rain or snow, float32 [size, size, 1]."""
    canvas, rng = Canvas(size), Random(seed)
    brush = Brush(canvas, 0.5, 1.0, 1.0)
    for index in range(44 if weather == "rainy" else 34):
        x, y = rng.uniform(-0.53, 0.5), rng.uniform(-0.05, 1)
        if weather == "rainy":
            brush.line([(x, y), (x + 0.024, y + 0.08)], 0.012, (255, 255, 255))
        else:
            brush.disc(x, y, (0.013, 0.018, 0.022)[index % 3], (255, 255, 255))
    return np.asarray(canvas.finish(), np.float32)[..., None] / 255


def uncommon(one: OpenScene, other: OpenScene, size: int) -> np.ndarray:
    """Mask of layers that only one of two scenes has, bool [size, size]; both have the same backdrop."""
    found, mine, theirs = np.zeros((size, size), bool), _all_layers(one, size), _all_layers(other, size)
    for ours, rest in ((mine, theirs), (theirs, mine)):
        for layer in ours:
            if not any(_same(layer, known) for known in rest):
                window, part = _window(found, layer)
                window |= part.cover[..., 0] > 0
    return found


def _all_layers(scene: OpenScene, size: int) -> list[Layer]:
    return [
        layer for thing in scene.things for layer in (*_shadow(thing, scene, size), *layers(thing, size, scene.lights))
    ]


def _same(one: Layer, other: Layer) -> bool:
    place = (one.left, one.top) == (other.left, other.top)
    return place and np.array_equal(one.rgb, other.rgb) and np.array_equal(one.cover, other.cover)
