"""How much an edit does: nothing for a copy, all of it for the truth."""

from __future__ import annotations

import pytest
import torch
from factories import tiny_batch

from ip2p_lightning.metrics.strength import ChangeFromInput, TrueChange

pytestmark = pytest.mark.numeric


def test_copy_truth_and_what_lies_between() -> None:
    pairs = tiny_batch(size=8)
    original, truth = pairs.original_image, pairs.edited_image
    strength, part = ChangeFromInput(), TrueChange()
    assert strength.measure(original, pairs).tolist() == [0] * len(pairs)
    assert part.measure(original, pairs).tolist() == [0] * len(pairs)
    assert torch.allclose(part.measure(truth, pairs), torch.ones(len(pairs)))
    for share in (-1.0, 0.3, 2.0):
        assert torch.allclose(
            part.measure(original + share * (truth - original), pairs), torch.tensor(share), atol=1e-5
        )
    assert torch.allclose(strength.measure(truth, pairs), (truth - original).abs().mean((1, 2, 3)) * 127.5)


def test_what_is_beside_the_true_change_does_not_count() -> None:
    pairs = tiny_batch(size=8)
    pairs.edited_image = pairs.original_image.clone()
    pairs.edited_image[:, 0] += 0.5
    beside = pairs.original_image.clone()
    beside[:, 1] += 0.5
    assert TrueChange().measure(beside, pairs).tolist() == [0] * len(pairs)
    assert (ChangeFromInput().measure(beside, pairs) > 0).all()


def test_there_is_no_part_of_nothing() -> None:
    pairs = tiny_batch(size=8)
    pairs.edited_image = pairs.original_image
    assert TrueChange().measure(pairs.original_image + 0.1, pairs).isnan().all()


def test_there_is_no_part_of_rounding() -> None:
    pairs = tiny_batch(size=8)
    pairs.edited_image = torch.nextafter(pairs.original_image, torch.tensor(1.0))
    assert TrueChange().measure(-pairs.original_image, pairs).isnan().all()
