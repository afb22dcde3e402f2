"""Vehicles. Each function draws one in widths (see `canvas.Brush`) in its paint and its trim."""

from __future__ import annotations

from ip2p_lightning.world.buildings import window
from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import SNOW, Colour, shade

TYRE: Colour = (44, 44, 52)


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
