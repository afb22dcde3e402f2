"""Named colours of things and how the light of the hour changes them."""

from __future__ import annotations

from collections.abc import Sequence

Colour = tuple[int, int, int]

PAINTS: dict[str, Colour] = {
    "red": (222, 52, 46),
    "blue": (48, 98, 222),
    "yellow": (252, 206, 44),
    "purple": (166, 60, 180),
    "white": (246, 244, 240),
    "green": (34, 150, 84),
    "orange": (246, 132, 30),
    "pink": (248, 138, 182),
    "black": (52, 52, 60),
    "brown": (140, 88, 52),
}
"""Paint of things at noon, sRGB 0..255."""

LIGHT: dict[str, tuple[tuple[float, float, float], Colour]] = {
    "day": ((1.0, 1.0, 1.0), (0, 0, 0)),
    "dawn": ((0.92, 0.84, 0.92), (22, 12, 18)),
    "sunset": ((0.97, 0.86, 0.79), (10, 0, 4)),
    "night": ((0.66, 0.68, 0.82), (6, 8, 24)),
}
"""Gain and offset that each hour lays over every unlit surface; nights stay bright enough to see colours."""

SUNLIT = LIGHT["day"]
WINDOW_LIGHT: Colour = (255, 226, 120)
SNOW: Colour = (246, 249, 253)


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor < 1) or lighten towards white (factor > 1, up to 2) a colour."""
    if factor <= 1:
        return (round(colour[0] * factor), round(colour[1] * factor), round(colour[2] * factor))
    mix = factor - 1
    red, green, blue = (round(channel + (255 - channel) * mix) for channel in colour)
    return (red, green, blue)


def lit(colour: Colour, light: tuple[tuple[float, float, float], Colour]) -> Colour:
    """A surface of this colour under one entry of `LIGHT`."""
    gain, offset = light
    red, green, blue = (min(255, round(c * g + o)) for c, g, o in zip(colour, gain, offset, strict=True))
    return (red, green, blue)


def difference(one: str, other: str) -> float:
    """Mean distance of two paints over the channels, 0 to 255; below 45 they are too alike for a recolouring."""
    return sum(abs(a - b) for a, b in zip(PAINTS[one], PAINTS[other], strict=True)) / 3


def unlike(colour: str, among: Sequence[str], least: float = 45.0) -> list[str]:
    """The paints that a person tells apart from ``colour`` at a glance."""
    return [other for other in among if difference(colour, other) >= least]
