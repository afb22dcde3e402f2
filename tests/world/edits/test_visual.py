"""Instructions that need the picture are completed from the picture."""

from __future__ import annotations

from random import Random

import pytest

from ip2p_lightning.world.edits import EDITS, Change
from ip2p_lightning.world.edits.visual import BEDTIME, SEASON_STEPS
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.scene import SEASONS, Scene, Thing

FULL = LEVELS["full"]
THINGS = (Thing("house", "red", "left", "medium"), Thing("car", "blue", "right", "small"), Thing("balloon", "green"))


def made(scene: Scene) -> list[Change]:
    return [change for seed in range(300) if (change := EDITS["visual"](scene, FULL, Random(seed)))]


@pytest.mark.parametrize("season", SEASONS)
def test_the_season_that_follows_depends_on_the_picture(season: str) -> None:
    scene = Scene("day", season, "clear", "hills", THINGS)
    followers = {change.after.season for change in made(scene) if change.instruction in SEASON_STEPS[1]}
    assert followers == {SEASONS[(SEASONS.index(season) + 1) % 4]}


def test_painting_like_another_thing_takes_its_colour() -> None:
    scene = Scene("day", "summer", "clear", "hills", THINGS)
    found = [change for change in made(scene) if "paint the car like the balloon" in change.instruction]
    assert found
    assert all(change.after.things[1].colour == "green" for change in found)
    assert all("green" not in change.instruction for change in found)


def test_bedtime_is_night_and_nothing_at_night() -> None:
    day, night = (Scene(time, "summer", "clear", "hills", THINGS) for time in ("day", "night"))
    assert {change.after.time for change in made(day) if change.instruction in BEDTIME} == {"night"}
    assert not [change for change in made(night) if change.instruction in BEDTIME]


def test_sizes_name_the_largest_and_the_smallest() -> None:
    scene = Scene("day", "summer", "clear", "hills", THINGS)
    largest = [change for change in made(scene) if "largest" in change.instruction or "biggest" in change.instruction]
    smallest = [change for change in made(scene) if "smallest" in change.instruction]
    assert all(change.before.things[0] not in change.after.things for change in largest)
    assert all(change.before.things[1] not in change.after.things for change in smallest)
    assert largest
    assert smallest
