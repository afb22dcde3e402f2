"""Resize, crop and flip both images of a pair alike (InstructPix2Pix's EditDataset), and turn them into tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random

_SIDED = re.compile(r"\b(left|right|clockwise|anticlockwise|counter-?clockwise)\b", re.IGNORECASE)


@dataclass(frozen=True)
class View:
    """View of a pair: the random draws of `PairTransform`.

    Args:
        side: of the square to which the images are resized, in pixels.
        corner: left and top of the crop in it.
        flip: mirror left and right.
    """

    side: int
    corner: tuple[int, int]
    flip: bool


@dataclass(frozen=True)
class PairTransform:
    """Joint resize, random crop and random flip; what is drawn depends on (seed, epoch, pair id) alone.

    InstructPix2Pix resizes each image to a square of a random side in [min_size, max_size] (Lanczos), crops a random
    square of ``resolution`` and flips with probability 0.5; MGIE takes the largest centred square, resized, unflipped.

    Args:
        resolution: side of the square result in pixels.
        min_size, max_size: range of the side before the random crop; both default to ``resolution`` (no crop).
        fit: "squash" resizes to a square whatever the aspect ratio (InstructPix2Pix); "centre_crop" cuts the largest
            centred square first (MGIE).
        flip: probability of a horizontal flip.
        flip_sided: flip also pairs whose texts speak of left, right or a sense of rotation (as InstructPix2Pix
            does), although a flipped image makes such an instruction wrong.
        seed: of the dataset's randomness.

    Raises:
        ValueError: sizes below the resolution or in the wrong order, or a flip that is no probability.
    """

    resolution: int
    min_size: int | None = None
    max_size: int | None = None
    fit: Literal["squash", "centre_crop"] = "squash"
    flip: float = 0.5
    flip_sided: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self._sizes
        if not 1 <= self.resolution <= low <= high:
            raise ValueError(
                f"need 1 <= resolution <= min_size <= max_size, got resolution={self.resolution}, "
                f"min_size={low}, max_size={high}"
            )
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip={self.flip} must be a probability between 0 and 1")
        if self.fit not in ("squash", "centre_crop"):
            raise ValueError(f"fit={self.fit!r} must be 'squash' or 'centre_crop'")

    def evaluation(self) -> PairTransform:
        """The same resize without random crop and flip, for validation and test pairs."""
        return replace(self, min_size=None, max_size=None, flip=0.0)

    def __call__(self, pair: EditPair, epoch: int = 0) -> EditPair:
        """PIL images of any size -> float32 [3, resolution, resolution] in [-1, 1] (mask: [1, ...] in {0, 1}).

        Raises:
            ValueError: the pair holds tensors.
        """
        return self.apply(pair, self.view(pair, epoch))

    def view(self, pair: EditPair, epoch: int = 0) -> View:
        """View of the pair in an epoch; does not read its images."""
        draw = addressed_random(self.seed, epoch, pair.id)
        low, high = self._sizes
        side = draw.randint(low, high)
        corner = draw.randint(0, side - self.resolution), draw.randint(0, side - self.resolution)
        return View(side, corner, draw.random() < self.flip and self.flips(pair))

    def flips(self, pair: EditPair) -> bool:
        """True if the pair may be flipped at all."""
        return self.flip > 0 and (self.flip_sided or not _is_sided(pair))

    @property
    def crops(self) -> bool:
        """True if crops are random."""
        return self._sizes != (self.resolution, self.resolution)

    def apply(self, pair: EditPair, view: View) -> EditPair:
        """The pair as seen in `view`; shapes and errors as for a call."""
        original, edited, mask = pair.original_image, pair.edited_image, pair.mask
        if isinstance(original, Tensor) or isinstance(edited, Tensor) or isinstance(mask, Tensor):
            raise ValueError(f"pair {pair.id!r} holds tensors already; transform it once")
        # of a mask, an output pixel may change if any source pixel under it may
        area = (
            None
            if mask is None
            else to_tensor(self._seen(mask.convert("L"), view, Image.Resampling.BOX)).gt(-1).float()
        )
        return replace(
            pair,
            original_image=to_tensor(self._seen(original, view, Image.Resampling.LANCZOS)),
            edited_image=to_tensor(self._seen(edited, view, Image.Resampling.LANCZOS)),
            mask=area,
        )

    def _seen(self, image: Image.Image, view: View, resample: Image.Resampling) -> Image.Image:
        if self.fit == "centre_crop":
            image = image.crop(centred(*image.size, aspect=1))
        if image.size != (view.side, view.side):
            image = image.resize((view.side, view.side), resample)
        if view.side != self.resolution:
            x, y = view.corner
            image = image.crop((x, y, x + self.resolution, y + self.resolution))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else image

    @property
    def _sizes(self) -> tuple[int, int]:
        low = self.min_size if self.min_size is not None else self.resolution
        return low, self.max_size if self.max_size is not None else low


def centred(width: int, height: int, aspect: float) -> tuple[int, int, int, int]:
    """The largest box (left, top, right, bottom) of an aspect ratio, width over height, in the middle of an image."""
    inner = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    return left, top, left + inner[0], top + inner[1]


def _is_sided(pair: EditPair) -> bool:
    texts = (pair.instruction, pair.expressive_instruction, pair.original_caption, pair.edited_caption)
    return any(_SIDED.search(text) for text in texts)
