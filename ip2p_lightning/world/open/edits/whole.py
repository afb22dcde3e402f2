"""Edits of the whole scene: background, season, time, weather; and of the image itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.world.edits.attributes import SEASON, TIMES, WEATHER
from ip2p_lightning.world.open.edits.change import EDITS, OpenChange, edit, settle
from ip2p_lightning.world.open.scene import OpenScene
from ip2p_lightning.world.open.texts import IN, SKIES, WHEN, everything
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, WEATHERS

OPEN = {
    "background": ("relief",),
    "season": ("ground",),
    "time": ("clouds", "sun"),
    "weather": ("clouds", "fall"),
}
"""Surroundings that each of these edits leaves open."""
PLACE = ("change the background to {place}", "move the scene to {place}", "show {place} behind it", "put it {at}")
PICTURE = (
    *("black_and_white", "sepia", "brightness", "contrast", "saturation", "blur"),
    *("sharpen", "crop", "rotate", "flip", "sketch", "painting"),
)
"""Kinds of `PICTURE_EDITS` that the level has."""


@edit("background")
def background(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Put the scene somewhere else; the shapes of hills, towers or trees are open. In fog it would not be visible."""
    new = rng.choice([place for place in BACKGROUNDS if place != scene.place])
    if scene.weather == "foggy":
        return None
    return _whole(
        scene,
        replace(scene, place=new),
        "background",
        rng.choice(PLACE).format(place=f"the {new}", at=IN[new][0]),
        IN[new][0],
        rng,
    )


@edit("season")
def season(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Change the season; where flowers and leaves are is open."""
    new = rng.choice([season for season in SEASONS if season != scene.season])
    if scene.weather == "snowy":
        return None
    return _whole(scene, replace(scene, season=new), "season", rng.choice(SEASON).format(new=new), f"in {new}", rng)


@edit("time")
def time(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Change the time of day; where sun, moon and stars stand is open."""
    new = rng.choice([time for time in CYCLE if time != scene.time])
    return _whole(scene, replace(scene, time=new), "time", rng.choice(TIMES[new][0]), WHEN[new][0], rng)


@edit("weather")
def weather(scene: OpenScene, rng: Random) -> OpenChange | None:
    """Change the weather; where clouds, drops and flakes are is open."""
    new = rng.choice([weather for weather in WEATHERS if weather != scene.weather])
    if new == "snowy" and scene.season != "winter":
        return None
    return _whole(scene, replace(scene, weather=new), "weather", rng.choice(WEATHER[new][0]), SKIES[new][0], rng)


def _whole(scene: OpenScene, after: OpenScene, what: str, instruction: str, end: str, rng: Random) -> OpenChange | None:
    words = f"{everything(scene)} {end}"
    return settle(
        scene, after, rng, instruction=instruction, look=lambda new, scene: words, open_surroundings=OPEN[what]
    )


def _of_the_image(kind: str) -> Callable[[OpenScene, Random], OpenChange]:
    def make(scene: OpenScene, rng: Random) -> OpenChange:
        chosen = rng.choice(PICTURE_EDITS[kind])
        texts = chosen.instruction(rng), chosen.look.format(what=everything(scene))
        return OpenChange(scene, scene, (), (), scene, *texts, rng.randrange(1 << 30), chosen)

    return make


for _kind in PICTURE:
    EDITS[_kind] = _of_the_image(_kind)
