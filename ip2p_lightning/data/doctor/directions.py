"""Pairs whose images change in the opposite direction to the other pairs', by an encoder of images and texts.

An exchanged pair turns its change around. The cosine between the change of the images and that of the captions
(directional similarity; InstructPix2Pix section 3.1.2) is then as far below zero as it usually is above, and so is the
cosine with the mean change of other pairs under the same instruction. What is usual is taken from the set itself, so
that an encoder that does not see the edits says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.data.doctor.finding import Finding
from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.images import open_image, to_tensor
from ip2p_lightning.data.sources import EncodedSource
from ip2p_lightning.rounding import direction_cosine

_AT_ONCE = 8
_SIDE = 512  # above the input of any CLIP
_FEWEST = 8  # pairs that say what is usual
_OTHERS = 3  # pairs of the same instruction besides the one in question
_DEVIATIONS = 4.5
_QUARTILE = 0.6745  # of the normal distribution
_REMEDY = "look whether its images are exchanged"


class ImageTextEncoder(Protocol):
    """Images and texts to unit vectors of one space, as `metrics.encoders.TextEncoder` does."""

    def pictures(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to [B, D]."""
        ...

    def texts(self, texts: Sequence[str]) -> Tensor:
        """B texts to [B, D]."""
        ...


def direction_findings(
    source: EncodedSource,
    places: Sequence[int],
    encoder: ImageTextEncoder,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Finding]:
    """Pairs that seem to be exchanged.

    Args:
        source: the pairs.
        places: indices of the readable ones.
        encoder: of images and captions.
        advance: called with a number of pairs, for a progress bar.
    """
    ids, instructions, changes, captions = [], [], [], []
    for start in range(0, len(places), _AT_ONCE):
        block = [source.encoded(place) for place in places[start : start + _AT_ONCE]]
        change = torch.stack([_change(pair, encoder) for pair in block])
        texts = [encoder.texts([pair.original_caption or "" for pair in block])]
        texts.append(encoder.texts([pair.edited_caption or "" for pair in block]))
        has = torch.tensor([bool(pair.original_caption and pair.edited_caption) for pair in block])
        captions += torch.where(has, direction_cosine(change, (texts[1] - texts[0]).to(change)), 0.0).tolist()
        changes.append(change)
        ids += [pair.id for pair in block]
        instructions += [" ".join(pair.instruction.lower().split()).strip(" .!") for pair in block]
        if advance is not None:
            advance(len(block))
    if not ids:
        return
    yield from _opposite(ids, captions, "its captions")
    yield from _opposite(ids, _with_others(torch.cat(changes), instructions), "other pairs of the same instruction")


def _change(pair: EncodedPair, encoder: ImageTextEncoder) -> Tensor:
    """Change of a pair's images [D]."""
    images = [open_image(data, name=pair.id, least_side=_SIDE) for data in (pair.original_image, pair.edited_image)]
    for image in images:
        image.thumbnail((2 * _SIDE, 2 * _SIDE))
    before, after = encoder.pictures(torch.stack([to_tensor(image) for image in images])).cpu()
    return after - before


def _with_others(changes: Tensor, instructions: Sequence[str]) -> list[float]:
    """Cosine of each pair's change with the mean of the other pairs of its instruction; 0 where those are few."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(instructions):
        groups[text].append(index)
    found = [0.0] * len(instructions)
    for own in groups.values():
        if len(own) > _OTHERS:
            units = F.normalize(changes[own], dim=1)
            cosines = direction_cosine(units, units.sum(0) - units)
            for index, cosine in zip(own, cosines.tolist(), strict=True):
                found[index] = cosine
    return found


def _opposite(ids: Sequence[str], cosines: Sequence[float], what: str) -> Iterator[Finding]:
    """Pairs far below what is usual, and at least half as far below zero as the usual pair is above; 0 says nothing."""
    known = np.array([cosine for cosine in cosines if cosine])
    if len(known) < _FEWEST:
        return
    middle = float(np.median(known))
    spread = (middle - float(np.quantile(known, 0.25))) / _QUARTILE
    if middle <= 0:  # the encoder does not see these edits
        return
    bound = min(-middle / 2, middle - _DEVIATIONS * spread)
    for id, cosine in zip(ids, cosines, strict=True):
        if cosine < bound:
            detail = f"its images change opposite to {what} (cosine {cosine:.2f}; usual here: {middle:.2f})"
            yield Finding(id, "swapped", detail, _REMEDY)
