"""An edit pair as it lies on disk: image bytes and texts. Rendered images become lossless PNG, ready bytes stay."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ip2p_lightning import limits
from ip2p_lightning.data.images import MAX_PIXELS, ImageError, open_image, open_mask, picture_size
from ip2p_lightning.data.pair import TEXT_FIELDS, EditPair

EXTENSIONS = {"PNG": "png", "JPEG": "jpg"}
"""Image formats that shards hold, and how their members' names end."""

_JPEG = b"\xff\xd8"

_LONGEST_NAME = 1000  # characters of an id, a group or a split
_SPLIT = re.compile(r"\w[\w .-]{0,99}")

SCORES = "scores"
"""Key of `EditPair.metadata` under which a mapping from score name to number becomes index columns."""


class UnusablePair(ValueError):
    """A pair of a source that cannot be used.

    Args:
        place: file and row.
        reason: what is wrong, in words that other pairs with the same fault share; pairs left out are counted by it.
        detail: the rest of the message.
    """

    def __init__(self, place: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{place}: {reason}{f' ({detail})' if detail else ''}")
        self.place, self.reason, self.detail = place, reason, detail


def error_category(error: Exception) -> str:
    """Category of a per-pair error: its message without ids, files and numbers, as a key for counts."""
    if isinstance(error, UnusablePair):
        return error.reason
    if isinstance(error, FileNotFoundError):
        return "a file is missing"
    text = re.sub(r"""^.*?pair ('[^']*'|"[^"]*"):? ?""", "", str(error), count=1)
    return re.split(r"[(;]|(?<=twice) to ", text, maxsplit=1)[0].strip()


@dataclass(frozen=True)
class EncodedPair:
    """The fields of `EditPair` with its images as PNG or JPEG bytes, and the split it belongs to.

    Args:
        original_image, edited_image: bytes of a PNG or JPEG file.
        mask: bytes of a PNG or JPEG file (white = may change), or None.
        split: "train", "validation", "test" or any other name; "" leaves the choice to the writer of the dataset.
        metadata: plain JSON values; ``seed``, ``threshold`` and the mapping ``scores`` become index columns.
    """

    id: str
    original_image: bytes
    edited_image: bytes
    instruction: str
    expressive_instruction: str = ""
    original_caption: str = ""
    edited_caption: str = ""
    kind: str = ""
    group: str = ""
    mask: bytes | None = None
    split: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def pictures(self) -> dict[str, bytes]:
        """Member name ("original", "edited" and, if there is one, "mask") -> bytes."""
        pictures = {"original": self.original_image, "edited": self.edited_image}
        return pictures if self.mask is None else {**pictures, "mask": self.mask}


def has_text(text: str) -> bool:
    """True if a text says anything: more than spaces and signs that cannot be seen."""
    return any(sign.isprintable() and not sign.isspace() for sign in text)


def check_texts(encoded: EncodedPair) -> None:
    """Raise ValueError, naming the id, unless id, texts, group and split can be stored and read by anybody."""
    longest = limits.TEXT_CHARACTERS.value
    for name in ("id", *TEXT_FIELDS, "group", "split"):
        text = getattr(encoded, name)
        if not isinstance(text, str):
            raise ValueError(f"pair {encoded.id!r}: {name} should be text; it is {type(text).__name__}")
        most = longest if name in TEXT_FIELDS else min(longest, _LONGEST_NAME)
        if len(text) > most:
            raise ValueError(f"pair {encoded.id[:50]!r}: {name} is too long ({len(text):,} of {most:,} characters)")
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            raise ValueError(f"pair {encoded.id!r}: {name} holds half of a character ({text[:50]!r})")
    if not encoded.id:
        raise ValueError("pair '': no id")
    if encoded.split and not _SPLIT.fullmatch(encoded.split):
        raise ValueError(
            f"pair {encoded.id!r}: split is no name ({encoded.split[:50]!r}; letters, digits, spaces, '_', '-', '.')"
        )


def encode_pair(pair: EditPair, split: str = "") -> EncodedPair:
    """Encode the PIL images of a pair as lossless PNG.

    Raises:
        ValueError: the pair holds tensors.
    """
    if not isinstance(pair.original_image, Image.Image) or not isinstance(pair.edited_image, Image.Image):
        raise ValueError(f"pair {pair.id!r} holds tensors; store pairs before `PairTransform`, not after it")
    return EncodedPair(
        id=pair.id,
        original_image=_png(pair.original_image),
        edited_image=_png(pair.edited_image),
        instruction=pair.instruction,
        expressive_instruction=pair.expressive_instruction,
        original_caption=pair.original_caption,
        edited_caption=pair.edited_caption,
        kind=pair.kind,
        group=pair.group,
        mask=_png(pair.mask) if isinstance(pair.mask, Image.Image) else None,
        split=split,
        metadata=pair.metadata,
    )


def decode_pair(
    encoded: EncodedPair, *, place: str = "", max_pixels: int = MAX_PIXELS, least_side: int | None = None
) -> EditPair:
    """Decode the images to PIL RGB (masks to "L" of 0 and 255).

    Args:
        encoded: the pair.
        place: what errors put before the pair's id, such as the shard's name.
        max_pixels: refuse larger images without decoding them.
        least_side: decode JPEGs at a fraction of their size, see `open_image`; pairs with a PNG come in full.

    Raises:
        ImageError: an image that cannot be decoded, naming place, id and member.
        ValueError: images of different sizes.
    """
    label = f"{place}pair {encoded.id!r}"
    pictures, mask = encoded.pictures().values(), None
    if not all(picture.startswith(_JPEG) for picture in pictures):
        least_side = None  # other formats cannot be scaled while decoding, and the images must stay of one size

    def picture(data: bytes, member: str) -> Image.Image:
        return open_image(data, name=f"{label} {member}", max_pixels=max_pixels, least_side=least_side)

    if encoded.mask is not None:
        mask = open_mask(encoded.mask, name=f"{label} mask", max_pixels=max_pixels)
    return EditPair(
        id=encoded.id,
        original_image=picture(encoded.original_image, "original"),
        edited_image=picture(encoded.edited_image, "edited"),
        instruction=encoded.instruction,
        expressive_instruction=encoded.expressive_instruction,
        original_caption=encoded.original_caption,
        edited_caption=encoded.edited_caption,
        kind=encoded.kind,
        group=encoded.group,
        mask=mask,
        metadata=dict(encoded.metadata),
    )


def picture_formats(encoded: EncodedPair) -> tuple[int, int, dict[str, str]]:
    """Common width and height of a pair's images, and each member's file ending; reads their headers alone.

    Raises:
        ImageError: bytes that are no image.
        ValueError: images of different sizes, or in a format other than PNG and JPEG; names the id.
    """
    sizes, endings = {}, {}
    for member, data in encoded.pictures().items():
        width, height, format = picture_size(data, name=f"pair {encoded.id!r} {member}")
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"pair {encoded.id!r}: {member} is too large ({width} x {height} pixels of {MAX_PIXELS:,})"
            )
        if format not in EXTENSIONS:
            raise ValueError(f"pair {encoded.id!r}: {member} is {format}; shards hold PNG and JPEG, convert it first")
        sizes[member], endings[member] = (width, height), EXTENSIONS[format]
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"{member} {width} x {height}" for member, (width, height) in sizes.items())
        raise ValueError(f"pair {encoded.id!r}: images differ in size ({listed}); resize them alike first")
    return (*sizes["original"], endings)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
