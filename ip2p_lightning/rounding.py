"""Differences of the size of rounding: never divided by, without a direction, no reason for a verdict.

Two processors, two batch sizes or two orders of a sum give results that differ in their last digits. What hangs on such
a difference alone would be a matter of chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RELATIVE = 1e-6
"""Numbers made of float32 values agree where they differ by less than this part of the larger one: eight times the
spacing of float32."""
GREY_LEVELS = 2e-5
"""Mean difference, of 255, between images in [-1, 1] that are the same but for rounding."""
DIRECTION = 1e-5
"""Length of the difference between unit vectors of a float32 network that are the same but for rounding."""


def difference(a: Any, b: Any) -> Any:
    """`a - b` of numbers or NumPy arrays, and 0 where they differ by rounding alone (NaN stays NaN)."""
    gap = np.subtract(a, b)
    return np.where(np.abs(gap) <= RELATIVE * np.maximum(np.abs(a), np.abs(b)), 0.0, gap)[()]


def ratio(numerator: Tensor, denominator: Tensor, least: float, otherwise: float = torch.nan) -> Tensor:
    """`numerator / denominator` where the denominator is above rounding.

    Args:
        numerator: any tensor.
        denominator: likewise, not negative.
        least: denominators of this size or less are rounding.
        otherwise: value of the ratio there.
    """
    known = denominator > least
    return torch.where(known, numerator / torch.where(known, denominator, 1.0), otherwise)


def direction_cosine(change: Tensor, other: Tensor) -> Tensor:
    """Cosine [B] between two differences [B, D] of unit vectors; 0 where one of them is rounding alone."""
    shorter = torch.minimum(change.norm(dim=1), other.norm(dim=1))
    return torch.where(shorter > DIRECTION, F.cosine_similarity(change, other, dim=1), 0.0)
