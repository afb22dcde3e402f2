"""The open level: right answers share what an instruction settles, masks are exact, splits never overlap."""

from __future__ import annotations

import hashlib
from random import Random

import numpy as np
import pytest

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.world.levels import SPLITS
from ip2p_lightning.world.open.attributes import ATTRIBUTES, alternatives, describe
from ip2p_lightning.world.open.distribution import drawn_again, plausible, sample
from ip2p_lightning.world.open.drawing import draw
from ip2p_lightning.world.open.edits import EDITS, OpenChange, answers, render
from ip2p_lightning.world.open.edits.change import mask_of
from ip2p_lightning.world.open.kinds import KINDS
from ip2p_lightning.world.open.level import HELD_OUT, OpenLevel, has_held_out
from ip2p_lightning.world.open.scene import WORDS

LEVEL = OpenLevel()


def change(kind: str, seed: int = 0, split: str = "train") -> OpenChange:
    rng = Random(f"{kind}/{seed}")
    while True:
        found = LEVEL.change(kind, split, rng)
        if found is not None:
            return found


@pytest.mark.parametrize("kind", EDITS)
def test_pixels_outside_the_mask_are_equal_in_all_answers(kind: str) -> None:
    edit = change(kind)
    images = render(edit)
    before, after = np.asarray(images.original_image), np.asarray(images.edited_image)
    mask = np.asarray(images.mask) > 0
    assert np.array_equal(before[~mask], after[~mask])
    if edit.picture_edit is None:
        for answer in answers(edit, 4):
            mask = mask_of(edit.before, answer, 64)
            assert np.array_equal(before[~mask], np.asarray(draw(answer))[~mask])


@pytest.mark.parametrize("kind", EDITS)
def test_answers_share_what_is_settled_and_are_right(kind: str) -> None:
    edit = change(kind, seed=1)
    right = alternatives(edit)
    original, shown = describe(edit)
    assert right
    assert all(name in ATTRIBUTES and value in ATTRIBUTES[name] for name, value in {**original, **shown}.items())
    for answer in answers(edit, 6):
        assert plausible(answer)
        assert set(edit.kept.things) <= set(answer.things)
        assert (answer.time, answer.season, answer.weather, answer.place) == (
            edit.after.time,
            edit.after.season,
            edit.after.weather,
            edit.after.place,
        )
        for wish in edit.wishes:
            said = dict(wish.said)
            assert any(
                thing.kind in wish.kinds and all(getattr(thing, key) == said[key] for key in WORDS if key in said)
                for thing in answer.things
            )


def test_answers_differ_in_what_is_open_and_repeat_by_seed() -> None:
    edit = change("vague")
    found = answers(edit, 24)
    new = [next(thing for thing in scene.things if thing not in edit.kept.things) for scene in found]
    assert {thing.kind for thing in new} <= set(edit.wishes[0].kinds)
    assert len({thing.kind for thing in new}) > 1
    assert len({thing.x for thing in new}) > 12
    assert found == answers(edit, 24)
    assert found[:5] == answers(edit, 5)
    assert found != answers(edit, 24, seed=1)


def test_open_attributes_follow_the_stated_distribution() -> None:
    rng, scene = Random(0), None
    while scene is None or not any(thing.kind == "cat" for thing in scene.things):
        scene = sample(rng)
    cats = [next(t for t in drawn_again(scene, rng).things if t.kind == "cat") for _ in range(600)]
    shares = [sum(cat.sprite == variant for cat in cats) / len(cats) for variant in KINDS["cat"].variants]
    assert all(abs(share - 1 / 3) < 0.1 for share in shares)
    assert abs(sum(cat.flipped for cat in cats) / len(cats) - 0.5) < 0.1
    assert len({cat.words for cat in cats}) == 1


def test_draws_of_one_scene_say_the_same_and_look_different() -> None:
    rng = Random(3)
    for _ in range(20):
        scene = sample(rng)
        other = drawn_again(scene, rng)
        assert sorted(t.words for t in scene.things) == sorted(t.words for t in other.things)
        assert scene.signature() == other.signature()
        assert np.abs(np.asarray(draw(scene), int) - np.asarray(draw(other), int)).mean() > 1


@pytest.mark.parametrize("split", SPLITS)
def test_source_is_deterministic_visible_and_keeps_its_split(split: str) -> None:
    source = WorldSource(12, level="open", split=split)
    for index in range(12):
        pair, again = source[index], source[index]
        assert pair.original_image.tobytes() == again.original_image.tobytes()
        assert pair.edited_image.tobytes() == again.edited_image.tobytes()
        assert (pair.instruction, pair.metadata) == (again.instruction, again.metadata)
        _, edit = source.change(index)
        assert (has_held_out(edit.before) or has_held_out(edit.after)) == (split == "test")
        moved = np.abs(np.asarray(pair.original_image, int) - np.asarray(pair.edited_image, int)).mean(axis=2)
        assert (moved > 20).mean() >= 0.01
    assert sum(LEVEL.belongs(one, edit.before, edit.after) for one in SPLITS) == 1


def test_held_out_combinations_exist() -> None:
    assert all(kind in KINDS for kind, _ in HELD_OUT)


def test_another_size_shows_the_same_scene() -> None:
    small, large = WorldSource(4, level="open"), WorldSource(4, level="open", size=128)
    for index in range(4):
        assert small.change(index) == large.change(index)
        assert large[index].original_image.size == (128, 128)


def test_what_is_drawn_stays_what_it_was() -> None:
    """A change of the drawing is seen here: trained models and figures depend on it."""
    digest = hashlib.sha256()
    rng = Random(5)
    for _ in range(8):
        digest.update(repr(sample(rng)).encode())
    assert digest.hexdigest()[:16] == "5406c9e85ec73784"
