"""The dual encoder: packed, opened, and what its directional filter tells apart (InstructPix2Pix section 3.1.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.contrastive import ContrastiveModule
from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval
from ip2p_lightning.models.dual_encoder import DualEncoder, directional_similarity
from ip2p_lightning.zoo.card import batches

SUMMARY = "a CLIP in small, in open_clip's format: images and captions of the embedded world in one space"
EXPERIMENT = "zoo/dual_encoder"
LEVEL = "full"
LARGEST_BYTES = 6_000_000
LIMITS = (
    "It has seen the embedded world alone: similarities of photographs, or of texts in other words, mean nothing.",
    "Its similarities are not on CLIP's scale; choose thresholds again.",
)
GALLERY = 100
"""Captions among which an image looks for its own."""
_GRAIN = 2 / 127.5
_RESAMPLES = 200


def pack(checkpoint: Path, folder: Path) -> None:
    """Write the averaged weights of a run of `zoo/dual_encoder` in float16, as a folder of open_clip."""
    load_method(checkpoint, ContrastiveModule).encoder.save(folder)


def load(folder: Path) -> DualEncoder:
    """The encoder in float32."""
    return DualEncoder.load(folder)


@torch.no_grad()
def measure(encoder: DualEncoder, pairs: PairSource, root: Path | None = None) -> dict[str, Interval]:
    """Retrieval, and how well directional similarity separates right pairs from three kinds of wrong ones.

    Args:
        encoder: what is measured.
        pairs: pairs with captions.
        root: not used.

    Returns:
        "retrieval of 100" (share of edited images that find their caption), "direction" and "image similarity"
        (means of right pairs), and the areas under the ROC curve "AUC no edit" (the original with a grain of 2 of 255
        in place of the edited image), "AUC unrelated" (another pair's edited image) and "AUC wrong text" (another
        pair's captions).
    """
    generator = torch.Generator().manual_seed(0)
    rows: list[tuple[Tensor, ...]] = []
    for batch in batches(pairs):
        grain = _GRAIN * torch.randn(batch.original_image.shape, generator=generator)
        pictures = (batch.original_image, batch.edited_image, (batch.original_image + grain).clamp(-1, 1))
        texts = (batch.original_caption, batch.edited_caption)
        rows.append((*map(encoder.embed_images, pictures), *map(encoder.embed_texts, texts)))
    original, edited, unedited, before, after = (torch.cat(column) for column in zip(*rows, strict=True))
    right = directional_similarity(original, edited, before, after)
    wrong = {
        "no edit": directional_similarity(original, unedited, before, after),
        "unrelated": directional_similarity(original, edited.roll(1, 0), before, after),
        "wrong text": directional_similarity(original, edited, before.roll(1, 0), after.roll(1, 0)),
    }
    found = [
        (pictures @ texts.T).argmax(1) == torch.arange(len(texts))
        for pictures, texts in zip(edited.split(GALLERY), after.split(GALLERY), strict=True)
    ]
    figures = {
        f"retrieval of {GALLERY}": bootstrap_interval(torch.cat(found).double().tolist(), share=True),
        "direction": bootstrap_interval(right.double().tolist()),
        "image similarity": bootstrap_interval((original * edited).sum(1).double().tolist()),
    }
    return figures | {f"AUC {name}": area(right, scores) for name, scores in wrong.items()}


def area(right: Tensor, wrong: Tensor) -> Interval:
    """Area under the ROC curve of right against wrong scores [N] each, its pairs drawn again together."""
    rng = np.random.default_rng(0)

    def figure(index: Tensor) -> float:
        scores = torch.cat([right[index], wrong[index]])
        labels = torch.cat([torch.ones(len(index)), torch.zeros(len(index))]).long()
        return float(binary_auroc((scores + 1) / 2, labels))

    count = len(right)
    draws = [figure(torch.from_numpy(rng.integers(0, count, count))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(figure(torch.arange(count)), float(low), float(high), count, count)
