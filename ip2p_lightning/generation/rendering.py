"""Pairs of the embedded world drawn from the truth, some wrong on purpose: a maker whose every mistake is known.

It tests filters: what should be kept and what should not is in the metadata of each pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import Candidate, EditTriple, MadePair
from ip2p_lightning.generation.world_triples import WORLD, change_of
from ip2p_lightning.world.edits import EDITS, Change, is_visible, render
from ip2p_lightning.world.levels import LEVELS

RIGHT = "right"
CORRUPTIONS = ("no edit", "unrelated", "wrong edit")
"""The original twice, the edited picture of another scene, another edit of the same scene."""
CORRUPTION = "corruption"
"""Key of `MadePair.metadata`: one of `CORRUPTIONS`, or `RIGHT`."""
_TRIES = 50


class RenderedPairs:
    """A maker that draws the true edit of a triple of the world, or one of `CORRUPTIONS` in its place.

    Args:
        size: side of the pictures in pixels.
        rates: corruption -> how often it happens instead of the true edit.
        grain: standard deviation of the noise on each picture, in parts of [-1, 1]; makes candidates differ.
        seed: another seed draws other mistakes.

    Raises:
        ValueError: an unknown corruption, or rates that are no shares.
    """

    calls = 0

    def __init__(
        self, size: int = 64, rates: Mapping[str, float] | None = None, grain: float = 0.01, seed: int = 0
    ) -> None:
        rates = dict.fromkeys(CORRUPTIONS, 0.2) if rates is None else dict(rates)
        if unknown := sorted(set(rates) - set(CORRUPTIONS)):
            raise ValueError(f"rates: there is no corruption {unknown}; choose from {CORRUPTIONS}")
        if min(rates.values(), default=0) < 0 or sum(rates.values()) > 1:
            raise ValueError(f"rates={rates} must not be negative and sum to at most 1")
        self.size, self.rates, self.grain, self.seed = size, rates, grain, seed

    @property
    def name(self) -> str:
        """The settings, for the run card."""
        listed = ", ".join(f"{name} {rate:g}" for name, rate in self.rates.items())
        return f"scenes drawn at {self.size} px with mistakes ({listed})"

    def make(self, triple: EditTriple, candidates: Sequence[Candidate], steps: int | None = None) -> list[MadePair]:
        """One drawn pair a candidate; `steps` changes nothing.

        Raises:
            ValueError: a triple that is not of the world.
        """
        change = change_of(triple)
        true = render(change, self.size)
        pairs = []
        for candidate in candidates:
            random = addressed_random("rendered", self.seed, triple.id, candidate.seed)
            corruption = self._corruption(random)
            wrong = self._wrong(corruption, triple, change, random)
            edited = render(wrong, self.size).edited_image if wrong else true.edited_image
            if corruption == "no edit":
                edited = true.original_image
            pictures = [self._grainy(image, random) for image in (true.original_image, edited)]
            pairs.append(MadePair(candidate, *pictures, metadata={CORRUPTION: corruption}))
        return pairs

    def _corruption(self, random: Random) -> str:
        position = random.random()
        for name, rate in self.rates.items():
            if position < rate:
                return name
            position -= rate
        return RIGHT

    def _wrong(self, corruption: str, triple: EditTriple, change: Change, random: Random) -> Change | None:
        """The change whose result is shown in place of the true one, if any."""
        if corruption not in ("unrelated", "wrong edit"):
            return None
        level = LEVELS[triple.metadata[WORLD]["level"]]
        for _ in range(_TRIES):
            scene = level.sample(level, random) if corruption == "unrelated" else change.before
            kind = random.choice([kind for kind in level.edits if kind != triple.kind])
            wrong = EDITS[kind](scene, level, random)
            if wrong and is_visible(wrong) and (wrong.after, wrong.picture_edit) != (change.after, change.picture_edit):
                return wrong
        raise RuntimeError(f"nothing else could be done to the scene of triple {triple.id!r}")

    def _grainy(self, image: Image.Image, random: Random) -> Tensor:
        pixels = to_tensor(image)
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(random.getrandbits(63)))
        return (pixels + self.grain * noise).clamp(-1, 1)
