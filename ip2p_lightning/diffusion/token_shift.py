"""A noise schedule that depends on the number of tokens: larger images need more noise to lose their content.

Esser et al. 2024 (Stable Diffusion 3, section 5.3.2). FLUX interpolates the shift linearly between two sizes, which is
what diffusers' `use_dynamic_shifting` means: mu goes from `base_shift` at `base_image_seq_len` tokens to `max_shift` at
`max_image_seq_len`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def token_shift(config: Mapping[str, Any], tokens: int) -> float | None:
    """The `mu` of `FlowMatchEulerDiscreteScheduler.set_timesteps`; None for a schedule that is the same for all sizes.

    Args:
        config: of the scheduler.
        tokens: that the denoiser attends to.
    """
    if not config.get("use_dynamic_shifting"):
        return None
    low, high = config["base_image_seq_len"], config["max_image_seq_len"]
    slope = (config["max_shift"] - config["base_shift"]) / (high - low)
    return config["base_shift"] + slope * (tokens - low)


def shifted(fractions: Tensor, mu: float, kind: str) -> Tensor:
    """Times t = s u / (1 + (s - 1) u) of the fractions u; the factor s is e^mu ("exponential") or mu ("linear")."""
    factor = math.exp(mu) if kind == "exponential" else mu
    return factor * fractions / (1 + (factor - 1) * fractions)
