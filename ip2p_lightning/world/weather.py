"""Fog behind the things, and rain and snow that fall before them."""

from __future__ import annotations

from PIL import Image

from ip2p_lightning.world.canvas import Brush, Canvas
from ip2p_lightning.world.palette import Colour

FOG: dict[str, Colour] = {
    "day": (226, 230, 234),
    "dawn": (236, 218, 216),
    "sunset": (228, 176, 148),
    "night": (104, 112, 146),
}


def fog(picture: Image.Image, time: str) -> Image.Image:
    """A backdrop in fog: densest at the horizon, thin at the feet of what stands in front."""
    side = picture.height
    density = Image.new("L", (1, side))
    for row in range(side):
        y = row / side
        near = (y - 0.3) / 0.25 if y < 0.55 else (1.0 - y) / 0.4
        density.putpixel((0, row), round(225 * min(1.0, max(0.22, near))))
    return Image.composite(Image.new("RGB", picture.size, FOG[time]), picture, density.resize(picture.size))


def fall(canvas: Canvas, weather: str) -> None:
    """Draw rain or snow over a finished scene; other weathers fall nowhere."""
    brush = Brush(canvas, 0.5, 1.0, 1.0)
    if weather == "rainy":
        for index in range(56):
            x, y = (index * 0.7549) % 1 * 1.06 - 0.53, (index * 0.5698) % 1
            brush.line([(x, y), (x + 0.024, y + 0.08)], 0.012, (190, 212, 240))
    elif weather == "snowy":
        for index in range(38):
            x, y = (index * 0.7549) % 1 - 0.5, (index * 0.5698) % 1
            brush.disc(x, y, (0.013, 0.018, 0.022)[index % 3], (250, 252, 255), glowing=True)
