"""Media: any size, deterministic, and each with the look that its name promises."""

from __future__ import annotations

import numpy as np
import pytest

from ip2p_lightning.photo_edits import media
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.scene import Scene, Thing

PICTURE = draw(Scene("day", "summer", "clear", "hills", (Thing("house", "red", "left"),)), 96)
MEDIA = [media.black_and_white, media.sepia, media.sketch, media.mosaic, media.painting]


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("size", [(64, 64), (31, 57), (300, 200), (1, 1)])
def test_every_medium_takes_any_size(medium: media.Medium, size: tuple[int, int]) -> None:
    redone = medium(PICTURE.resize(size))
    assert (redone.size, redone.mode) == (size, "RGB")


@pytest.mark.parametrize("medium", MEDIA)
def test_every_medium_is_deterministic_and_leaves_its_input_alone(medium: media.Medium) -> None:
    before = np.array(PICTURE)
    assert np.array_equal(np.asarray(medium(PICTURE)), np.asarray(medium(PICTURE)))
    assert np.array_equal(before, np.asarray(PICTURE))


def test_black_and_white_has_no_colour_and_sepia_is_brown() -> None:
    assert np.ptp(np.asarray(media.black_and_white(PICTURE)), axis=2).max() == 0
    red, green, blue = np.moveaxis(np.asarray(media.sepia(PICTURE), np.int16), 2, 0)
    assert (red >= green).all()
    assert (green >= blue).all()


def test_sketch_is_mostly_white_paper_with_dark_lines() -> None:
    sketch = np.asarray(media.sketch(PICTURE))
    assert np.median(sketch) > 200
    assert sketch.min() < 120


def test_mosaic_is_flat_within_tiles() -> None:
    tiles = np.asarray(media.mosaic(PICTURE, tiles=8)).reshape(8, 12, 8, 12, 3)
    assert np.ptp(tiles, axis=(1, 3)).max() == 0
