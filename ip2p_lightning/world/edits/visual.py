"""Instructions that only make sense with the image in view: its colours, hour, season and sizes complete them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ip2p_lightning.world.edits.attributes import season_look, time_look, weather_look
from ip2p_lightning.world.edits.change import Change, edit
from ip2p_lightning.world.edits.objects import repaint, without
from ip2p_lightning.world.levels import Level, free_slots, paints_of
from ip2p_lightning.world.palette import difference, unlike
from ip2p_lightning.world.phrases import ground, placed, the
from ip2p_lightning.world.scene import CYCLE, SEASONS, SIZES, Scene
from ip2p_lightning.world.things import plausible

SEASON_STEPS = {
    1: ("let one season pass", "show it one season later", "move on to the next season"),
    2: ("show it half a year later", "let two seasons pass", "turn to the opposite season"),
    3: ("go back one season", "show it one season earlier", "return to the season before"),
}
TIME_STEPS = {
    1: ("let a few hours pass", "show it a little later in the day", "move on to the next time of day"),
    2: ("show it half a day later", "let twelve hours pass", "turn the clock by half a day"),
}
BEDTIME = ("as if it were bedtime", "as if all children were asleep", "when owls wake up")
BREAKFAST = ("as if the birds had just woken up", "when the first people get up", "as if the day were about to begin")
OPPOSITE_WEATHER = {"clear": "rainy", "cloudy": "clear", "rainy": "clear", "snowy": "clear", "foggy": "clear"}


@edit("visual")
def visual(scene: Scene, level: Level, rng: Random) -> Change | None:
    """One of the instructions that need the image."""
    makers = (_paint_like, _trade_colours, _pass_season, _pass_time, _hour_of_life, _turn_weather, _twin, _by_size)
    return rng.choice(makers)(scene, level, rng)


def _paint_like(scene: Scene, level: Level, rng: Random) -> Change | None:
    pairs = [
        (one, other)
        for one in scene.things
        for other in scene.things
        if one.colour and other.colour and other.colour in unlike(one.colour, paints_of(one.kind, level))
    ]
    if not pairs:
        return None
    old, model = rng.choice(pairs)
    phrases = ("paint {the} like {model}", "give {the} the colour of {model}", "{the} should match {model}")
    instruction = rng.choice(phrases).format(the=the(old, scene), model=the(model, scene))
    return repaint(scene, old, model.colour, instruction)


def _trade_colours(scene: Scene, level: Level, rng: Random) -> Change | None:
    coloured = [thing for thing in scene.things if thing.colour]
    if len(coloured) < 2:
        return None
    one, other = rng.sample(coloured, 2)
    allowed = other.colour in paints_of(one.kind, level) and one.colour in paints_of(other.kind, level)
    if not allowed or difference(one.colour, other.colour) < 45:
        return None
    new, match = replace(one, colour=other.colour), replace(other, colour=one.colour)
    phrases = ("swap the colours of {one} and {other}", "let {one} and {other} trade colours")
    return Change(
        scene,
        scene.with_thing(one, new).with_thing(other, match),
        rng.choice(phrases).format(one=the(one, scene), other=the(other, scene)),
        f"{placed(new)} and {placed(match)}",
    )


def _pass_season(scene: Scene, level: Level, rng: Random) -> Change | None:
    step = rng.choice(tuple(SEASON_STEPS))
    after = replace(scene, season=SEASONS[(SEASONS.index(scene.season) + step) % len(SEASONS)])
    return Change(scene, after, rng.choice(SEASON_STEPS[step]), season_look(after))


def _pass_time(scene: Scene, level: Level, rng: Random) -> Change | None:
    step = rng.choice(tuple(TIME_STEPS))
    after = replace(scene, time=CYCLE[(CYCLE.index(scene.time) + step) % len(CYCLE)])
    return Change(scene, after, rng.choice(TIME_STEPS[step]), time_look(after))


def _hour_of_life(scene: Scene, level: Level, rng: Random) -> Change | None:
    hour, phrases = rng.choice((("night", BEDTIME), ("dawn", BREAKFAST)))
    if scene.time == hour:
        return None
    after = replace(scene, time=hour)
    return Change(scene, after, rng.choice(phrases), time_look(after))


def _turn_weather(scene: Scene, level: Level, rng: Random) -> Change | None:
    after = replace(scene, weather=OPPOSITE_WEATHER[scene.weather])
    turned = (
        ("spoil the weather", "ruin the picnic weather")
        if scene.weather == "clear"
        else (
            "improve the weather",
            "make it picnic weather",
        )
    )
    return Change(scene, after, rng.choice((*turned, "turn the weather around")), weather_look(after))


def _twin(scene: Scene, level: Level, rng: Random) -> Change | None:
    old = rng.choice(scene.things)
    free = free_slots(scene.things, old.kind, level)
    if level.single or len(free) != 1 or any(other != old and other.kind == old.kind for other in scene.things):
        return None
    twin = replace(old, slot=free[0])
    after = replace(scene, things=(*scene.things, twin))
    if not plausible(after):
        return None
    phrases = ("give {the} a twin", "add another one like {the}", "{the} wants company of its own kind")
    return Change(scene, after, rng.choice(phrases).format(the=the(old, scene)), f"{placed(old)} and {placed(twin)}")


def _by_size(scene: Scene, level: Level, rng: Random) -> Change | None:
    things = sorted(ground(scene), key=lambda thing: SIZES.index(thing.size))
    if len(things) < 2:
        return None
    if rng.random() < 0.5 and things[0].size != things[1].size:
        phrases = ("remove the smallest thing on the ground", "take away the smallest thing that stands here")
        return Change(scene, scene.with_thing(things[0], None), rng.choice(phrases), without(scene, things[0]))
    if things[-1].size == things[-2].size or not things[-1].colour:
        return None
    colour = rng.choice(unlike(things[-1].colour, level.colours))
    phrases = (f"paint the largest thing on the ground {colour}", f"make the biggest thing that stands here {colour}")
    return repaint(scene, things[-1], colour, rng.choice(phrases))
