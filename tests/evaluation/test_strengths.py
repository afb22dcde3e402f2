"""Strengths are those that simulated raters have, intervals cover them, and agreement is 1, 0 or in between."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom
from simulated_raters import simulated

from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.evaluation.strengths import agreement, strengths

pytest.importorskip("evalica")
TRUE = {"a": 0.8, "b": 0.1, "c": -0.9}


def test_known_strengths_of_simulated_raters_are_recovered():
    found = strengths(simulated(TRUE, 0.3, 1500, 4, seed=0), resamples=50)
    assert list(found.systems) == ["a", "b", "c"]
    for name, value in TRUE.items():
        assert found.systems[name].estimate == pytest.approx(value, abs=0.06)
    assert found.ties == pytest.approx(0.3, abs=0.03)


def test_intervals_cover_at_the_nominal_rate():
    """90% intervals over 60 studies: what a binomial with 0.9 gives in all but 1 case of 1,000."""
    covered = []
    for seed in range(60):
        found = strengths(simulated(TRUE, 0.3, 40, 2, seed), resamples=150, confidence=0.9, seed=seed)
        covered += [found.systems["a"].low <= TRUE["a"] <= found.systems["a"].high]
    assert binom.ppf(0.0005, 60, 0.9) <= sum(covered) <= binom.ppf(0.9995, 60, 0.9)


def test_raters_who_share_a_prompt_widen_the_interval():
    alike = simulated(TRUE, 0.3, 40, 1, seed=0)
    five = [Choice(c.pair, c.first, c.second, c.choice, str(n)) for c in alike for n in range(5)]
    one, more = (strengths(choices, resamples=200).systems["a"] for choices in (alike, five))
    assert more.high - more.low == pytest.approx(one.high - one.low, rel=0.15), (
        "five who agree are not five times the data"
    )


def test_sides_and_orders_do_not_matter():
    choices = simulated(TRUE, 0.3, 30, 1, seed=1)
    swapped = {"first": "second", "second": "first", "tie": "tie"}
    turned = [Choice(c.pair, c.second, c.first, swapped[c.choice], c.rater) for c in reversed(choices)]
    one, other = (strengths(rows, resamples=20) for rows in (choices, turned))
    for name in TRUE:
        assert one.systems[name].estimate == pytest.approx(other.systems[name].estimate, abs=1e-6)


def test_a_system_that_always_wins_has_a_finite_strength():
    found = strengths([Choice(str(n), "a", "b", "first") for n in range(50)], resamples=20)
    assert found.systems["a"].estimate == pytest.approx(math.log(50.5 / 0.5) / 2, abs=1e-3)
    assert found.systems["b"].estimate == -found.systems["a"].estimate


def test_the_fit_is_that_of_newmans_iteration_where_ties_are_many():
    import evalica

    choices = simulated(TRUE, 0.5, 400, 5, seed=3)
    winners = {"first": evalica.Winner.X, "second": evalica.Winner.Y, "tie": evalica.Winner.Draw}
    columns = zip(*((c.first, c.second, winners[c.choice]) for c in choices), strict=True)
    theirs = evalica.newman(*(list(column) for column in columns), tolerance=1e-12, limit=10_000)
    logarithms = np.log(theirs.scores)
    ours = strengths(choices, resamples=2)
    for name in TRUE:
        assert ours.systems[name].estimate == pytest.approx(logarithms[name] - logarithms.mean(), abs=2e-3)
    assert ours.ties == pytest.approx(theirs.v, abs=2e-3)


def test_systems_without_a_connection_are_refused():
    with pytest.raises(ValueError, match="no choices connect a with all of b, c, d"):
        strengths([Choice("1", "a", "b", "first"), Choice("2", "c", "d", "first")])
    with pytest.raises(ValueError, match="no choices"):
        strengths([])


def test_agreement_is_one_for_the_same_choices_and_near_zero_for_chance():
    rng = np.random.default_rng(0)
    same = [Choice(str(n), "a", "b", ("first", "second", "tie")[n % 3], rater) for n in range(30) for rater in "xy"]
    assert agreement(same, resamples=50).estimate == pytest.approx(1)
    by_chance = [
        Choice(str(n), "a", "b", str(rng.choice(["first", "second"])), rater) for n in range(300) for rater in "xyz"
    ]
    chance = agreement(by_chance, resamples=50)
    assert chance.low <= 0.1
    assert abs(chance.estimate) < 0.1
    turned = [Choice("p", "b", "a", "second", "x"), Choice("p", "a", "b", "first", "y"), *same]
    assert agreement(turned, resamples=50).estimate == pytest.approx(1), "whichever side the system was on"


def test_agreement_is_unknown_without_two_raters_or_without_a_difference():
    alone = agreement([Choice(str(n), "a", "b", "first", "x") for n in range(5)])
    assert math.isnan(alone.estimate)
    assert math.isnan(agreement([Choice("p", "a", "b", "first", rater) for rater in "xy"]).estimate)
