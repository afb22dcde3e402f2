"""Vehicles. Each function draws one in widths (see `canvas.Brush`) in its paint and its trim."""

from __future__ import annotations

from ip2p_lightning.world.buildings import window
from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import SNOW, Colour, shade

TYRE: Colour = (44, 44, 52)
GLASS_OF_CARS: Colour = (150, 200, 226)


def wheel(brush: Brush, x: float, radius: float) -> None:
    """A wheel standing on the ground."""
    brush.disc(x, radius, radius, TYRE)
    brush.disc(x, radius, radius * 0.5, (206, 210, 216))


def bus(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A double-decker bus with two rows of windows, a band between them (trim) and two wheels."""
    brush.box(-0.52, 0.12, 0.52, 0.84, paint)
    brush.disc(-0.46, 0.8, 0.06, paint)
    brush.disc(0.46, 0.8, 0.06, paint)
    brush.box(-0.46, 0.8, 0.46, 0.86, paint)
    brush.box(-0.52, 0.42, 0.52, 0.54, trim)
    brush.box(-0.52, 0.12, 0.52, 0.2, shade(paint, 0.7))
    if brush.snowy:
        brush.box(-0.46, 0.79, 0.46, 0.87, SNOW)
    for x in (-0.44, -0.2, 0.04, 0.28):
        window(brush, x, 0.59, 0.17, 0.15)
    for x in (-0.44, -0.2, 0.04):
        window(brush, x, 0.24, 0.17, 0.15)
    brush.box(0.3, 0.14, 0.44, 0.4, shade(paint, 0.5))
    for x in (-0.3, 0.22):
        wheel(brush, x, 0.12)


def car(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A small car with a round cabin (its roof in the trim) and two wheels."""
    brush.disc(0.0, 0.36, 0.33, trim, height=0.3)
    brush.box(-0.27, 0.34, -0.02, 0.54, GLASS_OF_CARS)
    brush.box(0.03, 0.34, 0.26, 0.54, GLASS_OF_CARS)
    brush.box(-0.46, 0.1, 0.46, 0.34, paint)
    for x in (-0.44, 0.44):
        brush.disc(x, 0.22, 0.1, paint, height=0.12)
    brush.box(-0.5, 0.1, 0.5, 0.16, shade(paint, 0.6))
    if brush.snowy:
        brush.disc(0.0, 0.63, 0.19, SNOW, height=0.05)
    for x in (-0.28, 0.28):
        wheel(brush, x, 0.13)


def truck(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A truck: cab in the paint, load in the trim, three wheels."""
    brush.box(-0.52, 0.18, 0.16, 0.72, trim)
    brush.box(-0.52, 0.18, 0.16, 0.26, shade(trim, 0.8))
    brush.polygon([(0.2, 0.1), (0.2, 0.58), (0.38, 0.58), (0.52, 0.36), (0.52, 0.1)], paint)
    brush.polygon([(0.25, 0.36), (0.25, 0.52), (0.36, 0.52), (0.46, 0.36)], GLASS_OF_CARS)
    brush.box(-0.52, 0.1, 0.52, 0.18, shade(paint, 0.5))
    if brush.snowy:
        brush.box(-0.52, 0.68, 0.16, 0.76, SNOW)
        brush.box(0.2, 0.55, 0.38, 0.61, SNOW)
    for x in (-0.36, -0.1, 0.36):
        wheel(brush, x, 0.11)


def boat(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A sailing boat with two sails (trim) and a hull in the paint."""
    brush.line([(0.0, 0.2), (0.0, 1.02)], 0.035, (96, 70, 48))
    brush.polygon([(0.03, 0.98), (0.03, 0.3), (0.42, 0.3)], trim)
    brush.polygon([(-0.03, 0.9), (-0.03, 0.3), (-0.34, 0.3)], shade(trim, 0.86))
    brush.polygon([(-0.5, 0.26), (0.5, 0.26), (0.34, 0.0), (-0.34, 0.0)], paint)
    brush.polygon([(-0.41, 0.1), (0.41, 0.1), (0.34, 0.0), (-0.34, 0.0)], shade(paint, 0.75))
