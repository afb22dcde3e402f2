"""Intervals: known closed forms, groups, weights, and what cannot be computed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean, weighted_median

pytestmark = pytest.mark.numeric


def test_mean_interval_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(10, 2, size=400)
    interval = bootstrap_interval(values, resamples=4000)
    standard_error = values.std(ddof=1) / 20
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * standard_error, rel=0.08)
    assert (interval.values, interval.groups) == (400, 400)


def test_coverage_is_near_the_confidence() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        interval = bootstrap_interval(rng.exponential(1, size=60), resamples=400, confidence=0.9)
        hits += interval.low <= 1 <= interval.high
    assert 160 <= hits <= 192


def test_repeated_seeds_do_not_narrow_a_grouped_interval() -> None:
    values = np.random.default_rng(3).normal(size=40)
    once = bootstrap_interval(values, [str(i) for i in range(40)])
    thrice = bootstrap_interval(np.tile(values, 3), [str(i) for i in range(40)] * 3)
    naive = bootstrap_interval(np.tile(values, 3))
    width = once.high - once.low
    assert thrice.high - thrice.low == pytest.approx(width, rel=0.1)
    assert naive.high - naive.low < 0.75 * width
    assert thrice.groups == 40


def test_same_seed_same_interval_whatever_the_order_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(size=50)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)
    whole = bootstrap_interval(values, seed=5)
    monkeypatch.setattr("ip2p_lightning.metrics.bootstrap._CELLS", 1000)
    assert bootstrap_interval(values, seed=5) == whole


def test_weighted_statistics_equal_repetition() -> None:
    values = np.array([5.0, 1.0, math.nan, 3.0, 2.0])
    weights = np.array([[1, 2, 9, 0, 3], [2, 0, 1, 1, 1], [0, 0, 4, 0, 0]], dtype=float)
    for row, (mean, median) in enumerate(
        zip(weighted_mean(values, weights), weighted_median(values, weights), strict=True)
    ):
        repeated = np.repeat(values, weights[row].astype(int))
        repeated = repeated[~np.isnan(repeated)]
        if len(repeated):
            assert mean == pytest.approx(repeated.mean())
            assert median == pytest.approx(np.median(repeated))
        else:
            assert math.isnan(mean)
            assert math.isnan(median)


def test_nan_values_are_left_out_and_none_left_is_nan() -> None:
    assert bootstrap_interval([1.0, math.nan, 3.0]).estimate == 2
    assert bootstrap_interval([1.0, math.nan, 3.0]).values == 2
    empty = bootstrap_interval([math.nan])
    assert math.isnan(empty.estimate)
    assert not empty.excludes(0)


def test_few_groups_exclude_nothing() -> None:
    assert not bootstrap_interval([5.0] * 6, list("aabbcd")).excludes(0)
    assert bootstrap_interval([5.0] * 6).excludes(0)
    assert not Interval(1, -1, 2, 9, 9).excludes(0)


def test_one_group_has_no_interval() -> None:
    interval = bootstrap_interval([5.0, 6.0], ["a", "a"])
    assert interval.estimate == 5.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_a_share_of_all_or_none_keeps_its_doubt() -> None:
    everyone, nobody = bootstrap_interval([1.0] * 30, share=True), bootstrap_interval([0.0] * 30, share=True)
    assert everyone.estimate == everyone.high == 1
    assert everyone.low == pytest.approx(0.8843, abs=1e-4)  # Clopper-Pearson for 30 of 30
    assert (nobody.low, nobody.high) == (0, pytest.approx(1 - everyone.low))
    assert bootstrap_interval([0.0] * 30).high == 0  # an error of 0 is no share


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="2 values but 1 groups"):
        bootstrap_interval([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="mode"):
        bootstrap_interval([1.0], statistic="mode")
    with pytest.raises(ValueError, match="confidence=95"):
        bootstrap_interval([1.0], confidence=95)
