"""The editor that knows the answer."""

from __future__ import annotations

import pytest
import torch
from factories import tiny_batch

from ip2p_lightning.editors.truth import Truth
from ip2p_lightning.metrics import L1, SSIM, CopyRate


def test_returns_the_truth_which_every_metric_finds_perfect() -> None:
    batch = tiny_batch(size=16)
    images = Truth().edit(batch.original_image, batch.instruction, truth=batch.edited_image).images
    assert torch.equal(images, batch.edited_image)
    assert L1().measure(images, batch).tolist() == [0.0] * len(batch)
    assert SSIM().measure(images, batch).tolist() == pytest.approx([1.0] * len(batch))
    assert CopyRate().measure(images, batch).tolist() == [0.0] * len(batch)


def test_says_what_is_missing() -> None:
    images = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"none were given; pass truth="):
        Truth().edit(images, ["a", "b"])
    with pytest.raises(ValueError, match="1 values of truth for 2 edits"):
        Truth().edit(images, ["a", "b"], truth=images[:1])
