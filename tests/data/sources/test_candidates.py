"""Candidates: which pairs are spoilt, how, and what the score knows."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import ImageChops

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.candidates import SCORE, CandidateSource
from ip2p_lightning.data.sources.world import WorldSource

RIGHT = WorldSource(300, size=8)


def same(a: object, b: object) -> bool:
    return ImageChops.difference(a, b).getbbox() is None  # type: ignore[arg-type]


def test_the_spoilt_ones_are_what_they_are_said_to_be() -> None:
    candidates = CandidateSource(RIGHT)
    found = Counter()
    for index in range(len(RIGHT)):
        right, pair = RIGHT[index], candidates[index]
        assert pair.id == right.id
        assert same(pair.original_image, right.original_image)
        planted = pair.metadata["planted"]
        found[planted] += 1
        if planted == "right":
            assert same(pair.edited_image, right.edited_image)
        elif planted == "unedited":
            assert same(pair.edited_image, right.original_image)
    assert found["right"] == pytest.approx(150, abs=30)
    assert found["strange"] == pytest.approx(75, abs=25)


def test_the_score_half_knows_which() -> None:
    pairs = [CandidateSource(RIGHT)[index] for index in range(len(RIGHT))]
    kept = [pair.metadata["planted"] == "right" for pair in pairs if pair.metadata["scores"][SCORE] >= 0.5]
    assert sum(kept) / len(kept) == pytest.approx(0.95, abs=0.04)
    assert sum(kept) / 150 == pytest.approx(0.95, abs=0.25)


def test_what_is_spoilt_depends_on_seed_and_id_alone() -> None:
    def planted(source: PairSource) -> list[str]:
        return [source[index].metadata["planted"] for index in range(40)]

    assert planted(CandidateSource(RIGHT)) == planted(CandidateSource(WorldSource(40, size=8)))
    assert planted(CandidateSource(RIGHT)) != planted(CandidateSource(RIGHT, seed=1))
    assert set(planted(CandidateSource(RIGHT, wrong=0))) == {"right"}
    assert set(planted(CandidateSource(RIGHT, wrong=1, strange=1))) == {"strange"}


def test_the_fingerprint_knows_the_settings() -> None:
    sources = [CandidateSource(RIGHT, *settings) for settings in ((), (0.4,), (0.5, 0.4), (0.5, 0.5, 0.2))]
    assert len({source.fingerprint() for source in [*sources, CandidateSource(RIGHT, seed=1)]}) == 5


@pytest.mark.parametrize(("settings", "message"), [({"wrong": 1.5}, "wrong=1.5"), ({"strange": -1}, "strange=-1")])
def test_shares_are_shares(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CandidateSource(RIGHT, **settings)


def test_pictures_are_exchanged_between_two_pairs_at_least() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        CandidateSource(WorldSource(1, size=8))
