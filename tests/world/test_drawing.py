"""Pictures of scenes: deterministic, at any size, every attribute and thing visible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ip2p_lightning.world.drawing import coverage, draw
from ip2p_lightning.world.palette import PAINTS
from ip2p_lightning.world.scene import BACKGROUNDS, CYCLE, SEASONS, WEATHERS, Scene, Thing
from ip2p_lightning.world.things import THINGS

SCENE = Scene("day", "summer", "clear", "hills", (Thing("house", "red", "left"), Thing("balloon", "blue", "right")))


def difference(one: Scene, other: Scene, size: int = 64) -> np.ndarray:
    before, after = (np.asarray(draw(scene, size), np.float32) for scene in (one, other))
    return np.abs(before - after).mean(axis=2)


def test_the_same_scene_gives_the_same_picture() -> None:
    assert difference(SCENE, SCENE).max() == 0


@pytest.mark.parametrize("size", [8, 33, 64, 200, 256])
def test_any_size_is_drawn(size: int) -> None:
    picture = draw(SCENE, size)
    assert (picture.size, picture.mode) == ((size, size), "RGB")


def test_sizes_show_the_same_scene() -> None:
    small = np.asarray(draw(SCENE, 64), np.float32)
    large = np.asarray(draw(SCENE, 256).reduce(4), np.float32)
    assert np.abs(small - large).mean() < 3


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="size is 4"):
        draw(SCENE, 4)


@pytest.mark.parametrize(
    ("attribute", "values"),
    [("time", CYCLE), ("season", SEASONS), ("weather", WEATHERS), ("background", BACKGROUNDS)],
)
def test_every_value_of_an_attribute_looks_different(attribute: str, values: tuple[str, ...]) -> None:
    scenes = [replace(SCENE, **{attribute: value}) for value in values]
    for index, scene in enumerate(scenes):
        for other in scenes[:index]:
            assert difference(scene, other).mean() > 5


@pytest.mark.parametrize("kind", THINGS)
def test_every_kind_of_thing_is_large_enough_and_inside_the_picture(kind: str) -> None:
    thing = Thing(kind, "red", "centre")
    covered = np.asarray(coverage(SCENE, [thing]))
    assert (covered > 127).mean() > 0.03
    assert max(covered[0].max(), covered[-1].max(), covered[:, 0].max(), covered[:, -1].max()) == 0


@pytest.mark.parametrize("kind", THINGS)
def test_coverage_is_exactly_where_a_thing_changes_the_picture(kind: str) -> None:
    thing = Thing(kind, "orange", "left", "medium")
    empty = replace(SCENE, things=(), season="winter", lights=True, time="night")
    changed = difference(empty, replace(empty, things=(thing,)))
    covered = np.asarray(coverage(empty, [thing]))
    assert changed[covered == 0].max() == 0


def test_paints_stay_apart_at_night() -> None:
    night = replace(SCENE, time="night")
    for paint in ("blue", "yellow", "purple", "white"):
        other = night.with_thing(night.things[0], Thing("house", paint, "left"))
        assert difference(night, other).max() > 40
    assert len(PAINTS) == 10


def test_lights_change_windows_alone() -> None:
    covered = np.asarray(coverage(SCENE, SCENE.things[:1]))
    changed = difference(SCENE, replace(SCENE, lights=True))
    assert changed.max() > 40
    assert changed[covered == 0].max() == 0
