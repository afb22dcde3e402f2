"""CLIP's four opinions of a pair (InstructPix2Pix section 3.1.2): its images, their change, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ip2p_lightning.generation.base import Candidate, EditTriple, PairScores
from ip2p_lightning.metrics.encoders import TextEncoder
from ip2p_lightning.models.dual_encoder import directional_similarity


class ClipScorer:
    """Scores pairs with a CLIP; equal to InstructPix2Pix's `ClipSimilarity` with an "interpolated" preparation.

    Args:
        encoder: of images and texts.
        batch_size: images at once.
        device: where the encoder is put; None leaves it.
    """

    def __init__(self, encoder: TextEncoder, batch_size: int = 64, device: str | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self.encoder = encoder if device is None else encoder.to(device)
        self.batch_size = batch_size
        self.name = encoder.weights

    def score(self, triple: EditTriple, pairs: Sequence[Candidate]) -> list[PairScores]:
        """See `PairScorer.score`; an image that several pairs share is looked at once."""
        if not pairs:
            return []
        pictures = [image for pair in pairs for image in (pair.original_image, pair.edited_image)]
        different = {id(image): image for image in pictures}
        places = {key: place for place, key in enumerate(different)}
        vectors = torch.cat(
            [self.encoder.pictures(torch.stack(part)) for part in _split(list(different.values()), self.batch_size)]
        )
        rows = vectors[[places[id(image)] for image in pictures]]
        original, edited = rows[0::2], rows[1::2]
        texts = self.encoder.texts([triple.original_caption, triple.edited_caption])
        before, after = (text.expand_as(original) for text in texts)
        columns = (
            F.cosine_similarity(original, edited),
            directional_similarity(original, edited, before, after),
            F.cosine_similarity(original, before),
            F.cosine_similarity(edited, after),
        )
        return [PairScores(*row) for row in torch.stack(columns, 1).tolist()]


def _split(items: list[torch.Tensor], size: int) -> list[list[torch.Tensor]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
