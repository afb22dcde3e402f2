"""Every reader that is fuzzed, by name."""

from __future__ import annotations

import io
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

from fuzz.harness import Reader
from ip2p_lightning.data.images import ImageError, open_image


def _seeds() -> list[bytes]:
    """Small images of the formats that people have."""
    image = Image.effect_mandelbrot((24, 16), (-2, -1, 1, 1), 50).convert("RGB")
    files = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        image.save(buffer := io.BytesIO(), kind)
        files.append(buffer.getvalue())
    return [*files, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"]


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the files with some of its bytes changed, cut out, repeated or appended."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=8))
        how = draw(st.sampled_from(("over", "in", "cut")))
        if how == "over":
            data[place : place + len(piece)] = piece
        elif how == "in":
            data[place:place] = piece
        else:
            del data[place : place + draw(st.integers(1, 64))]
    return bytes(data)


def _open_image(data: bytes, folder: Path) -> None:
    path = folder / "image.png"
    path.write_bytes(data)
    for source in (data, path):
        open_image(source)


READERS = {
    "image": Reader(damaged(_seeds()), _open_image, (ImageError,)),
}
