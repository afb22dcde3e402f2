"""Values are kept one a picture: no batch size, number of processes or missing mask changes a figure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from processes import on_ranks

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import (
    L1,
    L2,
    PSNR,
    SSIM,
    ChangedRegionError,
    CloserThanInput,
    CopyRate,
    EditMetric,
    ErrorHalved,
    KeptRegionError,
    RelativeError,
)

pytestmark = pytest.mark.numeric

ALL = [L1, L2, PSNR, SSIM, ChangedRegionError, KeptRegionError, RelativeError, CloserThanInput, ErrorHalved, CopyRate]


def part(pairs: PairBatch, rows: slice) -> PairBatch:
    """Some rows of a batch that has nothing cached."""
    given = {name: value for name, value in vars(pairs).items() if name != "cached" and value is not None}
    return PairBatch(**{name: value[rows] for name, value in given.items()})


def noisy(pairs: PairBatch, scale: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    factor = torch.linspace(0.2, 4, len(pairs)).view(-1, 1, 1, 1) * scale
    noise = torch.randn(pairs.edited_image.shape, generator=generator)
    return (pairs.edited_image + factor * noise).clamp(-1, 1)


@pytest.mark.parametrize("metric_class", ALL)
def test_batch_size_does_not_matter(metric_class: type[EditMetric], pairs_of: Callable[..., PairBatch]) -> None:
    pairs = pairs_of(5)
    images = noisy(pairs)
    whole, single = metric_class(), metric_class()
    whole.update(images, pairs)
    for i in range(5):
        single.update(images[i : i + 1], part(pairs, slice(i, i + 1)))
    torch.testing.assert_close(whole.per_sample(), single.per_sample())
    torch.testing.assert_close(whole.compute(), single.compute())
    assert whole.per_sample().shape == (5,)
    assert not whole.compute().isnan()


@pytest.mark.parametrize("metric_class", ALL)
def test_the_truth_is_the_best_result(metric_class: type[EditMetric], pairs: PairBatch) -> None:
    perfect, worse = metric_class(), metric_class()
    perfect.update(pairs.edited_image, pairs)
    worse.update(noisy(pairs), pairs)
    if metric_class is not CopyRate:  # a noisy picture is no copy either
        assert (perfect.compute() > worse.compute()) == metric_class.higher_is_better
    assert metric_class.label


def test_forward_returns_the_batch_figure_and_reset_empties(pairs: PairBatch) -> None:
    metric = L1()
    first = metric(pairs.edited_image, pairs)
    metric(pairs.original_image, pairs)
    assert first == 0
    assert metric.compute() > 0
    metric.reset()
    assert metric.per_sample().shape == (0,)
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute().isnan()


def test_wrong_shape_and_nan_are_refused(pairs: PairBatch) -> None:
    with pytest.raises(ValueError, match="resize"):
        L1().update(torch.zeros(4, 3, 8, 8), pairs)
    broken = pairs.edited_image.clone()
    broken[2, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="pair2"):
        L1().update(broken, pairs)


def test_two_processes_give_the_figure_of_one(pairs_of: Callable[..., PairBatch]) -> None:
    pairs = pairs_of(5)
    images = noisy(pairs)
    metrics = L1, RelativeError, ChangedRegionError

    def gathered() -> list[float]:
        rows = slice(0, 3) if dist.get_rank() == 0 else slice(3, 5)  # unequal shares, as at the end of an epoch
        figures = []
        for kind in metrics:
            metric = kind()
            metric.update(images[rows], part(pairs, rows))
            figures.append(float(metric.compute()))
        return figures

    alone = []
    for kind in metrics:
        metric = kind()
        metric.update(images, pairs)
        alone.append(float(metric.compute()))
    assert on_ranks(2, gathered) == [pytest.approx(alone)] * 2
