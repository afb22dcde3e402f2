"""World pairs: deterministic, visible, within their masks, held-out combinations in the test split alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.photo_edits.visibility import clearly_differ
from ip2p_lightning.world.levels import HELD_OUT, LEVELS, SPLITS, has_held_out


def same(one: EditPair, other: EditPair) -> bool:
    texts = [(pair.id, pair.instruction, pair.expressive_instruction, pair.kind, pair.group) for pair in (one, other)]
    pictures = [
        [np.asarray(image).tobytes() for image in (pair.original_image, pair.edited_image, pair.mask)]
        for pair in (one, other)
    ]
    return texts[0] == texts[1] and pictures[0] == pictures[1]


def test_is_a_pair_source() -> None:
    source = WorldSource(3)
    assert isinstance(source, PairSource)
    assert len(source) == 3
    with pytest.raises(IndexError):
        source[3]


@pytest.mark.parametrize("level", LEVELS)
def test_pairs_are_deterministic_and_survive_pickling(level: str) -> None:
    source = WorldSource(6, level=level, seed=3)
    copy = pickle.loads(pickle.dumps(source))
    assert all(same(source[index], copy[index]) for index in range(6))
    assert not all(same(source[index], WorldSource(6, level=level, seed=4)[index]) for index in range(6))


def test_a_longer_source_starts_with_the_shorter_one() -> None:
    assert same(WorldSource(50)[7], WorldSource(8)[7])


@pytest.mark.parametrize("level", LEVELS)
def test_another_size_shows_the_same_scenes(level: str) -> None:
    small, large = WorldSource(8, level=level), WorldSource(8, level=level, size=128)
    for index in range(8):
        assert small.change(index) == large.change(index)
        assert large[index].original_image.size == (128, 128)


@pytest.mark.parametrize("level", LEVELS)
def test_every_edit_is_visible_and_stays_in_its_mask(level: str) -> None:
    source = WorldSource(150, level=level, seed=1)
    for index in range(len(source)):
        pair = source[index]
        before, after, mask = (np.asarray(part) for part in (pair.original_image, pair.edited_image, pair.mask))
        assert np.array_equal(before[mask == 0], after[mask == 0])
        change = np.abs(before.astype(np.int16) - after).mean(axis=2)
        assert change[mask > 0].mean() > 5, (pair.kind, pair.instruction)
        assert (change > 16).mean() > 0.015, (pair.kind, pair.instruction)


@pytest.mark.parametrize("level", LEVELS)
def test_held_out_combinations_are_in_the_test_split_alone(level: str) -> None:
    for split in ("train", "validation", "test"):
        source = WorldSource(60, level=level, split=split)
        for index in range(60):
            _, change = source.change(index)
            assert (has_held_out(change.before) or has_held_out(change.after)) == (split == "test")


def test_training_never_shows_the_scenes_that_validation_edits() -> None:
    train, validation = WorldSource(400, level="simple"), WorldSource(100, level="simple", split="validation")
    shown = {scene for index in range(400) for scene in (train.change(index)[1].before, train.change(index)[1].after)}
    assert not shown & {validation.change(index)[1].before for index in range(100)}


def test_captions_of_training_never_name_a_held_out_combination() -> None:
    source = WorldSource(150, level="full")
    names = [f"{colour} {kind}" for kind, colour in HELD_OUT]
    for index in range(len(source)):
        change = source.change(index)[1]
        assert not any(f"{name} " in f"{change.edited_caption} " for name in names)


def test_kinds_can_be_chosen_and_have_equal_shares() -> None:
    assert {WorldSource(20, kinds=["season"]).change(index)[0] for index in range(20)} == {"season"}
    source = WorldSource(700)
    kinds = [source.change(index)[0] for index in range(700)]
    assert min(kinds.count(kind) for kind in LEVELS["simple"].edits) > 60


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("level", LEVELS)
def test_every_kind_has_pairs_in_every_split(level: str, split: str) -> None:
    for kind in LEVELS[level].edits:
        assert WorldSource(1, level=level, kinds=[kind], split=split, seed=5).change(0)[0] == kind


def test_sources_of_other_kinds_have_other_ids() -> None:
    assert WorldSource(1)[0].id != WorldSource(1, kinds=["season"])[0].id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "at least one pair"),
        ({"count": 1, "level": "huge"}, "choose one of"),
        ({"count": 1, "split": "dev"}, "choose one of"),
        ({"count": 1, "kinds": ["lights"]}, "not drawn at level 'simple'"),
        ({"count": 1, "kinds": []}, "choose from"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldSource(**arguments)  # type: ignore[arg-type]


def test_fingerprint_follows_the_settings() -> None:
    prints = {WorldSource(5, **options).fingerprint() for options in ({}, {"seed": 1}, {"size": 32}, {"split": "test"})}
    assert len(prints) == 4
    assert WorldSource(5).fingerprint() == WorldSource(5).fingerprint()


def test_groups_are_scenes() -> None:
    source = WorldSource(40)
    groups = {}
    for index in range(40):
        before = source.change(index)[1].before
        assert groups.setdefault(source[index].group, before) == before


def test_visibility_is_about_size_and_contrast() -> None:
    pair = WorldSource(1)[0]
    assert clearly_differ(pair.original_image, pair.edited_image, pair.mask)  # type: ignore[arg-type]
    assert not clearly_differ(pair.original_image, pair.original_image)  # type: ignore[arg-type]


def test_shares_of_kinds() -> None:
    source = WorldSource(300, kinds={"replace": 3, "season": 1, "time": 0})
    kinds = [source.change(index)[0] for index in range(300)]
    assert 195 <= kinds.count("replace") <= 255
    assert "time" not in kinds
    equal = WorldSource(20, kinds={"replace": 2, "season": 2})
    assert [equal[i].id for i in range(20)] == [WorldSource(20, kinds=["replace", "season"])[i].id for i in range(20)]
    with pytest.raises(ValueError, match="0 or more"):
        WorldSource(1, kinds={"replace": -1, "season": 1})
