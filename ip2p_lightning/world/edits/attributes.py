"""Edits of the whole scene: background, season, time, weather, lights."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.levels import Level
from ip2p_lightning.world.phrases import called, ground, herds, listed, lit_things, subject
from ip2p_lightning.world.scene import Scene
from ip2p_lightning.world.things import plausible

PLACES: dict[str, tuple[str, str, str]] = {
    "hills": ("in front of hills", "the hills", "in front of soft round hills"),
    "mountains": ("in front of mountains", "the mountains", "in front of grey mountains with white tops"),
    "sea": ("by the sea", "the sea", "by the blue sea with an open horizon"),
    "city": ("in front of a city", "the city", "in front of tall city towers with many windows"),
    "forest": ("in front of a forest", "the forest", "in front of a dense forest of tall trees"),
}
BACKGROUND = ("put {the} {front}", "change the background to {place}", "move the scene to {place}")
SEASON = ("make it {new}", "change the season to {new}", "turn it into {new}", "show it in {new}", "let it be {new}")
SEASON_LOOK = {
    "spring": "a fresh spring scene with {the} on light green grass with pink flowers",
    "summer": "a green summer scene with {the} on deep green grass",
    "autumn": "an orange autumn scene with {the} on brown grass with fallen leaves",
    "winter": "a snowy winter scene with snow on {the} and on the white ground",
}
TIMES: dict[str, tuple[tuple[str, ...], str]] = {
    "dawn": (
        ("make it dawn", "turn it into dawn", "show it at dawn", "as if it were early morning"),
        "{the} in the first pink light of dawn under {sky}",
    ),
    "day": (
        ("make it day", "turn it into daytime", "change the time to noon", "as if it were midday", "show it by day"),
        "{the} in bright daylight under {sky}",
    ),
    "sunset": (
        ("make it sunset", "turn it into sunset", "let the sun set", "show it at sunset", "as if it were evening"),
        "{the} in warm light at sunset under {sky}",
    ),
    "night": (
        ("make it night", "turn it into night", "show it by night", "let night fall", "as if it were midnight"),
        "{the} in blue moonlight at night under {sky}",
    ),
}
CLEAR_SKY = {
    "dawn": "a violet and pink sky with a pale sun low behind",
    "day": "a blue sky with the sun high up",
    "sunset": "an orange and purple sky with the sun low behind",
    "night": "a dark blue sky with the moon and stars",
}
CLOUDED_SKY = {
    "dawn": "a pale pink sky with clouds",
    "day": "a grey sky with white clouds",
    "sunset": "a dim orange sky with pink clouds",
    "night": "a dark grey sky with clouds and the moon",
}
WEATHER: dict[str, tuple[tuple[str, ...], str]] = {
    "clear": (
        ("make the sky clear", "let the sky clear up", "make the weather fine", "no clouds please"),
        "{sky} over {the}",
    ),
    "cloudy": (
        ("make it cloudy", "let clouds come up", "cover the sky with clouds", "make the sky grey"),
        "{sky} over {the}",
    ),
    "rainy": (
        ("make it rain", "let it rain", "add rain", "turn the weather rainy"),
        "rain falling on {the} from dark clouds",
    ),
    "snowy": (("make it snow", "let it snow", "add falling snow"), "white flakes of snow falling on {the} from {sky}"),
    "foggy": (
        ("make it foggy", "let fog come up", "add fog", "hide it in fog"),
        "thick fog behind {the}, hiding the distance",
    ),
}
LIGHTS_ON = ("turn the lights on", "switch on the lights", "light the windows", "let the windows glow")
LIGHTS_OFF = ("turn the lights off", "switch off the lights", "put out the lights", "let the windows go dark")


def sky_look(scene: Scene) -> str:
    """Look of the sky at the scene's hour in its weather."""
    if scene.weather == "foggy":
        return "a pale sky in fog"
    look = (CLEAR_SKY if scene.weather == "clear" else CLOUDED_SKY)[scene.time]
    return look + {"rainy": " and rain", "snowy": " and falling snow"}.get(scene.weather, "")


def season_look(scene: Scene) -> str:
    """Visible signs of the scene's season."""
    return SEASON_LOOK[scene.season].format(the=subject(ground(scene)))


def time_look(scene: Scene) -> str:
    """Visible signs of the scene's hour."""
    return TIMES[scene.time][1].format(the=subject(ground(scene)), sky=sky_look(scene))


def weather_look(scene: Scene) -> str:
    """Visible signs of the scene's weather."""
    dry = replace(scene, weather="cloudy") if scene.weather in ("rainy", "snowy") else scene
    return WEATHER[scene.weather][1].format(the=subject(ground(scene)), sky=sky_look(dry))


@edit("background")
def background(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Put the scene somewhere else; in fog it would not be visible."""
    new = rng.choice([place for place in level.backgrounds if place != scene.background])
    after = replace(scene, background=new)
    if scene.weather == "foggy" or not plausible(after):
        return None
    front, place, look = PLACES[new]
    kinds = listed(called(herd, scene) for herd in herds(ground(scene)))
    instruction = rng.choice(BACKGROUND).format(the=kinds, front=front, place=place)
    return Change(scene, after, instruction, f"{subject(ground(scene))} {look}")


@edit("season")
def season(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Change the season."""
    new = rng.choice([season for season in level.seasons if season != scene.season])
    after = replace(scene, season=new)
    return Change(scene, after, rng.choice(SEASON).format(new=new), season_look(after))


@edit("time")
def time(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Change the time of day."""
    new = rng.choice([time for time in level.times if time != scene.time])
    after = replace(scene, time=new)
    return Change(scene, after, rng.choice(TIMES[new][0]), time_look(after))


@edit("weather")
def weather(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Change the weather."""
    new = rng.choice([weather for weather in level.weathers if weather != scene.weather])
    after = replace(scene, weather=new)
    return Change(scene, after, rng.choice(WEATHER[new][0]), weather_look(after))


@edit("lights")
def lights(scene: Scene, level: Level, rng: Random) -> Change | None:
    """Switch the lights in all windows on or off."""
    lit = lit_things(scene)
    if not lit:
        return None
    names = subject(lit)
    look = f"dark windows in {names}" if scene.lights else f"warm yellow light in the windows of {names}"
    phrases = LIGHTS_OFF if scene.lights else LIGHTS_ON
    return Change(scene, replace(scene, lights=not scene.lights), rng.choice(phrases), look)
