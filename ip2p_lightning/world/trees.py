"""Trees, whose leaves follow the season (see `canvas.Brush`)."""

from __future__ import annotations

from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import SNOW, Colour, shade

TRUNK: Colour = (112, 74, 46)
LEAVES: dict[str, Colour] = {"spring": (250, 160, 196), "summer": (96, 190, 74), "autumn": (226, 84, 30)}


def tree(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A broad-leaved tree: in blossom, green, orange, or bare with snow on its branches."""
    brush.polygon([(-0.09, 0.0), (-0.06, 0.5), (0.06, 0.5), (0.09, 0.0)], TRUNK)
    if brush.snowy:
        for x, y in ((-0.34, 0.84), (-0.16, 1.04), (0.06, 1.1), (0.24, 0.98), (0.38, 0.76)):
            brush.line([(0.0, 0.42), (x * 0.55, 0.7), (x, y)], 0.07, TRUNK)
            brush.disc(x, y + 0.02, 0.085, SNOW, height=0.055)
        return
    leaves = LEAVES[brush.season]
    for x, y, radius, tone in (
        (-0.22, 0.62, 0.24, 0.8),
        (0.22, 0.62, 0.24, 0.72),
        (0.0, 0.58, 0.24, 0.76),
        (-0.14, 0.84, 0.24, 1.0),
        (0.15, 0.84, 0.23, 0.92),
        (0.0, 0.98, 0.19, 1.12),
    ):
        brush.disc(x, y, radius, shade(leaves, tone))


def pine(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A fir in three tiers, dark green all year, with snow in winter."""
    green: Colour = (22, 96, 74)
    brush.box(-0.06, 0.0, 0.06, 0.2, TRUNK)
    for low, high, half in ((0.14, 0.58, 0.36), (0.4, 0.84, 0.29), (0.66, 1.12, 0.22)):
        brush.polygon([(-half, low), (0.0, high), (half, low)], green)
        brush.polygon([(0.0, low), (0.0, high), (half, low)], shade(green, 0.8))
        if brush.snowy:
            middle = (low + high) / 2
            brush.polygon([(-half / 2, middle), (0.0, high), (half / 2, middle), (0.0, middle + 0.04)], SNOW)
