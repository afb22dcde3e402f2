"""Agreement and kappa are the textbook's; intervals hold what they should; nothing is left out in silence."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from ip2p_lightning.evaluation.calibration import Choice, calibrate, kappa, read_choices

pytestmark = pytest.mark.numeric


def choices(count: int, right: float = 1.0, raters: int = 1, seed: int = 0) -> tuple[list[Choice], dict]:
    """People who agree with the marks in a share of cases, and else say the opposite."""
    draw = random.Random(seed)
    marks = {"a": {str(n): draw.random() for n in range(count)}, "b": {str(n): draw.random() for n in range(count)}}
    found = []
    for number in range(count):
        better = "first" if marks["a"][str(number)] > marks["b"][str(number)] else "second"
        other = {"first": "second", "second": "first"}[better]
        for rater in range(raters):
            chosen = better if draw.random() < right else other
            found.append(Choice(str(number), "a", "b", chosen, str(rater)))
    return found, marks


def test_kappa_is_the_textbooks():
    table = np.array([[20.0, 5.0], [10.0, 15.0]])
    assert kappa(table) == pytest.approx((0.7 - 0.5) / 0.5)
    assert kappa(np.eye(3)) == 1
    assert kappa(np.ones((3, 3))) == pytest.approx(0)
    assert math.isnan(kappa(np.array([[5.0, 0.0], [0.0, 0.0]])))


def test_perfect_and_opposite_judges():
    found, marks = choices(40)
    same = calibrate(found, marks)
    assert (same.agreement.estimate, same.kappa.estimate) == (1, 1)
    assert same.agreement.low < 1  # 40 of 40 do not prove that all agree
    assert same.people is None
    opposite = calibrate(found, {"a": marks["b"], "b": marks["a"]})
    assert opposite.agreement.estimate == 0
    assert opposite.kappa.estimate < -0.8


def test_intervals_hold_the_truth_and_shrink():
    small, large = (calibrate(*choices(count, right=0.8)) for count in (50, 800))
    for result in (small, large):
        assert result.agreement.low < 0.8 < result.agreement.high
        assert result.kappa.low < 0.6 < result.kappa.high
    assert large.kappa.high - large.kappa.low < (small.kappa.high - small.kappa.low) / 2
    assert calibrate(*choices(50, right=0.8)) == small


def test_people_are_what_a_judge_can_hope_for():
    found, marks = choices(300, right=0.9, raters=3)
    result = calibrate(found, marks)
    assert result.people is not None
    assert result.people.low < 0.9**2 + 0.1**2 < result.people.high
    turned = [Choice(c.pair, "b", "a", {"first": "second", "second": "first"}[c.choice], c.rater) for c in found[::2]]
    assert calibrate([*turned, *found[1::2]], marks).people.estimate == pytest.approx(result.people.estimate)  # type: ignore[union-attr]


def test_ties_and_missing_marks():
    marks = {"a": {"1": 5.0, "2": 5.0, "3": math.nan}, "b": {"1": 5.2, "2": 9.0, "3": 1.0}}
    found = [Choice("1", "a", "b", "tie"), Choice("2", "a", "b", "second"), Choice("3", "a", "b", "first")]
    found.append(Choice("4", "a", "b", "first"))
    result = calibrate(found, marks, margin=0.5)
    assert (result.choices, result.missing, result.agreement.estimate) == (2, 2, 1.0)
    assert result.table["tie"]["tie"] == result.table["second"]["second"] == 1
    assert calibrate(found, marks).table["tie"] == {"first": 0, "second": 1, "tie": 0}
    with pytest.raises(ValueError, match="choices about b but marks of a alone"):
        calibrate(found, {"a": marks["a"]})
    with pytest.raises(ValueError, match="marks about none of the 2 choices"):
        calibrate(found[2:], marks)


def test_choices_from_a_file(tmp_path: Path):
    path = tmp_path / "choices.csv"
    path.write_text("pair,first,second,choice,rater\n1,a,b,b,anna\n2,a,b,tie,anna\n3,b,a,first,\n")
    assert [(choice.choice, choice.rater) for choice in read_choices(path)] == [
        ("second", "anna"),
        ("tie", "anna"),
        ("first", ""),
    ]
    path.write_text("pair,first,second,choice\n1,a,b,c\n")
    with pytest.raises(ValueError, match="line 2: choice 'c' is none of first, second, tie, a, b"):
        read_choices(path)
    path.write_text("pair,choice\n1,c\n")
    with pytest.raises(ValueError, match="has no column first, second"):
        read_choices(path)
    with pytest.raises(FileNotFoundError, match="is missing"):
        read_choices(tmp_path / "none.csv")


def test_marks_that_differ_by_rounding_are_a_tie():
    choices = [Choice("p", "a", "b", "tie", "r")]
    assert calibrate(choices, {"a": {"p": 0.1 + 0.2}, "b": {"p": 0.3}}).agreement.estimate == 1


def test_kappa_of_shares_is_that_of_counts():
    counts = np.array([[20.0, 5, 0], [10, 15, 0], [0, 0, 0]])
    assert kappa(counts / 7) == pytest.approx(kappa(counts))
    single = np.zeros((3, 3))
    single[1, 1] = 0.1
    assert np.isnan(kappa(single * 3))
    assert np.isnan(kappa(np.zeros((3, 3))))
