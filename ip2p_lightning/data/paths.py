"""The files that rows of a listing name: inside their folder also after following links, however they are spelt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from ip2p_lightning import limits
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.listing import allowed_root

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def file_inside(root: Path, name: str, place: str) -> Path:
    """The file that a row names, which must lie below ``root`` (also after following links).

    Absolute paths are taken where they lead into ``root``, backslashes of Windows as slashes, and names in the other
    Unicode form (macOS takes letters and their accents apart).

    Args:
        root: the folder that names are relative to.
        name: as written in the row.
        place: file and row, for the message.

    Raises:
        UnusablePair: a name that leads out of the folder, or no such file.
    """
    if _URL.match(name):
        raise UnusablePair(place, "a URL in place of a file", f"{name[:200]}; fetch it and write its path")
    if "\0" in name:
        raise UnusablePair(place, "a path leads out of the folder", f"{name[:200]!r} holds a zero byte")
    outside, allowed = bool(_DRIVE.match(name)), allowed_root(root)
    for spelling in _spellings(name):
        path = root / spelling
        try:
            within = path.resolve().is_relative_to(allowed)
            if within and path.is_file():
                return path
        except (OSError, RuntimeError):  # too long a name, links in a circle
            continue
        outside |= not within
    if outside:
        detail = f"{name[:200]!r}; paths must be relative to {root}"
        raise UnusablePair(place, "a path leads out of the folder", detail)
    raise UnusablePair(place, "an image is missing", f"{name[:200]} is not in {root}")


def read_image(root: Path, name: str, place: str) -> bytes:
    """The bytes of an image that a row names; see `file_inside`.

    Raises:
        UnusablePair: also for a file beyond the limit.
    """
    return image_bytes(file_inside(root, name, place), place)


def image_bytes(path: Path, place: str) -> bytes:
    """The bytes of an image file.

    Raises:
        UnusablePair: a file beyond the limit, or one that cannot be read.
    """
    limit = limits.IMAGE_BYTES.value
    try:
        with path.open("rb") as file:
            data = file.read(min(limit, path.stat().st_size) + 1)
    except OSError as error:
        raise UnusablePair(place, "an image cannot be read", f"{path}: {error.strerror}") from error
    if len(data) > limit:
        detail = f"{path.name}: more than {limit:,} bytes ({limits.IMAGE_BYTES.variable})"
        raise UnusablePair(place, "an image file is too large", detail)
    return data


def _spellings(name: str) -> Iterator[str]:
    """A name as it is written, with slashes, and in both Unicode forms."""
    for written in dict.fromkeys((name, name.replace("\\", "/"))):
        yield from dict.fromkeys((written, *(unicodedata.normalize(form, written) for form in ("NFC", "NFD"))))
