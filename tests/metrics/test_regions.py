"""Errors inside and outside the mask add up to the whole, and each sees its own part alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import L1, ChangedRegionError, KeptRegionError

pytestmark = pytest.mark.numeric


def test_copying_errs_only_where_it_should_change(pairs: PairBatch) -> None:
    changed, kept = ChangedRegionError(), KeptRegionError()
    changed.update(pairs.original_image, pairs)
    kept.update(pairs.original_image, pairs)
    assert kept.compute() == 0
    assert changed.compute() > 0


def test_parts_add_up_to_the_whole(pairs: PairBatch) -> None:
    images = torch.zeros_like(pairs.edited_image)
    metrics = [ChangedRegionError(), KeptRegionError(), L1(255)]
    for metric in metrics:
        metric.update(images, pairs)
    changed, kept, whole = (metric.per_sample() for metric in metrics)
    torch.testing.assert_close((changed + kept) / 2, whole)  # the mask is half of the picture


def test_no_mask_or_empty_region_is_not_a_number(pairs_of: Callable[..., PairBatch], pairs: PairBatch) -> None:
    unmasked = pairs_of(masked=False)
    for metric in (ChangedRegionError(), KeptRegionError()):
        metric.update(unmasked.original_image, unmasked)
        assert metric.per_sample().isnan().all()
    assert pairs.mask is not None
    pairs.mask = torch.ones_like(pairs.mask)
    kept = KeptRegionError()
    kept.update(pairs.original_image, pairs)
    assert kept.compute().isnan()


def test_known_value(pairs: PairBatch) -> None:
    changed = ChangedRegionError()
    shifted = pairs.edited_image.clone()
    shifted[..., 0] += 0.2  # one column of the eight that may change, by 25.5 grey levels
    changed.update(shifted, pairs)
    assert changed.compute() == pytest.approx(25.5 / 8, rel=1e-4)
