"""As many candidates as it takes: cheap ones first, more where the filter accepts, no further once there are enough.

What makes it cheaper than the paper's fixed number, in the order in which it helps on small models (docs/pairs.md):
several p for each seed share the original and most of the edited picture; seeds whose previews change in the wrong
direction are given up; p is drawn where pairs were best; a triple that has enough is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import (
    Candidate,
    EditTriple,
    MadePair,
    PairMaker,
    PairScorer,
    PreviewingPairMaker,
)
from ip2p_lightning.generation.filter import KEPT, SURPLUS, PairFilter
from ip2p_lightning.generation.search import PREVIEW, Ranges, ScoredPair, SearchResult, judged, score_sound


class ShareProposal:
    """Where p is drawn from: at first everywhere alike, then where the best pairs of seeds were.

    A histogram, each field the mean of a Beta(1, 1) prior updated by the seeds that tried it and by those whose best
    accepted pair it held.

    Args:
        limits: least and greatest p.
        fields: of the histogram.
        everywhere: share of the draws that ignore it.
    """

    def __init__(self, limits: tuple[float, float], fields: int = 8, everywhere: float = 0.2) -> None:
        self.limits, self.everywhere = limits, everywhere
        self.tried, self.best = [0] * fields, [0] * fields

    def field(self, share: float) -> int:
        """The field of a p."""
        low, high = self.limits
        place = (share - low) / (high - low) if high > low else 0.0
        return min(len(self.tried) - 1, max(0, int(place * len(self.tried))))

    def update(self, tried: Sequence[float], best: float | None) -> None:
        """Learn from a seed: what was tried, and the p of its best accepted pair, if there is one."""
        for field in {self.field(share) for share in tried}:
            self.tried[field] += 1
        if best is not None:
            self.best[self.field(best)] += 1

    def weights(self) -> list[float]:
        """Probability of each field."""
        means = [(1 + best) / (2 + tried) for best, tried in zip(self.best, self.tried, strict=True)]
        even = self.everywhere / len(means)
        return [even + (1 - self.everywhere) * mean / sum(means) for mean in means]

    def draw(self, count: int, random: Random) -> list[float]:
        """`count` values of p, one in each of as many parts of equal probability."""
        weights = self.weights()
        return [self._quantile((number + random.random()) / count, weights) for number in range(count)]

    def _quantile(self, position: float, weights: Sequence[float]) -> float:
        low, high = self.limits
        width = (high - low) / len(weights)
        for field, weight in enumerate(weights):
            if position <= weight or field == len(weights) - 1:
                return low + width * (field + min(1.0, position / weight))
            position -= weight
        raise AssertionError("probabilities sum to 1")


class AdaptiveSearch:
    """Rounds of some seeds with several p each, until enough seeds have given a pair that the filter accepts.

    Args:
        filter: decides what is kept.
        enough: seeds with an accepted pair after which it stops; more than the filter keeps leave it a choice.
        seeds: in a round.
        shares: values of p tried with each seed.
        rounds: at most.
        previews: (share of the steps, share of the seeds still there that go on) of each look, those whose best pair
            changes most in the captions' direction; () finishes all.
        ranges: what p and guidance are drawn from.
        seed: of all randomness, beside the triple's id.
    """

    def __init__(
        self,
        filter: PairFilter | None = None,
        enough: int = 8,
        seeds: int = 8,
        shares: int = 4,
        rounds: int = 6,
        previews: Sequence[tuple[float, float]] = ((0.2, 0.5), (0.5, 0.5)),
        ranges: Ranges | None = None,
        seed: int = 0,
    ) -> None:
        if min(enough, seeds, shares, rounds) < 1:
            raise ValueError(f"enough={enough}, seeds={seeds}, shares={shares}, rounds={rounds} must be at least 1")
        if not all(0 < at < 1 and 0 < share <= 1 for at, share in previews):
            raise ValueError(
                f"previews={[list(look) for look in previews]} must be pairs: a share of the steps between 0 and 1, "
                "and the share of the seeds that go on, above 0"
            )
        self.filter = filter or PairFilter()
        self.enough, self.seeds, self.shares, self.rounds = enough, seeds, shares, rounds
        self.previews = dict(previews)
        self.ranges = ranges or Ranges()
        self.seed = seed

    def run(self, triple: EditTriple, maker: PairMaker, scorer: PairScorer) -> SearchResult:
        """See `Search.run`."""
        before = maker.calls
        proposal = ShareProposal(self.ranges.share)
        found: list[ScoredPair] = []
        for number in range(self.rounds):
            candidates = self._candidates(triple, number, proposal)
            new = self._make(triple, candidates, maker, scorer)
            self._learn(proposal, new)
            found = judged([*found, *new], self.filter)
            if sum(pair.reason in (KEPT, SURPLUS) for pair in found) >= self.enough:
                break
        return SearchResult(triple, found, maker.calls - before)

    def _candidates(self, triple: EditTriple, number: int, proposal: ShareProposal) -> list[Candidate]:
        candidates = []
        for place in range(number * self.seeds, (number + 1) * self.seeds):
            drawn = self.ranges.draw(self.seed, triple, place)
            random = addressed_random("shares", self.seed, triple.id, place)
            for share in proposal.draw(self.shares, random):
                candidates.append(Candidate(drawn.seed, share, drawn.guidance_scale))
        return candidates

    def _make(
        self, triple: EditTriple, candidates: list[Candidate], maker: PairMaker, scorer: PairScorer
    ) -> list[ScoredPair]:
        """Make and score a round; pairs that were given up carry the scores of their last preview."""
        if not self.previews or not isinstance(maker, PreviewingPairMaker):
            return score_sound(triple, maker.make(triple, candidates), scorer)
        looks: dict[Candidate, ScoredPair] = {}

        def promising(pairs: list[MadePair], done: float) -> list[bool]:
            scored = score_sound(triple, pairs, scorer)
            looks.update({pair.candidate: pair for pair in scored})
            return self._promising(scored, self.previews[min(self.previews, key=lambda at: abs(at - done))])

        made = maker.make_promising(triple, candidates, promising, tuple(self.previews))
        finished = iter(score_sound(triple, [pair for pair in made if pair], scorer))
        return [
            next(finished) if pair else replace(looks[candidate], reason=looks[candidate].reason or PREVIEW, pair=None)
            for candidate, pair in zip(candidates, made, strict=True)
        ]

    @staticmethod
    def _promising(scored: Sequence[ScoredPair], share: float) -> list[bool]:
        """Seeds go on or not as a whole: what is dear is the original and what its pairs have in common."""
        best: dict[int, float] = {}
        for pair in scored:
            direction = pair.scores.direction if pair.scores else -math.inf
            best[pair.candidate.seed] = max(best.get(pair.candidate.seed, -math.inf), direction)
        ranked = sorted(best, key=lambda seed: -best[seed])
        chosen = {seed for seed in ranked[: math.ceil(share * len(ranked))] if best[seed] > -math.inf}
        return [pair.candidate.seed in chosen and pair.scores is not None for pair in scored]

    def _learn(self, proposal: ShareProposal, new: Sequence[ScoredPair]) -> None:
        rows: dict[int, list[ScoredPair]] = {}
        for pair in new:
            if pair.reason != PREVIEW:
                rows.setdefault(pair.candidate.seed, []).append(pair)
        for pairs in rows.values():
            good = [p for p in pairs if p.scores and not self.filter.thresholds.reason(p.scores)]
            best = max(good, key=lambda p: p.scores.direction if p.scores else -math.inf, default=None)
            proposal.update([p.candidate.share for p in pairs], best.candidate.share if best else None)
