"""The body of a request: multipart forms as OpenAI's client sends them, or JSON; uploads are bytes until they are due.

Images come with the request or not at all: an address that the service would fetch could name what only it can reach.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.images import ImageError, open_as_is, picture_size
from ip2p_lightning.limits import PROMPT_CHARACTERS, SERVED_BYTES, SERVED_PIXELS
from ip2p_lightning.serving.fields import DrawFields, EditFields, Fields, read_fields
from ip2p_lightning.serving.problems import Problem

MOST_IMAGES = 16
_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,")
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")

F = TypeVar("F", bound=Fields)


@dataclass(frozen=True)
class Upload:
    """An encoded image.

    Args:
        data: its file.
        param: the field that it came in.
        name: what errors call it.
    """

    data: bytes
    param: str
    name: str

    def size(self) -> tuple[int, int]:
        """Width and height, from the header alone.

        Raises:
            Problem: no image, or one that is too large.
        """
        try:
            width, height, _ = picture_size(self.data, name=self.name)
        except ImageError as error:
            raise self._problem(error) from error
        if width * height > SERVED_PIXELS.value:
            text = f"{self.name} is {width:,} x {height:,} pixels; at most {SERVED_PIXELS.value:,} in all are taken."
            raise Problem(400, text, self.param, "image_too_large")
        return width, height

    def open(self) -> Image.Image:
        """The image, upright, with its transparency, profile and EXIF data.

        Raises:
            Problem: no image, a damaged one, or one that is too large.
        """
        self.size()
        try:
            return open_as_is(self.data, name=self.name, max_pixels=SERVED_PIXELS.value)
        except ImageError as error:
            raise self._problem(error) from error

    def _problem(self, error: ImageError) -> Problem:
        return Problem(400, f"{_OBJECT.sub('the upload', str(error))}.", self.param, "invalid_image")


@dataclass(frozen=True)
class EditForm:
    """A request to edit.

    Args:
        fields: everything but the images.
        images: one or more.
        mask: where the first image may change; None for everywhere.
    """

    fields: EditFields
    images: list[Upload]
    mask: Upload | None


async def read_edit(request: Request) -> EditForm:
    """A multipart form, or JSON whose `images` are data URLs.

    Raises:
        Problem: a body of another kind, or something wrong in it.
    """
    if _content_type(request) == "application/json":
        values = await _json(request)
        listed = values.pop("images", None)
        if not isinstance(listed, list):
            raise Problem(400, "Missing required parameter: 'images', a list.", "images", "missing_required_parameter")
        files = [("images", _of_url(one, "images")) for one in listed[: MOST_IMAGES + 1]]
        files += [("mask", _of_url(values.pop("mask"), "mask"))] if values.get("mask") is not None else []
    else:
        values, files = await _form(request)
    images = [data for name, data in files if name != "mask"]
    masks = [Upload(data, "mask", "the mask") for name, data in files if name == "mask"]
    if not images:
        raise Problem(400, "Missing required parameter: 'image'.", "image", "missing_required_parameter")
    if len(images) > MOST_IMAGES or len(masks) > 1:
        raise Problem(400, f"At most {MOST_IMAGES} images and one mask are taken.", "image", "too_many_images")
    names = ["the image"] if len(images) == 1 else [f"image {k + 1} of {len(images)}" for k in range(len(images))]
    uploads = [Upload(data, "image", name) for data, name in zip(images, names, strict=True)]
    return EditForm(read_fields(EditFields, values), uploads, masks[0] if masks else None)


async def read_draw(request: Request) -> DrawFields:
    """A JSON object.

    Raises:
        Problem: a body of another kind, or something wrong in it.
    """
    if _content_type(request) != "application/json":
        raise Problem(400, "The body must be JSON, with Content-Type: application/json.", code="unsupported_body")
    return read_fields(DrawFields, await _json(request))


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json(request: Request) -> dict[str, Any]:
    try:
        values = parse_json(await request.body(), limit=SERVED_BYTES)
    except TextError as error:
        raise Problem(400, f"The body is no JSON: {error}.", code="invalid_json") from error
    if not isinstance(values, dict):
        raise Problem(400, "The body must be a JSON object.", code="invalid_json")
    return values


async def _form(request: Request) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """Texts by their names, and files as (name, content)."""
    if _content_type(request) != "multipart/form-data":
        raise Problem(400, "The body must be multipart/form-data, or JSON.", code="unsupported_body")
    values: dict[str, Any] = {}
    files: list[tuple[str, bytes]] = []
    try:
        text_bytes = 4 * PROMPT_CHARACTERS.value + 1000
        async with request.form(max_files=2 * MOST_IMAGES, max_fields=60, max_part_size=text_bytes) as form:
            for name, value in form.multi_items():
                name = "image" if name == "image[]" else name
                if isinstance(value, UploadFile) != (name in ("image", "mask")):
                    kind = "a file" if name in ("image", "mask") else "a text, not a file"
                    raise Problem(
                        400, f"Invalid value for '{name[:100]}': it must be {kind}.", name[:100], "invalid_value"
                    )
                if isinstance(value, UploadFile):
                    files.append((name, await value.read()))
                elif name in values:
                    raise Problem(400, f"'{name[:100]}' stands there twice.", name[:100], "invalid_value")
                else:
                    values[name] = value
    except (MultiPartException, HTTPException, KeyError, ValueError) as error:
        text = getattr(error, "message", None) or getattr(error, "detail", "damaged multipart data")
        raise Problem(400, f"The form cannot be read: {str(text).rstrip('.')}.", code="invalid_form") from error
    return values, files


def _of_url(image: Any, param: str) -> bytes:
    url = image.get("image_url") if isinstance(image, dict) and image.keys() == {"image_url"} else None
    start = _DATA_URL.match(url) if isinstance(url, str) else None
    if not isinstance(url, str) or start is None:
        form = '{"image_url": "data:image/png;base64,..."}'
        text = f"Invalid value for '{param}': send images as {form}; nothing is fetched."
        raise Problem(400, text, param, "invalid_value")
    try:
        return base64.b64decode(url[start.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(400, f"Invalid value for '{param}': no base64.", param, "invalid_value") from error
