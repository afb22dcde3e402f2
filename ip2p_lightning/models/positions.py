"""Positions of image tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def token_positions(side: int, width: int) -> Tensor:
    """[1, side^2, width] sines and cosines of a token's row and column, with wavelengths from 2 to 32 tokens.

    Most of the usual table's wavelengths, which reach 60,000 tokens, are constant over a small image: a short training
    hardly learns to tell neighbours apart by the few that are not.

    Args:
        side: tokens per side.
        width: of the tokens, a multiple of 4.
    """
    frequencies = torch.linspace(math.pi / 16, math.pi, width // 4)
    angles = torch.arange(side)[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = waves.expand(side, -1, -1), waves[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, side * side, width)
