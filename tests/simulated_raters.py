"""Raters whose strengths are known: choices drawn from the Bradley-Terry-Davidson model itself."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from random import Random

import numpy as np

from ip2p_lightning.evaluation.calibration import Choice


def simulated(
    strengths: Mapping[str, float], ties: float, prompts: int, raters: int, seed: int, *, spread: float = 0.0
) -> list[Choice]:
    """Choices of every rater between every two systems on every prompt.

    Args:
        strengths: logarithms.
        ties: v of the model.
        prompts: how many.
        raters: of each prompt.
        seed: of the draw.
        spread: standard deviation of what a prompt adds to each system's log strength, for all of its raters.
    """
    draw, rng = Random(seed), np.random.default_rng(seed)
    choices = []
    for prompt in range(prompts):
        p = {name: np.exp(value + spread * rng.standard_normal()) for name, value in strengths.items()}
        for first, second in combinations(strengths, 2):
            weights = (p[first], p[second], 2 * ties * np.sqrt(p[first] * p[second]))
            for rater in range(raters):
                (choice,) = draw.choices(("first", "second", "tie"), weights)
                pair = (first, second)
                if draw.random() < 0.5:  # sides are drawn
                    pair, choice = pair[::-1], {"first": "second", "second": "first", "tie": "tie"}[choice]
                choices.append(Choice(f"prompt {prompt}", *pair, choice, f"rater {rater}"))
    return choices
