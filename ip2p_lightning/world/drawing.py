"""A scene's image, and which of its pixels belong to which things."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from ip2p_lightning.world.backdrop import backdrop
from ip2p_lightning.world.canvas import Brush, Canvas
from ip2p_lightning.world.palette import LIGHT, PAINTS, shade
from ip2p_lightning.world.scene import Scene, Thing
from ip2p_lightning.world.things import THINGS, place
from ip2p_lightning.world.weather import fall


def draw(scene: Scene, size: int = 64) -> Image.Image:
    """Paint a scene.

    Args:
        scene: what to show.
        size: side of the square image in pixels, at least 8.

    Returns:
        RGB image; the same scene gives the same image at any size, up to sampling.

    Raises:
        ValueError: ``size`` below 8.
    """
    if size < 8:
        raise ValueError(f"size is {size}, but nothing of a scene is visible below 8 pixels; ask for 8 or more")
    canvas = Canvas(size, backdrop(scene, size), LIGHT[scene.time])
    for thing in scene.things:
        _draw_thing(canvas, thing, scene)
    fall(canvas, scene.weather)
    return canvas.finish()


def coverage(scene: Scene, things: Iterable[Thing], size: int = 64) -> Image.Image:
    """Coverage of each pixel by the given things of a scene: "L", 0 = untouched, 255 = fully covered."""
    canvas = Canvas(size)
    for thing in things:
        _draw_thing(canvas, thing, scene)
    return canvas.finish()


def _draw_thing(canvas: Canvas, thing: Thing, scene: Scene) -> None:
    x, base, width = place(thing)
    brush = Brush(canvas, x, base, width, season=scene.season, lights=scene.lights)
    paint = PAINTS[thing.colour or "green"]  # trees have their own colours
    # a part that was not painted itself is a darker tone, so that shapes stay readable
    THINGS[thing.kind].draw(brush, paint, PAINTS[thing.trim] if thing.trim else shade(paint, 0.68))
