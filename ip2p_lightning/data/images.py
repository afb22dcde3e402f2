"""Images at the package's edge: files of any mode and size -> PIL RGB -> float32 tensors in [-1, 1], and back."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from ip2p_lightning.data import deep
from ip2p_lightning.data.colour import own_profile, to_srgb

ORIENTATION = 0x0112
"""The EXIF tag of how an image is turned."""
MAX_PIXELS = 100_000_000
"""Largest image that is decoded by default (10,000 x 10,000; 0.3 GB once decoded)."""

_KNOWN = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO", "TGA")
Image.init()
FORMATS = tuple(name for name in _KNOWN if name in Image.OPEN)
"""The formats that files are decoded as, in PIL's names; JPEG includes phones' MPO. Others start programs (EPS)."""


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and what to do."""


def open_image(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    least_side: int | None = None,
) -> Image.Image:
    """Open an image file of any mode as RGB: EXIF rotation applied, first frame, transparency over white.

    Args:
        source: a path, or the bytes of an encoded image.
        name: what errors call the image; defaults to the path.
        max_pixels: refuse images of more pixels (width x height) before decoding them.
        least_side: decode a JPEG at the smallest of 1/8, 1/4, 1/2 and 1/1 of its size with both sides at least this
            long, which is several times faster; None for its full size.

    Raises:
        FileNotFoundError: no such file.
        ImageError: too large, truncated, or not an image; names the file.
    """
    if isinstance(source, bytes) and (image := _plain_jpeg(source, max_pixels, least_side)) is not None:
        return image
    image, name = _open(source, name, max_pixels)
    if least_side is not None and min(image.size) >= 2 * least_side:
        image.draft(None, (least_side, least_side))  # the decoder's own scaling; nothing happens to other formats
    return as_rgb(_load(image, name), name=name)


def open_as_is(source: str | Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open an image file upright in its own mode, with its opacity, profile and EXIF data; otherwise as `open_image`.

    `format` of the result is that of the file. Colours of 16 bits a channel travel with it, see `deep`.
    """
    image, name = _open(source, name, max_pixels)
    lower = _open(source, name, max_pixels)[0] if image.format in deep.FORMATS else None
    exif = exif_without(image, {ORIENTATION})
    loaded = _load(image, name)
    loaded.format = image.format
    loaded.info |= {"exif": exif} if exif else {}
    if lower is not None and deep.lower_bytes(lower):
        return deep.with_deep(loaded, deep.joined(loaded, _load(lower, name)))
    return loaded


def open_mask(source: str | Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open a mask file as PIL "L" holding only 0 and 255 (255 = may change); arguments and errors as `open_image`."""
    image, name = _open(source, name, max_pixels)
    return _load(image, name).convert("L").point([0] * 128 + [255] * 128)


def picture_size(source: str | Path | bytes, *, name: str | None = None) -> tuple[int, int, str]:
    """Width and height in pixels as shown (after EXIF rotation) and the format ("PNG"); reads the header alone.

    Raises:
        FileNotFoundError: no such file.
        ImageError: not an image.
    """
    image, name = _open(source, name, None)
    try:
        with image:
            # PIL decodes a PNG to look for EXIF behind its pixels, where hardly any software puts it
            exif = {} if image.format == "PNG" and "exif" not in image.info else exif_of(image)
            turned = exif.get(ORIENTATION, 1) >= 5  # EXIF orientations 5 to 8 swap the sides
            width, height = image.size[::-1] if turned else image.size
            # MPO is what PIL calls a JPEG with more images behind the first, as some phones and cameras write
            return width, height, "JPEG" if image.format == "MPO" else str(image.format)
    except Exception as error:  # as in _open
        raise ImageError(f"{name}: damaged image header ({error}); copy or export the file again") from error


def as_rgb(image: Image.Image, *, name: str = "picture") -> Image.Image:
    """Convert a PIL image of any mode to sRGB, upright: transparency over white, deep and float grey as 8 bits.

    Grey of modes "I" and "F" has no fixed range: values up to 1 (F only), 255 or 65,535 are taken as that full
    scale, whichever is the smallest that holds the maximum; larger ones are scaled by their maximum.

    Raises:
        ImageError: a mode that has no RGB meaning.
    """
    image = upright(image)
    if (profile := own_profile(image)) is not None:
        image = _in_srgb(image, profile)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _grey_to_8_bits(image).convert("RGB")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")  # type: ignore[return-value]
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, layer).convert("RGB")
        return image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"{name}: colour mode {image.mode!r} cannot be turned into RGB; save it as RGB PNG") from error


def exif_of(image: Image.Image) -> Image.Exif:
    """An image's EXIF data; empty where they are damaged, and then they are not written again."""
    try:
        return image.getexif()
    except (SyntaxError, ValueError, OSError, KeyError, TypeError, IndexError, struct.error):  # as PIL's readers say it
        image.info.pop("exif", None)
        return Image.Exif()


def upright(image: Image.Image) -> Image.Image:
    """A PIL image as it is meant to be seen: turned as its EXIF orientation says, which is then gone."""
    if exif_of(image).get(ORIENTATION, 1) == 1:
        return image
    turned = ImageOps.exif_transpose(image)
    turned.info["exif"] = exif_without(image, {ORIENTATION})  # a TIFF file's tags are not in `info`
    return turned


def exif_without(image: Image.Image, tags: Collection[int]) -> bytes:
    """An image's EXIF data but for some tags (and for a thumbnail); b"" if there is none."""
    kept = Image.Exif()
    kept.load(exif_of(image).tobytes())  # a copy: `getexif` gives the image's own
    for tag in kept.keys() & tags:
        del kept[tag]
    return kept.tobytes() if len(kept) else b""


def straight(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """An upright image's colours as RGB, and its opacity (mode L) if it has one.

    The colours are in the image's own space where that is one of RGB (see `own_profile`), else in sRGB.
    """
    colours, alpha = _split(image)
    if colours.mode in ("L", "CMYK"):
        colours = to_srgb(colours, own_profile(image))
    return (colours if colours.mode == "RGB" else as_rgb(colours)), alpha


def to_tensor(image: Image.Image) -> Tensor:
    """PIL RGB -> float32 [3, H, W] in [-1, 1]; PIL "L" -> float32 [1, H, W] in [-1, 1]."""
    if image.mode not in ("RGB", "L"):
        image = as_rgb(image)
    array = torch.from_numpy(np.array(image, dtype=np.uint8, ndmin=3, copy=True))
    array = array if image.mode == "L" else array.permute(2, 0, 1)
    return array.to(torch.float32).div_(127.5).sub_(1).contiguous()


def to_pil(tensor: Tensor) -> Image.Image:
    """Float [3, H, W] or [1, H, W] in [-1, 1] -> PIL RGB or "L"; values outside are clipped. Inverse of `to_tensor`.

    Raises:
        ValueError: another shape, or values that are not finite.
    """
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise ValueError(f"an image is [3, H, W] or [1, H, W], got {tuple(tensor.shape)}; index the batch first")
    tensor = tensor.detach().to("cpu", torch.float32)
    if not torch.isfinite(tensor).all():
        raise ValueError("the image holds NaN or infinite values; lower the learning rate or use float32 decoding")
    array = tensor.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return Image.fromarray(array[0] if array.shape[0] == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours without and with opacity, in the image's own space."""
    if image.mode in ("RGB", "RGBA", "P", "PA", "L", "LA") and image.has_transparency_data:
        layer = image.convert("RGBA")
        return layer.getchannel("R") if image.mode in ("L", "LA") else layer.convert("RGB"), layer.getchannel("A")
    return image.convert("RGB") if image.mode == "P" else image, None


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An image in the colours of a profile as sRGB, its opacity kept."""
    colours, alpha = _split(image)
    converted = to_srgb(colours, profile)
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _plain_jpeg(data: bytes, max_pixels: int, least_side: int | None) -> Image.Image | None:
    """A sound colour JPEG without EXIF and profile, the same to the bit as PIL's but sooner; None for any other."""
    if not data.startswith(b"\xff\xd8") or any(mark in data for mark in (b"Exif\0\0", b"ICC_PROFILE\0")):
        return None
    try:
        *sides, colours, _ = simplejpeg.decode_jpeg_header(data)
        height, width = map(int, sides)
        if colours != "YCbCr" or width * height > max_pixels:
            return None
        room = min(width, height) // least_side if least_side else 1
        scale = next(factor for factor in (8, 4, 2, 1) if factor <= max(1, room))  # as PIL's draft
        return Image.fromarray(
            simplejpeg.decode_jpeg(data, "RGB", min_height=-(-height // scale), min_width=-(-width // scale))
        )
    except ValueError:  # damaged: PIL says what is wrong
        return None


def _open(source: str | Path | bytes, name: str | None, max_pixels: int | None) -> tuple[Image.Image, str]:
    """Open lazily (header only) and refuse what is too large."""
    if isinstance(source, bytes):
        name, file = name or "picture", io.BytesIO(source)
    else:
        name, file = name or str(source), Path(source)
        if not file.is_file():
            raise FileNotFoundError(f"{name}: no such image file; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        limit = "" if max_pixels is None else f" (limit max_pixels={max_pixels:,})"
        raise ImageError(f"{name}: too large to decode{limit}: {error}; make it smaller first") from error
    except Exception as error:  # PIL's format plugins raise many types on broken headers
        remedy = "save it as PNG or JPEG (HEIC, SVG, EPS and RAW files need converting first)"
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # which repeats path or address
        raise ImageError(f"{name}: not a readable image{reason}; {remedy}") from error
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} is {width * height:,} pixels, more than the limit max_pixels={max_pixels:,}; "
            "make the image smaller or raise max_pixels"
        )
    return image, name


def _load(image: Image.Image, name: str) -> Image.Image:
    """Decode the first frame and turn it upright."""
    try:
        with image, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. palette transparency stored as bytes: handled by as_rgb
            image.load()
            turned = upright(image)
            return turned.copy() if turned is image else turned  # the file is closed
    except Exception as error:  # PIL's decoders raise many types on damaged data
        raise ImageError(f"{name}: damaged or truncated image ({error}); copy or export the file again") from error


def _grey_to_8_bits(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    if image.mode.startswith("I;16"):
        full_scale = 65_535.0
    else:
        steps = (1.0, 255.0, 65_535.0) if image.mode == "F" else (255.0, 65_535.0)
        peak = float(values.max())
        full_scale = next((step for step in steps if peak <= step), peak)
    return Image.fromarray(np.clip(np.rint(values * (255.0 / full_scale)), 0, 255).astype(np.uint8))
