"""Pictures of any size and type through a network that takes batches of one size, and back as they came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor

from ip2p_lightning.data.images import as_rgb, to_pil, to_tensor
from ip2p_lightning.editors.base import Pictures


def in_batches(
    images: Pictures,
    batch_size: int,
    fit: Callable[[Image.Image], Image.Image],
    change: Callable[[Tensor, list[int]], Tensor],
) -> Pictures:
    """Edited pictures in the order and of the type of the originals.

    Args:
        images: B pictures, see `Pictures`.
        batch_size: pictures at once, all of one size.
        fit: brings a PIL picture to the size it is edited at; tensors keep theirs.
        change: `(originals [N, 3, H, W] in [-1, 1], their N places among the B) -> edited [N, 3, H, W]`.
    """
    tensors = list(images) if isinstance(images, Tensor) else [to_tensor(fit(image)) for image in images]
    edited: list[Any] = [None] * len(tensors)
    for places in _batches(tensors, batch_size):
        for place, result in zip(
            places, change(torch.stack([tensors[place] for place in places]), places), strict=True
        ):
            edited[place] = result.to(tensors[place])
    if isinstance(images, Tensor):
        return torch.stack(edited) if edited else images
    return [to_pil(result) for result in edited]  # type: ignore[return-value]


def fitted(image: Image.Image, resolution: int, multiple: int) -> Image.Image:
    """A picture of any mode as RGB at the size it is edited at.

    The longer side becomes `resolution` and both sides are multiples of what the networks divide by; the little that
    the ratio of the sides changes by is cropped (Lanczos).
    """
    image = as_rgb(image)
    scale = resolution / max(image.size)
    width, height = (max(1, round(side * scale / multiple)) * multiple for side in image.size)
    return image if (width, height) == image.size else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def _batches(tensors: Sequence[Tensor], batch_size: int) -> list[list[int]]:
    """Places of pictures of one size, at most `batch_size` together."""
    sizes: dict[torch.Size, list[int]] = {}
    for place, tensor in enumerate(tensors):
        sizes.setdefault(tensor.shape, []).append(place)
    return [same[start : start + batch_size] for same in sizes.values() for start in range(0, len(same), batch_size)]
