"""Pairs of the embedded world drawn from the truth, some wrong on purpose: a maker whose every mistake is known.

It tests filters: what should be kept and what should not is in the metadata of each pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.mistakes import MISTAKE, MISTAKES, UNRELATED, Mistakes, shown
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import Candidate, Draw, EditTriple
from ip2p_lightning.generation.world_triples import WORLD, change_of
from ip2p_lightning.world.edits import EDITS, Change, is_visible, render
from ip2p_lightning.world.levels import LEVELS

_TRIES = 50


class RenderedPairs:
    """A maker that draws the true edit of a triple of the world, or a mistake in its place (see `data.mistakes`).

    Args:
        size: side of the images in pixels.
        rates: mistake -> how often it is made; a fifth each if None.
        grain: standard deviation of the noise on each image, in parts of [-1, 1]; makes candidates differ.
        seed: another seed draws other mistakes.

    Raises:
        ValueError: an unknown mistake, or rates that are no shares.
    """

    calls = 0
    licence = "CC0-1.0"
    """Of what is drawn."""

    def __init__(
        self, size: int = 64, rates: Mapping[str, float] | None = None, grain: float = 0.01, seed: int = 0
    ) -> None:
        self.mistakes = Mistakes(dict.fromkeys(MISTAKES, 0.2) if rates is None else rates)
        self.size, self.grain, self.seed = size, grain, seed

    @property
    def name(self) -> str:
        """The settings, for the run card."""
        return f"scenes drawn at {self.size} px with mistakes ({self.mistakes})"

    def make(self, triple: EditTriple, candidates: Sequence[Draw], steps: int | None = None) -> list[Candidate]:
        """One drawn pair a candidate; `steps` changes nothing.

        Raises:
            ValueError: a triple that is not of the world.
        """
        change = change_of(triple)
        true = render(change, self.size)
        pairs = []
        for candidate in candidates:
            random = addressed_random("rendered", self.seed, triple.id, candidate.seed)
            mistake = self.mistakes.draw(random)
            other = partial(self._other, mistake, triple, change, random)
            edited = shown(mistake, true.original_image, true.edited_image, other)
            pictures = [self._grainy(image, random) for image in (true.original_image, edited)]
            pairs.append(Candidate(candidate, *pictures, metadata={MISTAKE: mistake}))
        return pairs

    def _other(self, mistake: str, triple: EditTriple, change: Change, random: Random) -> Image.Image:
        """The edited image of another scene, or of another edit of the same one."""
        level = LEVELS[triple.metadata[WORLD]["level"]]
        for _ in range(_TRIES):
            scene = level.sample(level, random) if mistake == UNRELATED else change.before
            kind = random.choice([kind for kind in level.edits if kind != triple.kind])
            wrong = EDITS[kind](scene, level, random)
            if wrong and is_visible(wrong) and (wrong.after, wrong.picture_edit) != (change.after, change.picture_edit):
                return render(wrong, self.size).edited_image
        raise RuntimeError(f"nothing else could be done to the scene of triple {triple.id!r}")

    def _grainy(self, image: Image.Image, random: Random) -> Tensor:
        pixels = to_tensor(image)
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(random.getrandbits(63)))
        return (pixels + self.grain * noise).clamp(-1, 1)
