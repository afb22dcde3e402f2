"""Requests of any sizes and settings through a network that takes batches of one, and back in their order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_pil, to_tensor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, Step, image_size

SQUARES_UP_TO = 128
"""Pixels of a side up to which models have seen whole squares alone."""


class OnBatchStep(Protocol):
    """Called after each step of a batch."""

    def __call__(self, number: int, of: int, peek: Callable[[int], Tensor] | None = None, /) -> None:
        """Steps done, steps in all, and how an image so far is made; see `Step`."""
        ...


Change = Callable[[Tensor, list[EditRequest], OnBatchStep], tuple[Tensor, Sequence[str]]]
"""`(originals [N, 3, H, W] in [-1, 1], their requests, on_step) -> (edited [N, 3, H, W], texts written or none)`."""


def size_and_settings(request: EditRequest) -> Hashable:
    """The kind of a request whose image is ready, for editors whose batches have one size and the same settings."""
    return image_size(request.image), request.sampling


def in_batches(
    requests: Sequence[EditRequest],
    batch_size: int,
    change: Change,
    on_step: OnStep | None = None,
    kind: Callable[[EditRequest], Hashable] = size_and_settings,
) -> list[EditResult]:
    """Results in the order of the requests, their images of the type of the originals.

    Args:
        requests: with images that are ready.
        batch_size: edits at once, all of one kind.
        change: edits a batch.
        on_step: called after each step of each batch.
        kind: equal for requests that may share a batch, which needs images of one size.
    """
    images = [r.image if isinstance(r.image, Tensor) else to_tensor(r.image) for r in requests]
    results: dict[int, EditResult] = {}
    for places in _batches([kind(request) for request in requests], batch_size):
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


def _told(on_step: OnStep | None, places: list[int]) -> OnBatchStep:
    def step(number: int, of: int, peek: Callable[[int], Tensor] | None = None, /) -> None:
        if on_step is not None:
            on_step(Step(number, of, tuple(places), peek))

    return step
