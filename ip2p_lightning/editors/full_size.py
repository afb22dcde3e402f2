"""Carry the change of a small image over to the large one that it was made of.

What an edit does to light and colour is nearly an affine map of colours in each neighbourhood. It is found on the small
image before and after the edit (the guided filter of He, Sun and Tang 2013, section 3.4, with the image itself as
its guide), enlarged (He and Sun 2015, Fast Guided Filter), and applied to every pixel of the large one, which keeps its
detail. What no such map explains, as a new thing, is added from the small image, as sharp as that is.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_pil, to_tensor

_ROWS = 64
"""Rows of a large image that are changed at once: what bounds the memory."""


def carried_over(image: Image.Image, before: Image.Image, after: Image.Image) -> Image.Image:
    """`carry_over` for PIL RGB images, some rows at a time."""
    change = Change(to_tensor(before), to_tensor(after), image.height, image.width)
    result = Image.new("RGB", image.size)
    for top in range(0, image.height, _ROWS):
        band = to_tensor(image.crop((0, top, image.width, min(top + _ROWS, image.height))))
        result.paste(to_pil(change(band, top)), (0, top))
    return result


def carried_over_deep(
    image: np.ndarray, before: Image.Image, after: Image.Image, strength: float, mask: Image.Image | None
) -> np.ndarray:
    """`carried_over` in floating point for an image of 16 bits a channel.

    Args:
        image: uint16 [H, W, 3].
        before: the small one, RGB, before the edit.
        after: the same after the edit.
        strength: see `EditRequest`.
        mask: of the large image's size; None for everywhere.
    """
    height, width = image.shape[:2]
    change = Change(to_tensor(before), to_tensor(after), height, width)
    result = np.empty_like(image)
    for top in range(0, height, _ROWS):
        rows = torch.from_numpy(image[top : top + _ROWS].astype(np.float32)).permute(2, 0, 1) / 32767.5 - 1
        edited = (rows + strength * (change(rows, top) - rows)).clamp(-1, 1)
        if mask is not None:
            share = (to_tensor(mask.crop((0, top, width, top + rows.shape[1]))) + 1) / 2
            edited = rows + share * (edited - rows)
        result[top : top + _ROWS] = ((edited + 1) * 32767.5).round().permute(1, 2, 0).numpy().astype(np.uint16)
    return result


def carry_over(
    image: Tensor, before: Tensor, after: Tensor, radius: int = 6, epsilon: float = 0.05, grain: float = 8.0
) -> Tensor:
    """Do to a large image what was done to a small one.

    Args:
        image: large image [3, H, W] in [-1, 1].
        before: the small one [3, h, w] before the edit.
        after: the same after the edit.
        radius: see `Change`.
        epsilon: see `Change`.
        grain: see `Change`.

    Returns:
        [3, H, W] in [-1, 1].
    """
    height, width = image.shape[-2:]
    return Change(before, after, height, width, radius, epsilon, grain)(image)


class Change:
    """The change of a small image, upsampled to rows of a large one.

    Args:
        before: the small image [3, h, w] in [-1, 1] before the edit.
        after: the same after the edit.
        height, width: of the large image.
        radius: pixels of the small image around each in which one map of colours holds.
        epsilon: spread of colours (standard deviation in [-1, 1]) below which a neighbourhood counts as plain.
        grain: grey levels (of 255) of unexplained change that are taken for the model's grain and left out.
    """

    def __init__(
        self,
        before: Tensor,
        after: Tensor,
        height: int,
        width: int,
        radius: int = 6,
        epsilon: float = 0.05,
        grain: float = 8.0,
    ) -> None:
        matrix, offset = _colour_maps(before, after, radius, epsilon)
        unexplained = after - _mapped(before, matrix, offset)
        unexplained = unexplained.sign() * (unexplained.abs() - grain / 127.5).clamp(min=0)
        maps = torch.cat([matrix.flatten(0, 1), offset, unexplained])
        self.height = height
        rows = before.shape[-2] if height > before.shape[-2] else height
        self._maps = _resized(maps[None], rows, width)[0]

    def __call__(self, image: Tensor, top: int = 0) -> Tensor:
        """Rows [3, R, W] of the large image from `top` on, after the edit."""
        matrix, offset, unexplained = self._rows(top, image.shape[-2]).split([9, 3, 3])
        return (_mapped(image, matrix.unflatten(0, (3, 3)), offset) + unexplained).clamp(-1, 1)

    def _rows(self, top: int, count: int) -> Tensor:
        """The maps of some rows: linear between those of the small image, as `interpolate` enlarges."""
        small = self._maps.shape[-2]
        places = torch.arange(top, top + count, dtype=torch.float32, device=self._maps.device)
        places = ((places + 0.5) * (small / self.height) - 0.5).clamp(0, small - 1)
        upper = places.floor().long()
        share = (places - upper)[:, None]
        lower = (upper + 1).clamp(max=small - 1)
        return torch.lerp(self._maps[:, upper], self._maps[:, lower], share.to(self._maps.dtype))


def _colour_maps(before: Tensor, after: Tensor, radius: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """Matrix [3 (to), 3 (from), h, w] and offset [3, h, w] that take each neighbourhood's colours to those after."""
    mean_before, mean_after = _means(before, radius), _means(after, radius)
    covariance = _means(before[:, None] * before[None], radius) - mean_before[:, None] * mean_before[None]
    mixed = _means(before[:, None] * after[None], radius) - mean_before[:, None] * mean_after[None]
    covariance = covariance.permute(2, 3, 0, 1) + epsilon**2 * torch.eye(3, device=before.device, dtype=before.dtype)
    # Plain neighbourhoods keep their detail as it is: the map is drawn to the identity, not to zero.
    toward = mixed.permute(2, 3, 0, 1) + epsilon**2 * torch.eye(3, device=before.device, dtype=before.dtype)
    matrix = torch.linalg.solve(covariance, toward).permute(3, 2, 0, 1)
    offset = mean_after - (matrix * mean_before[None]).sum(1)
    return _means(matrix, radius), _means(offset, radius)


def _mapped(image: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    return (matrix * image[None]).sum(1) + offset


def _means(values: Tensor, radius: int) -> Tensor:
    """Means over squares of 2 radius + 1 pixels, those outside the image left out; [..., h, w] keeps its shape."""
    flat = values.reshape(1, -1, *values.shape[-2:])
    side = 2 * radius + 1
    return F.avg_pool2d(flat, side, 1, radius, count_include_pad=False).reshape(values.shape)


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)
