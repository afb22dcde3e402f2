"""A study's folder from comparisons: images of one size in bytes and pixels, under names that say nothing."""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import SystemRandom

from PIL import Image

from ip2p_lightning.evaluation.preference import IMAGE_QUESTIONS, QUESTIONS, Item, bare_png, shown_size
from ip2p_lightning.serving.study.folder import IMAGES, Study, StudyItem
from ip2p_lightning.untrusted import printable

RIGHT, WRONG = "right", "wrong"
_IEND = 12
"""Bytes of a PNG's last chunk."""
_TILES = 4


def make_study(
    items: Sequence[Item], folder: str | Path, *, side: int = 512, catch: int = 5, per_rater: int | None = None
) -> Study:
    """Write a study's folder. Raters get nothing of it but what the server sends.

    Images keep their pixels alone, all images of an item have one size in pixels, and all images of the study have one
    size in bytes: a private chunk that browsers pass over fills them up.

    Args:
        items: comparisons of two systems each.
        folder: to write; its parent is made.
        side: longest side of the images in pixels; smaller images are not enlarged.
        catch: catch trials: an image against tiles in disorder of another prompt's image of the same system.
        per_rater: comparisons that each rater sees; None for all.

    Raises:
        ValueError: no items, items that do not compare two systems, some with an original and some without, or a
            folder that holds a study.
    """
    folder = Path(folder)
    if not items or any(len(item.edits) != 2 for item in items):
        raise ValueError("a study compares two systems on every item; there are none, or items with other than two")
    if len({item.original is None for item in items}) != 1:
        raise ValueError("some items have an original and some have none; make two studies of them")
    draw = SystemRandom()
    images = _Images(folder / IMAGES)
    rows = [_row(item, images, side, draw) for item in items]
    rows += [_catch_trial(items, images, side, draw) for _ in range(catch)]
    draw.shuffle(rows)
    images.fill_up()
    questions = IMAGE_QUESTIONS if items[0].original is None else QUESTIONS
    study = Study(secrets.token_hex(8), secrets.token_hex(32), questions, rows, per_rater or len(items))
    study.save(folder)
    return study


class _Images:
    """Files under random names, filled up to one size in the end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.parent.chmod(0o700)
        self.folder, self.sizes = folder, dict[str, int]()
        for left in folder.glob("*.png"):  # of an attempt that was killed: there is no study.json yet
            left.unlink()

    def add(self, image: Image.Image, size: tuple[int, int]) -> str:
        name, data = f"{secrets.token_hex(16)}.png", bare_png(image, size)
        (self.folder / name).write_bytes(data)
        self.sizes[name] = len(data)
        return name

    def fill_up(self) -> None:
        wanted = max(self.sizes.values()) + _IEND  # room for an empty chunk
        for name, size in self.sizes.items():
            file = self.folder / name
            data = file.read_bytes()
            file.write_bytes(data[:-_IEND] + _chunk(b"fiLl", bytes(wanted - size - _IEND)) + data[-_IEND:])


def _row(item: Item, images: _Images, side: int, draw: SystemRandom) -> StudyItem:
    first, second = draw.sample(sorted(item.edits), 2)
    size = _size(item, side)
    names = (images.add(item.edits[first], size), images.add(item.edits[second], size))
    original = "" if item.original is None else images.add(item.original, size)
    return StudyItem(item.pair, printable(item.instruction), item.category, (first, second), names, original)


def _catch_trial(items: Sequence[Item], images: _Images, side: int, draw: SystemRandom) -> StudyItem:
    item = draw.choice(items)
    system = draw.choice(sorted(item.edits))
    others = [one for one in items if one.instruction != item.instruction and system in one.edits] or [item]
    size = _size(item, side)
    wrong = _disorder(draw.choice(others).edits[system].convert("RGB").resize(size), draw)
    names = (images.add(item.edits[system], size), images.add(wrong, size))
    original = "" if item.original is None else images.add(item.original, size)
    return StudyItem("", printable(item.instruction), "", (RIGHT, WRONG), names, original, catch=True)


def _size(item: Item, side: int) -> tuple[int, int]:
    """One size for all images of an item: the original's, or that of the larger image."""
    shown: Mapping[str, Image.Image] = item.edits if item.original is None else {"original": item.original}
    return shown_size(max((image.size for image in shown.values()), key=lambda size: size[0] * size[1]), side)


def _disorder(image: Image.Image, draw: SystemRandom) -> Image.Image:
    """The image with its tiles in another order: no rater takes it for the better one."""
    width, height = max(1, image.width // _TILES), max(1, image.height // _TILES)
    corners = [(x * width, y * height) for y in range(_TILES) for x in range(_TILES)]
    result = image.copy()
    for corner, source in zip(corners, draw.sample(corners, len(corners)), strict=True):
        tile = image.crop((*source, source[0] + width, source[1] + height))
        result.paste(tile.rotate(90 * draw.randrange(4)) if width == height else tile, corner)
    return result


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
