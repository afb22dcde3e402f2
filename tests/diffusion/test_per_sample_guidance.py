"""Guidance of each row's own: the numbers of one guidance at a time, with fewer evaluations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.per_sample_guidance import PerSampleGuidance
from ip2p_lightning.states import States

pytestmark = pytest.mark.numeric

POINTS = [(7.5, 1.5), (7.5, 1.0), (1.0, 1.0), (2.0, 2.0), (0.0, 1.5)]


def denoise(noisy: Tensor, original: Tensor, timesteps: Tensor, states: States) -> Tensor:
    """Something that depends on everything it is given, row by row."""
    text = states.embeddings.mean((1, 2))[:, None, None, None]
    return (noisy * text + original.sin() + timesteps[:, None, None, None] / 1000) * (1 + original.abs())


def inputs(pictures: list[int], noisy_alike: bool) -> tuple[Any, ...]:
    each = torch.Generator().manual_seed(0)
    original, text, null = torch.randn(3, 9, 4, 2, 2, generator=each)
    noisy = original.flip(0) if noisy_alike else torch.randn(9, 4, 2, 2, generator=each)
    rows = torch.arange(len(pictures))
    embeddings, empty = States(text.flatten(2)), States(null.flatten(2))
    start = noisy[pictures] if noisy_alike else noisy[rows % 9] + rows[:, None, None, None]
    return start, original[pictures], torch.full((len(pictures),), 500), embeddings[pictures], empty[pictures]


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.9])
def test_each_row_is_guided_as_it_would_be_alone(progress: float) -> None:
    pictures = [0, 0, 0, 0, 0, 3, 3, 3]
    guidances = [TwoScaleGuidance(*point, stop=0.6) for point in [*POINTS, *POINTS[:3]]]
    given = inputs(pictures, noisy_alike=progress == 0)
    guided = PerSampleGuidance(guidances, pictures)(denoise, *given, progress=progress)
    for row, guidance in enumerate(guidances):
        alone = guidance(denoise, *(tensor[row : row + 1] for tensor in given), progress=progress)
        torch.testing.assert_close(guided[row : row + 1], alone)


def test_the_first_step_is_shared_and_zero_factors_are_left_out() -> None:
    calls: list[int] = []

    def counted(*arguments: Any) -> Tensor:
        calls.append(len(arguments[0]))
        return denoise(*arguments)

    pictures = [0] * 5 + [1] * 5
    guidance = PerSampleGuidance([TwoScaleGuidance(*point) for point in POINTS * 2], pictures)
    for progress in (0.0, 0.5):
        guidance(counted, *inputs(pictures, True), progress=progress)
    assert sum(len(TwoScaleGuidance(*point).branches(0)) for point in POINTS) == 3 + 2 + 1 + 2 + 2
    assert calls == [2 * 3, 2 * (3 + 2 + 1 + 2 + 2)]


def test_numbers_that_do_not_agree() -> None:
    with pytest.raises(ValueError, match="2 rows of guidance but 1 images"):
        PerSampleGuidance([TwoScaleGuidance()] * 2, [0])
