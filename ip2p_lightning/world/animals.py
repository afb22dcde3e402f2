"""Animals, seen from the side. Each function draws one in widths (see `canvas.Brush`)."""

from __future__ import annotations

from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import Colour, shade

EYE: Colour = (30, 30, 36)
BEAK: Colour = (246, 150, 40)


def sheep(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A woolly sheep with a dark face and legs."""
    face: Colour = (70, 62, 62)
    for x in (-0.24, -0.1, 0.12, 0.24):
        brush.box(x - 0.035, 0.0, x + 0.035, 0.26, face)
    for x, y, radius in (
        (-0.26, 0.42, 0.2),
        (-0.08, 0.52, 0.22),
        (0.14, 0.5, 0.22),
        (-0.06, 0.36, 0.22),
        (0.2, 0.38, 0.2),
    ):
        brush.disc(x, y, radius, paint)
    brush.disc(-0.12, 0.3, 0.18, shade(paint, 0.86), height=0.09)
    brush.disc(0.12, 0.3, 0.18, shade(paint, 0.86), height=0.09)
    brush.disc(0.4, 0.52, 0.13, face, height=0.17)
    brush.disc(0.36, 0.68, 0.13, paint, height=0.09)
    brush.disc(0.43, 0.56, 0.032, (250, 250, 250))


def cat(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A sitting cat that looks at you, its tail to the side."""
    brush.line([(0.2, 0.06), (0.42, 0.1), (0.46, 0.34), (0.38, 0.46)], 0.09, shade(paint, 0.8))
    brush.disc(0.0, 0.28, 0.28, paint, height=0.3)
    brush.box(-0.22, 0.0, 0.22, 0.2, paint)
    brush.disc(0.0, 0.22, 0.13, shade(paint, 1.5), height=0.17)
    brush.polygon([(-0.25, 0.66), (-0.23, 0.98), (-0.02, 0.82)], paint)
    brush.polygon([(0.25, 0.66), (0.23, 0.98), (0.02, 0.82)], paint)
    brush.disc(0.0, 0.66, 0.27, paint, height=0.22)
    for x in (-0.11, 0.11):
        brush.disc(x, 0.69, 0.055, (206, 232, 120), height=0.06)
        brush.disc(x, 0.69, 0.024, EYE, height=0.05)
    brush.polygon([(-0.04, 0.61), (0.04, 0.61), (0.0, 0.56)], (232, 120, 130))


def duck(brush: Brush, paint: Colour, trim: Colour) -> None:
    """A duck with its wing in a second tone."""
    brush.line([(-0.04, 0.16), (-0.04, 0.02), (0.06, 0.02)], 0.05, BEAK)
    brush.line([(0.14, 0.16), (0.14, 0.02), (0.24, 0.02)], 0.05, BEAK)
    brush.polygon([(-0.5, 0.56), (-0.36, 0.26), (-0.1, 0.4)], paint)
    brush.disc(0.0, 0.32, 0.38, paint, height=0.22)
    brush.box(0.16, 0.36, 0.34, 0.68, paint)
    brush.disc(0.25, 0.7, 0.18, paint)
    brush.polygon([(0.4, 0.76), (0.6, 0.68), (0.4, 0.62)], BEAK)
    brush.disc(0.3, 0.74, 0.04, EYE)
    brush.disc(-0.08, 0.36, 0.22, shade(paint, 0.74), height=0.12)


def elephant(brush: Brush, paint: Colour, trim: Colour) -> None:
    """An elephant with a blanket (trim) on its back."""
    for x in (-0.32, -0.14, 0.06, 0.22):
        brush.box(x - 0.075, 0.0, x + 0.075, 0.36, shade(paint, 0.82 if x in (-0.14, 0.06) else 1.0))
    brush.disc(-0.06, 0.5, 0.38, paint, height=0.28)
    brush.line([(-0.42, 0.5), (-0.48, 0.28)], 0.04, shade(paint, 0.7))
    brush.disc(0.3, 0.6, 0.22, paint)
    brush.line([(0.46, 0.6), (0.5, 0.36), (0.46, 0.16), (0.54, 0.1)], 0.1, paint)
    brush.polygon([(-0.3, 0.76), (0.04, 0.79), (0.06, 0.4), (-0.3, 0.4)], trim)
    brush.disc(0.18, 0.6, 0.14, shade(paint, 0.76), height=0.18)
    brush.disc(0.38, 0.66, 0.032, EYE)
