"""Edits of any image, drawn or photographed: operation, phrasings, what will be visible, and the new caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

from PIL import Image

from ip2p_lightning.photo_edits import media, photo

Operation = Callable[[Image.Image], Image.Image]


class GradualOperation(Protocol):
    """An operation with an amount, 0 for none."""

    def __call__(self, image: Image.Image, amount: float) -> Image.Image: ...


@dataclass(frozen=True)
class PictureEdit:
    """One way of editing an image as a whole.

    Args:
        phrases: the instruction in other words; the seed picks one.
        look: the expressive instruction; ``{what}`` stands for the image's caption.
        operation: the edit.
        preparation: what happens to the given image first, so that there is something to undo ("sharpen").
    """

    phrases: tuple[str, ...]
    look: str
    operation: Operation
    preparation: Operation | None = None
    prepared_look: str = "{what}"

    def instruction(self, rng: Random) -> str:
        """One of the phrasings."""
        return rng.choice(self.phrases)

    def apply(self, image: Image.Image) -> tuple[Image.Image, Image.Image]:
        """The image as it is given, and as it is asked for."""
        given = self.preparation(image) if self.preparation else image
        return given, self.operation(image if self.preparation else given)


def _unchanged(image: Image.Image) -> Image.Image:
    return image.copy()


def _scaled(
    operation: GradualOperation,
    amount: float,
    phrases: tuple[str, ...],
    looks: tuple[str, str, str],
) -> tuple[PictureEdit, ...]:
    """The three strengths of an operation; ``{much}`` in a phrase takes "a bit", nothing or "much"."""
    edits = []
    for (word, strength), look in zip(photo.STRENGTHS.items(), looks, strict=True):
        said = tuple(" ".join(phrase.format(much=word).split()) for phrase in phrases)
        edits.append(PictureEdit(said, look, partial(operation, amount=amount * strength)))
    return tuple(edits)


def _sharpened() -> tuple[PictureEdit, ...]:
    phrases = ("sharpen the picture", "make it sharp", "remove the blur", "bring it into focus", "make the lines crisp")
    return tuple(
        PictureEdit(
            phrases,
            "a sharp picture of {what}, with crisp lines",
            _unchanged,
            partial(photo.blur, amount=amount),
            "a blurred picture of {what}",
        )
        for amount in (0.7, 1.1)
    )


def _cropped() -> tuple[PictureEdit, ...]:
    corners = {
        "the middle": (0.2, 0.2),
        "the upper left corner": (0.0, 0.0),
        "the upper right corner": (0.4, 0.0),
        "the lower left corner": (0.0, 0.4),
        "the lower right corner": (0.4, 0.4),
    }
    phrases = ("crop to {where}", "zoom in on {where}", "show only {where}", "cut out {where} and enlarge it")
    return tuple(
        PictureEdit(
            tuple(phrase.format(where=where) for phrase in phrases),
            f"a close view of {where} of {{what}}",
            partial(photo.zoom, left=left, top=top, share=0.6),
        )
        for where, (left, top) in corners.items()
    )


PHOTO_EDITS: dict[str, tuple[PictureEdit, ...]] = {
    "brightness": (
        *_scaled(
            photo.brightness,
            0.75,
            ("make it {much} brighter", "brighten it {much}", "the picture should be {much} brighter"),
            (
                "a slightly brighter picture of {what}",
                "a brighter picture of {what}",
                "a very bright picture of {what}",
            ),
        ),
        *_scaled(
            photo.brightness,
            -0.9,
            ("make it {much} darker", "darken it {much}", "the picture should be {much} darker"),
            ("a slightly darker picture of {what}", "a darker picture of {what}", "a very dark picture of {what}"),
        ),
    ),
    "contrast": (
        *_scaled(
            photo.contrast,
            0.8,
            ("raise the contrast {much}", "give it {much} more contrast", "make the contrast {much} stronger"),
            (
                "a picture of {what} with slightly more contrast",
                "a picture of {what} with strong contrast, lights brighter and darks darker",
                "a picture of {what} with very strong contrast, close to black and white extremes",
            ),
        ),
        *_scaled(
            photo.contrast,
            -1.2,
            ("lower the contrast {much}", "give it {much} less contrast", "make the contrast {much} weaker"),
            (
                "a picture of {what} with slightly less contrast",
                "a pale picture of {what} with little contrast",
                "a very pale picture of {what}, nearly all of it grey",
            ),
        ),
    ),
    "saturation": (
        *_scaled(
            photo.saturation,
            1.2,
            ("make the colours {much} stronger", "make it {much} more colourful", "raise the saturation {much}"),
            (
                "a picture of {what} in slightly stronger colours",
                "a picture of {what} in vivid colours",
                "a picture of {what} in glaring colours",
            ),
        ),
        *_scaled(
            photo.saturation,
            -1.3,
            ("make the colours {much} weaker", "make it {much} less colourful", "lower the saturation {much}"),
            (
                "a picture of {what} in slightly weaker colours",
                "a picture of {what} in faded colours",
                "a picture of {what} with hardly any colour",
            ),
        ),
    ),
    "sharpen": _sharpened(),
    "blur": _scaled(
        photo.blur,
        1.6,
        ("blur it {much}", "make it {much} blurrier", "put it {much} out of focus"),
        ("a slightly blurred picture of {what}", "a blurred picture of {what}", "a strongly blurred picture of {what}"),
    ),
    "crop": _cropped(),
    "rotate": (
        PictureEdit(
            ("rotate it to the left", "turn it a quarter to the left", "rotate it counter-clockwise"),
            "{what}, turned on its left side",
            partial(photo.turn, quarters=1),
        ),
        PictureEdit(
            ("rotate it to the right", "turn it a quarter to the right", "rotate it clockwise"),
            "{what}, turned on its right side",
            partial(photo.turn, quarters=3),
        ),
        PictureEdit(
            ("rotate it by half a turn", "rotate it by 180 degrees", "turn it by half a circle"),
            "{what}, rotated by half a turn",
            partial(photo.turn, quarters=2),
        ),
    ),
    "flip": (
        PictureEdit(
            ("flip it", "mirror it", "swap left and right", "flip it horizontally"),
            "the mirror image of {what}",
            photo.mirror,
        ),
        PictureEdit(
            ("flip it vertically", "swap top and bottom", "mirror it from top to bottom"),
            "{what}, reflected with the top below",
            partial(photo.mirror, upside_down=True),
        ),
    ),
}
"""Operations of photo editing by kind."""

MEDIA_EDITS: dict[str, tuple[PictureEdit, ...]] = {
    "sketch": (
        PictureEdit(
            ("make it a pencil sketch", "draw it with a pencil", "turn it into a sketch", "as a pencil drawing"),
            "a pencil sketch of {what}, dark lines on white paper",
            media.sketch,
        ),
    ),
    "sepia": (
        PictureEdit(
            ("make it sepia", "make it look like an old photo", "turn it into an old print", "give it a sepia tone"),
            "an old sepia print of {what} in brown tones",
            media.sepia,
        ),
    ),
    "black_and_white": (
        PictureEdit(
            ("make it black and white", "take out all colour", "turn it into a black and white photo", "make it grey"),
            "a black and white picture of {what} in grey tones",
            media.black_and_white,
        ),
    ),
    "mosaic": (
        PictureEdit(
            ("make it a mosaic", "turn it into a pixel mosaic", "as pixel art", "lay it out in square tiles"),
            "a mosaic of {what}, made of large square tiles",
            media.mosaic,
        ),
    ),
    "painting": (
        PictureEdit(
            (
                "make it a painting",
                "paint it in oil",
                "turn it into an oil painting",
                "as a painting with thick strokes",
            ),
            "an oil painting of {what} with swirling thick strokes",
            media.painting,
        ),
    ),
}
"""Changes of medium by kind."""

PICTURE_EDITS: dict[str, tuple[PictureEdit, ...]] = PHOTO_EDITS | MEDIA_EDITS
"""All edits of an image as a whole, by kind."""
