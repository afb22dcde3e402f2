"""Chosen pairs: nested sizes, thresholds and kinds, as of a dataset folder."""

from __future__ import annotations

import pickle

import pytest

from ip2p_lightning.data.mistakes import MISTAKE, RIGHT
from ip2p_lightning.data.sources.candidates import CandidateSource
from ip2p_lightning.data.sources.chosen import ChosenSource
from ip2p_lightning.data.sources.world import WorldSource

CANDIDATES = CandidateSource(WorldSource(120, size=8))


def ids(source: ChosenSource) -> list[str]:
    return [source[index].id for index in range(len(source))]


def test_sizes_are_nested() -> None:
    sizes = [set(ids(ChosenSource(CANDIDATES, size))) for size in (5, 20, 60)]
    assert [len(found) for found in sizes] == [5, 20, 60]
    assert sizes[0] < sizes[1] < sizes[2]
    assert set(ids(ChosenSource(CANDIDATES, 20, seed=1))) != sizes[1]
    assert len(ChosenSource(CANDIDATES)) == 120


def test_thresholds_keep_the_good_ones() -> None:
    kept = ChosenSource(CANDIDATES, min_scores={"agreement": 0.5})
    wrong = sum(kept[index].metadata[MISTAKE] != RIGHT for index in range(len(kept)))
    assert 30 < len(kept) < 90
    assert wrong < 0.15 * len(kept)
    dropped = ChosenSource(CANDIDATES, max_scores={"agreement": 0.5})
    assert not set(ids(kept)) & set(ids(dropped))


def test_kinds_groups_and_pickling() -> None:
    chosen = ChosenSource(CANDIDATES, kinds=["season"])
    assert {chosen[index].kind for index in range(len(chosen))} == {"season"}
    assert chosen.groups == [chosen[index].group for index in range(len(chosen))]
    again = pickle.loads(pickle.dumps(chosen))
    assert ids(again) == ids(chosen)
    assert again.fingerprint() == chosen.fingerprint() != ChosenSource(CANDIDATES, 5).fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 500}, r"data\.train\.size=500 but only 120"),
        ({"min_scores": {"clip": 0.5}}, "has no clip; it has agreement"),
        ({"kinds": ["recolor"]}, "has no recolor"),
    ],
)
def test_what_cannot_be_chosen_is_said(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChosenSource(CANDIDATES, **settings)
