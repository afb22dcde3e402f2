"""The fields of a request: OpenAI's, those that vLLM's server adds, and ours, with their ranges."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ip2p_lightning.limits import PROMPT_CHARACTERS, SERVED_PIXELS, SERVED_STEPS
from ip2p_lightning.serving.problems import Problem

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_SIDES = 16, 8192


def _size(text: Any) -> tuple[int, int] | None:
    if text in (None, "auto", ""):
        return None
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("must be auto, or width x height in pixels, such as 1024x1024")
    width, height = int(found[1]), int(found[2])
    if min(width, height) < _SIDES[0] or max(width, height) > _SIDES[1] or width * height > SERVED_PIXELS.value:
        raise ValueError(
            f"must have sides of {_SIDES[0]} to {_SIDES[1]:,} pixels, and at most {SERVED_PIXELS.value:,} pixels in all"
        )
    return width, height


def _within_prompt(text: str) -> str:
    if len(text) > PROMPT_CHARACTERS.value:
        raise ValueError(f"has {len(text):,} characters; at most {PROMPT_CHARACTERS.value:,} are read")
    if not text.strip():
        raise ValueError("is empty; say what to do, for example 'make it winter'")
    return text


def _within_steps(steps: int) -> int:
    if steps > SERVED_STEPS.value:
        raise ValueError(f"is {steps:,}; at most {SERVED_STEPS.value} are made")
    return steps


Text = Annotated[str, AfterValidator(_within_prompt)]
Scale = Annotated[float, Field(ge=0, le=100)]
Quality = Literal["standard", "low", "medium", "high", "xhigh", "max", "hd", "auto"]


class Fields(BaseModel):
    """Fields shared by edits and drawings.

    Args:
        prompt: what to do.
        model: name of the model; None, or one of OpenAI's names, for the default.
        n: results, from seeds that count up.
        size: of the results: as large as fits into it in the image's own proportions; None (auto) for the image's own.
        background: opaque puts transparent images on white.
        output_format: of the results.
        output_compression: quality of jpeg and webp.
        response_format: b64_json alone: results are not kept, so that there is no URL.
        stream: answer by server-sent events.
        partial_images: unfinished images before each result of a stream.
        seed: of the first result; None draws one, which the answer says.
        num_inference_steps: sampling steps.
        guidance_scale: s_T, how strongly the prompt acts.
        quality, moderation, user, safety_identifier: taken from programs written for OpenAI, without effect.
    """

    model_config = ConfigDict(extra="forbid")

    prompt: Text
    model: Annotated[str, Field(max_length=200)] | None = None
    n: Annotated[int, Field(ge=1, le=10)] | None = 1
    size: Annotated[tuple[int, int] | None, BeforeValidator(_size)] = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    response_format: Literal["b64_json"] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 11)] | None = None
    num_inference_steps: Annotated[int, Field(ge=1), AfterValidator(_within_steps)] | None = None
    guidance_scale: Scale | None = None
    quality: Quality | None = None
    moderation: Literal["low", "auto"] | None = None
    user: Annotated[str, Field(max_length=1000)] | None = None
    safety_identifier: Annotated[str, Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Fields:
        if self.background == "transparent" and self.output_format == "jpeg":
            raise ValueError("background transparent needs output_format png or webp")
        if self.output_compression is not None and self.output_format not in ("jpeg", "webp"):
            raise ValueError("output_compression is for output_format jpeg or webp")
        if self.partial_images and not self.stream:
            raise ValueError("partial_images are for stream=true")
        return self


class EditFields(Fields):
    """A request to `/v1/images/edits`, images apart.

    Args:
        image_guidance_scale: s_I, how strongly the original is kept.
        expressive_instruction: for models that write one, the text to take in its place.
        input_fidelity: taken, without effect.
    """

    image_guidance_scale: Scale | None = None
    expressive_instruction: Text | None = None
    input_fidelity: Literal["high", "low"] | None = None


class DrawFields(Fields):
    """A request to `/v1/images/generations`.

    Args:
        style: taken, without effect.
    """

    style: Literal["vivid", "natural"] | None = None


F = TypeVar("F", bound=Fields)


def read_fields(kind: type[F], values: dict[str, Any]) -> F:
    """Fields as an object.

    Raises:
        Problem: a field that is missing, unknown or out of range; names it.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else None
        raise _problem(name, first["type"], first["msg"].removeprefix("Value error, "), kind) from None


def _problem(name: str | None, what: str, message: str, kind: type[Fields]) -> Problem:
    if what == "missing":
        return Problem(400, f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if what == "extra_forbidden":
        known = ", ".join(kind.model_fields)
        text = f"Unknown parameter: '{str(name)[:100]}'. There are {known}."
        return Problem(400, text, str(name)[:100], "unknown_parameter")
    start = f"Invalid value for '{name}': " if name else "Invalid request: "
    return Problem(400, f"{start}{message[:1].lower()}{message[1:]}.", name, "invalid_value")
