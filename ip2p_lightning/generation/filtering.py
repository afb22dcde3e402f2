"""The stage `filter`: which of the recorded pairs are kept, decided again from their rows; no image is rewritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ip2p_lightning.generation.filter import DUPLICATE, KEPT, SURPLUS, UNSAFE, PairFilter
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.pairs import Made, draw_of, scores_of

NOT_STORED = "not stored"
"""Good enough under these thresholds, but its images were let go under those under which it was made."""


class FilterPairs:
    """Has a filter judge the pairs of each triple.

    Args:
        filter: thresholds, how many to keep, and whom to ask about duplicates and safety.
    """

    name, calls = "filter", 0

    def __init__(self, filter: PairFilter) -> None:
        self.filter = filter

    @property
    def models(self) -> Sequence[Any]:
        return [part for part in (self.filter.duplicates, self.filter.safety) if part is not None]

    def __call__(self, inputs: Sequence[Made]) -> dict[str, bytes]:
        """Triple id -> a line of JSON: why each pair is left out, "" for those that are kept."""
        return {made.id: (json.dumps(reasons(made, self.filter)) + "\n").encode() for made in inputs}


def reasons(made: Made, filter: PairFilter) -> list[str]:
    """Why each candidate of one triple is left out under a filter; "" for those that are kept.

    Candidates without images cannot be kept; those without scores, given up half-way or unsafe stay what they were. The
    images are read where a filter looks at them.
    """
    rows = made.rows
    decided, scores = [row["reason"] for row in rows], [scores_of(row) for row in rows]
    finished = [n for n, row in enumerate(rows) if scores[n] and not row["preview"] and row["reason"] != UNSAFE]
    for number in finished:
        if not rows[number]["stored"] and (score := scores[number]):
            before = decided[number]
            decided[number] = filter.thresholds.reason(score) or (
                before if before in (SURPLUS, DUPLICATE) else NOT_STORED
            )
    open_ = [n for n in finished if rows[n]["stored"]]
    known = [score for n in open_ if (score := scores[n])]
    if filter.duplicates or filter.safety:
        candidates = [made.candidate(rows[n]) for n in open_]
        verdicts = filter.fit_to_store(candidates, filter.judge(candidates, known))
    else:
        verdicts = filter.select(known, [draw_of(rows[n]) for n in open_])
    for number, verdict in zip(open_, verdicts, strict=True):
        decided[number] = verdict
    return decided


def read_reasons(ledger: Ledger, triples: Sequence[Made] | None = None) -> dict[str, list[str]]:
    """Triple id -> the verdicts of the stage.

    Args:
        ledger: of the stage.
        triples: those whose verdicts count, if it was their pairs that were judged; None for all.
    """
    return {id: json.loads(record.read()) for id, record in ledger.records(triples).items()}


def kept(verdicts: Sequence[str]) -> list[int]:
    """The numbers of the pairs that are kept."""
    return [number for number, verdict in enumerate(verdicts) if verdict == KEPT]
