"""Filters of texts and images in one object: it says what is refused, and counts it by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class TextFilter(Protocol):
    """Finds text that should not become images: a list of words, or a classifier."""

    name: str
    """For the record."""

    def find(self, text: str) -> str:
        """Category of what is unsafe in the text; "" if nothing is."""
        ...


class ImageFilter(Protocol):
    """Says which images are not fit to be shown."""

    name: str
    """Model and version, for the record."""

    def unsafe(self, images: Tensor) -> list[bool]:
        """One answer for each image [B, 3, H, W] in [-1, 1]."""
        ...


class Guard:
    """Checks of a job before it makes an image of a text, and before it shows the image.

    Args:
        texts: asked in turn about every text.
        images: asked about every image; None lets all pass.
    """

    def __init__(self, texts: Sequence[TextFilter] = (), images: ImageFilter | None = None) -> None:
        self.texts, self.images = tuple(texts), images
        self.refused: Counter[str] = Counter()
        """"text: WORD" or "image: MODEL" -> how often."""

    @property
    def name(self) -> str:
        """All filters, for the record."""
        return ", ".join(one.name for one in (*self.texts, *([self.images] if self.images else [])))

    def refuses_text(self, *texts: str) -> str:
        """Reason why a request is refused, which counts once; "" if no text of it is.

        Args:
            texts: all that a request says.
        """
        for text in texts:
            for one in self.texts:
                if found := one.find(text):
                    self.refused[f"text: {found.lower()}"] += 1
                    return f"its text is refused for {found!r} by {one.name}"
        return ""

    def refuses_images(self, images: Sequence[Tensor]) -> list[str]:
        """Reason why each image is refused; "" for those that are not.

        Args:
            images: [3, H, W] in [-1, 1], of any sizes.
        """
        if self.images is None:
            return [""] * len(images)
        answers = [self.images.unsafe(image[None])[0] for image in images]
        self.refused[f"image: {self.images.name}"] += sum(answers)
        return [f"its image is refused by {self.images.name}" if unsafe else "" for unsafe in answers]

    def summary(self) -> str:
        """Summary of refusals by name: "2 refused (text: gore 1, image: open_nsfw 1)"; "" if nothing was."""
        counts = +self.refused
        named = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
        return f"{counts.total():,} refused ({named})" if counts else ""
