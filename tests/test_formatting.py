"""Rounding never claims more than is there."""

from __future__ import annotations

from ip2p_lightning.formatting import duration, number, percent, plural, span
from ip2p_lightning.metrics import Interval


def test_percent_keeps_doubt() -> None:
    assert [percent(x) for x in (0.0, 0.001, 0.624, 0.999, 1.0)] == ["0%", "<1%", "62%", ">99%", "100%"]


def test_numbers_by_unit() -> None:
    assert number(9.64, "/255") == "9.6"
    assert number(0.5, "share") == "50%"
    assert [number(x) for x in (0.4142, 0.00123, 0.00012, 0.0, 2.345)] == ["0.414", "0.001", "0.0001", "0.000", "2.35"]
    assert number(float("nan"), "dB") == "\u2013"


def test_spans() -> None:
    assert span(Interval(9.6, 8.66, 10.51, 9, 9), "/255") == "8.7\u201310.5"
    assert span(Interval(0.6, 0.55, 0.69, 9, 9), "share") == "55\u201369%"
    assert span(Interval(-1, -2, 0.5, 9, 9), "dB") == "-2.0 to 0.5"


def test_durations_and_counts() -> None:
    assert [duration(x) for x in (0.42, 48, 60, 460, 7500)] == ["0.4 s", "48 s", "1 min", "7 min 40 s", "2 h 5 min"]
    assert [plural(n, "pair") for n in (1, 1200)] == ["1 pair", "1,200 pairs"]
