"""Cosine similarities of encoded images and captions: CLIP-I, CVS, DINO, CLIP-T, CTS, CLIP direction.

| elsewhere | here |
|---|---|
| CLIP-I and DINO of MagicBrush (Zhang et al. 2023), CVS and DINO of MGIE | `ImageSimilarity` |
| CLIP image similarity of InstructPix2Pix, figure 8; CLIP-im of Emu Edit | `InputSimilarity` |
| CLIP-T of MagicBrush, CTS of MGIE, CLIP-out of Emu Edit | `CaptionSimilarity` |
| CLIP direction (Gal et al. 2022) of InstructPix2Pix, CLIP-dir of Emu Edit | `DirectionSimilarity` |

The tables of MGIE give a hundred times these values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics.base import EditMetric
from ip2p_lightning.metrics.missing import Missing, check_missing, gaps
from ip2p_lightning.rounding import direction_cosine

if TYPE_CHECKING:
    from ip2p_lightning.metrics.encoders import Encoder, TextEncoder


class ImageSimilarity(EditMetric):
    """Cosine of the edited image's features and those of the true image.

    Args:
        encoder: of images; metrics that share one share its features.
        label: what tables call it ("CLIP-I", "DINO").
    """

    higher_is_better = True
    label: ClassVar[str] = "image similarity"

    def __init__(self, encoder: Encoder, label: str | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        if label is not None:
            self.label = label  # type: ignore[misc]

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return F.cosine_similarity(self.encoder.pictures(images), self.encoder.pictures(pairs.edited_image))

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"encoder": self.encoder.provenance()}


class InputSimilarity(ImageSimilarity):
    """Cosine of the edited image's features and those of the input; arguments as `ImageSimilarity`.

    More is not better: copying the input has 1, and the true image's value stands next to it. With the direction it
        says
    how an edit trades what it changes against what it leaves alone.
    """

    higher_is_better = None
    label: ClassVar[str] = "similarity to the input"
    ceiling: ClassVar[bool] = True

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        return F.cosine_similarity(self.encoder.pictures(images), self.encoder.pictures(pairs.original_image))


class _CaptionMetric(EditMetric):
    higher_is_better = True
    ceiling: ClassVar[bool] = True

    def __init__(self, encoder: TextEncoder, missing: Missing = "error", label: str | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.missing: Missing = check_missing(missing)
        if label is not None:
            self.label = label  # type: ignore[misc]

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"missing": self.missing, "encoder": self.encoder.provenance()}

    def captions(self, pairs: PairBatch, which: Literal["original", "edited"]) -> tuple[Tensor, Tensor]:
        """Features [B, D] of the captions, and gaps [B] where there are none."""
        texts = pairs.original_caption if which == "original" else pairs.edited_caption
        present = [bool(text.strip()) for text in texts]
        empty = gaps(present, pairs, metric=self.label, what=f"caption of the {which} image", missing=self.missing)
        return self.encoder.texts(texts), empty


class CaptionSimilarity(_CaptionMetric):
    """Cosine of the edited image's features and those of the caption that says what it should show.

    Args:
        encoder: of images and texts.
        missing: what to do about pairs without that caption: "error", or "gap" to leave them out.
        label: what tables call it.
    """

    label: ClassVar[str] = "CLIP-T"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        texts, empty = self.captions(pairs, "edited")
        return F.cosine_similarity(self.encoder.pictures(images), texts) + empty


class DirectionSimilarity(_CaptionMetric):
    """Cosine between the change of the images and the change of the captions (InstructPix2Pix section 3.1.2).

    0 where the image does not change but for rounding, as copying does, or the captions do not.

    Args:
        encoder: of images and texts.
        missing: what to do about pairs without both captions: "error", or "gap" to leave them out.
        label: what tables call it.
    """

    label: ClassVar[str] = "CLIP direction"

    def measure(self, images: Tensor, pairs: PairBatch) -> Tensor:
        (before, no_before), (after, no_after) = self.captions(pairs, "original"), self.captions(pairs, "edited")
        change = self.encoder.pictures(images) - self.encoder.pictures(pairs.original_image)
        return direction_cosine(change, after - before) + no_before + no_after
