"""Carry the change of a small image over to the large one that it was made of.

What an edit does to light and colour is nearly an affine map of colours in each neighbourhood. It is found on the small
picture before and after the edit (the guided filter of He, Sun and Tang 2013, section 3.4, with the picture itself as
its guide), enlarged (He and Sun 2015, Fast Guided Filter), and applied to every pixel of the large one, which keeps its
detail. What no such map explains, as a new thing, is added from the small picture, as sharp as that is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def carry_over(
    image: Tensor, before: Tensor, after: Tensor, radius: int = 6, epsilon: float = 0.05, grain: float = 8.0
) -> Tensor:
    """Do to a large picture what was done to a small one.

    Args:
        image: large picture [3, H, W] in [-1, 1].
        before: the small one [3, h, w] before the edit.
        after: the same after the edit.
        radius: pixels of the small image around each in which one map of colours holds.
        epsilon: spread of colours (standard deviation in [-1, 1]) below which a neighbourhood counts as plain.
        grain: grey levels (of 255) of unexplained change that are taken for the model's grain and left out.

    Returns:
        [3, H, W] in [-1, 1].
    """
    height, width = image.shape[-2:]
    matrix, offset = _colour_maps(before, after, radius, epsilon)
    unexplained = after - _mapped(before, matrix, offset)
    unexplained = unexplained.sign() * (unexplained.abs() - grain / 127.5).clamp(min=0)
    matrix = _resized(matrix.flatten(0, 1)[None], height, width)[0].unflatten(0, (3, 3))
    offset, unexplained = (_resized(part[None], height, width)[0] for part in (offset, unexplained))
    return (_mapped(image, matrix, offset) + unexplained).clamp(-1, 1)


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
    """Means over squares of 2 radius + 1 pixels, those outside the picture left out; [..., h, w] keeps its shape."""
    flat = values.reshape(1, -1, *values.shape[-2:])
    side = 2 * radius + 1
    return F.avg_pool2d(flat, side, 1, radius, count_include_pad=False).reshape(values.shape)


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)
