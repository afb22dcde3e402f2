"""What holds for every kind of edit at every level: masks, texts, visibility, determinacy."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from ip2p_lightning.world.edits import EDITS, Change, is_visible, render
from ip2p_lightning.world.levels import LEVELS, Level
from ip2p_lightning.world.things import plausible

CASES = [(level, kind) for level in LEVELS.values() for kind in level.edits]
NAMES = [f"{level.name}-{kind}" for level, kind in CASES]


def changes(level: Level, kind: str, number: int, seed: int = 0) -> list[Change]:
    rng = Random(f"{seed}/{level.name}/{kind}")
    found: list[Change] = []
    while len(found) < number:
        change = EDITS[kind](level.sample(level, rng), level, rng)
        if change is not None:
            found.append(change)
    return found


@pytest.mark.parametrize(("level", "kind"), CASES, ids=NAMES)
def test_edits_change_something_and_only_within_the_mask(level: Level, kind: str) -> None:
    for change in changes(level, kind, 12):
        pictures = render(change, 64)
        before, after = (np.asarray(image, np.int16) for image in (pictures.original_image, pictures.edited_image))
        mask = np.asarray(pictures.mask)
        assert set(np.unique(mask)) <= {0, 255}
        assert not (before != after)[mask == 0].any()
        assert plausible(change.after)


@pytest.mark.parametrize(("level", "kind"), CASES, ids=NAMES)
def test_texts_are_whole_and_phrased_in_several_ways(level: Level, kind: str) -> None:
    found = changes(level, kind, 40)
    for change in found:
        for text in (change.instruction, change.expressive_instruction, change.original_caption, change.edited_caption):
            assert text == " ".join(text.split())
            assert not set("{}") & set(text)
    assert len({change.instruction for change in found}) >= 3


@pytest.mark.parametrize("kind", LEVELS["simple"].edits)
def test_every_simple_edit_is_visible(kind: str) -> None:
    assert all(is_visible(change) for change in changes(LEVELS["simple"], kind, 40))


@pytest.mark.parametrize("kind", LEVELS["simple"].edits)
def test_simple_edits_are_determined_by_picture_and_expressive_instruction(kind: str) -> None:
    results: dict[tuple[str, str], object] = {}
    for change in changes(LEVELS["simple"], kind, 400):
        key = (change.original_caption, change.expressive_instruction)
        assert results.setdefault(key, change.after) == change.after
