"""The paper's filter: thresholds, the best by direction, one pair a seed, no duplicates, nothing unsafe."""

from __future__ import annotations

import math

import pytest
import torch

from ip2p_lightning.generation.base import Candidate, Draw, PairScores
from ip2p_lightning.generation.filter import PairFilter, Thresholds, defect


def scores(direction: float = 0.5, image: float = 0.9, original: float = 0.3, edited: float = 0.3) -> PairScores:
    return PairScores(image, direction, original, edited)


def made(count: int, seed: int | None = None) -> list[Candidate]:
    images = torch.rand(count, 2, 3, 8, 8) * 2 - 1
    return [Candidate(Draw(i if seed is None else seed, 0.5, 7.5), *both) for i, both in enumerate(images)]


class Alike:
    """Finds pairs with equal originals."""

    def duplicates(self, pairs):
        return [any(torch.equal(p.original_image, q.original_image) for q in pairs[:i]) for i, p in enumerate(pairs)]


class Bright:
    name = "bright"

    def __init__(self) -> None:
        self.seen = 0

    def unsafe(self, images):
        self.seen += len(images)
        return [bool(image.mean() > 0.9) for image in images]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (scores(), ""),
        (scores(0.2, 0.7, 0.2, 0.2), ""),  # at the thresholds
        (scores(image=0.699), "image"),
        (scores(0.199), "direction"),
        (scores(original=0.1), "original text"),
        (scores(edited=0.1), "edited text"),
        (scores(math.nan), "direction"),
        (scores(image=math.nan), "image"),
    ],
)
def test_the_paper_s_thresholds(row, reason):
    assert Thresholds().reason(row) == reason


def test_the_best_four_by_direction_are_kept():
    rows = [scores(d) for d in (0.3, 0.9, 0.1, 0.5, 0.4, 0.8, 0.3)]
    assert PairFilter().select(rows) == ["surplus", "", "direction", "", "", "", "surplus"]
    assert PairFilter(keep=5).select(rows) == ["", "", "direction", "", "", "", "surplus"]  # the earlier of two equals
    assert PairFilter().judge(made(7), rows) == PairFilter().select(rows)
    assert PairFilter().select([]) == []


def test_no_thresholds_keep_anything():
    anything = Thresholds(image=-1, direction=-1, text=-1)
    assert PairFilter(anything, keep=2).select([scores(-0.9), scores(0.1, -0.5), scores(-1.0)]) == ["", "", "surplus"]


def test_of_one_seed_the_best_pair_is_kept():
    rows = [scores(0.3), scores(0.9), scores(0.1)]
    pairs = made(3, seed=7)
    assert PairFilter().judge(pairs, rows) == ["duplicate", "", "direction"]
    assert PairFilter().select(rows, [pair.draw for pair in pairs]) == ["duplicate", "", "direction"]
    assert PairFilter().select(rows) == ["", "", "direction"]


def test_duplicates_make_room_for_the_next():
    pairs = made(4)
    pairs[3] = Candidate(pairs[3].draw, pairs[0].original_image, pairs[3].edited_image)
    rows = [scores(d) for d in (0.9, 0.5, 0.4, 0.8)]
    assert PairFilter(keep=2, duplicates=Alike()).judge(pairs, rows) == ["", "", "surplus", "duplicate"]
    rows[3] = scores(0.95)  # of two that are alike the better one stays
    assert PairFilter(keep=2, duplicates=Alike()).judge(pairs, rows) == ["duplicate", "", "surplus", ""]


def test_unsafe_pictures_are_left_out_on_either_side():
    pairs = made(4)
    white = torch.ones(3, 8, 8)
    pairs[0] = Candidate(pairs[0].draw, white, pairs[0].edited_image)
    pairs[2] = Candidate(pairs[2].draw, pairs[2].original_image, white)
    safety = Bright()
    rows = [scores(0.9), scores(0.5), scores(0.8), scores(0.1)]
    assert PairFilter(safety=safety).judge(pairs, rows) == ["unsafe", "", "unsafe", "direction"]
    assert safety.seen == 6  # pairs that are left out anyway are not asked about
    pairs[3] = Candidate(pairs[3].draw, white, white)
    reasons = PairFilter(safety=safety).judge(pairs, rows)
    assert PairFilter(safety=safety).fit_to_store(pairs, reasons) == ["unsafe", "", "unsafe", "unsafe"]  # if stored
    assert PairFilter().fit_to_store(pairs, reasons) == reasons


def test_pictures_that_no_model_should_make():
    image = torch.rand(3, 8, 8)
    assert defect(image) == ""
    assert defect(torch.full((3, 8, 8), -1.0)) == "one colour"
    assert defect(torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1).expand(3, 8, 8)) == "one colour"
    image[0, 3, 3] = math.inf
    assert defect(image) == "not finite"


def test_something_must_be_kept():
    with pytest.raises(ValueError, match="keep=0"):
        PairFilter(keep=0)
