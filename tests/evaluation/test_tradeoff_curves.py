"""Curves, what lies under them, and how sure that is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.evaluation.sweeps import EditorSweep
from ip2p_lightning.evaluation.tradeoff import tradeoff
from ip2p_lightning.evaluation.tradeoff_curves import (
    Measured,
    dominated,
    height,
    make_curves,
    point_intervals,
    shared_range,
)
from ip2p_lightning.metrics import L1, RelativeError, bootstrap_interval

pytestmark = pytest.mark.numeric

SETTINGS = IntervalSettings(resamples=200)


def measured(
    name: str, x: list[float], y: list[float], noise: float = 0.0, edits: int = 40, shift: float = 0.0
) -> Measured:
    rng = np.random.default_rng(0)
    jitter = noise * rng.standard_normal(40)
    return Measured(
        name, "scale", tuple(range(len(x))), np.array(x)[:, None] + jitter, np.array(y)[:, None] + jitter + shift
    )


def test_the_height_of_a_straight_line_is_its_middle() -> None:
    x, y = np.array([0.3, 0.1, 0.2]), np.array([0.7, 0.9, 0.8])
    assert height(x, y, (0.1, 0.3)) == pytest.approx(0.8)
    assert height(x, y, (0.2, 0.3)) == pytest.approx(0.75)
    assert height(x, y, (0.3, 0.4)) == pytest.approx(0.7)  # level beyond the end
    assert math.isnan(height(x[:1], y[:1], (0.1, 0.3)))
    assert math.isnan(height(x, y, None))


def test_the_dominated_area_is_that_of_the_union_of_rectangles() -> None:
    assert dominated(np.array([0.2, 0.5]), np.array([0.9, 0.4])) == pytest.approx(0.2 * 0.9 + 0.3 * 0.4)
    assert dominated(np.array([0.5, 0.2, 0.4]), np.array([0.4, 0.9, 0.3])) == pytest.approx(0.3)  # the last adds none
    assert dominated(np.array([-0.2, 0.0]), np.array([0.9, 0.9])) == 0
    points = np.random.default_rng(0).uniform(size=(2, 12))
    places = (np.arange(2000) + 0.5) / 2000
    envelope = [max((y for x, y in points.T if x >= place), default=0.0) for place in places]
    assert dominated(*points) == pytest.approx(np.mean(envelope), abs=1e-3)


def test_curves_are_compared_where_all_of_them_are() -> None:
    assert shared_range([np.array([0.1, 0.4]), np.array([0.2, 0.6]), np.array([0.9])]) == (0.2, 0.4)
    assert shared_range([np.array([0.1, 0.2]), np.array([0.3, 0.6])]) is None
    ours, theirs = measured("a", [0.1, 0.3], [0.9, 0.7]), measured("b", [0.2, 0.4], [0.6, 0.4])
    curves = make_curves([ours, theirs], [str(edit) for edit in range(40)], SETTINGS)
    assert curves.shared == pytest.approx((0.2, 0.3))
    first, second = curves.curves
    assert first.height.estimate == pytest.approx(0.75)
    assert second.height_difference is not None
    assert second.height_difference.estimate == pytest.approx(0.55 - 0.75)
    assert second.height_difference.excludes(0)
    assert first.height_difference is None


def test_points_of_one_editor_have_no_height_but_an_area() -> None:
    curves = make_curves(
        [measured("line", [0.1, 0.3], [0.9, 0.7]), measured("copy", [0.0], [1.0])], ["a"] * 20 + ["b"] * 20, SETTINGS
    ).curves
    assert math.isnan(curves[1].height.estimate)
    assert curves[1].dominated.estimate == 0


def test_intervals_hold_the_truth_as_often_as_they_say_and_pairs_are_drawn_together() -> None:
    """The noise is the same on both curves: paired, their difference is sure, though each of them is not."""
    groups = [str(edit) for edit in range(40)]
    pair = [measured("a", [0.1, 0.3], [0.9, 0.7], 0.2), measured("b", [0.1, 0.3], [0.9, 0.7], 0.2, shift=-0.01)]
    first, second = make_curves(pair, groups, SETTINGS).curves
    assert first.height.high - first.height.low > 0.05
    difference = second.dominated_difference
    assert difference is not None
    assert difference.high - difference.low < 0.01
    assert difference.high < 0


def test_groups_are_drawn_as_wholes_and_gaps_left_out() -> None:
    rng = np.random.default_rng(1)
    values = np.repeat(rng.standard_normal((1, 10)), 4, axis=1)
    x = np.concatenate([values, values + 1])
    single = make_curves([Measured("a", "s", (0.0, 1.0), x, x)], [str(edit) for edit in range(40)], SETTINGS).curves[0]
    grouped = make_curves([Measured("a", "s", (0.0, 1.0), x, x)], [str(e // 4) for e in range(40)], SETTINGS).curves[0]
    assert grouped.x[0].high - grouped.x[0].low > 1.5 * (single.x[0].high - single.x[0].low)
    gaps = x.copy()
    gaps[0, ::2] = np.nan
    with_gaps = make_curves([Measured("a", "s", (0.0, 1.0), gaps, x)], [str(e) for e in range(40)], SETTINGS).curves[0]
    assert with_gaps.x[0].estimate == pytest.approx(x[0, 1::2].mean())
    assert with_gaps.x[0].values == 20


def test_curves_of_different_edits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"curve 'a' holds values .* for 2 points and 3 edits; measure the same"):
        make_curves([measured("a", [0.1, 0.3], [0.9, 0.7])], ["a", "b", "c"], SETTINGS)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_a_point_has_the_figure_of_an_evaluation(statistic: str) -> None:
    """A skewed metric with gaps, four edits of each pair; a resample without any value is left out in both."""
    rng = np.random.default_rng(0)
    values = np.exp(2 * rng.standard_normal((2, 40)))
    values[0, :3] = np.nan
    groups = [str(edit // 4) for edit in range(40)]
    points = point_intervals(values, groups, SETTINGS, statistic)
    for point, row in zip(points, values, strict=True):
        alone = bootstrap_interval(row, groups, statistic=statistic, resamples=200)
        assert point.estimate == pytest.approx(alone.estimate)
        assert (point.low, point.high) == pytest.approx((alone.low, alone.high))
    curve = make_curves([Measured("a", "s", (0.0, 1.0), values, values, (statistic, "mean"))], groups, SETTINGS)
    assert [one.estimate for one in curve.curves[0].x] == [one.estimate for one in points]
    assert [one.estimate for one in curve.curves[0].y] == pytest.approx(np.nanmean(values, axis=1))


def test_a_sweep_says_of_an_editor_what_an_evaluation_says(scenes: WorldSource, part_way: Any) -> None:
    editor = part_way(scenes, {"remove": -2.0}, 0.0)
    metrics = {"l1": L1(), "relative": RelativeError()}  # a mean, and a median
    alone = evaluate(editor, scenes, metrics, count=12).figures
    sweep = EditorSweep("one", lambda: editor)
    row = tradeoff([sweep], scenes, metrics, x="relative", y="l1", count=12).points().to_pylist()[0]
    for name in metrics:
        assert row[name] == pytest.approx(alone[name].ours.estimate)
        assert row[f"{name}_low"] == pytest.approx(alone[name].ours.low)


@pytest.mark.parametrize("apart", [0, 1, 3])
def test_points_that_differ_by_rounding_are_one_place(apart: int) -> None:
    """A curve that rises at one place, its points some ulps apart: NumPy's warnings are errors here."""
    x = np.array([0.1, 0.5, 0.5, 0.9])
    for _ in range(apart):
        x[2] = np.nextafter(x[2], 1)
    y = np.array([0.2, 0.2, 0.8, 0.8])
    assert height(x, y, (0.1, 0.9)) == pytest.approx(0.5, abs=0.005)  # 129 places: one of them lies on the step
    assert height(x[::-1] * 1e-300, y[::-1], (1e-301, 9e-301)) == pytest.approx(0.5, abs=0.005)
    heights = height(np.full((5, 3), 0.4), np.arange(15.0).reshape(5, 3), (0.3, 0.5))
    assert np.isfinite(heights).all()
    assert math.isnan(height(np.array([0.1, math.nan]), np.array([0.2, 0.3]), (0.1, 0.2))), "a gap stays one"


def test_curves_that_differ_by_rounding_share_no_range_and_are_not_apart() -> None:
    wide = np.array([0.2, 0.7])
    point = np.array([0.5, np.nextafter(0.5, 1)])
    assert shared_range([wide, point]) is None
    assert shared_range([wide, wide + 1e-12]) == pytest.approx((0.2, 0.7))
    groups = [str(edit) for edit in range(40)]
    ours = measured("a", [0.1, 0.3], [0.9, 0.7], 0.1)
    theirs = Measured("b", "scale", ours.values, np.nextafter(ours.x, 1), np.nextafter(ours.y, 1))
    second = make_curves([ours, theirs], groups, SETTINGS).curves[1]
    for gap in (second.dominated_difference, second.height_difference):
        assert gap is not None
        assert not gap.excludes(0)
        assert (gap.low, gap.high) == (0, 0)
