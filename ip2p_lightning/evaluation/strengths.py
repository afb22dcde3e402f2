"""Systems on one scale from choices between two of them, ties included, and how far raters agree.

The model is Bradley and Terry's (1952) with Davidson's (1970) ties: of strengths p and q, the first is chosen with
p / z, the second with q / z, neither with 2 v sqrt(p q) / z, where z sums all three. This is a multinomial logit, whose
likelihood has one maximum; Newton's method finds it for all resamples at once. Newman's (2023) iteration, which evalica
has, swings back and forth where ties are few (evalica 0.4.2). Counting a tie as half a win for each, as is common,
pulls the strengths together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.metrics.bootstrap import Floats, Interval

_OUTCOMES = ("first", "second", "tie")
_PRIOR = 0.5
"""Added to each outcome between two systems, so that one that was never chosen has a finite strength."""
_STEPS, _LONGEST_STEP = 60, 2.0


@dataclass(frozen=True)
class Strengths:
    """Strengths of systems.

    Args:
        systems: name -> natural logarithm of the strength, with an interval; their mean is 0.
        ties: v of the model; 0 where no rater is undecided.
        choices: how many there are.
    """

    systems: dict[str, Interval]
    ties: float
    choices: int


def strengths(
    choices: Sequence[Choice], *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Strengths:
    """Fit the model; intervals are percentiles of a bootstrap over pairs, with all choices about each.

    Args:
        choices: between two systems each, which together connect all systems.
        resamples: of the bootstrap.
        confidence: share of the resamples inside the intervals.
        seed: of the resamples.

    Raises:
        ValueError: no choices, or systems that no choice connects.
    """
    if not choices:
        raise ValueError("there are no choices to learn strengths from")
    model = _Model(choices)
    pairs, member = np.unique([choice.pair for choice in choices], return_inverse=True)
    cells = np.zeros((len(pairs), len(model.cells)))
    np.add.at(cells, (member, np.array([model.cell(choice) for choice in choices])), 1.0)
    counts = np.random.default_rng(seed).multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), resamples)
    fits, ties = model.fit(np.concatenate([cells.sum(0)[None], counts @ cells]))
    estimate, drawn = fits[0], fits[1:]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0) if len(pairs) > 1 else np.full((2, len(estimate)), np.nan)
    of = [sum(name in (choice.first, choice.second) for choice in choices) for name in model.names]
    intervals = [
        Interval(float(value), float(low[index]), float(high[index]), of[index], len(pairs))
        for index, value in enumerate(estimate)
    ]
    return Strengths(dict(zip(model.names, intervals, strict=True)), float(ties[0]), len(choices))


class _Model:
    """The cells of a table of choices, and the fit to their counts."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.names = sorted({name for choice in choices for name in (choice.first, choice.second)})
        met = sorted({_sorted(choice) for choice in choices})
        groups = {name: {name} for name in self.names}
        for first, second in met:
            joined = groups[first] | groups[second]
            groups |= dict.fromkeys(joined, joined)
        if len(groups[self.names[0]]) < len(self.names):
            raise ValueError(f"no choices connect {self.names[0]} with all of {', '.join(self.names[1:])}")
        self.cells = [(*pair, outcome) for pair in met for outcome in _OUTCOMES]

    def cell(self, choice: Choice) -> int:
        """The cell that a choice belongs to, whichever way round it was shown."""
        pair = _sorted(choice)
        swapped = {"first": "second", "second": "first", "tie": "tie"}
        return self.cells.index((*pair, choice.choice if pair[0] == choice.first else swapped[choice.choice]))

    def fit(self, counts: Floats) -> tuple[Floats, Floats]:
        """Logarithms of the strengths [R, N], mean 0, and v [R], from how often each cell was chosen [R, C]."""
        features = self._features()  # [P, 3, N + 1]
        chosen = counts.reshape(len(counts), -1, 3) + _PRIOR
        of_pair = chosen.sum(-1)
        beta = np.zeros((len(counts), features.shape[-1]))
        for _ in range(_STEPS):
            logits = np.einsum("pok,rk->rpo", features, beta)
            shares = np.exp(logits - logits.max(-1, keepdims=True))
            shares /= shares.sum(-1, keepdims=True)
            mean = np.einsum("rpo,pok->rpk", shares, features)
            slope = np.einsum("rpo,pok->rk", chosen - of_pair[..., None] * shares, features)
            square = np.einsum("rp,rpo,pok,pol->rkl", of_pair, shares, features, features)
            bend = square - np.einsum("rp,rpk,rpl->rkl", of_pair, mean, mean)
            bend += 1e-9 * np.eye(bend.shape[-1])  # strengths are known up to a factor
            step = np.clip(np.linalg.solve(bend, slope[..., None])[..., 0], -_LONGEST_STEP, _LONGEST_STEP)
            beta += step
            beta[:, :-1] -= beta[:, :-1].mean(1, keepdims=True)
            if np.abs(step).max() < 1e-9:
                break
        return beta[:, :-1], np.exp(beta[:, -1]) / 2

    def _features(self) -> Floats:
        """Terms of each cell's logarithm: the chosen system's, or half of both and that of 2 v."""
        features = np.zeros((len(self.cells), len(self.names) + 1))
        for row, (first, second, outcome) in zip(features, self.cells, strict=True):
            one, other = self.names.index(first), self.names.index(second)
            row[{"first": [one], "second": [other], "tie": [one, other, -1]}[outcome]] = 1.0
            if outcome == "tie":
                row[[one, other]] = 0.5
        return features.reshape(-1, 3, len(self.names) + 1)


def agreement(choices: Sequence[Choice], *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Krippendorff's alpha of raters' choices, ordinal: a tie lies between the two systems.

    Args:
        choices: with their raters.
        resamples: of evalica's bootstrap over disagreements (Krippendorff 2006).
        confidence: share of the resamples inside the interval.
        seed: of the resamples.

    Returns:
        1 for raters who always agree, 0 for chance; NaN where no comparison has two raters, or all choices are the
        same, of which nothing can be said.
    """
    import evalica
    import pandas as pd

    value = {"first": 1.0, "tie": 2.0, "second": 3.0}
    rows: dict[str, dict[tuple[str, str, str], float]] = {}
    for choice in choices:
        way = value[choice.choice] if choice.first <= choice.second else 4 - value[choice.choice]
        rows.setdefault(choice.rater, {})[(choice.pair, *_sorted(choice))] = way
    units = sorted({unit for row in rows.values() for unit in row})
    table = pd.DataFrame([[row.get(unit, math.nan) for unit in units] for row in rows.values()])
    shared = table.loc[:, table.notna().sum() > 1]
    said = shared.notna().sum().sum()
    if not said or shared.stack().nunique() < 2:
        return Interval(math.nan, math.nan, math.nan, int(said), shared.shape[1])
    result = evalica.alpha_bootstrap(
        shared, "ordinal", n_resamples=resamples, confidence_level=confidence, random_state=seed
    )
    return Interval(float(result.alpha), float(result.low), float(result.high), int(said), shared.shape[1])


def _sorted(choice: Choice) -> tuple[str, str]:
    return (choice.first, choice.second) if choice.first <= choice.second else (choice.second, choice.first)
