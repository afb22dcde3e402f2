"""Images as files: whole or not at all, in the format of their name, with their colour profile and EXIF data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_lightning.files import write_whole

QUALITY = 95
"""Of JPEG, WebP and AVIF files."""
_OPAQUE = ("JPEG", "PPM", "BMP")
_ALIASES = {"MPO": "JPEG"}


def format_of(path: Path) -> str:
    """PIL's name of the format that a file's ending stands for.

    Raises:
        ValueError: an ending of no image format that can be written; names some that can.
    """
    Image.init()
    name = Image.registered_extensions().get(path.suffix.lower(), "")
    name = _ALIASES.get(name, name)
    if name not in Image.SAVE or name in ("PDF", "EPS"):
        raise ValueError(f"{path}: no image can be written as {path.suffix or 'a file without ending'!r}; use .png, "
                         ".jpg, .webp or .tif")  # fmt: skip
    return name


def save_image(image: Image.Image, path: str | Path, quality: int = QUALITY) -> Path:
    """Write an image under a name that appears when it is complete.

    The profile and EXIF data in `image.info` go with it; a format without transparency gets it over white.

    Args:
        image: RGB, RGBA or L.
        path: its ending chooses the format.
        quality: of lossy formats, 1 to 100.

    Raises:
        ValueError: an unknown ending.
        OSError: the file could not be written; names it.
    """
    path = Path(path)
    name, info = format_of(path), image.info
    if name in _OPAQUE and image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    options: dict[str, Any] = {key: info[key] for key in ("icc_profile", "exif") if info.get(key)}
    if name in ("JPEG", "WEBP", "AVIF"):
        options |= {"quality": quality} | ({"subsampling": 0} if name == "JPEG" and quality >= QUALITY else {})
    try:
        write_whole(path, lambda file: image.save(file, name, **options))
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    return path
