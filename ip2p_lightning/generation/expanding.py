"""The stage `expressive`: for each pair that is kept, what will be visible after the edit (MGIE section 3.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ip2p_lightning.data.images import open_image, to_tensor
from ip2p_lightning.generation.base import Expander
from ip2p_lightning.generation.filtering import kept
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.pairs import Made, pair_id
from ip2p_lightning.generation.writers.grammar import EXPRESSIVE


@dataclass(frozen=True)
class KeptPair:
    """A pair that is to get a text.

    Args:
        id: of the pair.
        made: what was made of its triple.
        number: its number among the candidates.
    """

    id: str
    made: Made
    number: int

    @property
    def digest(self) -> str:
        """Of all pairs of its triple."""
        return self.made.digest


def kept_pairs(triples: Sequence[Made], verdicts: Mapping[str, Sequence[str]]) -> list[KeptPair]:
    """The pairs that the filter keeps, in order.

    Args:
        triples: of which pairs were made.
        verdicts: of the filter, by triple; those that it lacks are left out.
    """
    return [
        KeptPair(pair_id(entry.id, number), entry, number)
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
        triples = [entry.made.triple for entry in inputs]
        if self.expander is None:
            texts = [str(triple.metadata.get(EXPRESSIVE, "")) for triple in triples]
        else:
            files = [entry.made.image(entry.made.rows[entry.number], "original") for entry in inputs]
            originals = [to_tensor(open_image(file)) for file in files]
            texts = self.expander.write(originals, [triple.instruction for triple in triples])
        return {
            entry.id: (json.dumps(" ".join(text.split()), ensure_ascii=False) + "\n").encode()
            for entry, text in zip(inputs, texts, strict=True)
        }


def read_texts(ledger: Ledger, triples: Sequence[Made]) -> dict[str, str]:
    """Pair id -> its expressive instruction, also of pairs that are no longer kept.

    Args:
        ledger: of the stage.
        triples: whose pairs' texts count, if they were written for these images.
    """
    places = {entry.id: entry for entry in triples}
    named = [(id, *id.rpartition("/")[::2]) for id in ledger.records()]
    pairs = [KeptPair(id, places[triple], int(number)) for id, triple, number in named if triple in places]
    return {id: json.loads(record.read()) for id, record in ledger.records(pairs).items()}
