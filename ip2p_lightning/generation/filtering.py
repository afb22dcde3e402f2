"""The stage `filter`: which of the recorded pairs are kept, decided anew from their scores; no picture is rewritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ip2p_lightning.data.images import open_image, to_tensor
from ip2p_lightning.generation.base import EditTriple, MadePair
from ip2p_lightning.generation.filter import DUPLICATE, KEPT, SURPLUS, UNSAFE, PairFilter
from ip2p_lightning.generation.manifest import Ledger, Record
from ip2p_lightning.generation.pairs import StoredPair, read_record

NOT_STORED = "not stored"
"""Good enough under these thresholds, but its pictures were let go under those under which it was made."""


@dataclass(frozen=True)
class RecordedTriple:
    """Where the pairs of a triple are.

    Args:
        id: of the triple.
        record: of its pairs.
    """

    id: str
    record: Record

    @property
    def digest(self) -> str:
        """Of its pairs."""
        return self.record.digest


def recorded(ledger: Ledger, triples: Sequence[EditTriple] | None = None) -> list[RecordedTriple]:
    """The triples of which pairs were made, sorted by id.

    Args:
        ledger: of the stage `pairs`.
        triples: those that there are now; pairs of others are passed over. None for all.
    """
    return [RecordedTriple(id, record) for id, record in sorted(ledger.records(triples).items())]


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

    def __call__(self, inputs: Sequence[RecordedTriple]) -> dict[str, bytes]:
        """Triple id -> a line of JSON: why each pair is left out, "" for those that are kept."""
        return {
            entry.id: (json.dumps(reasons(read_record(entry.record.read()).pairs, self.filter)) + "\n").encode()
            for entry in inputs
        }


def reasons(pairs: Sequence[StoredPair], filter: PairFilter) -> list[str]:
    """Why each recorded pair of one triple is left out under a filter; "" for those that are kept.

    Pairs without pictures cannot be kept; pairs without scores, given up half-way or unsafe stay what they were.
    """
    decided = [pair.reason for pair in pairs]
    for number, pair in enumerate(pairs):
        if pair.finished and pair.pictures is None and pair.scores is not None and pair.reason != UNSAFE:
            verdict = filter.thresholds.reason(pair.scores)
            decided[number] = verdict or (pair.reason if pair.reason in (SURPLUS, DUPLICATE) else NOT_STORED)
    open_ = [n for n, pair in enumerate(pairs) if pair.finished and pair.pictures and pair.reason != UNSAFE]
    scores = [pairs[n].scores for n in open_]
    if filter.duplicates or filter.safety:
        made = [_made(pairs[n]) for n in open_]
        verdicts = filter.fit_to_store(made, filter.judge(made, scores))  # type: ignore[arg-type]
    else:
        verdicts = filter.select(scores, [pairs[n].candidate for n in open_])  # type: ignore[arg-type]
    for number, verdict in zip(open_, verdicts, strict=True):
        decided[number] = verdict
    return decided


def read_reasons(ledger: Ledger, triples: Sequence[RecordedTriple] | None = None) -> dict[str, list[str]]:
    """Triple id -> the verdicts of the stage.

    Args:
        ledger: of the stage.
        triples: those whose verdicts count, if it was their pairs that were judged; None for all.
    """
    return {id: json.loads(record.read()) for id, record in ledger.records(triples).items()}


def kept(verdicts: Sequence[str]) -> list[int]:
    """The numbers of the pairs that are kept."""
    return [number for number, verdict in enumerate(verdicts) if verdict == KEPT]


def _made(pair: StoredPair) -> MadePair:
    assert pair.pictures is not None
    original, edited = (to_tensor(open_image(data)) for data in pair.pictures)
    return MadePair(pair.candidate, original, edited, pair.metadata)
