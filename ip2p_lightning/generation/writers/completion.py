"""Shared part of writers that ask a model: answers are read, checked, and asked for again where they are of no use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.triple_checks import TripleChecks
from ip2p_lightning.models.triple_format import FormatError, one_line, parse


class CompletionWriter(ABC):
    """One triple of each caption from a model that continues text.

    A caption that is refused itself is never shown to the model. An answer that is unparsable, empty, too long, unsafe
    or a copy is asked for again with other randomness, as the original does; the last one's reason is reported.

    Args:
        checks: what is refused.
        retries: tries after the first (the original: 3).
    """

    name: str

    def __init__(self, checks: TripleChecks | None = None, retries: int = 3) -> None:
        if retries < 0:
            raise ValueError(f"retries={retries} must not be negative")
        self.checks, self.retries = checks or TripleChecks(), retries

    @abstractmethod
    def complete(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str | Rejected]:
        """The model's answers to captions of one line each, or what else became of them.

        Args:
            captions: to be edited.
            seeds: of each answer's randomness, below 2^64.

        Returns:
            Answers with `END` where the model came to an end; a `Rejected` (its id is filled in by the caller) for a
            caption that will never get an answer.
        """

    def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
        outcomes: list[EditTriple | Rejected | None] = [self.checks.of_caption(caption) for caption in captions]
        pending = [index for index, outcome in enumerate(outcomes) if outcome is None]
        for attempt in range(1 + self.retries):
            seeds = [hashed_integer("write", seed, captions[index].id, attempt) for index in pending]
            answers = self.complete([one_line(captions[index].text) for index in pending], seeds) if pending else []
            again = []
            for index, answer in zip(pending, answers, strict=True):
                outcome = self._read(captions[index], answer, attempt)
                outcomes[index] = outcome
                if isinstance(outcome, Rejected) and not isinstance(answer, Rejected):
                    again.append(index)
            pending = again
        return [outcome for outcome in outcomes if outcome is not None]

    def _read(self, caption: Caption, answer: str | Rejected, attempt: int) -> EditTriple | Rejected:
        if isinstance(answer, Rejected):
            return Rejected(caption.id, answer.reason, answer.detail)
        try:
            instruction, edited_caption = parse(answer)
        except FormatError as error:
            return Rejected(caption.id, error.reason, error.detail)
        triple = EditTriple(
            id=caption.id,
            original_caption=one_line(caption.text),
            instruction=instruction,
            edited_caption=edited_caption,
            group=caption.id,
            url=caption.url,
            metadata={**caption.metadata, "tries": attempt + 1},
        )
        return self.checks.of_triple(triple) or triple
