"""A region's figure hears of what is in the region alone."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import L1, SSIM, ChangedRegionError, InRegion, KeptRegionError, RelativeError

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("region", ["changed", "kept"])
def test_errors_elsewhere_do_not_count(region: str, pairs: PairBatch) -> None:
    assert pairs.mask is not None
    inside = pairs.mask if region == "changed" else 1 - pairs.mask
    noise = 0.2 * torch.randn(pairs.edited_image.shape)
    metric = InRegion(SSIM(), region)  # type: ignore[arg-type]
    elsewhere = (pairs.edited_image + noise * (1 - inside)).clamp(-1, 1)
    torch.testing.assert_close(metric.measure(elsewhere, pairs), torch.ones(4))
    there = (pairs.edited_image + noise * inside).clamp(-1, 1)
    torch.testing.assert_close(metric.measure(there, pairs), SSIM().measure(there, pairs))
    assert metric.higher_is_better is True
    assert metric.label.startswith("SSIM where it should")


def test_agrees_with_the_region_errors(pairs: PairBatch) -> None:
    for region, error in (("changed", ChangedRegionError()), ("kept", KeptRegionError())):
        whole = InRegion(L1(255), region).measure(pairs.original_image.flip(0), pairs)  # type: ignore[arg-type]
        torch.testing.assert_close(whole, error.measure(pairs.original_image.flip(0), pairs) / 2)  # half the picture


def test_no_mask_and_empty_regions_are_gaps(pairs: PairBatch, pairs_of) -> None:
    bare = pairs_of(4, masked=False)
    assert InRegion(L1(), "changed").measure(bare.original_image, bare).isnan().all()
    assert pairs.mask is not None
    pairs.mask[1] = 1
    assert InRegion(L1(), "kept").measure(pairs.original_image, pairs).isnan().tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="compares with copying"):
        InRegion(RelativeError(), "kept")
    with pytest.raises(ValueError, match="region='outside'"):
        InRegion(L1(), "outside")  # type: ignore[arg-type]
