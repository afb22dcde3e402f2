"""What travels between the stages of generation, and what each exchangeable part promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class Caption:
    """What some picture shows; where all else begins.

    Args:
        id: unique among the captions; the address of all randomness spent on it.
        text: the caption.
        url: of the picture it describes; "" if unknown.
        metadata: plain values that the parts may use (the world's scene) or that are kept beside the result.
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
    """An edit in words (InstructPix2Pix section 3.1.1): caption, instruction, caption of the edited picture.

    Args:
        id: unique among the triples; candidates draw their seeds from it.
        original_caption: what the original is to show.
        instruction: the brief human command.
        edited_caption: what the edited picture is to show.
        group: triples of one caption stay in one split.
        kind: kind of edit; "" if unknown.
        url: of the caption's picture; "" if unknown.
        metadata: plain values kept beside the pair.
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
    """Writes expressive instructions: what a picture will show after an edit (MGIE section 3.1)."""

    name: str
    """Models and versions, for the run card."""

    def write(self, images: Sequence[Tensor], instructions: Sequence[str]) -> list[str]:
        """One text a command, "" where none was found; images are float32 [3, H, W] in [-1, 1], of any sizes."""
        ...


@dataclass(frozen=True)
class Candidate:
    """How one candidate pair is sampled (InstructPix2Pix section 3.1.2).

    Args:
        seed: of the initial and the ancestral noise that both pictures share.
        share: p, share of the denoising steps in which attention is shared; 0.1 to 0.9 in the paper.
        guidance_scale: of classifier-free guidance; 7.5 to 15 in the paper.
    """

    seed: int
    share: float
    guidance_scale: float


@dataclass(frozen=True)
class MadePair:
    """A candidate and its two pictures, float32 [3, H, W] in [-1, 1].

    Args:
        candidate: how it was sampled.
        original_image, edited_image: before and after.
        metadata: plain values kept beside the pair.
    """

    candidate: Candidate
    original_image: Tensor
    edited_image: Tensor
    metadata: Mapping[str, Any] = field(default_factory=dict)


class PairMaker(Protocol):
    """Makes pictures of both captions that differ where the captions do."""

    name: str
    """Model and version, for the run card."""
    calls: int
    """Samples that went through the denoiser so far: batch size times forward passes."""

    def make(self, triple: EditTriple, candidates: Sequence[Candidate], steps: int | None = None) -> list[MadePair]:
        """One pair a candidate, each independent of the others; `steps` overrides the number of denoising steps.

        Raises:
            UnmakeableTriple: a triple of which this maker can make nothing.
        """
        ...


Promising = Callable[[list[MadePair], float], list[bool]]
"""Which pairs are worth finishing, of which this share of the steps is made."""


@runtime_checkable
class PreviewingPairMaker(PairMaker, Protocol):
    """A maker that shows pairs while it makes them, so that poor ones can be given up."""

    def make_promising(
        self,
        triple: EditTriple,
        candidates: Sequence[Candidate],
        promising: Promising,
        at: Sequence[float],
        steps: int | None = None,
    ) -> list[MadePair | None]:
        """As `make`; asks `promising` at shares `at` of the steps, and returns None for pairs that are given up."""
        ...


@dataclass(frozen=True)
class PairScores:
    """Cosine similarities of CLIP embeddings, each in [-1, 1] (Brooks et al. section 3.1.2; Gal et al. 2021).

    Args:
        image: of the two pictures.
        direction: of the change of the pictures and the change of the captions.
        original_text: of the original and its caption.
        edited_text: of the edited picture and its caption.
    """

    image: float
    direction: float
    original_text: float
    edited_text: float


class PairScorer(Protocol):
    """Scores pairs against their captions."""

    name: str
    """Model and version, for the run card."""

    def score(self, triple: EditTriple, pairs: Sequence[MadePair]) -> list[PairScores]:
        """One row of scores a pair; pairs are pictures of one size."""
        ...


def _digest(entry: Caption | EditTriple) -> str:
    content = json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False)
    return blake2b(content.encode("utf-8", errors="surrogatepass"), digest_size=8).hexdigest()
