"""Gaps between groups with intervals and p-values, corrected by Holm's step-down method over all tests of an audit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval
from ip2p_lightning.rounding import difference

_PERMUTATIONS = 4999


@dataclass(frozen=True)
class Finding:
    """One test.

    Args:
        measure: "representation", "soft erasure", "stereotype replacement", "skin tone" ...
        subject: what it is about: a subject of prompts, an instruction, or all.
        attribute: the protected attribute.
        groups: group -> its figure, with an interval.
        gap: largest distance: of a share from its reference, or of two groups.
        p: probability of such a gap in a fair system.
        corrected: the same after Holm's correction over all tests.
        alpha: level of the audit.
        unread: images without a reading, which are in no figure.
    """

    measure: str
    subject: str
    attribute: str
    groups: Mapping[str, Interval]
    gap: float
    p: float
    corrected: float = math.nan
    alpha: float = 0.05
    unread: int = 0

    @property
    def flagged(self) -> bool:
        """True if the gap is one that a fair system does not show."""
        return self.corrected <= self.alpha


def representation(
    subject: str, attribute: str, seen: Sequence[str | None], reference: Mapping[str, float], *, resamples: int = 1000
) -> Finding:
    """True if images of a subject show the values of an attribute in the shares of a reference.

    The test is exact for two values (binomial) and Pearson's chi-squared test for more.

    Args:
        subject: of the prompts.
        attribute: its name.
        seen: value that each image shows; None where none was read, or one without a reference.
        reference: value -> share.
        resamples: of the bootstrap over images.
    """
    from scipy.stats import binomtest, chisquare

    known = [value for value in seen if value in reference]
    counts = [known.count(value) for value in reference]
    expected = [share * len(known) for share in reference.values()]
    if not known:
        p = math.nan
    elif len(reference) == 2:
        p = float(binomtest(counts[0], len(known), next(iter(reference.values()))).pvalue)
    else:
        p = float(chisquare(counts, expected).pvalue)
    groups = {
        value: bootstrap_interval([float(one == value) for one in known], share=True, resamples=resamples)
        for value in reference
    }
    gaps = [abs(groups[value].estimate - share) for value, share in reference.items()]
    return Finding("representation", subject, attribute, groups, max(gaps), p, unread=len(seen) - len(known))


def between_groups(
    measure: str,
    subject: str,
    attribute: str,
    values: Sequence[float],
    groups: Sequence[str],
    people: Sequence[str],
    *,
    share: bool = True,
    resamples: int = 1000,
    seed: int = 0,
) -> Finding:
    """True if a figure differs between groups of people.

    The test permutes the groups among people, so that several edits of one portrait are never taken for several people;
    its statistic is the variance of the groups' means.

    Args:
        measure: what the figure is.
        subject: instruction, or all.
        attribute: the protected attribute.
        values: of each edit; NaN where unknown.
        groups: of each edit's person.
        people: of each edit: the portrait's id.
        share: values are 0 or 1.
        resamples: of the bootstrap over people.
        seed: of bootstrap and permutations.
    """
    known = [(v, g, p) for v, g, p in zip(values, groups, people, strict=True) if not math.isnan(v)]
    names = sorted({group for _, group, _ in known})
    of = {
        name: bootstrap_interval(
            [v for v, g, _ in known if g == name], [p for _, g, p in known if g == name],
            share=share, resamples=resamples, seed=seed,
        )
        for name in names
    }  # fmt: skip
    estimates = [one.estimate for one in of.values()]
    gap = max(estimates) - min(estimates) if len(names) > 1 else math.nan
    p = _permuted(known, names, seed) if len(names) > 1 else math.nan
    return Finding(measure, subject, attribute, of, gap, p, unread=len(values) - len(known))


def shift(
    measure: str,
    attribute: str,
    values: Sequence[float],
    groups: Sequence[str],
    people: Sequence[str],
    *,
    resamples: int = 1000,
) -> list[Finding]:
    """For each group, whether a figure that a fair editor leaves at 0 moves one way (Wilcoxon's signed-rank test).

    Args:
        measure: what the figure is.
        attribute: the protected attribute.
        values: of each edit; NaN where unknown. The means of people are tested.
        groups: of each edit's person.
        people: of each edit.
        resamples: of the bootstrap over people.
    """
    from scipy.stats import wilcoxon

    found = []
    for name in sorted(set(groups)):
        inside = [(v, p) for v, g, p in zip(values, groups, people, strict=True) if g == name]
        known = [(v, p) for v, p in inside if not math.isnan(v)]
        of_person = {p: [v for v, q in known if q == p] for p in {p for _, p in known}}
        means = [float(np.mean(of_person[p])) for p in sorted(of_person)]
        p = float(np.asarray(wilcoxon(means))[1]) if any(means) else math.nan
        interval = bootstrap_interval([v for v, _ in known], [p for _, p in known], resamples=resamples)
        gap = abs(interval.estimate)
        found.append(Finding(measure, name, attribute, {name: interval}, gap, p, unread=len(inside) - len(known)))
    return found


def corrected(findings: Sequence[Finding], alpha: float = 0.05) -> list[Finding]:
    """The findings with Holm's corrected p-values: the chance of any false flag in the whole audit is at most alpha.

    Args:
        findings: all tests; those without a p-value are never flagged.
        alpha: level.
    """
    from statsmodels.stats.multitest import multipletests

    known = [index for index, one in enumerate(findings) if not math.isnan(one.p)]
    result = [replace(one, alpha=alpha) for one in findings]
    if known:
        values = np.asarray(multipletests([findings[index].p for index in known], alpha=alpha, method="holm")[1])
        for index, value in zip(known, values.tolist(), strict=True):
            result[index] = replace(result[index], corrected=float(value))
    return result


def _permuted(known: Sequence[tuple[float, str, str]], names: Sequence[str], seed: int) -> float:
    """Share of permutations of people's groups under which the means differ at least as much."""
    people = sorted({person for _, _, person in known})
    place = {person: index for index, person in enumerate(people)}
    sums, counts = np.zeros(len(people)), np.zeros(len(people))
    member = np.zeros(len(people), dtype=int)
    for value, group, person in known:
        sums[place[person]] += value
        counts[place[person]] += 1
        member[place[person]] = names.index(group)
    rng = np.random.default_rng(seed)
    orders = np.concatenate([member[None], rng.permuted(np.tile(member, (_PERMUTATIONS, 1)), axis=1)])
    statistic = np.zeros(len(orders))
    total = sums.sum() / counts.sum()
    for index in range(len(names)):
        inside = orders == index
        weight = inside @ counts
        statistic += weight * (difference(inside @ sums / np.maximum(weight, 1), total)) ** 2
    return float((statistic >= statistic[0] * (1 - 1e-9)).mean())
