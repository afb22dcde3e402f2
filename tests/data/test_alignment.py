"""Planted shifts, zooms and turns are found to a fraction of a pixel, whatever the edit does beside."""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.alignment import align, aligned
from ip2p_lightning.data.images import to_tensor
from tests.data.doctor.planting import crop, moved, painted, photographs

Edit = Callable[[Image.Image], Image.Image]
SHIFTS = [(0.25, 0.0), (-0.5, 0.25), (1.3, -0.7), (-4.0, 2.5), (8.0, -6.0), (-8.0, 8.0)]
ZOOMS = [1.005, 0.99, 1.02, 0.97, 1.03]


def large(image: Image.Image) -> Image.Image:
    """A third of the area painted over."""
    copy = image.copy()
    copy.paste((30, 200, 60), (20, 20, 20 + image.width // 2, 20 + 2 * image.height // 3))
    return painted(copy, Random(3))


def tinted(image: Image.Image) -> Image.Image:
    """Another gamma for each channel."""
    pixels = 255 * (np.asarray(image) / 255) ** np.array([1.6, 1.3, 0.9])
    return Image.fromarray(pixels.astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return Image.open(buffer).convert("RGB")


EDITS: dict[str, Edit] = {
    "nothing else": lambda image: image,
    "a large local edit": large,
    "all colours": tinted,
    "black and white": lambda image: image.convert("L").convert("RGB"),
    "compression": compressed,
}


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Three photographs, 256 x 192."""
    return [crop(photo, Random(7)) for photo in photographs()[:3]]


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_planted_shifts_and_zooms(edit: str, photos: list[Image.Image]):
    shifts, zooms = [], []
    for number, photo in enumerate(photos):
        for dx, dy in SHIFTS[number::2]:
            found = align(photo, EDITS[edit](moved(photo, dx, dy)))
            assert found.found
            shifts.append(max(abs(found.shift[0] - dx), abs(found.shift[1] - dy)))
            zooms.append(abs(found.zoom - 1))
        for zoom in ZOOMS[number::2]:
            found = align(photo, EDITS[edit](moved(photo, 0.5, -0.25, zoom)))
            shifts.append(max(abs(found.shift[0] - 0.5), abs(found.shift[1] + 0.25)))
            zooms.append(abs(found.zoom - zoom))
    assert max(shifts) < 0.1, shifts
    assert max(zooms) < 0.001, zooms


def test_rotation_stretch_and_larger_movements(photos: list[Image.Image]):
    found = align(photos[0], moved(photos[0], 3, -2, 1.02, 1.5))
    assert found.rotation == pytest.approx(1.5, abs=0.03)
    assert found.zoom == pytest.approx(1.02, abs=0.001)
    found = align(photos[1], moved(photos[1], wide=1.04))
    assert found.stretch == pytest.approx(1.04, abs=0.002)
    assert found.zoom == pytest.approx(1.04**0.5, abs=0.002)
    found = align(photos[2], moved(photos[2], 20, 12, 1.12, 3))
    assert found.shift == pytest.approx((20, 12), abs=0.2)
    assert found.zoom == pytest.approx(1.12, abs=0.002)


def test_what_does_not_move_has_not_moved_and_its_error_is_small(photos: list[Image.Image]):
    for photo in photos:
        found = align(photo, compressed(painted(photo, Random(1))))
        assert found.displacement < 0.05
        assert found.error < 0.1
        assert found.support > 0.5


def test_what_cannot_be_estimated_is_said(photos: list[Image.Image]):
    assert "too little in common" in align(photos[0], photos[1]).reason
    flat = Image.new("RGB", (64, 48), (90, 90, 90))
    assert "without texture" in align(flat, flat).reason
    assert "too small" in align(flat.resize((12, 12)), flat.resize((12, 12))).reason
    with pytest.raises(ValueError, match="images of 256 x 192 and 64 x 48 pixels"):
        align(photos[0], flat)
    with pytest.raises(ValueError, match="nothing to align by"):
        aligned(flat, align(flat, flat))
    assert np.isnan(align(flat, flat).displacement)


def test_tensors_and_images_are_alike_and_small_images_do(photos: list[Image.Image]):
    small = photos[2].resize((64, 48), Image.Resampling.LANCZOS)
    shifted = moved(small, 0.75, -0.5)
    found = align(small, shifted)
    assert align(to_tensor(small), to_tensor(shifted)) == found
    assert found.shift == pytest.approx((0.75, -0.5), abs=0.1)


def test_a_mended_image_lies_where_the_original_does(photos: list[Image.Image]):
    for change in ({"dx": 3.4, "dy": -2.2}, {"zoom": 1.025, "turn": 1.0}, {"dx": -5, "zoom": 0.98}):
        spoilt = moved(photos[2], **change)
        mended = aligned(spoilt, align(photos[2], spoilt))
        assert mended.size == spoilt.size
        assert align(photos[2], mended).displacement < 0.1
        inner = np.s_[16:-16, 16:-16]
        errors = [np.abs(np.asarray(image, float) - np.asarray(photos[2]))[inner].mean() for image in (spoilt, mended)]
        assert errors[1] < 0.5 * errors[0]
