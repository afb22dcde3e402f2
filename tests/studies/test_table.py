"""Averages over seeds, verdicts on claims, and gaps that stay gaps."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from scipy import stats

from ip2p_lightning.evaluation.run_values import Value
from ip2p_lightning.studies.table import _STUDENT, Claim, Row, Table

pytestmark = pytest.mark.numeric


def row(value: float | None, seed: int = 0, low: float = math.nan, high: float = math.nan, **labels: object) -> Row:
    values = {} if value is None else {"error": Value(value, low, high)}
    gap = "it was never run" if value is None else ""
    return Row(f"run-{seed}-{labels}", {**labels, "seed": seed}, values, gap)


def arms(a: list[float | None], b: list[float | None]) -> Table:
    rows = [row(value, seed, arm="a") for seed, value in enumerate(a)]
    return Table([*rows, *(row(value, seed, arm="b") for seed, value in enumerate(b))])


def verdict(table: Table) -> Claim:
    return table.compare("a is less", "error", {"arm": "a"}, {"arm": "b"})


def test_the_quantiles_are_students() -> None:
    assert _STUDENT[1:] == pytest.approx([stats.t.ppf(0.975, n) for n in range(1, len(_STUDENT))], abs=1e-3)


def test_averages() -> None:
    three = Table([row(value, seed) for seed, value in enumerate([1.0, 2.0, 3.0])]).average("error")
    low, high = stats.t.interval(0.95, 2, loc=2, scale=1 / math.sqrt(3))
    assert (three.mean, three.low, three.high) == pytest.approx((2, low, high), abs=1e-3)
    two = Table([row(1.0, 0), row(2.0, 1)]).average("error")
    assert (two.mean, two.low, two.high, two.runs, two.wanted) == (1.5, 1.0, 2.0, 2, 2)
    some = Table([row(1.0, 0), row(None, 1)]).average("error")
    assert (some.mean, some.runs, some.wanted) == (1.0, 1, 2)
    assert math.isnan(some.low)
    assert math.isnan(Table([row(None)]).average("error").mean)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 1.1, 0.9], [2, 2.1, 2.0], "confirmed"),
        ([2, 2.1, 2.0], [1, 1.1, 0.9], "contradicted"),
        ([1, 2, 3], [2, 1.9, 3.2], "undecided"),
        ([1, 1], [2, 3], "confirmed"),
        ([1, 3], [2, 2], "undecided"),
        ([1], [2], "undecided"),
        ([1, None], [2, 2], "not known"),
        ([1, 1], [2, None], "not known"),
        ([], [], "not known"),
    ],
)
def test_verdicts(a: list[float | None], b: list[float | None], expected: str) -> None:
    claim = verdict(arms(a, b))
    assert claim.verdict == expected
    assert claim.line().startswith(f"- **{expected}**: a is less (error: ")


def test_one_model_s_values_along_a_label() -> None:
    def table(*values: float, spread: float = 0.1) -> Table:
        return Table(
            [row(v, 0, v - spread, v + spread, scale=scale) for scale, v in zip((2, 1, 3), values, strict=True)]
        )

    assert table(2, 1, 3).ordered("rises", "error", "scale").verdict == "confirmed"
    assert table(2, 3, 1).ordered("rises", "error", "scale").verdict == "contradicted"
    assert table(2, 3, 1).ordered("falls", "error", "scale", rising=False).verdict == "confirmed"
    assert table(2, 1, 3, spread=2).ordered("rises", "error", "scale").verdict == "undecided"
    assert table(4, 1, 3).ordered("rises", "error", "scale").verdict == "undecided"  # not at every step
    assert Table([row(1.0, scale=1), row(None, scale=2)]).ordered("rises", "error", "scale").verdict == "not known"


def test_a_curve_above_another() -> None:
    def curve(editor: str, *points: tuple[float, float]) -> list[Row]:
        return [
            Row(editor, {"editor": editor, "n": i}, {"x": Value(a), "y": Value(b)}) for i, (a, b) in enumerate(points)
        ]

    high, low = curve("high", (0, 2), (1, 1), (2, 1)), curve("low", (0.5, 1), (1.5, 0.5), (9, 9))
    table = Table([*high, *low, Row("gone", {"editor": "gone"}, gap="never")])
    assert table.above("", "x", "y", "high", "low").verdict == "confirmed"
    assert "2 of 2" in table.above("", "x", "y", "high", "low").evidence
    assert table.above("", "x", "y", "high", "gone").verdict == "not known"
    below = Table([*curve("high", (0, 0), (2, 0)), *low])
    assert below.above("", "x", "y", "high", "low").verdict == "contradicted"


def test_a_csv_names_its_gaps(tmp_path: Path) -> None:
    table = arms([1.5, None], [2.0, 3.0])
    with table.save(tmp_path / "table.csv", ["error", "ssim"]).open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert len(lines) == 8
    assert {line["gap"] for line in lines if line["metric"] == "ssim"} == {
        "the run did not measure ssim",
        "it was never run",
    }
    (missing,) = [line for line in lines if line["metric"] == "error" and line["gap"]]
    assert (missing["arm"], missing["seed"], missing["value"]) == ("a", "1", "")
    assert [line["value"] for line in lines if line["metric"] == "error"] == ["1.5", "", "2", "3"]


def test_rows_by_kind_and_by_other_names() -> None:
    found = Table([Row("a", {"model": "x"}, {"add/error": Value(1.0)})])
    kinds = found.by_kind("error", ["add", "remove"])
    assert [(r.labels["kind"], "error" in r.values) for r in kinds.rows] == [("add", True), ("remove", False)]
    assert found.rows[0].renamed("model", {"x": "X"}).labels == {"model": "X"}


def test_differences_of_the_size_of_rounding_confirm_nothing() -> None:
    ulp = 2**-52
    assert verdict(arms([1, 2, 3], [1 + ulp, 2 + 2 * ulp, 3 + 2 * ulp])).verdict == "undecided"
    assert verdict(arms([1, 1], [1 + ulp, 1 + ulp])).verdict == "undecided"
    nearly = [
        Row(n, {"editor": n}, {"x": Value(x), "y": Value(0.5 + place)})
        for n, x, place in [("a", 0.1, 0), ("a", 0.3, 0), ("b", 0.1 - 1e-16, ulp), ("b", 0.1 + 0.2, ulp)]
    ]
    claim = Table(nearly).above("a above b", "x", "y", "a", "b")
    assert claim.verdict == "undecided"
    assert "of 2 points" in claim.evidence, "the ends of both curves are the same places"
