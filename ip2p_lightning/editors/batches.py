"""Requests of any sizes and settings through a network that takes batches of one, and back in their order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_pil, to_tensor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, Step

Change = Callable[[Tensor, list[EditRequest], Callable[[int, int], None]], tuple[Tensor, Sequence[str]]]
"""`(originals [N, 3, H, W] in [-1, 1], their requests, on_step) -> (edited [N, 3, H, W], texts written or none)`."""


def in_batches(
    requests: Sequence[EditRequest], batch_size: int, change: Change, on_step: OnStep | None = None
) -> list[EditResult]:
    """Results in the order of the requests, their images of the type of the originals.

    Args:
        requests: with images that are ready.
        batch_size: edits at once, all of one size and with the same settings.
        change: edits a batch.
        on_step: called after each step of each batch.
    """
    images = [r.image if isinstance(r.image, Tensor) else to_tensor(r.image) for r in requests]
    results: dict[int, EditResult] = {}
    for places in _batches([(*image.shape, r.sampling) for image, r in zip(images, requests, strict=True)], batch_size):
        batch = [requests[place] for place in places]
        edited, texts = change(torch.stack([images[place] for place in places]), batch, _told(on_step, places))
        for number, place in enumerate(places):
            image = edited[number].to(images[place])
            text = texts[number] if texts else ""
            shown = image if isinstance(requests[place].image, Tensor) else to_pil(image)
            results[place] = EditResult(shown, requests[place], text)
    return [results[place] for place in range(len(requests))]


def fitted(image: Image.Image, resolution: int, multiple: int, square: bool = False) -> Image.Image:
    """A PIL RGB image at the size at which it is edited (Lanczos).

    Args:
        image: of any size.
        resolution: its longer side becomes the nearest multiple of this.
        multiple: both sides become multiples of it.
        square: both sides become the longer one, as for models that know no other shape.
    """
    scale = resolution / max(image.size)
    width, height = (
        max(1, round((resolution if square else side * scale) / multiple)) * multiple for side in image.size
    )
    return image if (width, height) == image.size else image.resize((width, height), Image.Resampling.LANCZOS)


def _batches(kinds: Sequence[Hashable], batch_size: int) -> list[list[int]]:
    """Places of one kind, at most `batch_size` together."""
    alike: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        alike.setdefault(kind, []).append(place)
    return [same[start : start + batch_size] for same in alike.values() for start in range(0, len(same), batch_size)]


def _told(on_step: OnStep | None, places: list[int]) -> Callable[[int, int], None]:
    return lambda number, of: None if on_step is None else on_step(Step(number, of, tuple(places)))
