"""How much an edit changes."""

from __future__ import annotations

import torch
from factories import tiny_batch

from ip2p_lightning.metrics.change import Change


def test_change_is_the_distance_to_the_input_in_grey_levels() -> None:
    batch = tiny_batch()
    assert Change().measure(batch.original_image, batch).tolist() == [0, 0, 0]
    lighter = (batch.original_image / 2).add(0.2)
    expected = (lighter - batch.original_image).abs().mean((1, 2, 3)) * 127.5
    torch.testing.assert_close(Change().measure(lighter, batch), expected)
