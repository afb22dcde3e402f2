"""Pairs as generation leaves them before filtering: some are corrupted, and a score half knows which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ip2p_lightning.data.encoded import SCORES
from ip2p_lightning.data.mistakes import MISTAKE, NO_EDIT, RIGHT, UNRELATED, Mistakes, shown
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random, hashed_integer
from ip2p_lightning.data.sources import PairSource

SCORE = "agreement"
"""Name of the planted score."""


class CandidateSource:
    """Another source's pairs, of which a share is corrupted in one of the two ways in which generation fails.

    `metadata["mistake"]` says how (see `data.mistakes`); `metadata["scores"]["agreement"]` is drawn around 1 for right
    pairs and around 0 for wrong ones, so that a threshold of 0.5 at the default spread finds 95 % of either.

    Which pairs are wrong, and how, depends on (seed, id) alone.

    Args:
        source: of right pairs, two at least.
        rates: mistake -> share of the pairs, "no edit" and "unrelated"; a quarter each if None.
        spread: standard deviation of the score.
        seed: another seed spoils other pairs.

    Raises:
        ValueError: another mistake, rates that are no shares, or fewer than two pairs.
    """

    def __init__(
        self, source: PairSource, rates: Mapping[str, float] | None = None, spread: float = 0.3, seed: int = 0
    ) -> None:
        possible = (NO_EDIT, UNRELATED)
        self.mistakes = Mistakes(dict.fromkeys(possible, 0.25) if rates is None else rates, possible)
        if len(source) < 2:
            raise ValueError("a source of candidates needs two pairs at least, to exchange images between them")
        self.source, self.spread, self.seed = source, spread, seed
        self.name, self.licence = f"candidates of {source.name}", source.licence
        self.split = getattr(source, "split", "")

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> EditPair:
        pair = self.source[index]
        random = addressed_random(self.seed, "candidate", pair.id)
        mistake = self.mistakes.draw(random)
        other = (index + 1 + random.randrange(len(self) - 1)) % len(self)
        score = random.gauss(float(mistake == RIGHT), self.spread)
        image = shown(
            mistake,
            pair.original_image,  # type: ignore[arg-type]
            pair.edited_image,  # type: ignore[arg-type]
            lambda: self.source[other].edited_image,  # type: ignore[arg-type,return-value]
        )
        return replace(pair, edited_image=image, metadata={**pair.metadata, MISTAKE: mistake, SCORES: {SCORE: score}})

    def fingerprint(self) -> str:
        settings = (self.mistakes, self.spread, self.seed)
        return f"{hashed_integer(self.source.fingerprint(), *map(str, settings)):016x}"
