"""Loss weights against the reference formulas."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_snr

from ip2p_lightning.diffusion.objective import DiffusionObjective, FlowMatchingObjective
from ip2p_lightning.diffusion.weights import EditSize, MinSNR

pytestmark = pytest.mark.numeric

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_equals_the_diffusers_recipe(prediction_type: str, gamma: float) -> None:
    scheduler = DDPMScheduler(prediction_type=prediction_type, **SD)
    objective = DiffusionObjective(scheduler)
    edited = torch.randn(6, 4, 2, 2)
    noised = objective.noise(edited)
    snr = compute_snr(scheduler, noised.timesteps)
    clipped = snr.clamp(max=gamma)
    expected = {"epsilon": clipped / snr, "v_prediction": clipped / (snr + 1), "sample": clipped}[prediction_type]
    weight = MinSNR(gamma)(noised, edited, edited, prediction_type)
    torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "flow"])
def test_min_snr_is_one_weight_in_the_unit_of_the_clean_sample(prediction_type: str) -> None:
    """The weighted error equals min(snr, gamma) times the error of the clean sample that the prediction implies."""
    edited, noise, wrong = torch.randn(3, 4, 5, 2, 2).unbind()
    if prediction_type == "flow":
        objective = FlowMatchingObjective(FlowMatchEulerDiscreteScheduler(), weights=[MinSNR(5)])
    else:
        objective = DiffusionObjective(DDPMScheduler(prediction_type=prediction_type, **SD), weights=[MinSNR(5)])
    fractions = torch.tensor([0.2, 0.4, 0.6, 0.8])
    noised = objective.add_noise(edited, noise, fractions)
    per_unit = {
        "epsilon": noised.snr.rsqrt(),  # x0 = (z - sigma eps) / alpha
        "v_prediction": (noised.snr + 1).rsqrt(),  # x0 = alpha z - sigma v
        "flow": fractions,  # x0 = z - t u
    }[prediction_type]
    error_of_sample = (wrong * per_unit.view(-1, 1, 1, 1)).pow(2).flatten(1).mean(1)
    expected = (noised.snr.clamp(max=5) * error_of_sample).mean()
    loss = objective.loss(noised.target + wrong, noised, edited, edited)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_min_snr_is_finite_on_a_zero_terminal_schedule() -> None:
    for prediction_type in ("epsilon", "v_prediction", "sample"):
        objective = DiffusionObjective(
            DDPMScheduler(prediction_type=prediction_type, rescale_betas_zero_snr=True, **SD), weights=[MinSNR()]
        )
        edited = torch.randn(2, 4, 2, 2)
        noised = objective.add_noise(edited, torch.randn_like(edited), torch.tensor([0.0, 0.9999]))
        assert objective.loss(torch.randn_like(edited), noised, edited, edited).isfinite()


def test_edit_size_favours_small_edits_and_averages_one() -> None:
    original = torch.randn(3, 4, 2, 2)
    edited = original + torch.tensor([0.0, 0.1, 2.0]).view(3, 1, 1, 1)
    noised = DiffusionObjective(DDPMScheduler(**SD)).noise(edited)
    weight = EditSize(floor=0.02)(noised, edited, original, "epsilon")
    expected = 1 / torch.tensor([0.02, 0.01 + 0.02, 4.0 + 0.02]).sqrt()
    torch.testing.assert_close(weight, expected / expected.mean())
    assert float(weight.mean()) == pytest.approx(1)


def test_weights_multiply() -> None:
    scheduler, edited, original = DDPMScheduler(**SD), torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    weights = [MinSNR(5), EditSize()]
    objective = DiffusionObjective(scheduler, weights=weights)
    noised = objective.noise(edited)
    prediction = torch.randn_like(edited)
    product = torch.stack([weight(noised, edited, original, "epsilon") for weight in weights]).prod(0)
    expected = (product * (prediction - noised.target).pow(2).flatten(1).mean(1)).mean()
    torch.testing.assert_close(objective.loss(prediction, noised, edited, original), expected)
