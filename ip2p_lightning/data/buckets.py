"""Pairs of any shape: a few shapes of about equal area, each pair cropped to the nearest, each step of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.transforms import PairTransform, View, centred

_FINE = 1 << 16
"""A crop's place is drawn in this many steps of the room that there is, which depends on the shape."""


@dataclass(frozen=True)
class BucketTransform(PairTransform):
    """`PairTransform` whose result has the one of several shapes that is nearest to the pair's own.

    ``min_size`` and ``max_size`` stand for the square of ``resolution``: 288 for a resolution of 256 makes every shape
    an eighth larger before the random crop. Validation and test pairs become centred squares of ``resolution``.

    Args:
        shapes: width and height of each, multiples of the autoencoder's factor; about resolution x resolution pixels
            each, so that batches take equal time and memory.

    Raises:
        ValueError: no shapes, or none with positive sides; and as `PairTransform`.
    """

    shapes: Sequence[Sequence[int]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shapes", tuple((int(width), int(height)) for width, height in self.shapes))
        if not self.shapes or min(min(shape) for shape in self.shapes) < 1:
            raise ValueError(f"data.transform.shapes={list(self.shapes)} needs at least one [width, height] above 0")

    def evaluation(self) -> PairTransform:
        """Centred squares, so that pairs of any shape fit into one batch in their own order."""
        return PairTransform(self.resolution, fit="centre_crop", flip=0.0, seed=self.seed)

    def buckets(self, sizes: np.ndarray) -> np.ndarray:
        """The number of the shape for images of sizes [n, 2] (width, height): the nearest aspect ratio, int64 [n]."""
        aspects = np.log([width / height for width, height in self.shapes])
        own = np.log(sizes[:, 0] / sizes[:, 1])
        return np.abs(own[:, None] - aspects[None]).argmin(axis=1)

    def view(self, pair: EditPair, epoch: int = 0) -> View:
        draw = addressed_random(self.seed, epoch, pair.id)
        side = draw.randint(*self._sizes)
        return View(
            side, (draw.randint(0, _FINE), draw.randint(0, _FINE)), draw.random() < self.flip and self.flips(pair)
        )

    def _seen(self, image: Image.Image, view: View, resample: Image.Resampling) -> Image.Image:
        width, height = self.shapes[int(self.buckets(np.array([image.size]))[0])]
        if self.fit == "centre_crop":
            image = image.crop(centred(*image.size, aspect=width / height))
        larger = round(width * view.side / self.resolution), round(height * view.side / self.resolution)
        if image.size != larger:
            image = image.resize(larger, resample)
        x, y = (
            (large - small) * place // _FINE
            for large, small, place in zip(larger, (width, height), view.corner, strict=True)
        )
        image = image.crop((x, y, x + width, y + height))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else image


def picture_sizes(source: Any) -> np.ndarray:
    """Width and height of a source's images, int64 [pairs, 2], without opening them.

    Raises:
        ValueError: a source that would have to open its images to tell.
    """
    if hasattr(source, "column"):
        return np.array([source.column("width"), source.column("height")], dtype=np.int64).T
    if hasattr(source, "sources"):
        return np.concatenate([picture_sizes(part) for part in source.sources])
    raise ValueError(
        f"pairs of several shapes need a source that knows the sizes of its images, {type(source).__name__} does "
        "not; render it to shards first (`ip2p data render`)"
    )
