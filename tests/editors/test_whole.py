"""Images come back as people expect them: size, opacity, colour profile, EXIF data, and untouched outside a mask."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ip2p_lightning.data.deep import deep_of, with_deep
from ip2p_lightning.data.images import as_rgb, open_as_is, to_tensor
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import EditResult
from ip2p_lightning.photo_edits.photo import brightness


class Brighter(Editor):
    """Brightens squares of 48 pixels, and notes what it was given."""

    def fit(self, image):
        return image.resize((48, 48))

    def edit_prepared(self, requests, on_step=None):
        self.given = [request.image for request in requests]
        return [EditResult(brightness(request.image, 0.5), request, "brighter") for request in requests]


def noise(size: tuple[int, int], bands: int = 3) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(values[:, :, 0] if bands == 1 else values)


@cache  # the moment of its making stands in a profile
def wide_gamut() -> bytes:
    """A profile whose green is far outside sRGB: sRGB's with red and green primaries that changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * profile[131], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red : red + 8], profile[green : green + 8] = profile[green : green + 8], profile[red : red + 8]
    return bytes(profile)


def test_images_of_any_size_keep_their_size() -> None:
    inner = Brighter()
    images = [Image.new("RGB", (200, 120), (90, 60, 30)), Image.new("RGB", (63, 301), (10, 90, 30))]
    result = inner.edit(images, "brighter")
    assert [image.size for image in inner.given] == [(48, 48)] * 2
    assert [image.size for image in result.images] == [(200, 120), (63, 301)]
    assert [image.size for image in inner.edit(images, "brighter", size="model").images] == [(48, 48)] * 2
    assert result.expressive_instructions == ["brighter"] * 2
    for image, original in zip(result.images, images, strict=True):
        assert (to_tensor(image) - to_tensor(brightness(original, 0.5))).abs().max() * 127.5 < 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB", "L"])
@pytest.mark.parametrize("size", [(48, 48), (70, 31)])
def test_opacity_stays_and_colours_are_seen_over_white(mode: str, size: tuple[int, int]) -> None:
    alpha = noise(size, 1)
    image = noise(size).convert("L" if mode in ("LA", "L") else "RGB")
    if mode in ("P", "RGB", "L"):  # one colour is transparent
        image = image.convert("P") if mode == "P" else image
        image.info["transparency"] = {"P": 3, "RGB": image.getpixel((0, 0)), "L": 17}[mode]
        alpha = image.convert("RGBA").getchannel("A")
    elif mode == "PA":
        image.putalpha(alpha)
        image = image.convert("PA")
    else:
        image.putalpha(alpha)
    editor = Brighter()
    result = editor.edit(image, "x").images[0]
    assert result.mode == "RGBA"
    assert result.getchannel("A").tobytes() == image.convert("RGBA").getchannel("A").tobytes() == alpha.tobytes()
    assert np.abs(np.asarray(editor.given[0], int) - np.asarray(as_rgb(image).resize((48, 48)), int)).max() <= 1
    copied = np.asarray(CopyInput().edit(image, "x").images[0], int)
    shown = np.asarray(image.convert("RGBA"), int)
    assert (np.abs(copied - shown) * shown[:, :, 3:] <= 2 * 255).all()  # as far as opacity lets them be seen


@pytest.mark.parametrize("size", [(48, 48), (80, 60)])
def test_a_wide_gamut_is_seen_as_srgb_and_comes_back_in_its_own_colours(size: tuple[int, int]) -> None:
    image = noise(size)
    image.info["icc_profile"] = wide_gamut()
    (copy,) = CopyInput().edit(image, "x")
    assert copy.image.tobytes() == image.tobytes()
    assert copy.image.info["icc_profile"] == wide_gamut()
    editor = Brighter()
    (edit,) = editor.edit(image, "x")
    red = as_rgb(Image.new("RGB", (4, 4), (0, 200, 0))).copy()
    red.info["icc_profile"] = wide_gamut()
    assert as_rgb(red).getpixel((0, 0))[0] > 150 > 60 > as_rgb(red).getpixel((0, 0))[1]  # its green is sRGB's red
    assert "icc_profile" not in editor.given[0].info
    assert np.asarray(as_rgb(edit.image)).mean() > np.asarray(as_rgb(image)).mean() + 10


@pytest.mark.parametrize("profile", [b"", b"damaged", None])
def test_srgb_and_damaged_profiles_change_nothing(profile: bytes | None) -> None:
    image = noise((20, 10))
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info["icc_profile"] = made if profile is None else profile
    assert as_rgb(image).tobytes() == image.tobytes()
    grey = noise((20, 10), 1)
    grey.info["icc_profile"] = made  # a profile of RGB, in a grey image
    assert as_rgb(grey).tobytes() == grey.convert("RGB").tobytes()


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "I;16", "I", "F", "1", "HSV", "YCbCr"])
def test_other_modes_become_rgb_of_their_size(mode: str) -> None:
    image = noise((30, 20)).convert("L").convert("I").convert(mode) if mode == "I;16" else noise((30, 20))
    image = image if mode in ("I;16", "LAB") else image.convert(mode)
    result = Brighter().edit(image, "x").images[0]
    assert (result.mode, result.size) == ("RGB", (30, 20))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_other_exif_data_kept(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    buffer = io.BytesIO()
    noise((40, 24)).save(buffer, "JPEG", exif=exif, quality=95)
    (edit,) = Brighter().edit(Image.open(buffer), "x")
    assert edit.image.size == ((40, 24) if orientation < 5 else (24, 40))
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        saved = open_as_is(edit.save(tmp_path / name))
        assert saved.size == edit.image.size
        assert saved.getexif().get(0x010F) == "Maker"
        assert saved.getexif().get(0x0112, 1) == 1


def test_a_thumbnail_of_the_original_is_not_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    thumbnail = io.BytesIO()
    noise((16, 16)).save(thumbnail, "JPEG")
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    raw = exif.tobytes()
    image = noise((40, 24))
    image.info["exif"] = raw
    (edit,) = Brighter().edit(image, "x")
    assert thumbnail.getvalue()[:20] not in edit.image.info["exif"]
    assert Image.open(edit.save(tmp_path / "a.jpg")).getexif().get_ifd(0x8769)[0x9003] == "2026:01:01 00:00:00"


@pytest.mark.parametrize("size", [(48, 48), (90, 50)])
def test_outside_the_mask_everything_stays_as_it_was(size: tuple[int, int]) -> None:
    image = noise(size, 4)
    white = Image.new("L", size)
    white.paste(255, (10, 10, 30, 30))
    clear = Image.new("RGBA", size, (9, 9, 9, 255))
    clear.paste((0, 0, 0, 0), (10, 10, 30, 30))
    for mask in (white, white.convert("RGB"), white.convert("1"), clear):
        result = np.asarray(Brighter().edit(image, "x", mask=mask).images[0])
        inside = np.asarray(white) > 0
        assert (result[~inside] == np.asarray(image)[~inside]).all()
        assert (result[inside] != np.asarray(image)[inside]).any()
    tensor = to_tensor(as_rgb(image))

    class Zero(CopyInput):
        def edit_prepared(self, requests, on_step=None):
            return [EditResult(torch.zeros_like(request.image), request) for request in requests]

    (edited,) = Zero().edit(tensor, "x", mask=white).images
    outside = torch.from_numpy(~inside)
    assert torch.equal(edited[:, outside], tensor[:, outside])
    assert (edited[:, ~outside] == 0).all()
    half = Zero().edit(tensor, "x", mask=Image.new("L", size, 128)).images[0]
    torch.testing.assert_close(half, tensor * (127 / 255))


def test_a_mask_is_of_the_image_as_it_is_shown() -> None:
    image = noise((40, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    Brighter().edit(image, "x", mask=Image.new("L", (24, 40)))
    with pytest.raises(ValueError, match=r"the mask is 40 x 24, the image 24 x 40; .*upright"):
        Brighter().edit(image, "x", mask=Image.new("L", (40, 24)))


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "RGBA"), ("a.webp", "RGBA"), ("a.tif", "RGBA"), ("a.jpg", "RGB"), ("a.bmp", "RGB")]
)
def test_files_keep_what_their_format_can(name: str, mode: str, tmp_path: Path) -> None:
    image = noise((40, 24), 4)
    image.info["icc_profile"] = wide_gamut()
    (edit,) = CopyInput().edit(image, "x")
    with Image.open(edit.save(tmp_path / name)) as saved:
        assert saved.mode == mode
        assert name == "a.bmp" or saved.info["icc_profile"] == wide_gamut()
    with pytest.raises(ValueError, match=r"no image can be written as '.psd'; use .png"):
        edit.save(tmp_path / "a.psd")
    assert not list(tmp_path.glob(".*"))


def ramp(size: tuple[int, int]) -> np.ndarray:
    """uint16 [H, W, 3], far smoother than 8 bits can be."""
    values = np.linspace(8000, 30000, size[0] * size[1]).reshape(size[1], size[0])
    return np.stack([values, values[::-1], values / 2], axis=2).astype(np.uint16)


def deep_image(deep: np.ndarray) -> Image.Image:
    return with_deep(Image.fromarray((deep >> 8).astype(np.uint8)), deep)


@pytest.mark.parametrize("size", [(48, 48), (200, 120)])
def test_16_bits_a_channel_are_edited_as_such(size: tuple[int, int], tmp_path: Path) -> None:
    deep = ramp(size)
    (edit,) = Brighter().edit(deep_image(deep), "brighter")
    found = deep_of(open_as_is(edit.save(tmp_path / "edited.png")))
    assert found is not None
    (shallow,) = Brighter().edit(Image.fromarray((deep >> 8).astype(np.uint8)), "brighter")
    assert np.abs((found >> 8).astype(int) - np.asarray(shallow.image)).max() <= 2
    slope = np.diff(found[:, :, 0].astype(float).ravel())
    assert len(np.unique(found)) > 20 * len(np.unique(shallow.image))
    if size != (48, 48):  # carried over in floating point: no steps of 8 bits in the ramp
        assert np.abs(slope[: size[0] - 1]).max() < 257
    assert deep_of(edit.image) is not None
    again = Brighter().edit(edit.image, "brighter").images[0]
    assert deep_of(again) is not None
    assert deep_of(Brighter().edit(deep_image(deep), "brighter", size="model").images[0]) is None or size == (48, 48)


@pytest.mark.parametrize("size", [(48, 48), (200, 120)])
def test_16_bits_outside_a_mask_and_of_opacity_stay_to_the_bit(size: tuple[int, int]) -> None:
    opacity = np.random.default_rng(1).integers(0, 65536, size[::-1]).astype(np.uint16)
    deep = np.concatenate([ramp(size), opacity[:, :, None]], axis=2)
    mask = Image.new("L", size)
    mask.paste(255, (10, 10, 30, 30))
    found = deep_of(Brighter().edit(deep_image(deep), "brighter", mask=mask, strength=1.5).images[0])
    outside = np.asarray(mask) == 0
    assert np.array_equal(found[outside], deep[outside])
    assert np.array_equal(found[:, :, 3], opacity)
    assert (found[~outside][:, :3].astype(int) > deep[~outside][:, :3]).mean() > 0.8


def test_grey_of_16_bits_and_a_wide_profile_stay() -> None:
    grey = Image.fromarray(ramp((90, 60))[:, :, 0])
    (edit,) = CopyInput().edit(grey, "copy")
    assert np.array_equal(deep_of(edit.image)[:, :, 2], np.asarray(grey))
    image = deep_image(ramp((90, 60)))
    image.info["icc_profile"] = wide_gamut()
    (edit,) = CopyInput().edit(image, "copy")
    assert np.array_equal(deep_of(edit.image), ramp((90, 60)))
    assert edit.image.info["icc_profile"] == wide_gamut()
