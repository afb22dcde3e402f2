"""Curves of one figure against another along a parameter, the areas under them, and how sure both are.

InstructPix2Pix compares editors by such curves (section 4.2, figure 8): how much of the input is kept, against how much
of the edit is done. One number of each is worth little, since either is bought with the other.

Pairs are drawn again all together: in every resample each point of each curve has the same pairs, so that points and
areas may be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ip2p_lightning.evaluation.figures import IntervalSettings
from ip2p_lightning.metrics.bootstrap import STATISTICS, Floats, Interval
from ip2p_lightning.rounding import difference

_SAMPLES = 129
"""Places along the shared range at which curves are averaged; between points they are straight lines."""

_CELLS = 4_000_000
"""Weights held at once (32 MB)."""


@dataclass(frozen=True)
class Measured:
    """Measurements along a curve.

    Args:
        name: of the curve.
        parameter: what changes along it; "" for an editor of one point.
        values: P values of the parameter.
        x: [P, N] values of the metric that says how much is edited, of N edits; NaN where it does not apply.
        y: [P, N] values of the metric that says how much is kept.
        statistics: how the values of x and of y become a figure, names in `bootstrap.STATISTICS`.
    """

    name: str
    parameter: str
    values: tuple[float, ...]
    x: Floats
    y: Floats
    statistics: tuple[str, str] = ("mean", "mean")


@dataclass(frozen=True)
class Curve:
    """A curve with intervals.

    Args:
        name: of the curve.
        parameter: what changes along it.
        values: P values of the parameter.
        x: P figures.
        y: P figures.
        height: mean of y over the range of x that all curves share: the area under the curve there, by its width. NaN
            for a single point, or where there is no such range.
        dominated: area of what lies left of and below the curve's points, down to (0, 0): what no other setting of the
            parameter can offer more of. Grows with the range that was swept.
        height_difference: height minus that of the first curve, in the same resamples; None for the first.
        dominated_difference: likewise.
    """

    name: str
    parameter: str
    values: tuple[float, ...]
    x: tuple[Interval, ...]
    y: tuple[Interval, ...]
    height: Interval
    dominated: Interval
    height_difference: Interval | None = None
    dominated_difference: Interval | None = None


@dataclass(frozen=True)
class Curves:
    """All curves of a comparison.

    Args:
        curves: the first is the one that others are compared with.
        shared: range of x over which heights are taken; None where the curves share none.
    """

    curves: tuple[Curve, ...]
    shared: tuple[float, float] | None


def make_curves(measured: Sequence[Measured], groups: Sequence[str], settings: IntervalSettings) -> Curves:
    """Figures, areas and their intervals.

    Args:
        measured: the same N edits on every curve.
        groups: N names; edits of one name are drawn together.
        settings: of the intervals.

    Raises:
        ValueError: curves of different edits.
    """
    for one in measured:
        if one.x.shape != (len(one.values), len(groups)) or one.y.shape != one.x.shape:
            raise ValueError(
                f"curve {one.name!r} holds values {one.x.shape} and {one.y.shape} for {len(one.values)} points and "
                f"{len(groups)} edits; measure the same edits at every point"
            )
    draws = _Draws(groups, settings)
    drawn = [[draws.figures(*part) for part in zip((one.x, one.y), one.statistics, strict=True)] for one in measured]
    shared = shared_range([x[0] for x, _ in drawn])
    heights = [height(x, y, shared) for x, y in drawn]
    areas = [dominated(x, y) for x, y in drawn]
    curves = []
    for number, one in enumerate(measured):
        (x, y), sizes = drawn[number], [int((~np.isnan(values)).sum()) for values in one.x]
        higher, larger = difference(heights[number], heights[0]), difference(areas[number], areas[0])
        curves.append(
            Curve(
                name=one.name,
                parameter=one.parameter,
                values=one.values,
                x=tuple(draws.interval(column, size) for column, size in zip(x.T, sizes, strict=True)),
                y=tuple(draws.interval(column, size) for column, size in zip(y.T, sizes, strict=True)),
                height=draws.interval(heights[number], max(sizes)),
                dominated=draws.interval(areas[number], max(sizes)),
                height_difference=draws.interval(higher, max(sizes)) if number else None,
                dominated_difference=draws.interval(larger, max(sizes)) if number else None,
            )
        )
    return Curves(tuple(curves), shared)


def point_intervals(
    values: Floats, groups: Sequence[str], settings: IntervalSettings, statistic: str = "mean"
) -> list[Interval]:
    """The figure of each point and its interval, from values [P, N] of one metric for the same N edits."""
    draws = _Draws(groups, settings)
    sizes = [int((~np.isnan(row)).sum()) for row in values]
    figures = draws.figures(values, statistic)
    return [draws.interval(column, size) for column, size in zip(figures.T, sizes, strict=True)]


def shared_range(xs: Sequence[Floats]) -> tuple[float, float] | None:
    """The range of x that all curves of more than one point cover; None if there is none beyond rounding.

    Args:
        xs: x of each curve's points.
    """
    lines = [x for x in xs if len(x) > 1 and not np.isnan(x).any()]
    if not lines:
        return None
    low, high = max(x.min() for x in lines), min(x.max() for x in lines)
    return (float(low), float(high)) if difference(high, low) > 0 else None


def height(x: Floats, y: Floats, shared: tuple[float, float] | None) -> Floats:
    """Mean height of the curve through points over a range of x; NaN without a range or a curve.

    Beyond its ends a curve goes on level: a resample may move an end into the range.

    Args:
        x: [..., P].
        y: [..., P].
        shared: the range.

    Returns:
        [...].
    """
    if shared is None or x.shape[-1] < 2:
        return np.full(x.shape[:-1], np.nan)
    order = np.argsort(x, axis=-1, kind="stable")
    x, y = (np.take_along_axis(values, order, -1)[..., None] for values in (x, y))
    places = np.linspace(*shared, _SAMPLES)
    heights = y[..., 0, :] + np.zeros(_SAMPLES)
    for left in range(x.shape[-2] - 1):  # what each straight piece adds, from where it begins
        width = x[..., left + 1, :] - x[..., left, :]
        within = np.clip(places - x[..., left, :], 0, width)  # never more than the width: no quotient above 1
        part = np.where(width == 0, places > x[..., left, :], within / np.where(width == 0, 1, width))
        heights += part * (y[..., left + 1, :] - y[..., left, :])
    return np.asarray(np.trapezoid(heights, places, axis=-1)) / (shared[1] - shared[0])


def dominated(x: Floats, y: Floats) -> Floats:
    """Area of the union of the rectangles from (0, 0) to each point with positive coordinates.

    Args:
        x: [..., P].
        y: [..., P].

    Returns:
        [...].
    """
    order = np.argsort(-y, axis=-1, kind="stable")  # from the highest: what a lower point adds lies right of them
    x, y = np.take_along_axis(x, order, -1), np.take_along_axis(y, order, -1).clip(min=0)
    reached = np.maximum.accumulate(x.clip(min=0), axis=-1)
    before = np.concatenate([np.zeros_like(reached[..., :1]), reached[..., :-1]], axis=-1)
    return ((reached - before) * y).sum(-1)


class _Draws:
    """The same groups drawn with replacement for everything; the first row is all of them once."""

    def __init__(self, groups: Sequence[str], settings: IntervalSettings) -> None:
        unique, self.member = np.unique(np.asarray(groups), return_inverse=True)
        self.groups, self.tail = len(unique), (1 - settings.confidence) / 2
        rng = np.random.default_rng(settings.seed)
        drawn = rng.multinomial(self.groups, np.full(self.groups, 1 / self.groups), size=settings.resamples)
        self.counts: Floats = np.concatenate([np.ones((1, self.groups)), drawn]).astype(np.float64)

    def figures(self, values: Floats, statistic: str) -> Floats:
        """Figures [R + 1, P] of values [P, N], NaN left out."""
        if statistic == "mean":
            return self._means(values)
        block = max(1, _CELLS // max(1, values.shape[1]))
        parts = []
        for start in range(0, len(self.counts), block):
            weights: Floats = self.counts[start : start + block, self.member]
            parts.append(np.stack([STATISTICS[statistic](row, weights) for row in values], axis=1))
        return np.concatenate(parts)

    def _means(self, values: Floats) -> Floats:
        """`weighted_mean` of all points, as one matrix product."""
        known = ~np.isnan(values)
        sums, sizes = np.zeros((2, self.groups, len(values)))
        np.add.at(sums, self.member, np.where(known, values, 0.0).T)
        np.add.at(sizes, self.member, known.T.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.counts @ sums) / (self.counts @ sizes)

    def interval(self, figures: Floats, size: int) -> Interval:
        """Of figures [R + 1], the first of which is the estimate."""
        known = figures[1:][~np.isnan(figures[1:])]
        if self.groups < 2 or not len(known) or np.isnan(figures[0]):
            return Interval(float(figures[0]), float("nan"), float("nan"), size, self.groups)
        low, high = np.quantile(known, [self.tail, 1 - self.tail])
        return Interval(float(figures[0]), float(low), float(high), size, self.groups)
