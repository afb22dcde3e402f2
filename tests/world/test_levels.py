"""Levels keep to their attributes; splits never overlap."""

from __future__ import annotations

from random import Random

import pytest

from ip2p_lightning.world.edits import EDITS
from ip2p_lightning.world.levels import HELD_OUT, LEVELS, SPLITS, belongs, has_held_out, paints_of
from ip2p_lightning.world.scene import Scene, Thing
from ip2p_lightning.world.things import THINGS, plausible


@pytest.mark.parametrize("name", LEVELS)
def test_sampled_scenes_keep_to_their_level(name: str) -> None:
    level, rng = LEVELS[name], Random(1)
    for _ in range(200):
        scene = level.sample(level, rng)
        assert plausible(scene)
        assert scene.time in level.times
        assert scene.season in level.seasons
        assert scene.weather in level.weathers
        assert scene.background in level.backgrounds
        for thing in scene.things:
            assert thing.kind in (*level.main, *level.others, *level.sky)
            assert thing.colour in paints_of(thing.kind, level)


@pytest.mark.parametrize("name", LEVELS)
def test_every_kind_of_edit_of_a_level_exists(name: str) -> None:
    assert set(LEVELS[name].edits) <= set(EDITS)


def test_simple_scenes_are_one_large_thing_and_perhaps_a_balloon_on_the_other_side() -> None:
    level, rng = LEVELS["simple"], Random(2)
    scenes = [level.sample(level, rng) for _ in range(400)]
    balloons = [scene for scene in scenes if len(scene.things) == 2]
    assert all(scene.things[0].size == "large" and len(scene.things) <= 2 for scene in scenes)
    assert all(scene.things[0].slot != scene.things[1].slot for scene in balloons)
    assert 0.3 < len(balloons) / len(scenes) < 0.5


def test_held_out_combinations_exist_at_some_level() -> None:
    for kind, colour in HELD_OUT:
        assert kind in THINGS
        assert colour in paints_of(kind, LEVELS["full"])
    assert any(kind in LEVELS["simple"].main and colour in LEVELS["simple"].colours for kind, colour in HELD_OUT)


def test_an_edit_belongs_to_one_split_at_most() -> None:
    level, rng = LEVELS["simple"], Random(3)
    for _ in range(300):
        before, after = level.sample(level, rng), level.sample(level, rng)
        splits = [split for split in SPLITS if belongs(split, before, after)]
        assert len(splits) <= 1
        assert (splits == ["test"]) == (has_held_out(before) or has_held_out(after))


def test_boats_need_the_sea_and_things_need_room() -> None:
    boat = Thing("boat", "blue", "left", "medium")
    assert plausible(Scene("day", "summer", "clear", "sea", (boat,)))
    assert not plausible(Scene("day", "summer", "clear", "city", (boat,)))
    beside = (Thing("house", "red", "left"), Thing("castle", "blue", "centre"))
    assert not plausible(Scene("day", "summer", "clear", "city", beside))
