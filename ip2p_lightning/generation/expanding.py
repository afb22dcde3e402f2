"""The stage `expressive`: for each pair that is kept, what will be visible after the edit (MGIE section 3.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from ip2p_lightning.data.images import open_image, to_tensor
from ip2p_lightning.generation.base import Expander
from ip2p_lightning.generation.filtering import RecordedTriple, kept
from ip2p_lightning.generation.manifest import Ledger, Record
from ip2p_lightning.generation.merge import pair_id
from ip2p_lightning.generation.pairs import TripleRecord, read_record
from ip2p_lightning.generation.writers.grammar import EXPRESSIVE


@dataclass(frozen=True)
class KeptPair:
    """A pair that is to get a text.

    Args:
        id: of the pair.
        record: where it is.
        number: its number among the candidates.
    """

    id: str
    record: Record
    number: int

    @property
    def digest(self) -> str:
        """Of all pairs of its triple."""
        return self.record.digest


def kept_pairs(triples: Sequence[RecordedTriple], verdicts: Mapping[str, Sequence[str]]) -> list[KeptPair]:
    """The pairs that the filter keeps, in order.

    Args:
        triples: of which pairs were made.
        verdicts: of the filter, by triple; those that it lacks are left out.
    """
    return [
        KeptPair(pair_id(entry.id, number), entry.record, number)
        for entry in triples
        for number in kept(verdicts.get(entry.id, ()))
    ]


class WriteExpressive:
    """Has an expander say what will be visible.

    Args:
        expander: see there; None takes the text that the writer of the triple left, as the world's grammar does.
    """

    name, calls = "expressive", 0

    def __init__(self, expander: Expander | None) -> None:
        self.expander = expander

    @property
    def models(self) -> Sequence[Any]:
        return [] if self.expander is None else [self.expander]

    def __call__(self, inputs: Sequence[KeptPair]) -> dict[str, bytes]:
        """Pair id -> a line of JSON with its text, "" where none was found."""
        records = [_read(entry.record) for entry in inputs]
        if self.expander is None:
            texts = [str(record.triple.metadata.get(EXPRESSIVE, "")) for record in records]
        else:
            originals = [_original(record, entry.number) for entry, record in zip(inputs, records, strict=True)]
            texts = self.expander.write(originals, [record.triple.instruction for record in records])
        return {
            entry.id: (json.dumps(" ".join(text.split()), ensure_ascii=False) + "\n").encode()
            for entry, text in zip(inputs, texts, strict=True)
        }


def read_texts(ledger: Ledger, triples: Sequence[RecordedTriple]) -> dict[str, str]:
    """Pair id -> its expressive instruction, also of pairs that are no longer kept.

    Args:
        ledger: of the stage.
        triples: whose pairs' texts count, if they were written for these pictures.
    """
    places = {entry.id: entry.record for entry in triples}
    named = [(id, *id.rpartition("/")[::2]) for id in ledger.records()]
    pairs = [KeptPair(id, places[triple], int(number)) for id, triple, number in named if triple in places]
    return {id: json.loads(record.read()) for id, record in ledger.records(pairs).items()}


@lru_cache(maxsize=4)
def _read(record: Record) -> TripleRecord:
    """The pairs of one triple follow each other."""
    return read_record(record.read())


def _original(record: TripleRecord, number: int) -> Tensor:
    pictures = record.pairs[number].pictures
    assert pictures is not None  # what is kept is stored
    return to_tensor(open_image(pictures[0]))
