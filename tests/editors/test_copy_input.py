"""The baseline that changes nothing."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from ip2p_lightning.editors.copy_input import CopyInput


def test_returns_what_it_was_given() -> None:
    images = torch.rand(2, 3, 4, 4)
    result = CopyInput().edit(images, ["make it winter"] * 2, seeds=[1, 2], text_scale=9.0, image_scale=0.0, steps=1)
    assert torch.equal(result.images, images)
    assert result.expressive_instructions == []
    pictures = [Image.new("RGB", (3, 5))]
    assert CopyInput().edit(pictures, ["make it winter"]).images == pictures


def test_asks_for_instructions_as_every_editor_does() -> None:
    with pytest.raises(ValueError, match="is empty; say what to change"):
        CopyInput().edit(torch.rand(1, 3, 4, 4), [" "])
