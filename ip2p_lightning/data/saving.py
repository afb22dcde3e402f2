"""Images as files: whole or not at all, in the format of their name, with their colour profile and EXIF data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

from PIL import Image

from ip2p_lightning.data import deep
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


def png_bytes(image: Image.Image) -> bytes:
    """An image as a PNG file, with the profile and EXIF data in its `info` and no other texts."""
    buffer = io.BytesIO()
    bare = image.copy()
    bare.info = {}
    bare.save(buffer, "PNG", **{key: image.info[key] for key in ("icc_profile", "exif") if image.info.get(key)})
    return buffer.getvalue()


def write_image(image: Image.Image, file: IO[bytes], name: str, quality: int = QUALITY) -> None:
    """Write an image in the format of a name of PIL's; see `save_image`."""
    options: dict[str, Any] = {key: image.info[key] for key in ("icc_profile", "exif") if image.info.get(key)}
    if name in deep.FORMATS and deep.KEY in image.info and (whole := deep.deep_of(image)) is not None:
        deep.write_deep(whole, file, name, options.get("icc_profile"), options.get("exif"))
        return
    if name in ("JPEG", "WEBP", "AVIF"):
        options |= {"quality": quality} | ({"subsampling": 0} if name == "JPEG" and quality >= QUALITY else {})
    (over_white(image) if name in _OPAQUE else image).save(file, name, **options)


def over_white(image: Image.Image) -> Image.Image:
    """An image without transparency."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    opaque.info |= {key: value for key, value in image.info.items() if key in ("icc_profile", "exif")}
    return opaque


def save_image(image: Image.Image, path: str | Path, quality: int = QUALITY) -> Path:
    """Write an image under a name that appears when it is complete.

    The profile and EXIF data in `image.info` go with it, and 16 bits a channel into PNG and TIFF (see `deep`); a format
    without transparency gets it over white.

    Args:
        image: RGB, RGBA or L.
        path: its ending chooses the format.
        quality: of lossy formats, 1 to 100.

    Raises:
        ValueError: an unknown ending.
        OSError: the file could not be written; names it.
    """
    path = Path(path)
    name = format_of(path)
    try:
        write_whole(path, lambda file: write_image(image, file, name, quality))
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    return path
