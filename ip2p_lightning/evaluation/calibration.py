"""Agreement of a judge with people: agreement and Cohen's kappa on choices between two systems, with intervals."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.metrics.bootstrap import Floats, Interval, bootstrap_interval
from ip2p_lightning.rounding import difference
from ip2p_lightning.untrusted import csv_cell, from_csv_cell

CHOICES = ("first", "second", "tie")


@dataclass(frozen=True)
class Choice:
    """A person's preference.

    Args:
        pair: id of the pair that both systems edited.
        first, second: the systems' names.
        choice: "first", "second" or "tie".
        rater: who chose; "" if unknown.
    """

    pair: str
    first: str
    second: str
    choice: str
    rater: str = ""


@dataclass(frozen=True)
class Calibration:
    """Agreement of a judge with people.

    Args:
        agreement: share of the choices that the judge makes alike.
        kappa: Cohen's (1960) kappa of judge and people: 0 is chance, 1 is perfect, below 0 is worse than chance.
        people: share of the pairs of raters on one question that agree: what a judge can hope for. None where no
            question has two raters.
        table: person's choice -> judge's choice -> how often, for "first", "second", "tie".
        choices: how many were compared.
        missing: choices left out because a system has no mark for the pair.
    """

    agreement: Interval
    kappa: Interval
    people: Interval | None
    table: dict[str, dict[str, int]]
    choices: int
    missing: int


def read_choices(path: str | Path) -> list[Choice]:
    """Choices from a CSV file with the columns pair, first, second, choice and perhaps rater.

    Args:
        path: of the file; ``choice`` is "first", "second", "tie", or a system's name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a missing column, or a choice that is none of these; names the line.
    """
    with open_csv(path, "it should be a CSV file with pair, first, second, choice") as reader:
        if lacking := {"pair", "first", "second", "choice"} - set(reader.fieldnames or ()):
            raise ValueError(f"{path} has no column {', '.join(sorted(lacking))}; it needs pair, first, second, choice")
        rows = ({name: from_csv_cell(text or "") for name, text in row.items() if name} for row in reader)
        return [_choice(row, f"{path} line {reader.line_num}") for row in rows]


def write_choices(choices: Sequence[Choice], path: str | Path) -> None:
    """Write choices as the CSV file that `read_choices` reads."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("pair", "first", "second", "choice", "rater"))
        writer.writerows(map(csv_cell, (c.pair, c.first, c.second, c.choice, c.rater)) for c in choices)


def calibrate(
    choices: Sequence[Choice],
    marks: Mapping[str, Mapping[str, float]],
    margin: float = 0.0,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibration:
    """Compare a judge's choices, made of its marks, with those of people.

    Args:
        choices: of people.
        marks: system -> pair -> the judge's mark, higher is better; NaN where it has none.
        margin: marks no further apart than this are a tie.
        resamples: of the bootstrap, which draws pairs, with all choices about them.
        confidence: share of the resamples inside the intervals.
        seed: of the resamples.

    Raises:
        ValueError: a system that has no marks at all, or no choice about which the judge has marks.
    """
    if unknown := sorted({name for c in choices for name in (c.first, c.second)} - set(marks)):
        raise ValueError(f"there are choices about {', '.join(unknown)} but marks of {', '.join(sorted(marks))} alone")
    judged = [(choice, _judged(choice, marks, margin)) for choice in choices]
    known = [(choice, verdict) for choice, verdict in judged if verdict]
    if not known:
        raise ValueError(f"the judge has marks about none of the {len(choices)} choices; evaluate the same pairs")
    cells = np.array([3 * CHOICES.index(choice.choice) + CHOICES.index(verdict) for choice, verdict in known])
    groups = [choice.pair for choice, _ in known]
    options = {"resamples": resamples, "confidence": confidence, "seed": seed}
    counts = np.bincount(cells, minlength=9).reshape(3, 3)
    return Calibration(
        agreement=bootstrap_interval((cells % 4 == 0).astype(float), groups, share=True, **options),
        kappa=_kappa_interval(cells, groups, resamples, confidence, seed),
        people=_among_people(choices, options),
        table={a: {b: int(counts[i, j]) for j, b in enumerate(CHOICES)} for i, a in enumerate(CHOICES)},
        choices=len(known),
        missing=len(judged) - len(known),
    )


def kappa(table: Floats) -> Floats:
    """Cohen's kappa of tables [..., K, K]; NaN where both always make the same single choice."""
    total = table.sum((-2, -1))
    observed = np.trace(table, axis1=-2, axis2=-1) * total  # all three times total ** 2
    expected = (table.sum(-1) * table.sum(-2)).sum(-1)
    room = difference(total**2, expected)
    return np.where(room > 0, difference(observed, expected) / np.where(room > 0, room, 1), np.nan)


def _choice(row: Mapping[str, str], place: str) -> Choice:
    names = {row["first"]: "first", row["second"]: "second"}
    choice = str(row["choice"] or "").strip()
    choice = names.get(choice, choice)
    if choice not in CHOICES:
        raise ValueError(f"{place}: choice {choice!r} is none of first, second, tie, {row['first']}, {row['second']}")
    return Choice(row["pair"], row["first"], row["second"], choice, row.get("rater") or "")


def _judged(choice: Choice, marks: Mapping[str, Mapping[str, float]], margin: float) -> str:
    """The judge's choice; "" if it has no marks."""
    first, second = (marks[name].get(choice.pair, math.nan) for name in (choice.first, choice.second))
    if math.isnan(first) or math.isnan(second):
        return ""
    if abs(difference(first, second)) <= margin:
        return "tie"
    return "first" if first > second else "second"


def _among_people(choices: Sequence[Choice], options: Mapping[str, float]) -> Interval | None:
    """Agreement of every two people about the same question, whichever way round they saw it."""
    questions: dict[tuple[str, ...], list[str]] = {}
    for choice in choices:
        named = {"first": choice.first, "second": choice.second, "tie": "tie"}[choice.choice]
        questions.setdefault((choice.pair, *sorted((choice.first, choice.second))), []).append(named)
    same = [(q[0], float(a == b)) for q, named in questions.items() for a, b in combinations(named, 2)]
    if not same:
        return None
    return bootstrap_interval([value for _, value in same], [pair for pair, _ in same], share=True, **options)  # type: ignore[arg-type]


def _kappa_interval(cells: np.ndarray, groups: Sequence[str], resamples: int, confidence: float, seed: int) -> Interval:
    unique, member = np.unique(np.asarray(groups), return_inverse=True)
    tables = np.zeros((len(unique), 9))
    np.add.at(tables, (member, cells), 1.0)
    estimate = float(kappa(tables.sum(0).reshape(3, 3)))
    if len(unique) == 1:
        return Interval(estimate, math.nan, math.nan, len(cells), 1)
    counts = np.random.default_rng(seed).multinomial(len(unique), np.full(len(unique), 1 / len(unique)), resamples)
    drawn = kappa((counts @ tables).reshape(-1, 3, 3))
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail]) if np.isfinite(drawn).any() else (math.nan, math.nan)
    return Interval(estimate, float(low), float(high), len(cells), len(unique))
