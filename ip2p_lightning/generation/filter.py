"""Choice of the pairs of a triple (InstructPix2Pix section 3.1.2): thresholds, then the best by direction.

Every score is stored, so that other thresholds are a selection of rows and nothing is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ip2p_lightning.generation.base import Candidate, Draw, PairScores
from ip2p_lightning.safety import ImageFilter

KEPT = ""
"""The reason of a pair that is kept."""
SURPLUS = "surplus"
"""Good enough, but others are better."""
DUPLICATE = "duplicate"
"""Like a better pair of the same triple, or from the same seed and therefore with its original."""
UNSAFE = "unsafe"
"""One of its images is not fit to be shown; neither is stored."""
NOT_FINITE, BLACK = "not finite", "one colour"
"""Images that no model should make."""
_FLAT = 2 / 255


@dataclass(frozen=True)
class Thresholds:
    """The least that a pair must reach; the paper's values for CLIP ViT-L/14.

    Args:
        image: similarity of the two images.
        direction: similarity of the changes of images and captions.
        text: similarity of each image and its caption.
    """

    image: float = 0.7
    direction: float = 0.2
    text: float = 0.2

    def reason(self, scores: PairScores) -> str:
        """The first score that is too low ("image", "original text", "edited text", "direction"), or "" if none is."""
        limits = (
            ("image", scores.image, self.image),
            ("original text", scores.original_text, self.text),
            ("edited text", scores.edited_text, self.text),
            ("direction", scores.direction, self.direction),
        )
        return next((name for name, score, least in limits if not score >= least), KEPT)  # `not >=` catches NaN


class DuplicateFinder(Protocol):
    """Tells which pairs are too like an earlier one."""

    def duplicates(self, pairs: Sequence[Candidate]) -> list[bool]:
        """One answer a pair: is it like an earlier one that is not itself a duplicate?"""
        ...


class PairFilter:
    """Decides about all pairs that were made of one triple.

    Args:
        thresholds: see there.
        keep: pairs kept of a triple; 4 in the paper.
        duplicates: leaves out pairs that are like a better one; None keeps them.
        safety: leaves out unsafe images; None for no classifier.
    """

    def __init__(
        self,
        thresholds: Thresholds | None = None,
        keep: int = 4,
        duplicates: DuplicateFinder | None = None,
        safety: ImageFilter | None = None,
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one pair of a triple must be kept")
        self.thresholds = thresholds or Thresholds()
        self.keep = keep
        self.duplicates = duplicates
        self.safety = safety

    def select(self, scores: Sequence[PairScores], candidates: Sequence[Draw] | None = None) -> list[str]:
        """Why each pair of one triple is left out, without looking at images; "" for those that are kept.

        Args:
            scores: of the pairs.
            candidates: how they were sampled; of one seed only the best pair is kept. None if all seeds differ.
        """
        reasons = [self.thresholds.reason(row) for row in scores]
        return self._rank(scores, self._one_a_seed(scores, reasons, candidates))

    def judge(self, pairs: Sequence[Candidate], scores: Sequence[PairScores]) -> list[str]:
        """As `select`, and looks at the images for duplicates and safety, too."""
        reasons = [self.thresholds.reason(row) for row in scores]
        reasons = self._without_unsafe(pairs, reasons, _best_first(scores, reasons))
        passed = _best_first(scores, reasons)
        if self.duplicates and passed:
            for index, duplicate in zip(passed, self.duplicates.duplicates([pairs[i] for i in passed]), strict=True):
                if duplicate:
                    reasons[index] = DUPLICATE
        return self._rank(scores, self._one_a_seed(scores, reasons, [pair.draw for pair in pairs]))

    def fit_to_store(self, pairs: Sequence[Candidate], reasons: Sequence[str]) -> list[str]:
        """The reasons, with "unsafe" for pairs that `judge` did not check since their scores are too low.

        Args:
            pairs: whose images would be stored although they are not kept, or are.
            reasons: what `judge` said of them.
        """
        asked = (KEPT, SURPLUS, DUPLICATE, UNSAFE)
        return self._without_unsafe(pairs, [*reasons], [i for i, reason in enumerate(reasons) if reason not in asked])

    def _without_unsafe(self, pairs: Sequence[Candidate], reasons: list[str], asked: Sequence[int]) -> list[str]:
        """Ask about both images of some pairs."""
        if self.safety and asked:
            images = torch.cat([torch.stack([pairs[i].original_image, pairs[i].edited_image]) for i in asked])
            answers = self.safety.unsafe(images)
            for number, index in enumerate(asked):
                if any(answers[2 * number : 2 * number + 2]):
                    reasons[index] = UNSAFE
        return reasons

    @staticmethod
    def _one_a_seed(scores: Sequence[PairScores], reasons: list[str], candidates: Sequence[Draw] | None) -> list[str]:
        """Pairs of one seed and guidance show one original, which would be trained on several times."""
        seen: set[int] = set()
        for index in _best_first(scores, reasons) if candidates else ():
            seed = candidates[index].seed  # type: ignore[index]
            reasons[index] = DUPLICATE if seed in seen else KEPT
            seen.add(seed)
        return reasons

    def _rank(self, scores: Sequence[PairScores], reasons: list[str]) -> list[str]:
        for index in _best_first(scores, reasons)[self.keep :]:
            reasons[index] = SURPLUS
        return reasons


def defect(images: Tensor) -> str:
    """Defect of an image [3, H, W]: "not finite", "one colour" (black, mostly), or "" for none."""
    if not bool(torch.isfinite(images).all()):
        return NOT_FINITE
    lowest, highest = images.amin((-2, -1)), images.amax((-2, -1))
    return BLACK if bool((highest - lowest < _FLAT).all()) else ""


def _best_first(scores: Sequence[PairScores], reasons: Sequence[str]) -> list[int]:
    """Those without a reason against them, by direction; earlier ones first among equals."""
    return sorted((i for i, reason in enumerate(reasons) if reason == KEPT), key=lambda i: -scores[i].direction)
