"""Colours of 16 bits a channel: read, written, and dropped where they no longer belong to the image."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ip2p_lightning.data.deep import deep_of
from ip2p_lightning.data.images import ImageError, open_as_is
from ip2p_lightning.data.saving import save_image

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(channels: int, height: int = 300, width: int = 41) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 65536, (height, width, channels)).astype(np.uint16)


def written(deep: np.ndarray, path: Path, **options: object) -> Path:
    """A file of somebody else's: TIFF by tifffile; saved again as PNG by this package."""
    tiff = path.with_suffix(".tif")
    tifffile.imwrite(tiff, deep, photometric="rgb", **options)  # type: ignore[arg-type]
    return tiff if path.suffix == ".tif" else save_image(open_as_is(tiff), path)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_all_bits_come_back_and_other_programs_read_them(channels: int, name: str, tmp_path: Path) -> None:
    deep = pixels(channels)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    image = open_as_is(written(deep, tmp_path / "given.tif", iccprofile=PROFILE, rowsperstrip=16, **extra))
    assert np.array_equal(np.asarray(image), deep >> 8)
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "Camera", {0x9003: "2020:01:01 00:00:00"}
    image.info["exif"] = exif.tobytes()
    file = save_image(image, tmp_path / name)
    again = open_as_is(file)
    assert np.array_equal(deep_of(again), deep)
    assert again.info["icc_profile"] == PROFILE
    assert again.getexif()[0x010F] == "Camera"
    assert again.getexif().get_ifd(0x8769)[0x9003].startswith("2020")
    if name.endswith("png"):
        Image.open(file).verify()  # checksums
    else:
        assert np.array_equal(tifffile.imread(file), deep)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"compression": "zlib"}, {"rowsperstrip": 7}])
def test_layouts_of_tiff(options: dict, tmp_path: Path) -> None:
    deep = pixels(3)
    assert np.array_equal(deep_of(open_as_is(written(deep, tmp_path / "a.tif", **options))), deep)


def test_the_orientation_is_applied_to_all_bits(tmp_path: Path) -> None:
    deep = pixels(3, 8, 5)
    file = written(deep, tmp_path / "a.tif", extratags=[(274, 3, 1, 6, True)])
    image = open_as_is(file)
    assert image.size == (8, 5)
    assert np.array_equal(deep_of(image), np.rot90(deep, -1))


def test_an_image_that_was_changed_has_8_bits(tmp_path: Path) -> None:
    image = open_as_is(written(pixels(3), tmp_path / "a.png"))
    copy = image.copy()
    assert deep_of(copy) is not None
    copy.putpixel((3, 4), (0, 0, 0) if image.getpixel((3, 4)) != (0, 0, 0) else (9, 9, 9))
    assert deep_of(copy) is None
    assert deep_of(image.rotate(180)) is None
    assert deep_of(image.resize((20, 10))) is None
    assert deep_of(image.convert("RGBA")) is None
    save_image(copy, tmp_path / "changed.png")
    assert open_as_is(tmp_path / "changed.png").getpixel((3, 4)) == copy.getpixel((3, 4))


def test_8_bits_stay_8_and_damage_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "teal").save(tmp_path / "small.png")
    assert deep_of(open_as_is(tmp_path / "small.png")) is None
    whole = written(pixels(3), tmp_path / "a.png").read_bytes()
    with pytest.raises(ImageError, match="damaged or truncated"):
        open_as_is(whole[: len(whole) // 2], name="half")
    grey = np.arange(60_000, dtype=np.uint16).reshape(200, 300)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    found = deep_of(open_as_is(buffer.getvalue()))
    assert found is not None
    assert np.array_equal(found[:, :, 1], grey)
