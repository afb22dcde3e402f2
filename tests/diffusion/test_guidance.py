"""Two-scale guidance against the paper's formula, and the evaluations that it leaves out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.states import States

pytestmark = pytest.mark.numeric


class CountingDenoiser:
    """A nonlinear function of all four inputs that counts the rows it was asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, noisy: Tensor, original: Tensor, timesteps: Tensor, states: States) -> Tensor:
        self.rows.append(len(noisy))
        text = states.embeddings.mean((1, 2))[:, None, None, None]
        return torch.tanh(noisy + original.sin() * (1 + text) + timesteps.view(-1, 1, 1, 1) / 1000)


@pytest.fixture
def inputs() -> dict[str, Any]:
    return {
        "noisy": torch.randn(2, 4, 3, 5),
        "original": torch.randn(2, 4, 3, 5),
        "timesteps": torch.tensor([7, 900]),
        "states": States(torch.randn(2, 6, 8)),
        "null": States(torch.randn(2, 6, 8)),
    }


def three_branches(inputs: dict[str, Any], text_scale: float, image_scale: float) -> Tensor:
    """InstructPix2Pix eq. 3 as it stands in the paper: three evaluations."""
    denoise, noisy, t = CountingDenoiser(), inputs["noisy"], inputs["timesteps"]
    nothing = denoise(noisy, torch.zeros_like(noisy), t, inputs["null"])
    image = denoise(noisy, inputs["original"], t, inputs["null"])
    both = denoise(noisy, inputs["original"], t, inputs["states"])
    return nothing + image_scale * (image - nothing) + text_scale * (both - image)


SCALES = [(7.5, 1.5), (7.5, 1.0), (1.5, 1.5), (1.0, 1.0), (0.0, 1.3), (2.0, 0.0), (0.0, 0.0), (1.0, 1.5), (7.5, 0.8)]


@pytest.mark.parametrize(("text_scale", "image_scale"), SCALES)
def test_equals_the_paper_formula(inputs: dict[str, Any], text_scale: float, image_scale: float) -> None:
    guided = TwoScaleGuidance(text_scale, image_scale)(CountingDenoiser(), **inputs)
    torch.testing.assert_close(guided, three_branches(inputs, text_scale, image_scale), atol=1e-5, rtol=1e-5)


def test_equals_the_paper_formula_at_random_scales(inputs: dict[str, Any]) -> None:
    for text_scale, image_scale in (torch.rand(20, 2) * torch.tensor([10.0, 2.5])).tolist():
        guided = TwoScaleGuidance(text_scale, image_scale)(CountingDenoiser(), **inputs)
        torch.testing.assert_close(guided, three_branches(inputs, text_scale, image_scale), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("text_scale", "image_scale", "branches"),
    [(7.5, 1.5, 3), (7.5, 1.0, 2), (1.5, 1.5, 2), (1.0, 1.0, 1), (0.0, 1.5, 2), (0.0, 1.0, 1), (0.0, 0.0, 1)],
)
def test_runs_only_branches_that_count(
    inputs: dict[str, Any], text_scale: float, image_scale: float, branches: int
) -> None:
    denoise = CountingDenoiser()
    TwoScaleGuidance(text_scale, image_scale)(denoise, **inputs)
    assert denoise.rows == [2 * branches]


def test_interval_uses_the_conditional_prediction_outside(inputs: dict[str, Any]) -> None:
    guidance = TwoScaleGuidance(7.5, 1.5, start=0.25, stop=0.75)
    plain = CountingDenoiser()(*(inputs[name] for name in ("noisy", "original", "timesteps", "states")))
    rows = []
    for progress in (0.0, 0.24, 0.25, 0.5, 0.75, 0.99):
        denoise = CountingDenoiser()
        guided = guidance(denoise, **inputs, progress=progress)
        rows += denoise.rows
        expected = three_branches(inputs, 7.5, 1.5) if 0.25 <= progress < 0.75 else plain
        torch.testing.assert_close(guided, expected, atol=1e-5, rtol=1e-5)
    assert rows == [2, 2, 6, 6, 2, 2]


def test_coefficients_add_up_to_one() -> None:
    for text_scale, image_scale in SCALES:
        total = sum(branch.coefficient for branch in TwoScaleGuidance(text_scale, image_scale).branches(0.0))
        assert total == pytest.approx(1)


def test_with_scales_keeps_the_rest() -> None:
    guidance = TwoScaleGuidance(7.5, 1.5, start=0.1, stop=0.9)
    assert guidance.with_scales() == guidance
    assert guidance.with_scales(text_scale=3) == TwoScaleGuidance(3.0, 1.5, start=0.1, stop=0.9)
    assert guidance.with_scales(image_scale=0.0) == TwoScaleGuidance(7.5, 0.0, start=0.1, stop=0.9)


@pytest.mark.parametrize(("start", "stop"), [(-0.1, 1.0), (0.5, 0.4), (0.0, 1.1)])
def test_refuses_an_impossible_interval(start: float, stop: float) -> None:
    with pytest.raises(ValueError, match="0 <= start <= stop <= 1"):
        TwoScaleGuidance(start=start, stop=stop)
