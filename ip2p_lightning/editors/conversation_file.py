"""A conversation as one file: a zip of `conversation.json` and PNG images, which any program that opens zips can show.

Opened, it is somebody else's data: JSON of a known form, images of the number and size that the limits allow, read from
names that this module made, and nothing else.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import IO, Annotated, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.images import ImageError, open_as_is, picture_size
from ip2p_lightning.data.saving import png_bytes
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.request import LARGEST_SEED
from ip2p_lightning.editors.strength import STRONGEST, WEAKEST
from ip2p_lightning.editors.turns import Content, Preference, Turn
from ip2p_lightning.files import write_whole

FORMAT, VERSION = "ip2p_lightning conversation", 1
_JSON = "conversation.json"
_IMAGE = r"^images/\d{1,6}\.png$"


class ConversationError(ValueError):
    """A file that is no conversation, a damaged one, or one beyond a limit; the message says what is wrong."""


_Text = Annotated[str, Field(max_length=limits.TEXT_CHARACTERS.default)]
_Name = Annotated[str, Field(pattern=_IMAGE)]
_Number = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Turn(_Strict):
    parent: _Number
    ask: _Number
    instruction: Annotated[_Text, Field(pattern=r"\S")]
    image: _Name
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    strength: Annotated[float, Field(ge=WEAKEST, le=STRONGEST)] = 1.0
    sampling: dict[str, float | int] = {}
    mask: _Name | None = None
    expressive_instruction: _Text = ""
    by_hand: bool = False
    notes: list[_Text] = []


class _Preference(_Strict):
    chosen: _Number | None
    rejected: list[_Number]
    time: Annotated[str, Field(max_length=40)]


class _File(_Strict):
    format: Literal["ip2p_lightning conversation"] = FORMAT
    version: Literal[1] = VERSION
    editor: _Text = ""
    original: _Name
    turns: list[_Turn]
    visited: list[_Number]
    place: _Number
    preferences: list[_Preference] = []


def write(content: Content, path: Path) -> Path:
    """Write a conversation; images that turns share are written once."""
    names: dict[int, str] = {}
    images: list[Image.Image] = []

    def name(image: Image.Image) -> str:
        if id(image) not in names:
            names[id(image)] = f"images/{len(images)}.png"
            images.append(image)
        return names[id(image)]

    file = _File(
        editor=content.name,
        original=name(content.original),
        turns=[
            _Turn(
                parent=turn.parent,
                ask=turn.ask,
                instruction=turn.instruction,
                image=name(turn.edited),
                seed=turn.seed,
                strength=turn.strength,
                sampling=turn.sampling.given(),
                mask=None if turn.mask is None else name(turn.mask),
                expressive_instruction=turn.expressive_instruction,
                by_hand=turn.by_hand,
                notes=list(turn.notes),
            )
            for turn in content.turns
        ],
        visited=list(content.visited),
        place=content.place,
        preferences=[
            _Preference(chosen=one.chosen, rejected=list(one.rejected), time=one.time) for one in content.preferences
        ],
    )

    def pack(target: IO[bytes]) -> None:
        with zipfile.ZipFile(target, "w") as archive:
            text = json.dumps(file.model_dump(), indent=1, ensure_ascii=False)
            archive.writestr(_JSON, text, zipfile.ZIP_DEFLATED)
            for number, image in enumerate(images):
                archive.writestr(f"images/{number}.png", png_bytes(image))

    write_whole(path, pack)
    return path


def read(path: Path, max_pixels: int | None = None) -> Content:
    """Read a conversation.

    Args:
        path: of the file.
        max_pixels: of all its images together; None for `limits.CONVERSATION_PIXELS`.

    Raises:
        FileNotFoundError: no such file.
        ConversationError: see there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            stored = _File.model_validate(parse_json(_member(archive, _JSON, limits.LISTING_BYTES)))
            _check_numbers(stored)
            return _content(stored, _images(archive, stored, max_pixels or limits.CONVERSATION_PIXELS.value))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ConversationError(f"{path.name} is no conversation: {place}: {first['msg']}") from error
    except (ImageError, TextError, limits.LimitError, KeyError, TypeError, ValueError) as error:
        raise ConversationError(f"{path.name} is no conversation that can be opened: {error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise ConversationError(f"{path.name} is no conversation, or a damaged one ({error})") from error


def _member(archive: zipfile.ZipFile, name: str, limit: limits.Limit) -> bytes:
    """A member, of which no more is unpacked than the limit allows."""
    with archive.open(name) as file:
        data = file.read(limit.value + 1)
    limit.check(len(data), name)
    return data


def _check_numbers(file: _File) -> None:
    """Turns name earlier turns alone, and everything else names turns that there are."""
    count = limits.CONVERSATION_TURNS.check(len(file.turns), _JSON)
    if len(file.visited) > 100 * (count + 1) or len(file.preferences) > 100 * (count + 1):
        raise ValueError("it was gone through too often")
    for number, turn in enumerate(file.turns, 1):
        if turn.parent >= number or not 1 <= turn.ask <= number or file.turns[turn.ask - 1].parent != turn.parent:
            raise ValueError(f"turn {number} belongs to no turn before it")
    said = [n for one in file.preferences for n in (*one.rejected, *([one.chosen] if one.chosen is not None else []))]
    if max([*file.visited, *said], default=0) > count or min(said, default=1) < 1 or file.place >= len(file.visited):
        raise ValueError("it names a turn that is not there")


def _images(archive: zipfile.ZipFile, file: _File, max_pixels: int) -> dict[str, Image.Image]:
    """Images by their names, all of the original's size."""
    masks = {turn.mask for turn in file.turns if turn.mask}
    size: tuple[int, int] | None = None
    left = max_pixels
    blended = sum(turn.strength != 1 for turn in file.turns)
    images: dict[str, Image.Image] = {}
    for name in dict.fromkeys([file.original, *(turn.image for turn in file.turns), *masks]):
        data = _member(archive, name, limits.IMAGE_BYTES)
        width, height, _ = picture_size(data, name=name)
        left -= width * height * (1 if size else 1 + blended)  # turns at another strength have images of their own
        if left < 0:
            raise ValueError(
                f"its images have more than {max_pixels:,} pixels together ({limits.CONVERSATION_PIXELS.variable})"
            )
        size = size or (width, height)
        if (width, height) != size:
            raise ValueError(f"{name} is {width} x {height}, the original {size[0]} x {size[1]}")
        images[name] = open_as_is(data, name=name)
    modes = {images[name].mode for name in images if name not in masks}
    if not (modes <= {"RGB"} or modes <= {"RGBA"}):
        raise ValueError(f"its images are of the modes {', '.join(sorted(modes))}, not all RGB or all RGBA")
    return images


def _content(file: _File, images: dict[str, Image.Image]) -> Content:
    turns: list[Turn] = []
    for number, stored in enumerate(file.turns, 1):
        before = turns[stored.parent - 1].image if stored.parent else images[file.original]
        turns.append(
            Turn(
                number=number,
                before=before,
                edited=images[stored.image],
                mask=images[stored.mask] if stored.mask else None,
                sampling=SamplingSettings(**stored.sampling),  # type: ignore[arg-type]
                notes=tuple(stored.notes),
                **stored.model_dump(exclude={"image", "mask", "sampling", "notes"}),
            )
        )
    preferences = [Preference(one.chosen, tuple(one.rejected), one.time) for one in file.preferences]
    return Content(file.editor, images[file.original], turns, file.visited, file.place, preferences)
