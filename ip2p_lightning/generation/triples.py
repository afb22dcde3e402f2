"""The stage `triples`: captions in, edits in words out; and edits in words from a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import parse_json
from ip2p_lightning.generation.base import Caption, EditTriple, Rejected, TripleWriter
from ip2p_lightning.generation.manifest import Ledger
from ip2p_lightning.generation.triple_checks import TripleChecks
from ip2p_lightning.safety import Guard


class WriteTriples:
    """Has a writer write triples of captions.

    Args:
        writer: see there.
        seed: of the writer's randomness, in addition to the captions' ids.
        guard: refuses triples for their texts, as "unsafe", whatever the writer lets pass; None lets all pass.
    """

    name, calls = "triples", 0

    def __init__(self, writer: TripleWriter, seed: int = 0, guard: Guard | None = None) -> None:
        self.writer, self.seed, self.guard = writer, seed, guard

    @property
    def models(self) -> Sequence[Any]:
        return [self.writer]

    def __call__(self, inputs: Sequence[Caption]) -> dict[str, bytes]:
        """Caption id -> a line of JSON with all that the writer said of it.

        Raises:
            ValueError: the writer says something of a caption that it was not given.
        """
        outcomes: dict[str, list[dict[str, Any]]] = {caption.id: [] for caption in inputs}
        for outcome in map(self._guarded, self.writer.write(inputs, self.seed)):
            word = "rejected" if isinstance(outcome, Rejected) else "triple"
            outcomes[_caption_of(outcome, outcomes)].append({word: asdict(outcome)})
        return {id: (json.dumps(rows, ensure_ascii=False) + "\n").encode() for id, rows in outcomes.items()}

    def _guarded(self, outcome: EditTriple | Rejected) -> EditTriple | Rejected:
        if self.guard is None or isinstance(outcome, Rejected):
            return outcome
        why = self.guard.refuses_text(outcome.original_caption, outcome.instruction, outcome.edited_caption)
        return Rejected(outcome.id, "unsafe", why) if why else outcome


@dataclass
class Triples:
    """Triples of the stage.

    Args:
        triples: sorted by id.
        rejected: how many were refused for each reason; "nothing written" counts captions without any outcome.
        captions: how many captions were worked on.
    """

    triples: list[EditTriple] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    captions: int = 0


def read_triples(ledger: Ledger) -> Triples:
    """All triples of a ledger, sorted by id, so that neither batches nor ranks show."""
    found = Triples()
    for record in ledger.records().values():
        rows = json.loads(record.read())
        found.captions += 1
        found.rejected.update(["nothing written"] if not rows else [])
        for row in rows:
            if "triple" in row:
                found.triples.append(EditTriple(**row["triple"]))
            else:
                found.rejected[row["rejected"]["reason"]] += 1
    found.triples.sort(key=lambda triple: triple.id)
    return found


def triples_of_file(path: str | Path, count: int | None = None, checks: TripleChecks | None = None) -> Triples:
    """Edits from JSON lines with "input" or "caption", "edit" and "output", as InstructPix2Pix's are.

    Args:
        path: the file.
        count: lines to look at; None for all.
        checks: what is refused and counted, as of a writer; the usual ones if None.

    Raises:
        FileNotFoundError: no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is no file; give triples_file=FILE with a line of JSON for each edit")
    found, seen, checks = Triples(), set(), checks or TripleChecks()
    with Path(path).open("rb") as file:
        for number, line in enumerate(file):
            if number == count:
                break
            found.captions += 1
            try:
                row = parse_json(line)
                texts = row.get("input") or row["caption"], row["edit"], row["output"]
                before, edit, after = (" ".join(text.split()) for text in texts)
            except (ValueError, KeyError, TypeError, AttributeError):
                found.rejected["corrupt"] += 1
                continue
            id = f"triple-{blake2b(chr(0).join((before, edit, after)).encode(), digest_size=10).hexdigest()}"
            group = f"caption-{blake2b(before.encode(), digest_size=10).hexdigest()}"
            triple = EditTriple(id, before, edit, after, group, url=str(row.get("url") or ""))
            refused = Rejected(id, "duplicate") if id in seen else checks.of_triple(triple)
            if refused:
                found.rejected[refused.reason] += 1
                continue
            seen.add(id)
            found.triples.append(triple)
    found.triples.sort(key=lambda triple: triple.id)
    return found


def _caption_of(outcome: EditTriple | Rejected, captions: dict[str, Any]) -> str:
    """The caption that an outcome belongs to: the one it names, or whose id its own begins with."""
    names = [outcome.id, *([outcome.group] if isinstance(outcome, EditTriple) else [])]
    for name in names:
        if name in captions:
            return name
    parents = [id for id in captions if outcome.id.startswith(f"{id}-")]
    if not parents:
        raise ValueError(f"the writer wrote {outcome.id!r}, which belongs to none of the captions that it was given")
    return max(parents, key=len)
