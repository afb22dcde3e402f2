"""Two-choice studies with people: a blind page of images side by side, and win rates of the choices that come back.

The scheme is DrawBench's (Saharia et al. 2022): first, no difference, or second, for each question; here for edits.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from random import SystemRandom
from typing import Any

from PIL import Image

from ip2p_lightning.data.images import as_rgb
from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval
from ip2p_lightning.untrusted import printable

QUESTIONS = {
    "follows": "Which image does better what was asked, and leaves everything else as it was?",
    "looks": "Which image looks better, whatever was asked?",
}
"""About edits: alignment with the instruction, and fidelity."""
IMAGE_QUESTIONS = {
    "follows": "Which side represents the text better?",
    "looks": "Which side has the higher image quality, whatever the text?",
}
"""About images that were made from a text: DrawBench's two questions (Saharia et al. 2022) in our words."""
_MAX_PAGE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class Item:
    """One comparison.

    Args:
        pair: id of the pair.
        instruction: what was asked.
        original: the image that was edited; None for images that were made from a text.
        edits: system -> its image; two of them.
        category: results are given for each, too; "" for none.
    """

    pair: str
    instruction: str
    original: Image.Image | None
    edits: Mapping[str, Image.Image]
    category: str = ""


@dataclass(frozen=True)
class Preference:
    """Shares of the choices, each with an interval over pairs.

    Args:
        first, second: the systems' names.
        first_share, tie_share, second_share: of all choices.
        choices: how many there are.
    """

    first: str
    second: str
    first_share: Interval
    tie_share: Interval
    second_share: Interval
    choices: int


def write_page(items: Sequence[Item], page: str | Path, key: str | Path, *, side: int = 512) -> None:
    """Write a page that holds everything and names no system, and a key that says which image was on which side.

    Order and sides are drawn from the operating system's secret randomness: someone who knows this package and the page
    cannot work them out. All images of an item are shown at one size, and their pixels alone are kept: no colour
    profile, EXIF or text tells where an image came from.

    Args:
        items: comparisons of the same two systems.
        page: HTML file to write. Raters get it alone.
        key: JSON file to write, in another folder, so that who serves or packs the page's folder keeps the secret.
        side: longest side in pixels of the images on the page.

    Raises:
        ValueError: no items, other than two systems, items without an original, a page that would be too large to
            open, or a key in the page's folder.
    """
    page, key = Path(page), Path(key)
    if key.resolve().is_relative_to(page.resolve().parent):
        raise ValueError(f"key={key} lies in the folder that raters get, {page.parent}; choose another folder")
    systems = sorted({system for item in items for system in item.edits})
    if len(systems) != 2 or any(len(item.edits) != 2 for item in items):
        raise ValueError(f"a study compares two systems on every pair, got {systems or 'no items'}")
    draw = SystemRandom()
    rows: list[dict[str, Any]] = []
    sides: list[dict[str, str]] = []
    for number, item in enumerate(draw.sample(list(items), len(items))):
        left, right = draw.sample(systems, 2)
        if item.original is None:
            raise ValueError("the page shows edits; serve images that were made from a text with `ip2p study serve`")
        images = {"original": item.original, "left": item.edits[left], "right": item.edits[right]}
        size = shown_size(item.original.size, side)
        shown = {name: _data_url(image, size) for name, image in images.items()}
        rows.append({"item": number, "instruction": printable(item.instruction), **shown})
        sides.append({"pair": item.pair, "left": left, "right": right, "category": item.category})
    study = draw.randbytes(8).hex()
    content = json.dumps({"study": study, "items": rows, "questions": QUESTIONS}, ensure_ascii=False)
    content = content.replace("<", "\\u003c")
    if len(content) > _MAX_PAGE_BYTES:
        raise ValueError(f"the page would have {len(content):,} bytes; compare fewer pairs or lower side={side}")
    template = files("ip2p_lightning.evaluation").joinpath("templates/preference.html").read_text(encoding="utf-8")
    for file, text in (
        (key, json.dumps({"study": study, "items": sides}, indent=1, ensure_ascii=False) + "\n"),
        (page, template.replace("{{study}}", content)),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def preference(choices: Sequence[Choice], *, resamples: int = 2000, confidence: float = 0.95) -> Preference:
    """Shares of the choices for either of two systems, whichever side it was on.

    Args:
        choices: about the same two systems.
        resamples: of the bootstrap over pairs.
        confidence: share of the resamples inside the intervals.

    Raises:
        ValueError: no choices, or more than two systems.
    """
    systems = sorted({name for choice in choices for name in (choice.first, choice.second)})
    if len(systems) != 2:
        raise ValueError(f"preferences are between two systems, got {', '.join(systems) or 'no choices'}")
    named = [{"first": c.first, "second": c.second, "tie": "tie"}[c.choice] for c in choices]
    groups = [choice.pair for choice in choices]

    def share(of: str) -> Interval:
        values = [float(name == of) for name in named]
        return bootstrap_interval(values, groups, share=True, resamples=resamples, confidence=confidence)

    return Preference(systems[0], systems[1], share(systems[0]), share("tie"), share(systems[1]), len(choices))


def shown_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height at which an image is shown, its longer side at most ``side`` pixels."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def bare_png(image: Image.Image, size: tuple[int, int]) -> bytes:
    """An image as PNG at another size, its pixels alone: no profile, EXIF data or text."""
    pixels = as_rgb(image)
    if pixels.size != size:
        pixels = pixels.resize(size, Image.Resampling.LANCZOS)
    bare = Image.frombytes("RGB", size, pixels.tobytes())  # PIL writes what else it has read
    buffer = io.BytesIO()
    bare.save(buffer, "PNG")
    return buffer.getvalue()


def _data_url(image: Image.Image, size: tuple[int, int]) -> str:
    return f"data:image/png;base64,{base64.b64encode(bare_png(image, size)).decode()}"
