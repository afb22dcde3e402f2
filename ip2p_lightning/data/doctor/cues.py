"""Words whose effect can be measured, to compare what an instruction asks for with what the images show."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

_SIDE = 160


@dataclass(frozen=True)
class Cue:
    """Words, what they change and which way.

    Args:
        words: regular expression.
        quantity: name in `quantities`.
        sign: 1 for more of it, -1 for less.
        least: change from which it counts as made; a third of it, or less, counts as not made.
        end: most of the quantity that an image has which is as asked for; None where only the change is known.
    """

    words: str
    quantity: str
    sign: int
    least: float
    end: float | None = None


_MORE, _LESS = r"\b(more|raise|increase|boost|stronger)\b.{0,12}", r"\b(less|lower|reduce|decrease|weaker)\b.{0,12}"
_BLUR = r"\b(blur|blurry|blurrier|blurred|out of focus|defocus)\b"
CUES = (
    Cue(r"black[- ]and[- ]white|\bb&w\b|gr[ae]yscale|monochrome|desaturat", "colour", -1, 0.05, end=0.04),
    Cue(r"\b(take|remove|drain)\b.{0,12}colou?r", "colour", -1, 0.05, end=0.04),
    Cue(rf"{_LESS}(colou?r|saturat|vivid)|\b(mute|fade|wash out)\b.{{0,12}}colou?rs", "colour", -1, 0.02),
    Cue(r"colou?rs.{0,14}(weak|pale|faint)", "colour", -1, 0.02),
    Cue(rf"{_MORE}(colou?rful|saturat|vivid)|colou?ri[sz]e|\bvivid\b", "colour", 1, 0.02),
    Cue(r"colou?rs.{0,14}(strong|rich|intens|pop)|(stronger|richer|intense) colou?r", "colour", 1, 0.02),
    Cue(r"\b(brighter|brighten|lighten|lighter|more light)\b|increase.{0,12}brightness", "light", 1, 0.03),
    Cue(r"\b(darker|darken|dim|less light|at night|into night)\b|reduce.{0,12}brightness", "light", -1, 0.03),
    Cue(rf"{_MORE}contrast|contrast.{{0,10}}strong", "contrast", 1, 0.012),
    Cue(rf"{_LESS}contrast|contrast.{{0,10}}weak", "contrast", -1, 0.012),
    Cue(rf"^(?!.*(remove|without|no) (the )?blur).*{_BLUR}", "detail", -1, 0.25),
    Cue(r"\b(sharpen|sharper|sharp|deblur|into focus|crisp|remove the blur)\b", "detail", 1, 0.15),
    Cue(r"\bsepia\b", "tones", -1, 0.01, end=0.015),
    Cue(r"\bwarmer\b", "warmth", 1, 0.02),
    Cue(r"\b(cooler|colder)\b", "warmth", -1, 0.02),
)
"""The words that are known. An instruction with words of both signs of one quantity says nothing of it."""

_MOST = {"colour": 0.5, "light": 0.8, "contrast": 0.3, "warmth": 0.12, "detail": 9.0, "tones": 1.0}
"""Quantities of which an image may have so much already that an instruction asks in vain."""
_GEOMETRIC_WORDS = (
    r"crop\w*", r"zoom\w*", r"rotat\w+", r"flip\w*", r"mirror\w*", r"tilt\w*", r"straighten\w*", r"resiz\w+",
    r"stretch\w*", "closer", "wider", "close-?up", "perspective", "viewpoint", "outpaint", "uncrop", "enlarge",
    "shrink", "clockwise", "upside", "quarter turn", r"(move|shift|pan|turn) the (camera|picture|image|photo|view)",
    "turn (it )?(around|over|a quarter|by)", "cut out", "show only", "swap",
)  # fmt: skip
GEOMETRIC = re.compile(rf"\b({'|'.join(_GEOMETRIC_WORDS)})\b", re.IGNORECASE)
"""Instructions that may move what is not changed."""
NOTHING = re.compile(r"\b(do nothing|no changes?|(leave|keep)\b.*\b(as it is|as is|unchanged|alone))\b", re.IGNORECASE)
"""Instructions that ask for no change."""


def quantities(image: Image.Image) -> dict[str, float]:
    """Measures of an RGB image.

    Returns:
        colour, light, contrast and warmth, 0 to 1; tones, the colour that does not follow from the light (none in a
        sepia or grey image); detail, the logarithm of the local contrast.
    """
    pixels = np.asarray(image, np.float32) / 255
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    blurred = image.convert("L").filter(ImageFilter.GaussianBlur(1.5))
    detail = np.abs(np.asarray(image.convert("L"), np.float32) - np.asarray(blurred, np.float32)).mean()
    return {
        "colour": float((pixels.max(-1) - pixels.min(-1)).mean()),
        "light": float(luma.mean()),
        "contrast": float(luma.std()),
        "tones": _tones(pixels, luma),
        "warmth": float((pixels[..., 0] - pixels[..., 2]).mean()),
        "detail": float(np.log(detail + 0.1)),
    }


def _tones(pixels: np.ndarray, luma: np.ndarray) -> float:
    """Mean distance of red minus blue from what a cubic in the light predicts."""
    light, colour = luma.ravel(), (pixels[..., 0] - pixels[..., 2]).ravel()
    powers = np.stack([light**power for power in range(4)], axis=1)
    found = np.linalg.lstsq(powers, colour, rcond=None)[0]
    return float(np.abs(colour - powers @ found).mean())


def contradiction(instruction: str, original: Image.Image, edited: Image.Image) -> tuple[str, str]:
    """Contradictions between a pair's images and its instruction.

    Args:
        instruction: of the pair.
        original: RGB.
        edited: RGB, of the same size.

    Returns:
        "swapped" or "text", and why; two empty texts where they agree or no word is known.
    """
    asked = [cue for cue in CUES if re.search(cue.words, instruction, re.IGNORECASE)]
    signs = {cue.quantity: {other.sign for other in asked if other.quantity == cue.quantity} for cue in asked}
    asked = [cue for cue in asked if len(signs[cue.quantity]) == 1]
    if not asked:
        return "", ""
    before, after = (quantities(_reduced(image)) for image in (original, edited))
    for cue in asked:
        change = (after[cue.quantity] - before[cue.quantity]) * cue.sign
        more, falls = ("more", "falls") if cue.sign > 0 else ("less", "rises")
        said = f"the instruction asks for {more} {cue.quantity}, which"
        if change < -cue.least:
            swapped = cue.end is None or before[cue.quantity] <= cue.end
            return "swapped" if swapped else "text", f"{said} {falls} by {-change:.2f} instead"
        room = _MOST[cue.quantity] - before[cue.quantity] if cue.sign > 0 else before[cue.quantity] - 2 * cue.least
        if change < cue.least / 3 and (room > 0 or cue.quantity == "detail"):
            return "text", f"{said} does not change ({change:+.3f})"
    return "", ""


def _reduced(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((4 * _SIDE, 4 * _SIDE), Image.Resampling.BOX)
    return copy
