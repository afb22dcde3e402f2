"""Percentile bootstrap (Efron 1979): how far a figure would move on another draw of pairs.

What is drawn again are groups, not values: the edits of one pair under several seeds, or the pairs of one photograph,
are not independent, and treating them as if they were makes intervals too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_GROUPS = 6
"""With fewer, all values lie on one side by chance more often than in one case of twenty (2 / 2**5 = 6%)."""
_CELLS = 4_000_000
"""Weights held at once (32 MB): resamples are drawn in blocks of this many values."""


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of values [N] under each row of weights [R, N]; NaN values are left out. Returns [R]."""
    known = ~np.isnan(values)
    total = weights[:, known].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights[:, known] @ values[known] / total


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """Median of values [N] under each row of weights [R, N] (the mean of the two middle ones). Returns [R]."""
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(weights), np.nan)
    order = np.argsort(values[known], kind="stable")
    ordered, cumulative = values[known][order], weights[:, known][:, order].cumsum(1)
    half = cumulative[:, -1:] / 2
    low = ordered[np.argmax(cumulative >= half, axis=1)]
    high = ordered[np.argmax(cumulative > half, axis=1)]
    return np.where(half[:, 0] > 0, (low + high) / 2, np.nan)


STATISTICS: dict[str, Callable[[Floats, Floats], Floats]] = {"mean": weighted_mean, "median": weighted_median}


@dataclass(frozen=True)
class Interval:
    """A figure and how sure it is.

    Args:
        estimate: the figure on the values as they are; NaN if there are none.
        low: lower end of the interval; NaN with a single group, from which nothing can be said about others.
        high: upper end; likewise.
        values: how many values there are (NaN left out).
        groups: how many groups they come from.
    """

    estimate: float
    low: float
    high: float
    values: int
    groups: int

    def excludes(self, figure: float) -> bool:
        """True if the whole interval lies on one side of `figure`; never with fewer than `FEWEST_GROUPS` groups."""
        return self.groups >= FEWEST_GROUPS and (self.low > figure or self.high < figure)


def bootstrap_interval(
    values: Sequence[float] | Floats,
    groups: Sequence[str] | None = None,
    *,
    statistic: str = "mean",
    share: bool = False,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Figure and percentile interval of values whose groups are drawn with replacement.

    Args:
        values: [N]; NaN values are left out, and a group of NaN alone is none.
        groups: N names; values of one name are drawn together. Default: each value by itself.
        statistic: "mean" or "median".
        share: the values are 0 or 1 and their mean is a share.
        resamples: number of draws.
        confidence: share of the draws inside the interval.
        seed: of the draws.

    Raises:
        ValueError: lengths that do not agree, an unknown statistic, a confidence outside (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    names = np.arange(len(values)) if groups is None else np.asarray(groups)
    if len(names) != len(values):
        raise ValueError(f"{len(values)} values but {len(names)} groups; give one group a value")
    if statistic not in STATISTICS:
        raise ValueError(f"statistic {statistic!r} is unknown; choose from {', '.join(STATISTICS)}")
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence={confidence}, resamples={resamples}: need 0 < confidence < 1 and resamples >= 1")
    known = ~np.isnan(values)
    values, names = values[known], names[known]
    if not len(values):
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    figure = STATISTICS[statistic]
    # A resample draws as many groups as there are, with replacement. Only how often each group was drawn matters:
    # counts [R, groups] of a multinomial, which weight the values of the group, instead of R copies of the data.
    unique, member = np.unique(names, return_inverse=True)
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // len(values))
    shares = np.full(len(unique), 1 / len(unique))
    draws: list[Floats] = []
    for start in range(0, resamples, block):
        counts = rng.multinomial(len(unique), shares, size=min(block, resamples - start))
        draws.append(figure(values, counts[:, member].astype(np.float64)))
    # Percentile interval: the middle `confidence` of the resampled figures.
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    estimate = figure(values, np.ones((1, len(values))))[0]
    if len(unique) == 1:
        low = high = math.nan
    if share and estimate in (0, 1):
        # Resampling cannot show what was not seen: the exact binomial bound (Clopper and Pearson 1934) for 0 or n of n.
        bound = tail ** (1 / len(unique))
        low, high = (bound, 1.0) if estimate == 1 else (0.0, 1 - bound)
    return Interval(float(estimate), float(low), float(high), len(values), len(unique))
