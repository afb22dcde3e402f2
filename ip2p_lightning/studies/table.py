"""The results of a study as rows with labels: selected, averaged over seeds, compared, written as CSV.

A run without a result keeps its row and says why, so that a gap stays a gap.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from ip2p_lightning.evaluation.run_values import Value
from ip2p_lightning.rounding import difference
from ip2p_lightning.untrusted import csv_cell

Verdict = Literal["confirmed", "contradicted", "undecided", "not known"]

# 97.5 % quantiles of Student's t by degrees of freedom; beyond ten, the normal distribution's is near enough.
_STUDENT = (math.inf, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Row:
    """One run's result.

    Args:
        run: its name.
        labels: what it is known by.
        values: name -> value; empty if there is no result.
        gap: why there is none; "" if there is one.
        folder: where the run's files are; None if they are elsewhere (wandb).
    """

    run: str
    labels: Mapping[str, Any]
    values: Mapping[str, Value] = field(default_factory=dict)
    gap: str = ""
    folder: Path | None = None

    def renamed(self, label: str, names: Mapping[Any, str]) -> Row:
        """The row with another value of a label, as figures call it."""
        return replace(self, labels={**self.labels, label: names.get(self.labels[label], self.labels[label])})


@dataclass(frozen=True)
class Average:
    """A value over seeds.

    Args:
        mean: over the runs that have a result; NaN if none has.
        low, high: 95 % t-interval over at least three runs, the least and the greatest value of two; the interval over
            pairs where there should be but one, NaN where only one of several has a result.
        runs: how many have a result.
        wanted: how many should.
        single: the values of the runs.
    """

    mean: float
    low: float
    high: float
    runs: int
    wanted: int
    single: tuple[float, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and the verdict of the runs.

    Args:
        text: the paper's statement, in a sentence.
        verdict: "not known" where runs are missing.
        evidence: the figures.
    """

    text: str
    verdict: Verdict
    evidence: str

    def line(self) -> str:
        """As one line of Markdown."""
        return f"- **{self.verdict}**: {self.text} ({self.evidence})"


class Table:
    """Rows of a study."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def where(self, **labels: Any) -> Table:
        """The rows that have these labels."""
        return Table([row for row in self.rows if all(row.labels.get(k) == v for k, v in labels.items())])

    def labels(self, name: str) -> list[Any]:
        """The different values of a label, in the order of the rows."""
        return list(dict.fromkeys(row.labels[name] for row in self.rows if name in row.labels))

    def measured(self, names: Sequence[str]) -> list[str]:
        """Those of some names of values that any row has."""
        return [name for name in names if any(name in row.values for row in self.rows)]

    @property
    def gaps(self) -> list[Row]:
        """The rows without a result."""
        return [row for row in self.rows if row.gap]

    def average(self, metric: str) -> Average:
        """A metric over all rows, which should differ by their seed alone."""
        found = [row.values[metric].estimate for row in self.rows if metric in row.values]
        found = [value for value in found if not math.isnan(value)]
        if len(found) == len(self.rows) == 1:
            value = self.rows[0].values[metric]
            return Average(value.estimate, value.low, value.high, 1, 1, tuple(found))
        return Average(*_interval(found), len(found), len(self.rows), tuple(found))

    def by_kind(self, metric: str, kinds: Sequence[str]) -> Table:
        """A row for each kind of edit, with the label "kind" and that kind's value under the metric's plain name."""
        return Table(
            [
                replace(
                    row,
                    labels={**row.labels, "kind": kind},
                    values={metric: row.values[f"{kind}/{metric}"]} if f"{kind}/{metric}" in row.values else {},
                )
                for row in self.rows
                for kind in kinds
            ]
        )

    def compare(self, text: str, metric: str, less: Mapping[str, Any], more: Mapping[str, Any]) -> Claim:
        """True if a metric is less for some rows than for others, seed by seed.

        With three seeds or more: confirmed or contradicted if the 95 % t-interval of the difference over seeds lies
        wholly on one side of 0. With two, the same if both agree; with one, never more than undecided.

        Args:
            text: what is claimed.
            metric: name of the value.
            less: labels of the rows whose values are claimed to be the smaller ones.
            more: labels of the others.
        """
        pairs = []
        for seed in self.labels("seed"):
            sides = [self.where(seed=seed, **labels).average(metric) for labels in (more, less)]
            if any(side.runs != 1 or side.wanted != 1 for side in sides):
                return Claim(text, "not known", f"{metric}: runs are missing")
            pairs.append((sides[1].mean, sides[0].mean))
        if not pairs:
            return Claim(text, "not known", f"{metric}: runs are missing")
        differences = [difference(b, a) for a, b in pairs]
        mean, low, high = _interval(differences)
        told = " / ".join(f"{a:.3g} against {b:.3g}" for a, b in pairs)
        evidence = f"{metric}: {told}" + (f"; difference {mean:.2g}, {low:.2g} to {high:.2g}" if len(pairs) > 1 else "")
        if len(pairs) == 1 or low <= 0 <= high:
            return Claim(text, "undecided", evidence + ("; one seed" if len(pairs) == 1 else ""))
        return Claim(text, "confirmed" if low > 0 else "contradicted", evidence)

    def ordered(self, text: str, metric: str, along: str, rising: bool = True) -> Claim:
        """True if a metric of one trained model rises (or falls) from the least to the greatest value of a label.

        Confirmed if every step goes that way and the bootstrap intervals of both ends do not overlap; contradicted if
        they do not overlap the other way round.

        Args:
            text: what is claimed.
            metric: name of the value.
            along: label of numbers; one row for each.
            rising: false for falling.
        """
        rows = sorted(self.rows, key=lambda row: row.labels[along])
        if len(rows) < 2 or any(metric not in row.values for row in rows):
            return Claim(text, "not known", f"{metric}: runs are missing")
        values = [row.values[metric] for row in rows]
        ends = (values[0], values[-1]) if rising else (values[-1], values[0])
        told = ", ".join(
            f"{value.estimate:.3g} at {row.labels[along]:g}" for row, value in zip(rows, values, strict=True)
        )
        steps = [difference(b.estimate, a.estimate) * (1 if rising else -1) for a, b in pairwise(values)]
        if ends[0].high < ends[1].low and min(steps) >= 0:
            return Claim(text, "confirmed", f"{metric}: {told}")
        return Claim(text, "contradicted" if ends[1].high < ends[0].low else "undecided", f"{metric}: {told}")

    def above(self, text: str, x: str, y: str, upper: Any, lower: Any, series: str = "editor") -> Claim:
        """True if one trade-off curve lies above another wherever both are known (points joined by straight lines).

        Confirmed or contradicted if all compared points agree; these are averages, without intervals.

        Args:
            text: what is claimed.
            x: name of the horizontal value.
            y: name of the vertical one; where less is better ("strength"), below counts as above.
            upper: value of the label `series` of the curve that is claimed to be above.
            lower: that of the other.
            series: label that tells the curves apart.
        """
        curves = []
        for value in (upper, lower):
            rows = self.where(**{series: value}).rows
            if not rows or any(x not in row.values or y not in row.values for row in rows):
                return Claim(text, "not known", f"runs of {value} are missing")
            curves.append(sorted((row.values[x].estimate, row.values[y].estimate) for row in rows))
        sign = -1 if y == "strength" else 1
        compared = [sign * difference(at, b) for a, b in curves[1] if (at := _height(curves[0], a)) is not None]
        better, worse = (sum(sign * gap > 0 for gap in compared) for sign in (1, -1))
        evidence = f"better at {better} of {len(compared)} points of {lower} that lie within {upper}'s range"
        if not compared or len(compared) not in (better, worse):
            return Claim(text, "undecided", evidence)
        return Claim(text, "confirmed" if better else "contradicted", evidence)

    def save(self, path: Path, metrics: Sequence[str]) -> Path:
        """Write a CSV: a line for each row and metric; where there is no value, `gap` says why.

        Args:
            path: of the file.
            metrics: names of values; a result without one of them has an empty value, and says so.
        """
        names = list(dict.fromkeys(name for row in self.rows for name in row.labels))
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(["run", *names, "metric", "value", "low", "high", "gap"])
            for row in self.rows:
                head = [row.run, *(row.labels.get(name, "") for name in names)]
                for metric in metrics:
                    value = row.values.get(metric)
                    gap = row.gap or ("" if value else f"the run did not measure {metric}")
                    cells = [_cell(number) for number in (value.estimate, value.low, value.high)] if value else [""] * 3
                    writer.writerow([csv_cell(cell) for cell in (*head, metric, *cells, gap)])
        return path


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    if not values:
        return math.nan, math.nan, math.nan
    mean = fmean(values)
    if len(values) == 1:
        return mean, math.nan, math.nan
    if len(values) == 2:
        return mean, min(values), max(values)
    quantile = _STUDENT[len(values) - 1] if len(values) <= len(_STUDENT) else 1.96
    half = quantile * stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _height(curve: Sequence[tuple[float, float]], x: float) -> float | None:
    """The height of a curve of points in the order of x; None next to it."""
    x = next((end for end, _ in (curve[0], curve[-1]) if not difference(x, end)), x)
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * ((x - x0) / (x1 - x0) if x1 > x0 else 0)
    return None


def _cell(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.6g}"
