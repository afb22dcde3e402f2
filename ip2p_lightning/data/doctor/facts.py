"""Facts about one pair: all that later comparisons need, without its pixels."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter

from ip2p_lightning.data.alignment import Alignment
from ip2p_lightning.data.doctor.cues import NOTHING, contradiction
from ip2p_lightning.data.doctor.geometry import BOUNDS, Bounds, geometry
from ip2p_lightning.data.encoded import EncodedPair, decode_pair
from ip2p_lightning.data.images import FORMATS, exif_of

THUMBNAIL = 32
"""Side of the thumbnails by which images are compared across pairs."""
_EXAMINED = 1024
_INVISIBLE = 8.0


@dataclass(frozen=True)
class Facts:
    """One pair.

    Args:
        id, group, instruction: of the pair.
        size: width and height.
        digests: of the bytes of original and edited image.
        traces: what the files tell of how they were made, original and edited.
        thumbnails: uint8 [2, 32, 32, 3].
        alignment: of the edited image, where it was estimated.
        faults: kind -> detail, of what can be seen in the pair alone.
    """

    id: str
    group: str
    instruction: str
    size: tuple[int, int]
    digests: tuple[str, str]
    traces: tuple[str, str]
    thumbnails: np.ndarray
    alignment: Alignment | None = None
    faults: dict[str, str] = field(default_factory=dict)


def facts_of(encoded: EncodedPair, *, alignment: bool = True, bounds: Bounds = BOUNDS) -> Facts:
    """Look at a pair.

    Args:
        encoded: the pair.
        alignment: estimate how its images lie to each other.
        bounds: from when on that is a fault.

    Raises:
        ImageError, ValueError: images that cannot be decoded.
    """
    pair = decode_pair(encoded)
    original, edited = pair.original_image, pair.edited_image
    assert isinstance(original, Image.Image)
    assert isinstance(edited, Image.Image)
    faults: dict[str, str] = {}
    if largest_change(original, edited) < _INVISIBLE and not NOTHING.search(pair.instruction):
        faults["unchanged"] = "no visible difference"
    else:
        kind, why = contradiction(pair.instruction, original, edited)
        faults |= {kind: why} if kind else {}
    found = None
    if alignment and "unchanged" not in faults:
        placed = geometry(original, edited, pair.instruction, bounds)
        found = placed.alignment
        faults |= {placed.kind: str(found)} if placed.kind else {}
    images = encoded.original_image, encoded.edited_image
    return Facts(
        id=pair.id,
        group=pair.group,
        instruction=pair.instruction,
        size=original.size,
        digests=(hashlib.sha256(images[0]).hexdigest(), hashlib.sha256(images[1]).hexdigest()),
        traces=(_trace(images[0]), _trace(images[1])),
        thumbnails=np.stack([np.asarray(_thumbnail(image)) for image in (original, edited)]),
        alignment=found,
        faults=faults,
    )


def largest_change(original: Image.Image, edited: Image.Image) -> float:
    """The largest difference of any channel after a slight blur, which takes out the noise of compression."""
    images = [image.convert("RGB") for image in (original, edited)]
    if (factor := max(original.size) // _EXAMINED) > 1:
        images = [image.reduce(factor) for image in images]
    blurred = [np.asarray(image.filter(ImageFilter.GaussianBlur(3)), np.int16) for image in images]
    return float(np.abs(blurred[1] - blurred[0]).max())


def _thumbnail(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)


def _trace(data: bytes) -> str:
    """Format, tables of quantisation and camera of a file: who wrote it leaves these behind."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        tables = sorted((getattr(image, "quantization", None) or {}).items())
        camera = bool(exif_of(image).get(0x010F)) if image.format == "JPEG" else False
        written = hashlib.sha256(repr(tables).encode()).hexdigest()[:8] if tables else ""
        return f"{image.format} {written}{' of a camera' if camera else ''}"
