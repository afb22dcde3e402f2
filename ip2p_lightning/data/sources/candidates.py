"""Pairs as generation leaves them before filtering: some are spoilt, and a score half knows which."""

from __future__ import annotations

from dataclasses import replace

from ip2p_lightning.data.encoded import SCORES
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random, hashed_integer
from ip2p_lightning.data.sources import PairSource

SCORE = "agreement"
"""Name of the planted score."""


class CandidateSource:
    """Another source's pairs, of which a share is spoilt in one of the two ways in which generation fails.

    "strange": the edited picture belongs to another pair, as where Prompt-to-Prompt kept too little of the original.
    "unedited": the edited picture is the original, as where it kept too much. `metadata["planted"]` says which
    ("right" otherwise), `metadata["scores"]["agreement"]` is drawn around 1 for right pairs and around 0 for wrong
    ones, so that a threshold of 0.5 at the default spread finds 95 % of either.

    Which pairs are wrong, and how, depends on (seed, id) alone.

    Args:
        source: of right pairs, two at least.
        wrong: share of pairs to spoil.
        strange: share of the wrong ones that are strange; the others are unedited.
        spread: standard deviation of the score.
        seed: another seed spoils other pairs.

    Raises:
        ValueError: a share outside 0 to 1, or fewer than two pairs.
    """

    def __init__(
        self, source: PairSource, wrong: float = 0.5, strange: float = 0.5, spread: float = 0.3, seed: int = 0
    ) -> None:
        if not (0 <= wrong <= 1 and 0 <= strange <= 1):
            raise ValueError(f"wrong={wrong} and strange={strange} are shares: choose them between 0 and 1")
        if len(source) < 2:
            raise ValueError("a source of candidates needs two pairs at least, to exchange pictures between them")
        self.source, self.wrong, self.strange, self.spread, self.seed = source, wrong, strange, spread, seed
        self.name, self.licence = f"candidates of {source.name}", source.licence
        self.split = getattr(source, "split", "")

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> EditPair:
        pair = self.source[index]
        rng = addressed_random(self.seed, "candidate", pair.id)
        planted = "right"
        if rng.random() < self.wrong:
            planted = "strange" if rng.random() < self.strange else "unedited"
        other = (index + 1 + rng.randrange(len(self) - 1)) % len(self)
        score = rng.gauss(float(planted == "right"), self.spread)
        metadata = {**pair.metadata, "planted": planted, SCORES: {SCORE: score}}
        if planted == "right":
            return replace(pair, metadata=metadata)
        image = pair.original_image if planted == "unedited" else self.source[other].edited_image
        return replace(pair, edited_image=image, metadata=metadata)

    def fingerprint(self) -> str:
        settings = (self.wrong, self.strange, self.spread, self.seed)
        return f"{hashed_integer(self.source.fingerprint(), *map(str, settings)):016x}"
