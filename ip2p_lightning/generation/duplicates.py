"""Pairs that look like others: compared by a hash that small differences leave as it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.generation.base import Candidate

_SIDE = 8
_LUMA = (0.299, 0.587, 0.114)
_STEP = 0.02
"""Of [-1, 1]; less is no difference, or the grain of even fields would decide."""


def difference_hash(images: Tensor) -> Tensor:
    """Difference hash: true for each of 8 x 8 fields that is brighter than its left neighbour, by channel and in luma.

    Args:
        images: [B, 3, H, W].

    Returns:
        Booleans [B, 256]. Colour channels are hashed, too, since most edits of colour leave brightness alone.
    """
    luma = (images * images.new_tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    small = F.interpolate(torch.cat([images, luma], 1), (_SIDE, _SIDE + 1), mode="bilinear", antialias=True)
    return (small[..., 1:] - small[..., :-1] > _STEP).flatten(1)


class HashedDuplicates:
    """Pairs of which both images are like those of an earlier pair.

    Args:
        distance: share of an image's hash that may differ; 0 finds equal hashes alone.
    """

    def __init__(self, distance: float = 0.03) -> None:
        if not 0 <= distance < 0.5:
            raise ValueError(f"distance={distance} is a share of the hash that may differ: from 0 to below 0.5")
        self.distance = distance
        self.name = f"difference hash, at most {distance:g} apart"

    def duplicates(self, pairs: Sequence[Candidate]) -> list[bool]:
        """See `DuplicateFinder.duplicates`."""
        return self.alike(self.hashes(pairs)) if pairs else []

    def hashes(self, pairs: Sequence[Candidate]) -> Tensor:
        """Hashes to keep for repeated comparisons: booleans [B, 2, 256] of originals and edited images."""
        sides = ("original_image", "edited_image")
        return torch.stack([difference_hash(torch.stack([getattr(pair, side) for pair in pairs])) for side in sides], 1)

    def alike(self, hashes: Tensor) -> list[bool]:
        """As `duplicates`, of hashes [B, 2, 256]."""
        answers: list[bool] = []
        for number in range(len(hashes)):
            earlier = [other for other in range(number) if not answers[other]]
            apart = (hashes[earlier] ^ hashes[number]).float().mean(-1).amax(-1)
            answers.append(bool(earlier) and bool((apart <= self.distance).any()))
        return answers
