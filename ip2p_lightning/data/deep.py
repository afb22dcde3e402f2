"""Images of 16 bits a channel: PIL holds colours of 8, so all 16 bits travel in `info` of the image they belong to.

They count only while the image's own pixels are their upper bytes: an image that was changed since has 8 bits.
"""

from __future__ import annotations

import struct
import sys
import zlib
from typing import IO, Any

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

KEY = "sixteen_bits"
FORMATS = ("PNG", "TIFF")
"""Formats that are written with 16 bits a channel, in PIL's names."""
_OTHER_BYTE = {f"{mode};16{one}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for one, other in ("BL", "LB")}
_NATIVE = ";16L" if sys.byteorder == "little" else ";16B"
_ROWS = 256
_PNG = b"\x89PNG\r\n\x1a\n"
_DEFLATE, _DIFFERENCES = 8, 2


def lower_bytes(image: Any) -> bool:
    """Turn a file that has been opened, and not yet decoded, to its lower bytes; False if it has none.

    PIL decodes an RGB channel of 16 bits by its first or its last byte, whichever the file's order says is the upper.
    """
    tiles = []
    for tile in image.tile:
        raw, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        other = _OTHER_BYTE.get(raw.replace(";16N", _NATIVE)) if isinstance(raw, str) else None
        if other is None:
            return False
        tiles.append(tile._replace(args=(other, *rest) if isinstance(tile.args, tuple) else other))
    image.tile = tiles
    return bool(tiles)


def joined(upper: Image.Image, lower: Image.Image) -> np.ndarray:
    """uint16 [H, W, 3 or 4] of its two bytes."""
    return (np.asarray(upper).astype(np.uint16) << 8) | np.asarray(lower)


def with_deep(image: Image.Image, deep: np.ndarray) -> Image.Image:
    """An image that carries its 16 bits.

    Args:
        image: RGB or RGBA, whose pixels are the upper bytes.
        deep: uint16 [H, W, 3 or 4].
    """
    image.info[KEY] = deep
    return image


def deep_of(image: Image.Image) -> np.ndarray | None:
    """The 16 bits of an image, uint16 [H, W, 3 or 4]; None for one of 8."""
    if image.mode.startswith("I;16"):
        return np.repeat(np.asarray(image).astype(np.uint16)[:, :, None], 3, axis=2)
    deep = image.info.get(KEY)
    if not isinstance(deep, np.ndarray) or image.mode not in ("RGB", "RGBA"):
        return None
    if deep.shape != (image.height, image.width, len(image.mode)):
        return None
    pixels = np.asarray(image)
    same = (
        np.array_equal(deep[top : top + _ROWS] >> 8, pixels[top : top + _ROWS]) for top in range(0, image.height, _ROWS)
    )
    return deep if all(same) else None


def write_deep(deep: np.ndarray, file: IO[bytes], name: str, profile: bytes | None, exif: bytes | None) -> None:
    """Write uint16 [H, W, 3 or 4] as a PNG or a TIFF of 16 bits a channel; the name is PIL's."""
    (_write_png if name == "PNG" else _write_tiff)(deep, file, profile, exif)


def _write_png(deep: np.ndarray, file: IO[bytes], profile: bytes | None, exif: bytes | None) -> None:
    height, width, channels = deep.shape

    def chunk(kind: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    file.write(_PNG)
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0))
    if profile:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    if exif:
        chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    packer, above = zlib.compressobj(), np.zeros((1, width * channels * 2), np.uint8)
    for top in range(0, height, _ROWS):
        rows = deep[top : top + _ROWS].astype(">u2").view(np.uint8).reshape(-1, width * channels * 2)
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = 2  # each row as its difference from the row above
        filtered[:, 1:] = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        if data := packer.compress(filtered.tobytes()):
            chunk(b"IDAT", data)
    chunk(b"IDAT", packer.flush())
    chunk(b"IEND", b"")


def _write_tiff(deep: np.ndarray, file: IO[bytes], profile: bytes | None, exif: bytes | None) -> None:
    height, width, channels = deep.shape
    strips: list[bytes] = []
    for top in range(0, height, _ROWS):
        rows = deep[top : top + _ROWS].astype("<u2")
        rows[:, 1:] -= rows[:, :-1].copy()
        strips.append(zlib.compress(rows.tobytes()))
    places = np.cumsum([0, *map(len, strips)]).tolist()  # from the end of the tags
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    if exif:
        kept = Image.Exif()
        kept.load(exif)
        for tag in kept:
            tags[tag] = kept.get_ifd(tag) if tag in (0x8769, 0x8825) else kept[tag]
    own: dict[int, Any] = {256: width, 257: height, 258: (16,) * channels, 259: _DEFLATE, 262: 2, 277: channels}
    own |= {278: _ROWS, 273: tuple(places[:-1]), 279: tuple(map(len, strips)), 284: 1, 317: _DIFFERENCES}
    own |= ({338: 2} if channels == 4 else {}) | ({34675: profile} if profile else {})
    for tag, value in own.items():
        tags[tag] = value
    tags.tagtype[273] = tags.tagtype[279] = TiffTags.LONG
    file.write(struct.pack("<2sHI", b"II", 42, 8) + tags.tobytes(8))
    file.writelines(strips)
