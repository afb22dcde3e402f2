"""Buildings and tents. Each function draws one in widths (see `canvas.Brush`) in its paint and its trim."""

from __future__ import annotations

from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import SNOW, WINDOW_LIGHT, Colour, shade

GLASS: Colour = (122, 176, 214)
DOOR: Colour = (92, 58, 38)


def window(brush: Brush, x: float, y: float, width: float, height: float) -> None:
    """A window that glows when the lights are on; (x, y) is its lower left corner."""
    brush.box(x, y, x + width, y + height, WINDOW_LIGHT if brush.lights else GLASS, glowing=brush.lights)


def house(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A cottage with a gable roof (trim), a chimney, a door and two windows."""
    brush.box(0.2, 0.62, 0.31, 1.0, shade(paint, 0.6))
    brush.box(-0.42, 0.0, 0.42, 0.6, paint)
    brush.box(0.12, 0.0, 0.42, 0.6, shade(paint, 0.88))
    brush.polygon([(-0.52, 0.56), (0.0, 1.04), (0.52, 0.56)], trim)
    if brush.snowy:
        brush.polygon([(-0.52, 0.56), (0.0, 1.04), (0.52, 0.56), (0.36, 0.62), (0.0, 0.9), (-0.36, 0.62)], SNOW)
    brush.box(-0.1, 0.0, 0.1, 0.36, DOOR)
    window(brush, -0.34, 0.22, 0.17, 0.19)
    window(brush, 0.18, 0.22, 0.17, 0.19)


def castle(brush: Brush, paint: Colour, trim: Colour) -> None:
    """Two round towers with pointed roofs (trim) and a wall with battlements and a gate between them."""
    brush.box(-0.3, 0.0, 0.3, 0.52, shade(paint, 0.88))
    for x in (-0.2, 0.0, 0.2):
        brush.box(x - 0.06, 0.5, x + 0.06, 0.62, shade(paint, 0.88))
    for x in (-0.37, 0.37):
        brush.box(x - 0.15, 0.0, x + 0.15, 0.74, paint)
        brush.box(x + 0.06, 0.0, x + 0.15, 0.74, shade(paint, 0.84))
        brush.polygon([(x - 0.2, 0.72), (x, 1.12), (x + 0.2, 0.72)], trim)
        if brush.snowy:
            brush.polygon([(x - 0.1, 0.92), (x, 1.12), (x + 0.1, 0.92), (x, 0.88)], SNOW)
        window(brush, x - 0.06, 0.42, 0.11, 0.18)
    if brush.snowy:
        for x in (-0.2, 0.0, 0.2):
            brush.box(x - 0.06, 0.57, x + 0.06, 0.63, SNOW)
    brush.box(-0.12, 0.0, 0.12, 0.24, DOOR)
    brush.disc(0.0, 0.24, 0.12, DOOR)


def tent(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A circus tent: striped roof in paint and trim, walls, an opening and a flag."""
    brush.line([(0.0, 0.9), (0.0, 1.12)], 0.03, (90, 70, 60))
    brush.polygon([(0.0, 1.12), (0.2, 1.05), (0.0, 0.98)], paint)
    brush.box(-0.42, 0.0, 0.42, 0.44, paint)
    for x in (-0.42, -0.14, 0.28):
        brush.box(x, 0.0, x + 0.14, 0.44, trim)
    brush.polygon([(-0.54, 0.42), (0.0, 0.95), (0.54, 0.42)], paint)
    for left, right in ((-0.36, -0.18), (0.0, 0.18), (0.36, 0.54)):
        brush.polygon([(left, 0.42), (0.0, 0.95), (right, 0.42)], trim)
    if brush.snowy:
        brush.polygon([(-0.27, 0.685), (0.0, 0.95), (0.27, 0.685), (0.1, 0.72), (0.0, 0.66), (-0.1, 0.72)], SNOW)
    light = WINDOW_LIGHT if brush.lights else DOOR
    brush.polygon([(-0.14, 0.0), (0.0, 0.42), (0.14, 0.0)], light, glowing=brush.lights)


def windmill(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A tapering tower with four sails (trim) before its cap."""
    brush.polygon([(-0.26, 0.0), (-0.17, 0.74), (0.17, 0.74), (0.26, 0.0)], paint)
    brush.polygon([(0.06, 0.0), (0.05, 0.74), (0.17, 0.74), (0.26, 0.0)], shade(paint, 0.85))
    brush.polygon([(-0.2, 0.72), (0.0, 0.95), (0.2, 0.72)], shade(paint, 0.6))
    if brush.snowy:
        brush.polygon([(-0.12, 0.81), (0.0, 0.95), (0.12, 0.81)], SNOW)
    brush.box(-0.08, 0.0, 0.08, 0.24, DOOR)
    window(brush, -0.07, 0.36, 0.14, 0.15)
    for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        tip, hub = (0.4 * x, 0.74 + 0.4 * y), (0.0, 0.74)
        side = (-0.07 * y, 0.07 * x)
        blade = [hub, tip, (tip[0] + side[0] * 1.6, tip[1] + side[1] * 1.6), (side[0], 0.74 + side[1])]
        brush.polygon(blade, trim)
        brush.line([hub, tip], 0.03, (70, 54, 46))
    brush.disc(0.0, 0.74, 0.05, (70, 54, 46))


def lighthouse(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A tower in rings of paint and white, with a lamp room and a pointed cap (trim)."""
    half = (0.3, 0.2)
    for ring in range(5):
        low, high = ring / 5, (ring + 1) / 5
        wide, narrow = (half[0] + (half[1] - half[0]) * share for share in (low, high))
        colour = paint if ring % 2 == 0 else shade(paint, 1.78)
        points = [(-wide, low * 1.1), (-narrow, high * 1.1), (narrow, high * 1.1), (wide, low * 1.1)]
        brush.polygon(points, colour)
    brush.box(-0.27, 1.08, 0.27, 1.14, shade(paint, 0.55))
    window(brush, -0.16, 1.14, 0.32, 0.2)
    brush.polygon([(-0.26, 1.33), (0.0, 1.56), (0.26, 1.33)], trim)
    if brush.snowy:
        brush.polygon([(-0.15, 1.43), (0.0, 1.56), (0.15, 1.43)], SNOW)
    brush.box(-0.09, 0.0, 0.09, 0.22, DOOR)
