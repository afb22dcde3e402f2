"""Things in the sky. Each function draws one in widths (see `canvas.Brush`) in its paint and its trim."""

from __future__ import annotations

from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import Colour

ROPE: Colour = (96, 74, 56)


def balloon(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A hot-air balloon with vertical stripes (trim) and a basket."""
    brush.polygon([(-0.46, 0.78), (-0.13, 0.28), (0.13, 0.28), (0.46, 0.78)], paint)
    brush.disc(0.0, 0.9, 0.5, paint)
    brush.disc(0.0, 0.9, 0.24, trim, height=0.49)
    brush.polygon([(-0.235, 0.86), (-0.07, 0.28), (0.07, 0.28), (0.235, 0.86)], trim)
    brush.line([(-0.12, 0.3), (-0.1, 0.14)], 0.03, ROPE)
    brush.line([(0.12, 0.3), (0.1, 0.14)], 0.03, ROPE)
    brush.box(-0.15, 0.0, 0.15, 0.18, (150, 100, 56))


def kite(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A kite of four panels in paint and trim, with a tail of bows."""
    brush.line([(0.0, 0.34), (0.1, 0.2), (-0.06, 0.08), (0.06, -0.04)], 0.035, ROPE)
    for x, y in ((0.08, 0.2), (-0.04, 0.06)):
        brush.polygon([(x - 0.1, y + 0.05), (x + 0.1, y - 0.05), (x + 0.1, y + 0.05), (x - 0.1, y - 0.05)], trim)
    top, bottom, left, right, middle = (0.0, 1.3), (0.0, 0.3), (-0.42, 0.9), (0.42, 0.9), (0.0, 0.9)
    brush.polygon([top, left, middle], paint)
    brush.polygon([top, right, middle], trim)
    brush.polygon([bottom, left, middle], trim)
    brush.polygon([bottom, right, middle], paint)


def plane(brush: Brush, paint: Colour, trim: Colour) -> None:
    """An aeroplane flying to the right, its wing and tail fin in the trim."""
    brush.polygon([(-0.46, 0.42), (-0.5, 0.8), (-0.34, 0.8), (-0.2, 0.42)], trim)
    brush.disc(0.02, 0.42, 0.48, paint, height=0.16)
    brush.polygon([(-0.5, 0.5), (-0.2, 0.57), (-0.2, 0.3)], paint)
    brush.polygon([(0.12, 0.42), (-0.08, 0.42), (-0.3, 0.02), (-0.12, 0.02)], trim)
    brush.disc(0.36, 0.48, 0.075, (190, 222, 240), height=0.06)
    for x in (-0.14, 0.0, 0.14):
        brush.disc(x, 0.5, 0.04, (190, 222, 240))


def bird(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A bird flying to the right with its wing (trim) raised."""
    brush.polygon([(-0.5, 0.56), (-0.5, 0.34), (-0.22, 0.42)], paint)
    brush.disc(0.0, 0.44, 0.34, paint, height=0.2)
    brush.disc(0.3, 0.58, 0.17, paint)
    brush.polygon([(0.44, 0.64), (0.6, 0.56), (0.44, 0.5)], (246, 150, 40))
    brush.disc(0.35, 0.62, 0.04, (30, 30, 36))
    brush.polygon([(-0.2, 0.46), (-0.3, 1.05), (0.02, 0.86), (0.14, 0.46)], trim)
