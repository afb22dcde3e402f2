"""Antialiased drawing in unit coordinates, as colours or as coverage."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ip2p_lightning.world.palette import SUNLIT, Colour, lit

Point = tuple[float, float]


class Canvas:
    """A supersampled square image, drawn in coordinates from 0 to 1 (y down) and read at the asked size.

    Args:
        size: side of the finished image in pixels.
        base: supersampled RGB image to start from; None starts a coverage mask ("L", 0), on which every
            fill counts as 255, whatever its colour.
        light: gain and offset laid over unlit fills (an entry of `palette.LIGHT`).
    """

    def __init__(
        self, size: int, base: Image.Image | None = None, light: tuple[tuple[float, float, float], Colour] = SUNLIT
    ) -> None:
        self.factor = supersampling(size)
        self.side = size * self.factor
        self.covering = base is None
        self.light = light
        self.image = Image.new("L", (self.side, self.side)) if base is None else base
        self.pen = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        """The image at the asked size; a coverage mask is 0 where nothing was drawn and 255 where all is covered."""
        return self.image.reduce(self.factor)

    def ink(self, colour: Colour, glowing: bool = False) -> Colour | int:
        """Fill colour: the lit colour, the colour itself where it glows, or 255 on a coverage mask."""
        if self.covering:
            return 255
        return colour if glowing else lit(colour, self.light)


class Brush:
    """Draws one object on a canvas in its own coordinates: x right and y up from the middle of its base, in widths.

    Args:
        canvas: what to draw on.
        x: middle of the object on the canvas, 0 to 1.
        base: height of its foot on the canvas, 0 (top) to 1.
        width: the object's unit, as a share of the image's side.
        season: decides leaves and snow.
        lights: whether windows are lit.
    """

    def __init__(
        self, canvas: Canvas, x: float, base: float, width: float, season: str = "summer", lights: bool = False
    ) -> None:
        self.canvas, self.season, self.lights = canvas, season, lights
        self.snowy = season == "winter"
        self.unit = width * canvas.side
        self.x, self.base = x * canvas.side, base * canvas.side

    def point(self, point: Point) -> Point:
        """Canvas pixels of an object's point."""
        return (self.x + point[0] * self.unit, self.base - point[1] * self.unit)

    def polygon(self, points: Sequence[Point], colour: Colour, glowing: bool = False) -> None:
        """Fill a polygon."""
        self.canvas.pen.polygon([self.point(p) for p in points], fill=self.canvas.ink(colour, glowing))

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour, glowing: bool = False) -> None:
        """Fill an upright rectangle."""
        corners = (*self.point((left, top)), *self.point((right, bottom)))
        self.canvas.pen.rectangle(corners, fill=self.canvas.ink(colour, glowing))

    def disc(
        self, x: float, y: float, radius: float, colour: Colour, height: float | None = None, glowing: bool = False
    ) -> None:
        """Fill a disc, or an ellipse of half-height ``height``."""
        tall = radius if height is None else height
        corners = (*self.point((x - radius, y + tall)), *self.point((x + radius, y - tall)))
        self.canvas.pen.ellipse(corners, fill=self.canvas.ink(colour, glowing))

    def slice(self, x: float, y: float, radius: float, start: float, end: float, colour: Colour) -> None:
        """Fill a pie slice from ``start`` to ``end`` degrees, clockwise from the right."""
        corners = (*self.point((x - radius, y + radius)), *self.point((x + radius, y - radius)))
        self.canvas.pen.pieslice(corners, start, end, fill=self.canvas.ink(colour))

    def line(self, points: Sequence[Point], thickness: float, colour: Colour) -> None:
        """Draw a line of a thickness in widths."""
        pixels = max(1, round(thickness * self.unit))
        self.canvas.pen.line([self.point(p) for p in points], fill=self.canvas.ink(colour), width=pixels, joint="curve")


def supersampling(size: int) -> int:
    """Samples per pixel along each axis: three for small images, two for large ones."""
    return 3 if size <= 192 else 2
