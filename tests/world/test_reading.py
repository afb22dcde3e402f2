"""Words become the scene that they describe, and the world's own captions are read back."""

from __future__ import annotations

from random import Random

import pytest

from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.phrases import caption
from ip2p_lightning.world.reading import scene_of_words
from ip2p_lightning.world.scene import Scene, Thing


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_captions_are_read_back(level):
    rng = Random(0)
    for _ in range(150):
        words = caption(level.sample(level, rng))
        assert caption(scene_of_words(words)) == words


def test_simple_scenes_are_read_to_the_last_attribute():
    rng, level = Random(1), LEVELS["simple"]
    for _ in range(50):
        scene = level.sample(level, rng)
        assert scene_of_words(caption(scene)) == scene


def test_what_is_left_out_is_a_clear_summer_day():
    assert scene_of_words("a castle") == Scene("day", "summer", "clear", "hills", (Thing("castle", "red", "left"),))


def test_any_order_will_do():
    scene = scene_of_words("Winter night in the city: a small green car on the right, the lights on, and a pine.")
    assert (scene.time, scene.season, scene.background, scene.lights) == ("night", "winter", "city", True)
    assert scene.things == (Thing("pine", "", "left", "medium"), Thing("car", "green", "right", "small"))


def test_what_flies_keeps_clear_of_what_is_large():
    scene = scene_of_words("a yellow balloon and a blue house")
    assert scene.things == (Thing("house", "blue", "left"), Thing("balloon", "yellow", "right"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a summer night", "names no thing; name one or more of house"),
        ("", "names no thing"),
        ("a red castle on the moon", "knows no 'moon'"),
        ("a boat in the city", "boats by the sea alone"),
        ("a large house and a large castle and a large tent", "does not fit into one image"),
        ("a house " * 60, "describe it in at most 300"),
    ],
)
def test_what_cannot_be_drawn_says_why(words, message):
    with pytest.raises(ValueError, match=message):
        scene_of_words(words)
