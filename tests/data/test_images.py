"""Pictures of every mode open as the RGB a person would expect; unusable ones say which file and what to do."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz.harness import forget_peak, peak
from PIL import Image, ImageOps

from ip2p_lightning.data import images
from ip2p_lightning.data.images import (
    FORMATS,
    ImageError,
    as_rgb,
    open_image,
    open_mask,
    picture_size,
    to_pil,
    to_tensor,
)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixel(image: Image.Image) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (Image.new("1", (5, 4), 1), "a.png", (255, 255, 255)),
        (Image.new("L", (5, 4), 77), "a.png", (77, 77, 77)),
        (Image.new("LA", (5, 4), (0, 0)), "a.png", (255, 255, 255)),
        (Image.new("LA", (5, 4), (90, 255)), "a.png", (90, 90, 90)),
        (Image.new("RGB", (5, 4), (1, 2, 3)), "a.png", (1, 2, 3)),
        (Image.new("RGBA", (5, 4), (255, 0, 0, 0)), "a.png", (255, 255, 255)),
        (Image.new("RGBA", (5, 4), (255, 0, 0, 255)), "a.webp", (255, 0, 0)),
        (Image.new("RGB", (5, 4), (200, 100, 50)).quantize(4), "a.gif", (200, 100, 50)),
        (Image.new("CMYK", (5, 4), (255, 0, 0, 0)), "a.tif", (0, 255, 255)),
        (Image.fromarray(np.full((4, 5), 32_896, dtype=np.uint16)), "a.png", (128, 128, 128)),
        (Image.fromarray(np.full((4, 5), 65_535, dtype=np.uint16)), "a.tif", (255, 255, 255)),
        (Image.fromarray(np.full((4, 5), 200, dtype=np.int32)), "a.tif", (200, 200, 200)),
        (Image.fromarray(np.full((4, 5), 0.5, dtype=np.float32)), "a.tif", (128, 128, 128)),
        (Image.fromarray(np.full((4, 5), np.nan, dtype=np.float32)), "a.tif", (0, 0, 0)),
        (Image.new("LAB", (5, 4), (255, 128, 128)), "a.tif", (255, 255, 255)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_every_mode_opens_as_rgb(image: Image.Image, name: str, expected: tuple[int, ...], tmp_path: Path) -> None:
    opened = open_image(save(image, tmp_path / name))
    assert opened.size == (5, 4)
    assert pixel(opened) == pytest.approx(expected, abs=1)


def test_half_transparent_is_half_over_white() -> None:
    assert pixel(as_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))) == pytest.approx((127, 127, 127), abs=1)


def test_transparent_palette_and_rgb_go_over_white(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert pixel(open_image(save(palette, tmp_path / "p.png", transparency=0))) == (255, 255, 255)
    rgb = Image.new("RGB", (2, 2), (9, 8, 7))
    assert pixel(open_image(save(rgb, tmp_path / "rgb.png", transparency=(9, 8, 7)))) == (255, 255, 255)


def test_16_bits_keep_their_gradient() -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16)[None]
    np.testing.assert_array_equal(np.asarray(as_rgb(Image.fromarray(ramp)))[0, :, 0], np.arange(256))


def test_cmyk_jpeg_opens(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "cmyk.jpg", quality=95)
    assert pixel(open_image(path)) == pytest.approx((255, 0, 0), abs=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = (12, 8) if orientation < 5 else (8, 12)
    for name, format in (("turned.jpg", "JPEG"), ("turned.png", "PNG")):
        path = save(Image.new("RGB", (12, 8)), tmp_path / name, exif=exif)
        opened = open_image(path)
        assert opened.size == expected
        assert picture_size(path) == (*expected, format)
        assert opened.getexif().get(0x0112, 1) == 1


def test_animated_pictures_open_at_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.png"):
        path = save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert pixel(open_image(path)) == (255, 0, 0)


def test_one_pixel_opens_and_becomes_a_tensor() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), (255, 0, 127)).save(buffer, "PNG")
    tensor = to_tensor(open_image(buffer.getvalue()))
    assert tensor.shape == (3, 1, 1)
    torch.testing.assert_close(tensor.flatten(), torch.tensor([1.0, -1.0, 127 / 127.5 - 1]))


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises more pixels than it has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [11_000, 20_000, 60_000])
def test_bombs_are_refused_before_decoding(side: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(ImageError, match=r"bomb\.png.*limit max_pixels=100,000,000.*smaller"):
        open_image(path)


def test_sizes_are_read_without_decoding(tmp_path: Path) -> None:
    assert picture_size(png_header(9_000, 7_000)) == (9_000, 7_000, "PNG")
    with pytest.raises(ImageError, match=r"x: not a readable image"):
        picture_size(b"\xff\xd8\xff\xe1", name="x")


def test_the_limit_is_a_parameter(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (30, 20)), tmp_path / "a.png")
    assert open_image(path, max_pixels=600).size == (30, 20)
    with pytest.raises(ImageError, match="30 x 20 is 600 pixels, more than the limit max_pixels=599"):
        open_image(path, max_pixels=599)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_truncated_files_are_named(suffix: str, tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = save(noise, tmp_path / f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"cut\.{suffix}: .*(damaged|not a readable)"):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_named_with_a_remedy(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"note\.png.*(PNG or JPEG|again)"):
        open_image(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        open_image(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        open_image(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "link loop", "/dev/zero", "link to nothing"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to({"link loop": "a.png", "link to nothing": "nothing"}.get(kind, kind))
    with pytest.raises(FileNotFoundError, match=r"a\.png: no such image file"):
        open_image(path)


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    path.write_bytes(save(Image.new("RGB", (4, 3)), tmp_path / "a.png").read_bytes())
    assert open_image(path).size == (4, 3)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_texts_and_profiles_that_unfold_are_bounded(kind: bytes, tmp_path: Path) -> None:
    """A chunk of a megabyte that holds a gigabyte: an image without it, or an error, in little memory."""
    plain = save(Image.new("RGB", (4, 3)), tmp_path / "a.png").read_bytes()
    held = zlib.compress(bytes(2**28), 9)
    data = b"x\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + held
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    forget_peak()
    before = peak()
    with suppress(ImageError):
        assert open_image(plain[:33] + chunk + plain[33:]).size == (4, 3)
    assert peak() - before < 2**27


def test_an_icon_that_lies_about_its_size_and_a_file_of_two_kinds(tmp_path: Path) -> None:
    icon = bytearray(save(Image.new("RGB", (16, 16)), tmp_path / "a.ico").read_bytes())
    icon[6:8] = b"\xff\xff"  # its directory says 255 x 255
    with suppress(ImageError):
        assert open_image(bytes(icon)).size == (16, 16)
    png = save(Image.new("RGB", (4, 3), "red"), tmp_path / "b.png").read_bytes()
    assert open_image(png + b"PK\x05\x06" + bytes(18) + b"<script>").size == (4, 3)


def test_bytes_are_called_by_the_name_given() -> None:
    with pytest.raises(ImageError, match="pair 'x' edited"):
        open_image(b"no", name="pair 'x' edited")


def test_tensors_and_pictures_are_inverse() -> None:
    every = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for image in (every, Image.merge("RGB", [every, every.rotate(90), every.rotate(180)])):
        tensor = to_tensor(image)
        assert tensor.dtype == torch.float32
        assert tensor.min() == -1
        assert tensor.max() == 1
        assert to_pil(tensor).tobytes() == image.tobytes()


def test_to_pil_clips_and_refuses_nan_and_batches() -> None:
    assert to_pil(torch.tensor([[[-3.0]], [[0.0]], [[3.0]]])).getpixel((0, 0)) == (0, 128, 255)
    with pytest.raises(ValueError, match="NaN"):
        to_pil(torch.full((3, 2, 2), torch.nan))
    with pytest.raises(ValueError, match=r"index the batch"):
        to_pil(torch.zeros(1, 3, 2, 2))


def test_masks_open_black_and_white(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    mask = open_mask(save(ramp, tmp_path / "mask.png"))
    assert mask.mode == "L"
    np.testing.assert_array_equal(np.asarray(mask)[0], np.repeat([0, 255], 128))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(("size", "subsampling"), [((64, 48), 2), ((67, 53), 2), ((65, 131), 0), ((40, 41), 1)])
def test_jpegs_are_pils_to_the_bit_at_every_scale(mode: str, size: tuple[int, int], subsampling: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert(mode)
    for exif in (None, Image.Exif()):
        if exif is not None:
            exif[0x0112] = 6
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", subsampling=subsampling, **({"exif": exif} if exif else {}))
        for least_side in (None, 50, 21, 20, 10, 5, 1):
            plain = Image.open(io.BytesIO(buffer.getvalue()))
            if least_side and min(plain.size) >= 2 * least_side:
                plain.draft(None, (least_side, least_side))
            expected = ImageOps.exif_transpose(plain).convert("RGB")
            ours = open_image(buffer.getvalue(), least_side=least_side)
            assert ours.size == expected.size
            assert min(ours.size) >= min(least_side or 0, min(size))
            assert ours.tobytes() == expected.tobytes()


def test_damaged_jpegs_are_named_whoever_decodes_them() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    for data in (buffer.getvalue()[:1500], buffer.getvalue()[:20]):
        with pytest.raises(ImageError, match="it: "):
            open_image(data, name="it")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"


@pytest.mark.parametrize("data", [EPS, b"\xc5\xd0\xd3\xc6" + b"\0" * 26 + EPS, b"\r\n" + EPS, b"%PDF-1.4\n" + EPS])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".eps", ".ps"])
@pytest.mark.parametrize("use", [open_image, open_mask, picture_size])
def test_a_page_description_starts_no_program(use, suffix: str, data: bytes, tmp_path: Path, monkeypatch) -> None:
    canary, program = tmp_path / "canary", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {canary}\necho 10.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (file := tmp_path / f"evil{suffix}").write_bytes(data)
    for source in (file, data):
        with pytest.raises(ImageError, match="not a readable image"):
            use(source)
    assert not canary.exists()


def test_formats_that_people_have_are_read(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), (200, 10, 10))  # an ICO file holds sides of 16 and more
    kinds = {"PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM", "ICO", "TGA"} & {*FORMATS, "MPO"}
    assert {"PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP"} <= kinds
    for kind in kinds:
        image.save(tmp_path / "image", kind, **({"save_all": True, "append_images": [image]} if kind == "MPO" else {}))
        opened = open_image(tmp_path / "image")
        assert opened.mode == "RGB"
        assert np.abs(np.asarray(opened.resize((16, 8)), dtype=int) - (200, 10, 10)).max() < 12, kind


def test_one_place_names_the_formats() -> None:
    package = Path(images.__file__).parents[1]
    calls = [line for path in package.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    opened = [line for line in calls if re.search(r"Image\.open\((?!\"photo)", line) and '["WEBP"]' not in line]
    assert opened
    assert all("formats=FORMATS" in line for line in opened), opened
