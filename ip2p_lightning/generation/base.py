"""Values that travel between the stages of generation, and protocols of the exchangeable parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Caption:
    """Caption of an image, from which triples and pairs are made.

    Args:
        id: unique among the captions; the address of all randomness spent on it.
        text: the caption.
        url: of the image it describes; "" if unknown.
        metadata: plain values that the parts may use (the world's scene) or that are kept with the result.
    """

    id: str
    text: str
    url: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all that it says."""
        return _digest(self)


@dataclass(frozen=True)
class EditTriple:
    """An edit in words (InstructPix2Pix section 3.1.1): caption, instruction, caption of the edited image.

    Args:
        id: unique among the triples; candidates draw their seeds from it.
        original_caption: what the original is to show.
        instruction: the brief human command.
        edited_caption: what the edited image is to show.
        group: triples of one caption stay in one split.
        kind: kind of edit; "" if unknown.
        url: of the caption's image; "" if unknown.
        metadata: plain values kept with the pair.
    """

    id: str
    original_caption: str
    instruction: str
    edited_caption: str
    group: str = ""
    kind: str = ""
    url: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all that it says."""
        return _digest(self)


@dataclass(frozen=True)
class Rejected:
    """Something that was not kept.

    Args:
        id: of the caption or triple.
        reason: one of a few fixed words ("copy", "duplicate", "unsafe", ...), to be counted by.
        detail: the text or value that was refused.
    """

    id: str
    reason: str
    detail: str = ""


class UnmakeableTriple(ValueError):
    """Of which a maker can make no pair, now or later; the stage counts it and does not try again.

    Args:
        reason: one of a few fixed words, to be counted by.
        detail: what about the triple.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class TripleWriter(Protocol):
    """Writes instructions and edited captions for captions."""

    name: str
    """Model and version, for the run card."""

    def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
        """One or several triples of each caption, or why there is none; depends on (seed, caption id) alone."""
        ...


class Expander(Protocol):
    """Writes expressive instructions: what an image will show after an edit (MGIE section 3.1)."""

    name: str
    """Models and versions, for the run card."""

    def write(self, images: Sequence[Tensor], instructions: Sequence[str]) -> list[str]:
        """One text a command, "" where none was found; images are float32 [3, H, W] in [-1, 1], of any sizes."""
        ...


@dataclass(frozen=True)
class Draw:
    """Sampling values of a candidate (InstructPix2Pix section 3.1.2).

    Args:
        seed: of the initial and the ancestral noise that both images share.
        share: p, share of the denoising steps in which attention is shared; 0.1 to 0.9 in the paper.
        guidance_scale: of classifier-free guidance; 7.5 to 15 in the paper.
    """

    seed: int
    share: float
    guidance_scale: float


@dataclass(frozen=True)
class PairScores:
    """Cosine similarities of CLIP embeddings, each in [-1, 1] (Brooks et al. section 3.1.2; Gal et al. 2021).

    Args:
        image: of the two images.
        direction: of the change of the images and the change of the captions.
        original_text: of the original and its caption.
        edited_text: of the edited image and its caption.
    """

    image: float
    direction: float
    original_text: float
    edited_text: float


_GONE = torch.empty(3, 0, 0)


@dataclass(frozen=True)
class Candidate:
    """A pair that was made of a triple, and what became of it.

    Args:
        draw: how it was sampled.
        original_image, edited_image: before and after, float32 [3, H, W] in [-1, 1]; empty if they were let go.
        metadata: plain values kept with the pair.
        scores: None if it was not scored, or its images cannot be.
        reason: "" if it is kept, else why not: the score that is too low ("image", "direction", "original text",
            "edited text"), "surplus", "duplicate", "unsafe", "preview" (given up half-way, its scores are of the
            preview), "not finite" or "one colour" (no scores).
    """

    draw: Draw
    original_image: Tensor = _GONE
    edited_image: Tensor = _GONE
    metadata: Mapping[str, Any] = field(default_factory=dict)
    scores: PairScores | None = None
    reason: str = ""

    @property
    def finished(self) -> bool:
        """True if it has images, and scores of them, from which other thresholds may choose."""
        return self.scores is not None and self.edited_image.numel() > 0

    def let_go(self, reason: str) -> Candidate:
        """The same without its images."""
        return Candidate(self.draw, scores=self.scores, reason=reason)


class PairMaker(Protocol):
    """Makes images of both captions that differ where the captions do."""

    name: str
    """Model and version, for the run card."""
    calls: int
    """Samples that went through the denoiser so far: batch size times forward passes."""

    def make(self, triple: EditTriple, candidates: Sequence[Draw], steps: int | None = None) -> list[Candidate]:
        """One pair a candidate, each independent of the others; `steps` overrides the number of denoising steps.

        Raises:
            UnmakeableTriple: a triple of which this maker can make nothing.
        """
        ...


Promising = Callable[[list[Candidate], float], list[bool]]
"""Choice of the pairs that are worth finishing, after this share of their steps."""


@runtime_checkable
class PreviewingPairMaker(PairMaker, Protocol):
    """A maker that shows pairs while it makes them, so that poor ones can be given up."""

    def make_promising(
        self,
        triple: EditTriple,
        candidates: Sequence[Draw],
        promising: Promising,
        at: Sequence[float],
        steps: int | None = None,
    ) -> list[Candidate | None]:
        """As `make`; asks `promising` at shares `at` of the steps, and returns None for pairs that are given up."""
        ...


class PairScorer(Protocol):
    """Scores pairs against their captions."""

    name: str
    """Model and version, for the run card."""

    def score(self, triple: EditTriple, pairs: Sequence[Candidate]) -> list[PairScores]:
        """One row of scores a pair; pairs are images of one size."""
        ...


def _digest(entry: Caption | EditTriple) -> str:
    content = json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False)
    return blake2b(content.encode("utf-8", errors="surrogatepass"), digest_size=8).hexdigest()
