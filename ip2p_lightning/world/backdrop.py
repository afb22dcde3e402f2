"""Sky, far background and ground of a scene: all that lies behind the things."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image

from ip2p_lightning.world.canvas import Brush, Canvas, supersampling
from ip2p_lightning.world.palette import LIGHT, SNOW, Colour, shade
from ip2p_lightning.world.scene import Scene
from ip2p_lightning.world.weather import fog

HORIZON = 0.60
SKY: dict[str, tuple[Colour, Colour]] = {
    "day": ((70, 150, 236), (196, 228, 250)),
    "dawn": ((150, 150, 214), (255, 214, 196)),
    "sunset": ((104, 58, 132), (255, 146, 58)),
    "night": ((22, 28, 78), (64, 76, 142)),
}
OVERCAST: dict[str, tuple[Colour, Colour]] = {
    "day": ((150, 164, 178), (214, 220, 226)),
    "dawn": ((160, 150, 172), (224, 204, 204)),
    "sunset": ((104, 74, 104), (214, 134, 96)),
    "night": ((44, 48, 72), (84, 90, 116)),
}
CLOUD: dict[str, Colour] = {
    "day": (244, 246, 248),
    "dawn": (248, 224, 226),
    "sunset": (226, 138, 128),
    "night": (112, 118, 148),
}
GROUND: dict[str, Colour] = {
    "spring": (158, 214, 92),
    "summer": (66, 156, 62),
    "autumn": (214, 142, 46),
    "winter": SNOW,
}
FAR: dict[str, Colour] = {
    "spring": (118, 186, 96),
    "summer": (40, 122, 62),
    "autumn": (176, 96, 40),
    "winter": (206, 220, 234),
}


def backdrop(scene: Scene, size: int) -> Image.Image:
    """A fresh supersampled RGB image of the scene without its things, to draw on."""
    paint = _cached if size <= 64 else _paint
    return paint(*scene.backdrop, size).copy()


def _paint(time: str, season: str, weather: str, background: str, size: int) -> Image.Image:
    side = size * supersampling(size)
    top, bottom = (SKY if weather == "clear" else OVERCAST)[time]
    if weather == "rainy":
        top, bottom = shade(top, 0.66), shade(bottom, 0.8)
    canvas = Canvas(size, _gradient(top, bottom, side), LIGHT[time])
    brush = Brush(canvas, 0.5, 1.0, 1.0)
    _lights_of_the_sky(brush, time, weather)
    if weather not in ("clear", "foggy"):
        _clouds(brush, shade(CLOUD[time], 0.7 if weather == "rainy" else 1.0))
    {"hills": _hills, "mountains": _mountains, "sea": _sea, "city": _city, "forest": _forest}[background](brush, season)
    _ground(brush, season, low=background == "sea")
    return fog(canvas.image, time) if weather == "foggy" else canvas.image


_cached = lru_cache(maxsize=1024)(_paint)  # at most 110 kB each


def _gradient(top: Colour, bottom: Colour, side: int) -> Image.Image:
    rows = np.clip(np.linspace(0, 1 / HORIZON, side), 0, 1)[:, None]
    column = np.array(top) * (1 - rows) + np.array(bottom) * rows
    return Image.fromarray(np.repeat(column.round().astype(np.uint8)[:, None], side, axis=1))


def _lights_of_the_sky(brush: Brush, time: str, weather: str) -> None:
    """Sun, moon and stars; x from -0.5 to 0.5 and y from 0 to 1 above the image's lower edge."""
    if time == "night":
        if weather == "clear":
            for index in range(18):
                x, y = (index * 0.755) % 1 - 0.5, 0.6 + (index * 0.57) % 1 * 0.38
                brush.disc(x, y, 0.009, (255, 250, 220), glowing=True)
        brush.disc(0.0, 0.84, 0.085, (250, 246, 214), glowing=True)
        brush.disc(0.03, 0.86, 0.016, (222, 216, 184), glowing=True)
        brush.disc(-0.03, 0.82, 0.022, (222, 216, 184), glowing=True)
    elif weather == "clear":
        low = time != "day"
        x, y, radius = (0.0, 0.5, 0.15) if low else (0.0, 0.85, 0.085)
        sun(brush, x, y, radius, time)


def sun(brush: Brush, x: float, y: float, radius: float, time: str) -> None:
    """Draw the sun with its halo in the colours of a time of day."""
    inner = {"day": (255, 236, 110), "sunset": (255, 214, 92), "dawn": (255, 244, 206)}[time]
    halo = {"day": (160, 206, 244), "sunset": (255, 176, 74), "dawn": (255, 226, 200)}[time]
    brush.disc(x, y, radius * 1.35, halo, glowing=True)
    brush.disc(x, y, radius, inner, glowing=True)


def cloud(brush: Brush, x: float, y: float, scale: float, colour: Colour) -> None:
    """Draw a cloud around (x, y), `scale` times its usual size."""
    for dx, dy, radius in ((-0.11, 0.0, 0.055), (-0.03, 0.035, 0.075), (0.06, 0.02, 0.065), (0.13, -0.005, 0.045)):
        brush.disc(x + dx * scale, y + dy * scale, radius * scale, colour, glowing=True)
    brush.box(x - 0.11 * scale, y - 0.055 * scale, x + 0.13 * scale, y, colour, glowing=True)


def mountain(brush: Brush, x: float, top: float, half: float, tone: float, season: str) -> None:
    """Draw a mountain with a shaded side and snow, which reaches lower in winter.

    Args:
        brush: of the canvas.
        x: its middle.
        top: height of its summit.
        half: half of its width.
        tone: factor of the rock's brightness.
        season: of the scene.
    """
    colour, snow = shade((124, 128, 150), tone), (250, 251, 255)
    brush.polygon([(x - half, 0.36), (x, top), (x + half, 0.36)], colour)
    brush.polygon([(x, 0.36), (x, top), (x + half, 0.36)], shade(colour, 0.84))
    depth = 0.42 if season == "winter" else 0.3
    lower, wide = top - depth * (top - 0.36), depth * half
    brush.polygon([(x - wide, lower), (x, top), (x + wide, lower), (x + wide * 0.3, lower + 0.03), (x, lower)], snow)


def _clouds(brush: Brush, colour: Colour) -> None:
    for x, y, scale in ((-0.30, 0.87, 1.15), (0.33, 0.90, 1.0), (0.04, 0.76, 0.8)):
        cloud(brush, x, y, scale, colour)


def _hills(brush: Brush, season: str) -> None:
    far = FAR[season]
    for x, radius, height, tone in ((-0.36, 0.42, 0.24, 0.94), (0.34, 0.46, 0.28, 1.0), (-0.05, 0.4, 0.15, 1.12)):
        brush.disc(x, 0.36, radius, shade(far, tone), height=height)


def _mountains(brush: Brush, season: str) -> None:
    for x, top, half, tone in ((-0.33, 0.74, 0.3, 1.0), (0.36, 0.78, 0.32, 0.92), (0.02, 0.66, 0.26, 1.14)):
        mountain(brush, x, top, half, tone, season)


def _sea(brush: Brush, season: str) -> None:
    brush.box(-0.5, 0.2, 0.5, 0.44, (36, 120, 196))
    for y, thick in ((0.41, 0.012), (0.365, 0.014), (0.32, 0.018)):
        for index in range(3):
            start = -0.5 + ((index * 0.37 + y * 7) % 1.0)
            brush.box(start, y - thick, start + 0.17, y, (110, 182, 232))


def _city(brush: Brush, season: str) -> None:
    towers = (
        (0.62, (88, 112, 148)),
        (0.78, (178, 116, 104)),
        (0.57, (110, 132, 128)),
        (0.70, (204, 174, 132)),
        (0.81, (70, 96, 138)),
        (0.60, (160, 104, 116)),
    )
    for index, (top, wall) in enumerate(towers):
        left = -0.5 + index / 6
        brush.box(left, 0.36, left + 0.164, top, wall)
        if season == "winter":
            brush.box(left, top - 0.022, left + 0.164, top, SNOW)
        for row in range(int((top - 0.44) / 0.08)):
            for column in (0.03, 0.09):
                y = top - 0.085 - row * 0.08
                brush.box(left + column, y, left + column + 0.04, y + 0.04, (236, 238, 226))


def _forest(brush: Brush, season: str) -> None:
    leaves = FAR[season] if season != "spring" else (104, 172, 92)
    for row, (base, tone) in enumerate(((0.42, 0.86), (0.36, 1.0))):
        for index in range(8):
            x = -0.47 + index * 0.135 + row * 0.06
            top = base + 0.26 + 0.05 * math.sin(index * 2.1 + row)
            brush.polygon([(x - 0.085, base), (x, top), (x + 0.085, base)], shade(leaves, tone))
            if season == "winter":
                brush.polygon([(x - 0.03, top - 0.09), (x, top), (x + 0.03, top - 0.09)], SNOW)


def _ground(brush: Brush, season: str, low: bool) -> None:
    colour = GROUND[season]
    line = 0.30 if low else 0.385
    brush.box(-0.5, 0.0, 0.5, line - 0.03, colour)
    brush.disc(0.0, line - 0.05, 0.9, colour, height=0.05)
    brush.disc(0.2, -0.06, 0.85, shade(colour, 0.93 if season != "winter" else 0.95), height=0.16)
    if season == "spring":
        for index in range(7):
            x, y = (index * 0.618 + 0.1) % 1 - 0.5, 0.04 + (index * 0.41) % 0.2
            brush.disc(x, y, 0.022, ((250, 120, 170), (255, 250, 240))[index % 2])
    elif season == "autumn":
        for index in range(7):
            x, y = (index * 0.618 + 0.1) % 1 - 0.5, 0.04 + (index * 0.41) % 0.2
            brush.disc(x, y, 0.026, ((196, 70, 30), (244, 190, 60))[index % 2], height=0.016)
