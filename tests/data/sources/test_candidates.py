"""Candidates: which pairs are spoilt, how, and what the score knows."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import ImageChops

from ip2p_lightning.data.mistakes import MISTAKE, NO_EDIT, RIGHT, UNRELATED, WRONG_EDIT
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.candidates import SCORE, CandidateSource
from ip2p_lightning.data.sources.world import WorldSource

PAIRS = WorldSource(300, size=8)


def same(a: object, b: object) -> bool:
    return ImageChops.difference(a, b).getbbox() is None  # type: ignore[arg-type]


def test_the_spoilt_ones_are_what_they_are_said_to_be() -> None:
    candidates = CandidateSource(PAIRS)
    found = Counter()
    for index in range(len(PAIRS)):
        right, pair = PAIRS[index], candidates[index]
        assert pair.id == right.id
        assert same(pair.original_image, right.original_image)
        mistake = pair.metadata[MISTAKE]
        found[mistake] += 1
        if mistake == RIGHT:
            assert same(pair.edited_image, right.edited_image)
        elif mistake == NO_EDIT:
            assert same(pair.edited_image, right.original_image)
    assert found[RIGHT] == pytest.approx(150, abs=30)
    assert found[UNRELATED] == pytest.approx(75, abs=25)


def test_the_score_half_knows_which() -> None:
    pairs = [CandidateSource(PAIRS)[index] for index in range(len(PAIRS))]
    kept = [pair.metadata[MISTAKE] == RIGHT for pair in pairs if pair.metadata["scores"][SCORE] >= 0.5]
    assert sum(kept) / len(kept) == pytest.approx(0.95, abs=0.04)
    assert sum(kept) / 150 == pytest.approx(0.95, abs=0.25)


def test_what_is_spoilt_depends_on_seed_and_id_alone() -> None:
    def planted(source: PairSource) -> list[str]:
        return [source[index].metadata[MISTAKE] for index in range(40)]

    assert planted(CandidateSource(PAIRS)) == planted(CandidateSource(WorldSource(40, size=8)))
    assert planted(CandidateSource(PAIRS)) != planted(CandidateSource(PAIRS, seed=1))
    assert set(planted(CandidateSource(PAIRS, {}))) == {RIGHT}
    assert set(planted(CandidateSource(PAIRS, {UNRELATED: 1.0}))) == {UNRELATED}


def test_the_fingerprint_knows_the_settings() -> None:
    sources = [CandidateSource(PAIRS, *settings) for settings in ((), ({NO_EDIT: 0.5},), ({}, 0.2))]
    assert len({source.fingerprint() for source in [*sources, CandidateSource(PAIRS, seed=1)]}) == 4


def test_pictures_are_exchanged_between_two_pairs_at_least() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        CandidateSource(WorldSource(1, size=8))


def test_another_edit_of_the_same_scene_is_not_to_be_had() -> None:
    with pytest.raises(ValueError, match=r"\['wrong edit'\] cannot be made here; choose from"):
        CandidateSource(PAIRS, {WRONG_EDIT: 0.5})
