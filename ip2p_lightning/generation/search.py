"""Search for the pairs of a triple: the paper's fixed number of candidates, or as many as are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import Candidate, Draw, EditTriple, PairMaker, PairScorer
from ip2p_lightning.generation.filter import KEPT, PairFilter, defect

PREVIEW = "preview"
"""The reason of a pair that was given up half-way."""


@dataclass(frozen=True)
class SearchResult:
    """All candidates of a triple.

    Args:
        triple: the edit.
        pairs: every candidate, in the order in which they were made.
        calls: samples that went through the denoiser.
    """

    triple: EditTriple
    pairs: list[Candidate]
    calls: int

    @property
    def kept(self) -> list[Candidate]:
        """Those that passed the filter, best direction first."""
        kept = [pair for pair in self.pairs if pair.reason == KEPT]
        return sorted(kept, key=lambda pair: -(pair.scores.direction if pair.scores else 0.0))

    @property
    def finished(self) -> list[Candidate]:
        """Those with scores of finished images, from which other thresholds may choose."""
        return [pair for pair in self.pairs if pair.finished]

    @property
    def reasons(self) -> Counter[str]:
        """Reject reason -> number of candidates; "" counts those that were kept."""
        return Counter(pair.reason for pair in self.pairs)


class Search(Protocol):
    """Makes pairs of a triple until it has what it wants."""

    filter: PairFilter
    """Decides what is kept."""

    def run(self, triple: EditTriple, maker: PairMaker, scorer: PairScorer) -> SearchResult:
        """Depends on the search's seed and the triple alone."""
        ...


@dataclass(frozen=True)
class Ranges:
    """Ranges from which candidates are drawn uniformly; the paper's values for Stable Diffusion 1.5.

    Args:
        share: p, share of the steps in which attention is shared.
        guidance_scale: of classifier-free guidance.
    """

    share: tuple[float, float] = (0.1, 0.9)
    guidance_scale: tuple[float, float] = (7.5, 15.0)

    def draw(self, seed: int, triple: EditTriple, number: int) -> Draw:
        """The candidate of that number; the same for every caller, whatever was asked before."""
        random = addressed_random("candidate", seed, triple.id, number)
        return Draw(random.getrandbits(32), random.uniform(*self.share), random.uniform(*self.guidance_scale))


class FixedSearch:
    """The paper's: so many candidates, the best of those that pass (InstructPix2Pix section 3.1.2).

    Args:
        filter: decides what is kept.
        candidates: made of every triple.
        ranges: what they are drawn from.
        seed: of all randomness, in addition to the triple's id.
        at_once: candidates given to the maker in one call.
    """

    def __init__(
        self,
        filter: PairFilter | None = None,
        candidates: int = 100,
        ranges: Ranges | None = None,
        seed: int = 0,
        at_once: int = 100,
    ) -> None:
        if candidates < 1 or at_once < 1:
            raise ValueError(f"candidates={candidates} and at_once={at_once} must both be at least 1")
        self.filter = filter or PairFilter()
        self.candidates = candidates
        self.ranges = ranges or Ranges()
        self.seed = seed
        self.at_once = at_once

    def run(self, triple: EditTriple, maker: PairMaker, scorer: PairScorer) -> SearchResult:
        """See `Search.run`."""
        before = maker.calls
        candidates = [self.ranges.draw(self.seed, triple, number) for number in range(self.candidates)]
        made: list[Candidate] = []
        for start in range(0, len(candidates), self.at_once):
            made += maker.make(triple, candidates[start : start + self.at_once])
        return SearchResult(triple, judged(score_sound(triple, made, scorer), self.filter), maker.calls - before)


def score_sound(triple: EditTriple, made: Sequence[Candidate], scorer: PairScorer) -> list[Candidate]:
    """Score candidates whose images can be scored; the others have no scores and say what is wrong with them."""
    defects = [defect(pair.original_image) or defect(pair.edited_image) for pair in made]
    sound = [pair for pair, reason in zip(made, defects, strict=True) if not reason]
    scores = iter(scorer.score(triple, sound) if sound else ())
    return [
        replace(pair, reason=reason, scores=None if reason else next(scores))
        for pair, reason in zip(made, defects, strict=True)
    ]


def judged(pairs: Sequence[Candidate], filter: PairFilter) -> list[Candidate]:
    """Have all finished candidates of a triple judged again."""
    open_ = [pair for pair in pairs if pair.finished]
    verdicts = iter(filter.judge(open_, [pair.scores for pair in open_ if pair.scores]))
    return [replace(pair, reason=next(verdicts)) if pair.finished else pair for pair in pairs]
