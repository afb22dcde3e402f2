"""Honest pairs of photographs, and forty faults planted among them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import skimage
from PIL import Image, ImageDraw

from ip2p_lightning.data.encoded import EncodedPair, decode_pair
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "retina.jpg")
KINDS = ("brightness", "contrast", "saturation", "black_and_white", "sepia", "sketch", "local", "blur")
SIZE = (256, 192)


def photographs() -> list[Image.Image]:
    """Colour photographs that come with scikit-image."""
    folder = Path(skimage.__file__).parent / "data"
    return [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]


def encoded(image: Image.Image, format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": 95} if format == "JPEG" else {}))
    return buffer.getvalue()


def crop(photograph: Image.Image, random: Random, size: tuple[int, int] = SIZE) -> Image.Image:
    """A random part of a photograph, reduced to a size."""
    width, height = photograph.size
    side = min(width / size[0], height / size[1])
    share = side * random.uniform(0.55, 0.9)
    box_width, box_height = share * size[0], share * size[1]
    left, top = random.uniform(0, width - box_width), random.uniform(0, height - box_height)
    box = (left, top, left + box_width, top + box_height)
    return photograph.resize(size, Image.Resampling.LANCZOS, box=box)


def painted(image: Image.Image, random: Random) -> Image.Image:
    """A ball painted somewhere: a local edit."""
    copy, side = image.copy(), min(image.size)
    radius = random.uniform(0.12, 0.3) * side
    x, y = random.uniform(radius, image.width - radius), random.uniform(radius, image.height - radius)
    colour = tuple(random.choice(((220, 30, 30), (30, 60, 220), (240, 200, 20))))
    ImageDraw.Draw(copy).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return copy


def honest(count: int, seed: int = 0) -> list[EncodedPair]:
    """Pairs of different crops, each edited in one way that shows."""
    photos, random, pairs = photographs(), Random(f"honest {seed}"), []
    while len(pairs) < count:
        number = len(pairs)
        image, kind = crop(photos[number % len(photos)], random), KINDS[number % len(KINDS)]
        if kind == "local":
            original, after, text = image, painted(image, random), f"add a ball number {number}"
        else:
            edit = random.choice(PICTURE_EDITS[kind])
            original, after = edit.apply(image)
            text = edit.instruction(random)
        if np.abs(np.asarray(original, int) - np.asarray(after, int)).mean() < 9:
            photos = photos[1:] + photos[:1]
            continue
        pairs.append(
            EncodedPair(f"pair {number}", encoded(original), encoded(after), text, kind=kind, group=f"photo {number}")
        )
    return pairs


def moved(
    image: Image.Image, dx: float = 0, dy: float = 0, zoom: float = 1, turn: float = 0, wide: float = 1
) -> Image.Image:
    """An image whose content is shifted, enlarged, turned or stretched about the centre."""
    angle = np.deg2rad(turn)
    forward = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom
    back = np.linalg.inv(np.diag([wide, 1]) @ forward)
    centre = np.array([image.width / 2, image.height / 2])
    c, f = centre - back @ (centre + np.array([dx, dy]))
    padded = Image.fromarray(np.pad(np.asarray(image), ((32, 32), (32, 32), (0, 0)), mode="reflect"))
    matrix = (back[0, 0], back[0, 1], c + 32, back[1, 0], back[1, 1], f + 32)
    return padded.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _edited(pair: EncodedPair, change: Callable[[Image.Image], Image.Image]) -> EncodedPair:
    image = decode_pair(pair).edited_image
    assert isinstance(image, Image.Image)
    return replace(pair, edited_image=encoded(change(image)))


def _resized(pair: EncodedPair, size: tuple[int, int]) -> EncodedPair:
    both: EditPair = decode_pair(pair)
    images = [encoded(image.resize(size)) for image in (both.original_image, both.edited_image)]  # type: ignore[union-attr]
    return replace(pair, original_image=images[0], edited_image=images[1])


def _saved_again(pair: EncodedPair, size: tuple[int, int] | None) -> EncodedPair:
    both = decode_pair(pair)
    images = [image.resize(size) if size else image for image in (both.original_image, both.edited_image)]  # type: ignore[union-attr]
    return replace(pair, original_image=_jpeg(images[0], 80), edited_image=_jpeg(images[1], 80))


def _jpeg(image: Any, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


SHIFTS: Sequence[dict[str, float]] = (
    {"dx": 0.8}, {"dx": -1.5, "dy": 0.5}, {"dy": 3}, {"dx": 8, "dy": -6}, {"zoom": 1.01}, {"zoom": 0.98},
    {"zoom": 1.03}, {"turn": 1}, {"turn": -2.5}, {"dx": 2, "zoom": 1.02, "turn": 0.5},
)  # fmt: skip
TEXTS = (
    "", "Sure, here is the edit instruction: make it brighter", "<|im_start|>make it red", "nan", "IMG_2041.jpg",
    "As an AI language model I cannot edit images", "{instruction}", "make it gr\u00c3\u00b6\u00c3\u0178er",
    "```make it red```",
)  # fmt: skip


def planted(pairs: Sequence[EncodedPair]) -> tuple[list[EncodedPair], dict[str, str]]:
    """The pairs with forty faults among them, and id -> kind of the fault."""
    result, faults = list(pairs), {}
    places = iter(Random("planted").sample(range(len(pairs)), len(pairs)))

    def place(*kinds: str) -> int:
        return next(index for index in places if not kinds or pairs[index].kind in kinds)

    for change in SHIFTS:  # 10
        index = place("brightness", "contrast", "saturation", "black_and_white", "sepia", "local")
        result[index] = _edited(result[index], lambda image, change=change: moved(image, **change))
        faults[result[index].id] = "misaligned"
    for wide in (1.03, 0.95):  # 2
        index = place("brightness", "local", "saturation", "sepia")
        result[index] = _edited(result[index], lambda image, wide=wide: moved(image, wide=wide))
        faults[result[index].id] = "stretched"
    for text in TEXTS:  # 9
        index = place()
        result[index] = replace(result[index], instruction=text)
        faults[result[index].id] = "text"
    for kind in ("black_and_white", "brightness", "contrast", "sepia", "saturation"):  # 5
        index = place(kind)
        one, other = result[index].original_image, result[index].edited_image
        result[index] = replace(result[index], original_image=other, edited_image=one)
        faults[result[index].id] = "swapped"
    for quality in (None, 70, None, 85):  # 4
        index = place()
        one = result[index].original_image
        again = _jpeg(decode_pair(result[index]).original_image, quality) if quality else one
        result[index] = replace(result[index], edited_image=again)
        faults[result[index].id] = "unchanged"
    for size in ((128, 96), (90, 120)):  # 2
        index = place()
        result[index] = _resized(result[index], size)
        faults[result[index].id] = "small"
    for number in range(3):  # 3: byte for byte, written again, and enlarged
        index = place()
        twin = replace(result[index], id=f"twin {number}", group=f"twin {number}")
        result.append(_saved_again(twin, (320, 240) if number == 2 else None) if number else twin)
        faults[twin.id] = "duplicate"
    index = place()
    result[index] = _edited(result[index], lambda image: image.resize((200, 192)))
    faults[result[index].id] = "unusable"
    index = place()
    result[index] = replace(result[index], edited_image=result[index].edited_image[:2000])
    faults[result[index].id] = "unusable"
    index = place("saturation")  # another pair's text
    result[index] = replace(result[index], instruction="turn it into a black and white photo")
    faults[result[index].id] = "text"
    index = place("brightness")
    result[index] = replace(result[index], instruction="blur the picture")
    faults[result[index].id] = "text"
    index = place("local")
    twin = replace(result[index], id="leak", group="elsewhere", split="test", instruction="paint a cube")
    image = decode_pair(twin).original_image
    twin = replace(twin, edited_image=encoded(painted(image, Random(5))))  # type: ignore[arg-type]
    result.append(twin)
    faults[twin.id] = "leak"
    return result, faults


class InMemory:
    """An encoded source of pairs at hand."""

    name, licence = "planted", "see scikit-image"

    def __init__(self, pairs: Sequence[EncodedPair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index))

    def encoded(self, index: int) -> EncodedPair:
        return self.pairs[index]

    def fingerprint(self) -> str:
        return "planted"
