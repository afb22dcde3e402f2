"""As many candidates as it takes: cheap ones first, more where the filter accepts, no further once there are enough.

What makes it cheaper than the paper's fixed number: several p for each seed share the original and most of the edited
image; seeds whose previews change in the wrong direction are given up; p and guidance are drawn near those of the
best pairs; a triple that has enough is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import (
    Candidate,
    Draw,
    EditTriple,
    PairMaker,
    PairScorer,
    PreviewingPairMaker,
)
from ip2p_lightning.generation.filter import KEPT, SURPLUS, PairFilter
from ip2p_lightning.generation.search import PREVIEW, Ranges, SearchResult, judged, score_sound


class Proposal:
    """Distribution of p and guidance: uniform at first, then near the values of the best pairs so far.

    That is the cross-entropy method (Rubinstein 1999) with a kernel around each of the elite.

    Args:
        ranges: the limits.
        elite: share of the seeds with an accepted pair whose best pair is followed, at least one.
        spread: standard deviation around it, as a share of the range.
        everywhere: share of the draws that ignore it.
    """

    def __init__(self, ranges: Ranges, elite: float = 0.25, spread: float = 0.08, everywhere: float = 0.15) -> None:
        self.ranges, self.elite, self.spread, self.everywhere = ranges, elite, spread, everywhere
        self.best: list[Draw] = []

    def follow(self, accepted: Sequence[Candidate]) -> None:
        """Learn from all accepted pairs, best direction first."""
        seeds: dict[int, Draw] = {}
        for pair in accepted:
            seeds.setdefault(pair.draw.seed, pair.draw)
        self.best = list(seeds.values())[: math.ceil(self.elite * len(seeds))]

    def shares(self, count: int, random: Random) -> list[float]:
        """`count` values of p for one seed; without elite one in each of as many parts of the range."""
        return self._values([best.share for best in self.best], self.ranges.share, count, random)

    def guidance_scales(self, count: int, random: Random) -> list[float]:
        """Guidance of `count` seeds; without elite one in each of as many parts of the range."""
        return self._values([best.guidance_scale for best in self.best], self.ranges.guidance_scale, count, random)

    def _values(self, elite: Sequence[float], limits: tuple[float, float], count: int, random: Random) -> list[float]:
        low, high = limits
        values = [low + (high - low) * (number + random.random()) / count for number in range(count)]
        if not elite:
            return values
        near = [random.gauss(random.choice(elite), self.spread * (high - low)) for _ in values]
        return [
            even if random.random() < self.everywhere else min(high, max(low, drawn))
            for even, drawn in zip(values, near, strict=True)
        ]


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
        ranges: what p and guidance are drawn from at first, see `Proposal`.
        seed: of all randomness, in addition to the triple's id.
    """

    def __init__(
        self,
        filter: PairFilter | None = None,
        enough: int = 12,
        seeds: int = 8,
        shares: int = 4,
        rounds: int = 4,
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
        proposal = Proposal(self.ranges)
        found: list[Candidate] = []
        for number in range(self.rounds):
            candidates = self._candidates(triple, number, proposal)
            new = self._make(triple, candidates, maker, scorer)
            found = judged([*found, *new], self.filter)
            proposal.follow(self._accepted(found))
            if sum(pair.reason in (KEPT, SURPLUS) for pair in found) >= self.enough:
                break
        return SearchResult(triple, found, maker.calls - before)

    def _candidates(self, triple: EditTriple, number: int, proposal: Proposal) -> list[Draw]:
        random = addressed_random("near the best", self.seed, triple.id, number)
        candidates = []
        for place, scale in enumerate(proposal.guidance_scales(self.seeds, random), start=number * self.seeds):
            seed = self.ranges.draw(self.seed, triple, place).seed
            candidates += [Draw(seed, share, scale) for share in proposal.shares(self.shares, random)]
        return candidates

    def _make(
        self, triple: EditTriple, candidates: list[Draw], maker: PairMaker, scorer: PairScorer
    ) -> list[Candidate]:
        """Make and score a round; pairs that were given up carry the scores of their last preview."""
        if not self.previews or not isinstance(maker, PreviewingPairMaker):
            return score_sound(triple, maker.make(triple, candidates), scorer)
        looks: dict[Draw, Candidate] = {}

        def promising(pairs: list[Candidate], done: float) -> list[bool]:
            scored = score_sound(triple, pairs, scorer)
            looks.update({pair.draw: pair for pair in scored})
            return self._promising(scored, self.previews[min(self.previews, key=lambda at: abs(at - done))])

        made = maker.make_promising(triple, candidates, promising, tuple(self.previews))
        finished = iter(score_sound(triple, [pair for pair in made if pair], scorer))
        return [
            next(finished) if pair else looks[candidate].let_go(looks[candidate].reason or PREVIEW)
            for candidate, pair in zip(candidates, made, strict=True)
        ]

    @staticmethod
    def _promising(scored: Sequence[Candidate], share: float) -> list[bool]:
        """Seeds go on or not as a whole: what is dear is the original and what its pairs have in common."""
        best: dict[int, float] = {}
        for pair in scored:
            direction = pair.scores.direction if pair.scores else -math.inf
            best[pair.draw.seed] = max(best.get(pair.draw.seed, -math.inf), direction)
        ranked = sorted(best, key=lambda seed: -best[seed])
        chosen = {seed for seed in ranked[: math.ceil(share * len(ranked))] if best[seed] > -math.inf}
        return [pair.draw.seed in chosen and pair.scores is not None for pair in scored]

    def _accepted(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Finished pairs that reach the thresholds, best direction first; also those that are like a better one."""
        good = [p for p in found if p.finished and p.scores and not self.filter.thresholds.reason(p.scores)]
        return sorted(good, key=lambda p: -p.scores.direction if p.scores else 0.0)
