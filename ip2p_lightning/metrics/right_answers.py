"""One edited image, and several, against many right answers to the same instruction.

For instructions that leave things open: the one answer that a pair shows is then no measure, since another may be as
right. All functions are exact: nothing is learnt. Images are float [.., 3, H, W] in [-1, 1].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_SAME = 1 / 255
"""Difference in [-1, 1] below which pixels count as equal: half a grey level of 255."""


def open_region(original: Tensor, answers: Tensor) -> Tensor:
    """True where any right answer differs from the original, bool [H, W]; elsewhere nothing may change.

    Args:
        original: [3, H, W].
        answers: [K, 3, H, W].
    """
    return ((answers - original).abs() > _SAME).any(dim=1).any(dim=0)


def error_where_kept(images: Tensor, original: Tensor, answers: Tensor) -> Tensor:
    """Mean absolute error [M] in grey levels (0 to 255) where no right answer changes anything; NaN if that is nowhere.

    Args:
        images: [M, 3, H, W] edited images.
        original: [3, H, W].
        answers: [K, 3, H, W].
    """
    kept = ~open_region(original, answers)
    return (images - original).abs().mean(1)[:, kept].mean(1) * 127.5


def distances(images: Tensor, answers: Tensor, region: Tensor) -> Tensor:
    """Mean absolute difference [M, K] in grey levels of images [M, 3, H, W] from answers [K, 3, H, W] in a region."""
    ours, right = images.mul(127.5)[..., region], answers.mul(127.5)[..., region]
    return torch.cdist(ours.flatten(1), right.flatten(1), p=1) / max(1, 3 * int(region.sum()))


def nearest_relative_to_fresh(images: Tensor, answers: Tensor, fresh: Tensor, region: Tensor) -> Tensor:
    """Distance [M] to the nearest of K right answers, divided by the mean distance of fresh right answers to it.

    1: as near as another right answer. NaN where fresh answers are equal to known ones, as where nothing is open.

    Args:
        images: [M, 3, H, W] edited images.
        answers: [K, 3, H, W] right answers.
        fresh: [N, 3, H, W] other right answers, none of which is among ``answers`` by construction.
        region: see `open_region`.
    """
    usual = distances(fresh, answers, region).min(1).values.mean()
    nearest = distances(images, answers, region).min(1).values
    return nearest / usual if usual > 0.05 else torch.full_like(nearest, torch.nan)


def precision_and_recall(images: Tensor, answers: Tensor, region: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Share of edited images that lie among the right answers, and of right answers that lie among the edited images.

    Two sets are compared by the balls around each of their members that reach to its ``neighbours``-th neighbour
    (Kynkaanniemi et al. 2019, section 3), here by the pixels of the region at half the resolution.

    Raises:
        ValueError: no more images or answers than neighbours.
    """
    if min(len(images), len(answers)) <= neighbours:
        raise ValueError(f"{len(images)} images and {len(answers)} answers: compare more than {neighbours} of each")
    ours, right = (F.avg_pool2d(batch * region, 2).flatten(1) for batch in (images, answers))
    return _share_within(ours, right, neighbours), _share_within(right, ours, neighbours)


def relative_entropy(found: Sequence[Hashable], right: Sequence[Hashable]) -> float:
    """Entropy of the values found, over that of right answers' values; NaN where these have only one value."""
    usual = _entropy(right)
    return _entropy(found) / usual if usual > 0 else float("nan")


def detail(images: Tensor, answers: Tensor, region: Tensor) -> Tensor:
    """Laplacian energy [M] of each image in the region, relative to its nearest right answer's; below 1: blurred."""
    nearest = answers[distances(images, answers, region).argmin(1)]
    return _energy(images, region) / _energy(nearest, region)


def speckle(images: Tensor, answers: Tensor, region: Tensor) -> Tensor:
    """Laplacian energy [M] of the error against the nearest right answer, relative to that answer's own energy."""
    nearest = answers[distances(images, answers, region).argmin(1)]
    return _energy(images - nearest, region) / _energy(nearest, region)


def brought_about(reading: Mapping[str, str], alternatives: Sequence[Mapping[str, str]]) -> bool:
    """True if a judge reads all attributes of any one right answer (``metadata["alternatives"]`` of a pair)."""
    return any(all(reading.get(name) == value for name, value in right.items()) for right in alternatives)


def _energy(images: Tensor, region: Tensor) -> Tensor:
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    edges = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return edges.pow(2).mean(1)[:, region].mean(1)


def _share_within(points: Tensor, support: Tensor, neighbours: int) -> float:
    radius = torch.cdist(support, support).kthvalue(neighbours + 1, dim=1).values  # the first is the point itself
    return (torch.cdist(points, support) <= radius).any(1).float().mean().item()


def _entropy(values: Sequence[Hashable]) -> float:
    shares = torch.tensor([count / len(values) for count in Counter(values).values()], dtype=torch.float64)
    return float(-(shares * shares.log()).sum())
