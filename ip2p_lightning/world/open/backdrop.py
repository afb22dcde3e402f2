"""Sky, distance and ground of the open level; the seeds of `scene.Surroundings` decide their shapes."""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image

from ip2p_lightning.world.backdrop import CLOUD, FAR, GROUND, HORIZON, OVERCAST, SKY, cloud, mountain, sun
from ip2p_lightning.world.canvas import Brush, Canvas, supersampling
from ip2p_lightning.world.open.scene import OpenScene, Surroundings
from ip2p_lightning.world.palette import LIGHT, SNOW, Colour, shade
from ip2p_lightning.world.weather import fog

_WALLS: tuple[Colour, ...] = (
    (88, 112, 148),
    (178, 116, 104),
    (110, 132, 128),
    (204, 174, 132),
    (70, 96, 138),
    (160, 104, 116),
    (134, 120, 158),
)
_PANE: Colour = (236, 238, 226)
_GLOW: Colour = (255, 224, 128)


def backdrop(scene: OpenScene, size: int) -> np.ndarray:
    """Backdrop behind the things: float32 [size, size, 3] in 0..255, not to be written to."""
    return _painted(scene.time, scene.season, scene.weather, scene.place, scene.surroundings, size)


@lru_cache(maxsize=64)
def _painted(time: str, season: str, weather: str, place: str, open_: Surroundings, size: int) -> np.ndarray:
    side = size * supersampling(size)
    top, bottom = (SKY if weather == "clear" else OVERCAST)[time]
    if weather == "rainy":
        top, bottom = shade(top, 0.66), shade(bottom, 0.8)
    rows = np.clip(np.linspace(0, 1 / HORIZON, side), 0, 1)[:, None]
    column = (np.array(top) * (1 - rows) + np.array(bottom) * rows).round().astype(np.uint8)
    canvas = Canvas(size, Image.fromarray(np.repeat(column[:, None], side, axis=1)), LIGHT[time])
    brush = Brush(canvas, 0.5, 1.0, 1.0)
    _lights(brush, time, weather, open_)
    if weather not in ("clear", "foggy"):
        _clouds(brush, shade(CLOUD[time], 0.7 if weather == "rainy" else 1.0), Random(open_.clouds))
    draw = {"hills": _hills, "mountains": _mountains, "sea": _sea, "city": _city, "forest": _forest}[place]
    draw(brush, season, time, Random(open_.relief))
    _ground(brush, season, place, Random(open_.ground))
    if weather == "foggy":
        canvas.image = fog(canvas.image, time)
    return np.asarray(canvas.finish(), np.float32)


def _lights(brush: Brush, time: str, weather: str, open_: Surroundings) -> None:
    rng = Random(open_.clouds)
    if time == "night":
        if weather == "clear":
            for _ in range(20):
                brush.disc(rng.uniform(-0.49, 0.49), rng.uniform(0.5, 0.98), 0.009, (255, 250, 220), glowing=True)
        brush.disc(open_.sun * 0.8, 0.84, 0.08, (250, 246, 214), glowing=True)
        brush.disc(open_.sun * 0.8 - 0.025, 0.82, 0.022, (222, 216, 184), glowing=True)
    elif weather == "clear":
        x, y, radius = open_.sun * 0.8, *((0.5, 0.14) if time != "day" else (0.85, 0.08))
        sun(brush, x, y, radius, time)


def _clouds(brush: Brush, colour: Colour, rng: Random) -> None:
    number = rng.choice((2, 3, 3, 4))
    for index in range(number):
        x = -0.5 + (index + rng.uniform(0.2, 0.8)) / number
        y, scale = rng.uniform(0.72, 0.93), rng.uniform(0.75, 1.2)
        cloud(brush, x, y, scale, colour)


def _hills(brush: Brush, season: str, time: str, rng: Random) -> None:
    middles = rng.sample((-0.38, -0.05, 0.34), 3)
    for x, tone in zip(middles, (0.94, 1.0, 1.1), strict=True):
        colour = shade(FAR[season], tone)
        brush.disc(x + rng.uniform(-0.08, 0.08), 0.36, rng.uniform(0.34, 0.46), colour, height=rng.uniform(0.13, 0.28))


def _mountains(brush: Brush, season: str, time: str, rng: Random) -> None:
    for middle, tone in zip(rng.sample((-0.33, 0.02, 0.36), 3), (1.0, 0.92, 1.12), strict=True):
        x, top, half = middle + rng.uniform(-0.06, 0.06), rng.uniform(0.62, 0.8), rng.uniform(0.25, 0.33)
        mountain(brush, x, top, half, tone, season)


def _sea(brush: Brush, season: str, time: str, rng: Random) -> None:
    brush.box(-0.5, 0.2, 0.5, 0.44, (36, 120, 196))
    for y, thick in ((0.41, 0.012), (0.365, 0.014), (0.32, 0.018)):
        start = rng.uniform(-0.5, -0.2)
        for index in range(3):
            brush.box(start + index * 0.36, y - thick, start + index * 0.36 + 0.17, y, (110, 182, 232))


def _city(brush: Brush, season: str, time: str, rng: Random) -> None:
    walls = rng.sample(_WALLS, 6)
    for index, wall in enumerate(walls):
        left, top = -0.5 + index / 6, rng.choice((0.57, 0.62, 0.66, 0.7, 0.76, 0.81))
        brush.box(left, 0.36, left + 0.164, top, wall)
        if season == "winter":
            brush.box(left, top - 0.022, left + 0.164, top, SNOW)
        for row in range(int((top - 0.44) / 0.08)):
            for column in (0.03, 0.09):
                y, lit = top - 0.085 - row * 0.08, time == "night" and rng.random() < 0.5
                brush.box(left + column, y, left + column + 0.04, y + 0.04, _GLOW if lit else _PANE, glowing=lit)


def _forest(brush: Brush, season: str, time: str, rng: Random) -> None:
    leaves = FAR[season] if season != "spring" else (104, 172, 92)
    for row, (base, tone) in enumerate(((0.42, 0.86), (0.36, 1.0))):
        for index in range(8):
            x = -0.47 + index * 0.135 + row * 0.06 + rng.uniform(-0.02, 0.02)
            top = base + rng.uniform(0.2, 0.31)
            brush.polygon([(x - 0.085, base), (x, top), (x + 0.085, base)], shade(leaves, tone))
            if season == "winter":
                brush.polygon([(x - 0.03, top - 0.09), (x, top), (x + 0.03, top - 0.09)], SNOW)


def _ground(brush: Brush, season: str, place: str, rng: Random) -> None:
    colour, line = GROUND[season], 0.30 if place == "sea" else 0.385
    brush.box(-0.5, 0.0, 0.5, line - 0.03, colour)
    brush.disc(0.0, line - 0.05, 0.9, colour, height=0.05)
    brush.disc(rng.choice((-0.2, 0.2)), -0.06, 0.85, shade(colour, 0.93 if season != "winter" else 0.95), height=0.16)
    marks: dict[str, tuple[Colour, ...]] = {
        "spring": ((250, 120, 170), (255, 250, 240)),
        "summer": (shade(colour, 0.8), shade(colour, 1.2)),
        "autumn": ((196, 70, 30), (244, 190, 60)),
        "winter": (shade(colour, 0.9), (255, 255, 255)),
    }
    for index in range(9):
        x, y = rng.uniform(-0.48, 0.48), rng.uniform(0.02, line - 0.08)
        tall = 0.02 if season == "spring" else 0.014
        brush.disc(x, y, 0.024, marks[season][index % 2], height=tall * (1 + math.floor(index / 8)))
