"""Every kind of thing: how it is drawn, how large it is, where it may be, and what its second part is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from ip2p_lightning.world import animals, buildings, sky_things, trees, vehicles
from ip2p_lightning.world.canvas import Brush
from ip2p_lightning.world.palette import Colour
from ip2p_lightning.world.scene import Scene, Thing

Draw = Callable[[Brush, Colour, Colour], None]


@dataclass(frozen=True)
class Kind:
    """Properties shared by all things of one kind.

    Args:
        draw: paints one at its place.
        family: "building", "vehicle", "animal", "tree", "boat" or "sky".
        width: width at size "large", as a share of the image's side.
        part: name of the part that takes the trim colour ("roof"); "" if it has none.
        plural: its name for several.
        windows: whether it shows light.
    """

    draw: Draw
    family: str
    width: float
    part: str
    plural: str
    windows: bool = False


THINGS: dict[str, Kind] = {
    "house": Kind(buildings.house, "building", 0.5, "roof", "houses", windows=True),
    "castle": Kind(buildings.castle, "building", 0.48, "roofs", "castles", windows=True),
    "tent": Kind(buildings.tent, "building", 0.48, "stripes", "tents", windows=True),
    "windmill": Kind(buildings.windmill, "building", 0.5, "sails", "windmills", windows=True),
    "lighthouse": Kind(buildings.lighthouse, "building", 0.36, "", "lighthouses", windows=True),
    "bus": Kind(vehicles.bus, "vehicle", 0.5, "band", "buses", windows=True),
    "car": Kind(vehicles.car, "vehicle", 0.52, "roof", "cars"),
    "truck": Kind(vehicles.truck, "vehicle", 0.52, "load", "trucks"),
    "boat": Kind(vehicles.boat, "boat", 0.5, "sails", "boats"),
    "sheep": Kind(animals.sheep, "animal", 0.5, "", "sheep"),
    "cat": Kind(animals.cat, "animal", 0.48, "", "cats"),
    "duck": Kind(animals.duck, "animal", 0.48, "", "ducks"),
    "elephant": Kind(animals.elephant, "animal", 0.5, "blanket", "elephants"),
    "tree": Kind(trees.tree, "tree", 0.5, "", "trees"),
    "pine": Kind(trees.pine, "tree", 0.5, "", "pines"),
    "balloon": Kind(sky_things.balloon, "sky", 0.26, "stripe", "balloons"),
    "kite": Kind(sky_things.kite, "sky", 0.28, "", "kites"),
    "plane": Kind(sky_things.plane, "sky", 0.32, "wing", "planes"),
    "bird": Kind(sky_things.bird, "sky", 0.28, "wing", "birds"),
}

SCALE = {"small": 0.47, "medium": 0.64, "large": 1.0}
SKY_SCALE = {"small": 0.7, "medium": 0.85, "large": 1.0}
GROUND_X = {
    "large": {"left": 0.28, "centre": 0.5, "right": 0.72},
    "medium": {"left": 0.18, "centre": 0.5, "right": 0.82},
    "small": {"left": 0.18, "centre": 0.5, "right": 0.82},
}
SKY_X = {"left": 0.16, "centre": 0.5, "right": 0.84}
GROUND_BASE = {"large": 0.9, "medium": 0.88, "small": 0.86}
SEA_BASE = {"large": 0.74, "medium": 0.72, "small": 0.70}
SKY_BASE = {"large": 0.4, "medium": 0.36, "small": 0.32}


def in_sky(thing: Thing) -> bool:
    """True if the thing flies."""
    return THINGS[thing.kind].family == "sky"


def place(thing: Thing) -> tuple[float, float, float]:
    """Middle x, foot y and width of a thing, as shares of the image's side (y down)."""
    kind = THINGS[thing.kind]
    if kind.family == "sky":
        return SKY_X[thing.slot], SKY_BASE[thing.size], kind.width * SKY_SCALE[thing.size]
    base = (SEA_BASE if kind.family == "boat" else GROUND_BASE)[thing.size]
    return GROUND_X[thing.size][thing.slot], base, kind.width * SCALE[thing.size]


def plausible(scene: Scene) -> bool:
    """True if nothing hides or floats: things next to each other, balloons clear of towers, boats at sea."""
    ground = [thing for thing in scene.things if not in_sky(thing)]
    sky = [thing for thing in scene.things if in_sky(thing)]
    if scene.background != "sea" and any(THINGS[thing.kind].family == "boat" for thing in ground):
        return False
    if len({thing.slot for thing in sky}) < len(sky):
        return False
    spans = sorted((x - 0.475 * width, x + 0.475 * width) for x, _, width in map(place, ground))
    if any(right > left for (_, right), (left, _) in pairwise(spans)):
        return False
    towers = [place(thing)[0] for thing in ground if thing.size == "large"]
    return not any(abs(place(thing)[0] - x) < 0.25 for thing in sky for x in towers)
