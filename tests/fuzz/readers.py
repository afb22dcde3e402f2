"""Every reader that is fuzzed, by name."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from fuzz.checkpoint_readers import CHECKPOINT_READERS
from fuzz.data_readers import DATA_READERS
from fuzz.folder_readers import FOLDER_READERS
from fuzz.harness import Reader
from fuzz.inputs import damaged
from fuzz.result_readers import RESULT_READERS
from ip2p_lightning.data.images import ImageError, open_image


def _seeds() -> list[bytes]:
    """Small images of the formats that people have."""
    image = Image.effect_mandelbrot((24, 16), (-2, -1, 1, 1), 50).convert("RGB")
    files = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        image.save(buffer := io.BytesIO(), kind)
        files.append(buffer.getvalue())
    return [*files, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"]


def _open_image(data: bytes, folder: Path) -> None:
    path = folder / "image.png"
    path.write_bytes(data)
    for source in (data, path):
        open_image(source)


READERS = {
    "image": Reader(damaged(_seeds()), _open_image, (ImageError,)),
    **CHECKPOINT_READERS,
    **DATA_READERS,
    **FOLDER_READERS,
    **RESULT_READERS,
}
