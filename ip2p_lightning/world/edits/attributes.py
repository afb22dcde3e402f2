"""Edits of the whole scene: background, season, time."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.levels import Level
from ip2p_lightning.world.phrases import noun
from ip2p_lightning.world.scene import Scene

PLACES: dict[str, tuple[tuple[str, ...], str]] = {
    "hills": (
        ("put {the} in front of hills", "change the background to hills", "move the scene to the hills"),
        "the {noun} in front of soft round hills",
    ),
    "mountains": (
        ("put {the} in front of mountains", "change the background to mountains", "move the scene to the mountains"),
        "the {noun} in front of grey mountains with white tops",
    ),
    "sea": (
        ("put {the} by the sea", "change the background to the sea", "move the scene to the sea"),
        "the {noun} by the blue sea with an open horizon",
    ),
    "city": (
        ("put {the} in front of a city", "change the background to a city", "move the scene to the city"),
        "the {noun} in front of tall city towers with many windows",
    ),
    "forest": (
        ("put {the} in front of a forest", "change the background to a forest", "move the scene to the forest"),
        "the {noun} in front of a dense forest of tall trees",
    ),
}
SEASON_LOOK = {
    "spring": "a fresh spring scene with the {noun} on light green grass with pink flowers",
    "summer": "a green summer scene with the {noun} on deep green grass",
    "autumn": "an orange autumn scene with the {noun} on brown grass with fallen leaves",
    "winter": "a snowy winter scene with the {noun} on white ground",
}
TIMES: dict[str, tuple[tuple[str, ...], str]] = {
    "day": (
        ("make it day", "turn it into daytime", "change the time to noon", "as if it were midday", "show it by day"),
        "the {noun} in bright daylight under {sky}",
    ),
    "sunset": (
        ("make it sunset", "turn it into sunset", "let the sun set", "show it at sunset", "as if it were evening"),
        "the {noun} in warm light at sunset under {sky}",
    ),
}
SKY_LOOK = {
    ("day", "clear"): "a blue sky with the sun high up",
    ("day", "cloudy"): "a grey sky with white clouds",
    ("sunset", "clear"): "an orange and purple sky with the sun low behind",
    ("sunset", "cloudy"): "a dim orange sky with pink clouds",
}


@edit("background")
def background(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Put the scene somewhere else."""
    new = rng.choice([place for place in level.backgrounds if place != scene.background])
    phrases, look = PLACES[new]
    main = scene.things[0]
    return Change(
        scene,
        replace(scene, background=new),
        rng.choice(phrases).format(the=f"the {main.kind}"),
        look.format(noun=noun(main)),
    )


@edit("season")
def season(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Change the season."""
    new = rng.choice([season for season in level.seasons if season != scene.season])
    phrases = (
        "make it {new}",
        "change the season to {new}",
        "turn it into {new}",
        "show it in {new}",
        "let it be {new}",
    )
    return Change(
        scene,
        replace(scene, season=new),
        rng.choice(phrases).format(new=new),
        SEASON_LOOK[new].format(noun=noun(scene.things[0])),
    )


@edit("time")
def time(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Change the time of day."""
    new = rng.choice([time for time in level.times if time != scene.time])
    phrases, look = TIMES[new]
    return Change(
        scene,
        replace(scene, time=new),
        rng.choice(phrases),
        look.format(noun=noun(scene.things[0]), sky=SKY_LOOK[new, scene.weather]),
    )
