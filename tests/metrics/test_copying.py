"""Comparisons with the input, at points where the answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import CloserThanInput, CopyRate, ErrorHalved, RelativeError

pytestmark = pytest.mark.numeric


def figures(images: torch.Tensor, pairs: PairBatch) -> list[float]:
    metrics = [RelativeError(), CloserThanInput(), ErrorHalved(), CopyRate()]
    for metric in metrics:
        metric.update(images, pairs)
    return [round(float(metric.compute()), 4) for metric in metrics]


def test_between_input_and_truth(pairs: PairBatch) -> None:
    def blend(share: float) -> torch.Tensor:
        return pairs.original_image + share * (pairs.edited_image - pairs.original_image)

    assert figures(pairs.original_image, pairs) == [1, 0, 0, 1]
    assert figures(pairs.edited_image, pairs) == [0, 1, 1, 0]
    assert figures(blend(0.2), pairs) == [0.8, 1, 0, 1]
    assert figures(blend(0.4), pairs) == [0.6, 1, 0, 0]
    assert figures(blend(0.8), pairs) == [0.2, 1, 1, 0]
    assert figures(blend(-0.5), pairs) == [1.5, 0, 0, 0]


def test_pairs_that_change_nothing_are_left_out(pairs: PairBatch) -> None:
    pairs.edited_image = pairs.original_image.clone()
    assert all(value != value for value in figures(pairs.original_image, pairs))


def test_copy_rate_ignores_noise_where_nothing_should_change(pairs_of: Callable[..., PairBatch]) -> None:
    pairs = pairs_of()
    assert pairs.mask is not None
    noise = torch.randn(pairs.edited_image.shape, generator=torch.Generator().manual_seed(1))
    images = pairs.original_image + noise * (1 - pairs.mask)
    rate = CopyRate()
    rate.update(images, pairs)
    assert rate.compute() == 1
    pairs.mask = None
    rate.reset()
    rate.update(images, pairs)
    assert rate.compute() == 0


def test_fraction_is_checked() -> None:
    with pytest.raises(ValueError, match="fraction=1"):
        CopyRate(1)


def test_edits_of_the_size_of_rounding_are_none(pairs: PairBatch) -> None:
    pairs.mask = None
    pairs.edited_image = torch.nextafter(pairs.original_image, torch.tensor(1.0))
    assert all(value != value for value in figures(-pairs.original_image, pairs))


def test_a_copy_is_no_nearer_for_its_rounding(pairs: PairBatch) -> None:
    images = torch.nextafter(pairs.original_image, pairs.edited_image)
    assert CloserThanInput().measure(images, pairs).sum() == 0
