"""Photo operations: identities, inverses and independence of size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.photo_edits import photo


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(40, 200, (48, 64, 3), dtype=np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32)


def test_nothing_changes_at_amount_zero(picture: Image.Image) -> None:
    for operation in (photo.brightness, photo.contrast, photo.saturation, photo.blur):
        np.testing.assert_array_equal(pixels(operation(picture, 0.0)), pixels(picture))
    np.testing.assert_array_equal(pixels(photo.zoom(picture, 0, 0, 1)), pixels(picture))


def test_amounts_are_powers_of_two(picture: Image.Image) -> None:
    halved = photo.brightness(picture, -1.0)
    np.testing.assert_allclose(pixels(halved), pixels(picture) / 2, atol=1)
    assert pixels(photo.contrast(picture, 1.0)).std() > pixels(picture).std()
    grey = pixels(photo.saturation(picture, -20.0))
    assert np.ptp(grey, axis=2).max() <= 1


def test_turns_and_mirrors_undo_themselves(picture: Image.Image) -> None:
    square = picture.crop((0, 0, 48, 48))
    back = photo.turn(photo.turn(square, 1), 3)
    np.testing.assert_array_equal(pixels(back), pixels(square))
    for upside_down in (False, True):
        twice = photo.mirror(photo.mirror(picture, upside_down), upside_down)
        np.testing.assert_array_equal(pixels(twice), pixels(picture))
    assert photo.turn(picture, 1).size == picture.size


def test_zoom_enlarges_the_named_part(picture: Image.Image) -> None:
    left, right = Image.new("RGB", (32, 48), "red"), Image.new("RGB", (32, 48), "blue")
    halves = Image.new("RGB", (64, 48))
    halves.paste(left, (0, 0))
    halves.paste(right, (32, 0))
    assert photo.zoom(halves, 0.0, 0.0, 0.5).getpixel((40, 20)) == (255, 0, 0)
    with pytest.raises(ValueError, match="outside the image"):
        photo.zoom(picture, 0.6, 0.0, 0.5)


def test_blur_depends_on_the_share_of_the_picture_and_not_on_pixels() -> None:
    edge = np.zeros((200, 200, 3), np.uint8)
    edge[:, 100:] = 255
    large = photo.blur(Image.fromarray(edge), 2.0)
    small = photo.blur(Image.fromarray(edge).reduce(2), 2.0)
    np.testing.assert_allclose(pixels(large.reduce(2)), pixels(small), atol=12)
