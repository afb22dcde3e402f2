"""Edits of whole pictures: texts, visibility and strength words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.photo_edits.visibility import clearly_differ
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.scene import Scene, Thing

PICTURE = draw(Scene("sunset", "spring", "clear", "mountains", (Thing("castle", "blue", "left"),)), 64)


@pytest.mark.parametrize("kind", PICTURE_EDITS)
def test_edits_have_phrasings_and_looks_of_their_own(kind: str) -> None:
    for edit in PICTURE_EDITS[kind]:
        assert len(set(edit.phrases)) >= 3
        assert not any(re.search(r"[{}]|  ", phrase) for phrase in edit.phrases)
        assert "{what}" in edit.look
    looks = {edit.look for edit in PICTURE_EDITS[kind]}
    results = {edit.apply(PICTURE)[1].tobytes() for edit in PICTURE_EDITS[kind]}
    assert len(looks) == len(results)  # one description, one result


@pytest.mark.parametrize("kind", PICTURE_EDITS)
def test_edits_show_on_a_drawn_scene(kind: str) -> None:
    assert any(clearly_differ(*edit.apply(PICTURE)) for edit in PICTURE_EDITS[kind])


def test_sharpening_ends_at_the_picture_itself() -> None:
    for edit in PICTURE_EDITS["sharpen"]:
        given, edited = edit.apply(PICTURE)
        assert np.array_equal(np.asarray(edited), np.asarray(PICTURE))
        assert not np.array_equal(np.asarray(given), np.asarray(PICTURE))


def test_strength_words_are_ordered() -> None:
    bit, plain, much = (np.asarray(edit.apply(PICTURE)[1]).mean() for edit in PICTURE_EDITS["brightness"][:3])
    assert np.asarray(PICTURE).mean() < bit < plain < much
    assert all("a bit" in phrase for phrase in PICTURE_EDITS["brightness"][0].phrases)
