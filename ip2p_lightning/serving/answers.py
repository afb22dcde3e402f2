"""Results as OpenAI's client reads them: JSON with base64, or server-sent events."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ip2p_lightning.data.saving import QUALITY, over_white, write_image
from ip2p_lightning.serving.drawing import within
from ip2p_lightning.serving.fields import Fields

NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""Nothing is billed; clients expect the fields."""
HEARTBEAT = b": waiting\n\n"


@dataclass(frozen=True)
class Finished:
    """One result as it is sent.

    Args:
        image: as it was made.
        expressive_instruction: what the model wrote; "" if it writes none.
        seed: of its noise.
    """

    image: Image.Image
    expressive_instruction: str
    seed: int

    def facts(self) -> dict[str, Any]:
        """Data sent with the image."""
        return {"revised_prompt": self.expressive_instruction or None, "seed": self.seed}


@dataclass(frozen=True)
class Shape:
    """Format of results, as a request's fields choose it."""

    fields: Fields

    @property
    def format(self) -> str:
        """The format of images, as the protocol calls it."""
        return self.fields.output_format or "png"

    def brought(self, image: Image.Image) -> Image.Image:
        """An image at the size and with the background that was asked for."""
        image = image if self.fields.size is None else within(image, self.fields.size)
        return over_white(image) if self.fields.background == "opaque" or self.format == "jpeg" else image

    def encoded(self, image: Image.Image) -> str:
        """Base64 of the file."""
        file = io.BytesIO()
        quality = QUALITY if self.fields.output_compression is None else self.fields.output_compression
        write_image(image, file, self.format.upper(), quality)
        return base64.b64encode(file.getvalue()).decode()

    def facts(self, image: Image.Image) -> dict[str, Any]:
        """Fields of the protocol for an image besides its content."""
        return {
            "background": "transparent" if image.has_transparency_data else "opaque",
            "output_format": self.format,
            "quality": "auto",
            "size": f"{image.width}x{image.height}",
        }

    def response(self, results: Sequence[Finished]) -> dict[str, Any]:
        """The whole answer."""
        images = [self.brought(result.image) for result in results]
        data = [
            {"b64_json": self.encoded(image), **result.facts()} for image, result in zip(images, results, strict=True)
        ]
        facts = self.facts(images[0])
        del facts["quality"]  # of responses, "auto" is none of the protocol's
        return {"created": int(time.time()), "data": data, **facts, "usage": NO_TOKENS}

    def partial(self, kind: str, image: Image.Image, place: int, number: int) -> bytes:
        """The event of an unfinished image.

        Args:
            kind: "image_edit" or "image_generation".
            image: so far.
            place: of the result that it becomes, where several were asked for.
            number: of the image among the unfinished ones of its result.
        """
        facts = {"partial_image_index": number, "image_index": place}
        return self._event(f"{kind}.partial_image", self.brought(image), facts)

    def completed(self, kind: str, result: Finished, place: int) -> bytes:
        """The event of a result; arguments as of `partial`."""
        facts = {"usage": NO_TOKENS, "image_index": place, **result.facts()}
        return self._event(f"{kind}.completed", self.brought(result.image), facts)

    def _event(self, name: str, image: Image.Image, more: dict[str, Any]) -> bytes:
        facts = {"b64_json": self.encoded(image), "created_at": int(time.time()), **self.facts(image)}
        return event(name, {"type": name, **facts, **more})


def event(name: str, value: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
