"""Every kind of thing: how it is drawn, how large it is, where it may stand, and what its second part is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ip2p_lightning.world import buildings, sky_things, vehicles
from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import Colour

Draw = Callable[[Brush, Colour, Colour], None]


@dataclass(frozen=True)
class Kind:
    """What all things of one kind share.

    Args:
        draw: paints one at its place.
        family: "building", "vehicle", "animal", "tree" or "sky".
        width: width at size "large", as a share of the picture's side.
        part: name of the part that takes the trim colour ("roof").
        plural: its name for several.
    """

    draw: Draw
    family: str
    width: float
    part: str
    plural: str


THINGS: dict[str, Kind] = {
    "house": Kind(buildings.house, "building", 0.5, "roof", "houses"),
    "castle": Kind(buildings.castle, "building", 0.48, "roofs", "castles"),
    "tent": Kind(buildings.tent, "building", 0.48, "stripes", "tents"),
    "bus": Kind(vehicles.bus, "vehicle", 0.5, "band", "buses"),
    "balloon": Kind(sky_things.balloon, "sky", 0.26, "stripe", "balloons"),
}
