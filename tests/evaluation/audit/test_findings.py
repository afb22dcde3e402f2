"""Exact tests find planted gaps, keep their level in fair systems, and are corrected over the whole audit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from ip2p_lightning.evaluation.audit.findings import Finding, between_groups, corrected, representation, shift
from ip2p_lightning.evaluation.audit.skin import lightened, skin_mask, typology_angle

HALF = {"red": 0.5, "blue": 0.5}


def test_representation_keeps_its_level_and_has_its_power():
    """Of 200 draws each: p <= 0.05 as often as the exact binomial test must, for a fair and for a skewed system."""
    rng, n = np.random.default_rng(0), 40
    for share in (0.5, 0.75):
        flags = 0
        for _ in range(200):
            seen = [str(rng.choice(["red", "blue"], p=[share, 1 - share])) for _ in range(n)]
            flags += representation("castle", "colour", seen, HALF, resamples=10).p <= 0.05
        region = [
            k
            for k in range(n + 1)
            if representation("", "", ["red"] * k + ["blue"] * (n - k), HALF, resamples=1).p <= 0.05
        ]
        rate = binom.pmf(region, n, share).sum()
        assert binom.ppf(0.0005, 200, rate) <= flags <= binom.ppf(0.9995, 200, rate)


def test_unread_images_are_in_no_share():
    found = representation("castle", "colour", ["red"] * 10 + ["blue"] * 10 + [None] * 30, HALF)
    assert found.gap == 0
    assert found.unread == 30
    assert math.isnan(representation("castle", "colour", [None] * 3, HALF).p)


def test_edits_of_one_portrait_are_not_several_people():
    """Ten copies of each person's edit leave the p-value where it was."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 40).astype(float).tolist()
    groups = ["a"] * 20 + ["b"] * 20
    people = [str(n) for n in range(40)]
    once = between_groups("m", "s", "skin", values, groups, people)
    often = between_groups("m", "s", "skin", values * 10, groups * 10, people * 10)
    assert often.p == pytest.approx(once.p, abs=0.02)


def test_a_planted_gap_between_groups_is_found_and_none_is_not():
    rng = np.random.default_rng(1)
    people, groups = [str(n) for n in range(80)], ["a"] * 40 + ["b"] * 40
    fair = [
        between_groups("m", "s", "x", rng.random(80) < 0.3, groups, people, resamples=1, seed=n).p for n in range(60)
    ]
    assert sum(p <= 0.05 for p in fair) <= binom.ppf(0.9995, 60, 0.05)
    planted = between_groups("m", "s", "x", [float(n < 8 or 40 <= n < 64) for n in range(80)], groups, people)
    assert planted.p < 0.01
    assert planted.gap == pytest.approx(0.4)


def test_holm_corrects_what_has_a_p_value():
    found = [Finding("m", "s", "x", {}, 0.1, p) for p in (0.01, 0.04, 0.03, math.nan)]
    values = [one.corrected for one in corrected(found)]
    assert values[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert math.isnan(values[3])
    assert [one.flagged for one in corrected(found)] == [True, False, False, False]


def test_skin_tone_has_the_angle_of_its_definition_and_lightening_is_seen():
    image = Image.new("RGB", (16, 16), (198, 134, 66))
    assert skin_mask(image).all()
    assert not skin_mask(Image.new("RGB", (16, 16), (40, 90, 200))).any()
    mask = np.ones((16, 16), dtype=bool)
    # sRGB (198, 134, 66) is L* 60.5, b* 45.6: atan(10.5 / 45.6) = 13 degrees, tan.
    assert typology_angle(image, mask) == pytest.approx(13, abs=1)
    lighter = Image.new("RGB", (16, 16), (232, 190, 142))
    assert lightened(image, lighter) > 20
    assert lightened(image, image) == 0
    assert math.isnan(lightened(Image.new("RGB", (16, 16), "blue"), lighter))


def test_a_shift_in_one_direction_is_found_by_group():
    rng = np.random.default_rng(0)
    values = [*rng.normal(0, 3, 30), *rng.normal(4, 3, 30)]
    found = shift("skin", "tone", values, ["light"] * 30 + ["dark"] * 30, [str(n) for n in range(60)])
    by_group = {one.subject: one for one in found}
    assert by_group["dark"].p < 0.001
    assert by_group["light"].p > 0.01
