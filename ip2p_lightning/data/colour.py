"""Colour profiles: what the numbers of an image mean, and the same colours in sRGB, which networks are trained on."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_SAME = 2
"""Grey levels by which a profile may differ from sRGB and still count as sRGB."""


def own_profile(image: Image.Image) -> bytes | None:
    """The embedded profile of an image whose colours are not sRGB's; None for sRGB, no profile, or one of no use."""
    profile = image.info.get("icc_profile")
    mode = {"RGBA": "RGB", "P": "RGB", "PA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    return profile if profile and mode in _SPACES and _matters(profile, mode) else None


def to_srgb(image: Image.Image, profile: bytes | None = None) -> Image.Image:
    """An image of mode RGB, L or CMYK as sRGB; as it is where its profile says nothing else.

    Args:
        image: to convert.
        profile: its colours; None for the embedded profile.
    """
    profile = profile or own_profile(image)
    if profile is None or image.mode not in _SPACES:
        return image
    converted = ImageCms.applyTransform(image, _transform(profile, image.mode, False))
    assert converted is not None  # only in place there is nothing to return
    converted.info.pop("icc_profile", None)
    return converted


def from_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An sRGB image in the colours of an RGB profile."""
    converted = ImageCms.applyTransform(image, _transform(profile, "RGB", True))
    assert converted is not None
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str, back: bool) -> ImageCms.ImageCmsTransform:
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    sides = (srgb, own, "RGB", mode) if back else (own, srgb, mode, "RGB")
    return ImageCms.buildTransform(*sides, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=_FLAGS)


@lru_cache(maxsize=16)
def _matters(profile: bytes, mode: str) -> bool:
    """True if a profile is readable, of the image's kind, and changes colours visibly."""
    try:
        opened: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        if opened.xcolor_space.strip() != _SPACES[mode]:
            return False
        if mode == "CMYK":
            return True
        levels = np.arange(0, 256, 51, dtype=np.uint8)
        grid = levels if mode == "L" else np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
        colours = Image.fromarray(np.ascontiguousarray(grid[None]))
        there = np.asarray(ImageCms.applyTransform(colours, _transform(profile, mode, False)), np.int16)
        return bool(np.abs(there - np.asarray(colours.convert("RGB"), np.int16)).max() > _SAME)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return False  # damaged: its numbers are taken for sRGB's, as every viewer does
