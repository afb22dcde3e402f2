"""The picture grid shows the pictures themselves, side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.report.grid import edit_grid


def test_every_picture_is_where_it_belongs(scene_result: EvaluationResult) -> None:
    examples = scene_result.examples[:3]
    grid = edit_grid(examples, side=64, text_width=120)
    columns = [20, 20 + 64 + 14 + 120 + 14, 20 + 2 * 64 + 28 + 120 + 14]
    for row, example in enumerate(examples):
        top = 54 + row * 78
        for left, image in zip(columns, (example.original, example.edited, example.truth), strict=True):
            cell = grid.crop((left, top, left + 64, top + 64))
            assert np.array_equal(np.asarray(cell), np.asarray(image))


def test_columns_share_the_rows(scene_result: EvaluationResult) -> None:
    one, two = (edit_grid(scene_result.examples[:4], side=64, columns=n) for n in (1, 2))
    assert two.width > one.width
    assert two.height < one.height


def test_long_texts_and_other_shapes_fit(scene_result: EvaluationResult) -> None:
    example = replace(
        scene_result.examples[0],
        instruction="very " * 80 + "unbreakable" * 20,
        original=Image.new("RGB", (300, 20)),
        edited=Image.new("RGB", (20, 300)),
    )
    assert edit_grid([example], side=100).size[1] < 200


def test_nothing_to_show() -> None:
    with pytest.raises(ValueError, match="no examples"):
        edit_grid([])
