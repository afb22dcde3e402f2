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
