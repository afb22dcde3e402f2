"""Requests from images, instructions and seeds in any of the accepted forms."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import open_as_is
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.request import Captions, EditRequest, checked_seed

_KINDS = "a PIL image, a path, a uint8 array [H, W, 3] or a float tensor [3, H, W] in [-1, 1]"


def requests_of(
    images: Any,
    instructions: str | Sequence[str],
    *,
    seed: int | Sequence[int] = 0,
    seeds: int | Sequence[int] | None = None,
    alternatives: int = 1,
    strength: float = 1.0,
    mask: Any = None,
    size: str = "input",
    captions: Captions | Sequence[Captions] | None = None,
    expressive_instruction: str | Sequence[str] | None = None,
    truth: Any = None,
    ids: Sequence[str] | None = None,
    **sampling: Any,
) -> list[EditRequest]:
    """A request for each edit; what is given once holds for all.

    Args:
        images: one image or several.
        instructions: one or several.
        seed: one for all edits, or one for each.
        seeds: another name of `seed`.
        alternatives: edits of each image and instruction, with seeds that count up from its own.
        strength: of all edits, see `EditRequest`.
        mask: one or several, as images; white may change.
        size: "input" or "model", see `EditRequest`.
        captions: of one edit or each.
        expressive_instruction: of one edit or each, to take in place of what the model would write.
        truth: of each edit, for `Truth`.
        ids: of each edit.
        sampling: `steps`, `text_scale`, `image_scale`, `guidance_start`, `guidance_stop`, see `SamplingSettings`.

    Raises:
        TypeError: a value of another type, or an option that does not exist.
        ValueError: numbers that do not agree, or an empty instruction.
        FileNotFoundError: no such image file.
    """
    settings = _settings(sampling)
    pictures, one_image = pictures_of(images)
    texts, one_text = ([instructions], True) if isinstance(instructions, str) else (list(instructions), False)
    count = len(texts) if one_image else len(pictures)
    given: dict[str, list[Any]] = {
        "image": pictures * count if one_image else pictures,
        "instruction": texts * count if one_text else texts,
        "seed": _each(seed if seeds is None else seeds, count, Sequence | np.ndarray | Tensor),
        "mask": [None] * count if mask is None else _broadcast(*pictures_of(mask), count),
        "captions": _each(captions, count, Sequence),
        "expressive_instruction": _each(expressive_instruction, count, Sequence),
        "truth": [None] * count if truth is None else _broadcast(*pictures_of(truth), count),
        "id": [""] * count if ids is None else list(ids),
    }
    _check_numbers(given, count, alternatives)
    shared: dict[str, Any] = {"sampling": settings, "size": size, "strength": strength}
    return [
        EditRequest(**{**one, "seed": checked_seed(one["seed"]) + number}, **shared)
        for one in (dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True))
        for number in range(alternatives)
    ]


def pictures_of(images: Any) -> tuple[list[Any], bool]:
    """Images as PIL images or tensors, and whether it was a single one.

    Raises:
        TypeError: something that is no image.
        ValueError: a tensor or an array of another shape or range.
        FileNotFoundError: no such file.
    """
    if isinstance(images, Tensor | np.ndarray) and images.ndim == 4:
        return [_picture(image) for image in images], False
    if isinstance(images, Image.Image | Tensor | np.ndarray | str | PathLike):
        return [_picture(images)], True
    if isinstance(images, Sequence):
        return [_picture(image) for image in images], False
    raise TypeError(f"images are {_KINDS}, or several of them in a list, got {type(images).__name__}")


def _picture(image: Any) -> Image.Image | Tensor:
    if isinstance(image, str | PathLike):
        return open_as_is(Path(image))
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Tensor):
        return _from_tensor(image)
    raise TypeError(f"an image is {_KINDS}, got {type(image).__name__}")


def _from_array(array: np.ndarray) -> Image.Image:
    colours = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or colours not in (1, 3, 4):
        raise TypeError(
            f"an array of an image is uint8 [H, W, 3] (or [H, W], or [H, W, 4] with alpha), got {array.dtype} "
            f"{list(array.shape)}; convert it, for example (255 * array).round().astype('uint8')"
        )
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and colours == 1 else array))


def _from_tensor(image: Tensor) -> Tensor:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"a tensor of an image is [3, H, W], got {list(image.shape)}; permute or index it first")
    if not image.is_floating_point():
        raise TypeError(
            f"a tensor of an image is float in [-1, 1], got {image.dtype}; convert it: image.float() / 127.5 - 1"
        )
    if image.numel() and not bool(((image >= -1.001) & (image <= 1.001)).all()):
        low, high = float(image.min()), float(image.max())
        raise ValueError(
            f"a tensor of an image lies in [-1, 1], got {low:.3g} to {high:.3g}; scale it: image / 127.5 - 1 from 0 to "
            "255, image * 2 - 1 from 0 to 1"
        )
    return image


def _each(value: Any, count: int, several: Any) -> list[Any]:
    """One value for each edit."""
    if isinstance(value, str) or not isinstance(value, several) or getattr(value, "ndim", 1) == 0:
        return [value] * count
    return list(value)


def _broadcast(values: list[Any], single: bool, count: int) -> list[Any]:
    return values * count if single else values


def _settings(sampling: dict[str, Any]) -> SamplingSettings:
    try:
        return SamplingSettings(**sampling)
    except TypeError as error:
        unknown = sorted(set(sampling) - set(SamplingSettings.__dataclass_fields__))
        if not unknown:
            raise
        raise TypeError(
            f"edit takes no {unknown[0]!r}; its options are seed, alternatives, strength, mask, size, "
            f"captions, expressive_instruction, {', '.join(SamplingSettings.__dataclass_fields__)}"
        ) from error


def _check_numbers(given: dict[str, list[Any]], count: int, alternatives: int) -> None:
    if not isinstance(alternatives, int) or isinstance(alternatives, bool) or alternatives < 1:
        raise ValueError(f"alternatives={alternatives!r} must be a whole number, at least 1")
    numbers = {name: len(values) for name, values in given.items()}
    for index, instruction in enumerate(given["instruction"]):
        if isinstance(instruction, str) and not instruction.strip():
            raise ValueError(
                f"instruction {index + 1} of {numbers['instruction']} is empty; say what to change, for example "
                "'make it winter'"
            )
    if {numbers["image"], numbers["instruction"], numbers["seed"]} != {count}:
        raise ValueError(
            f"{numbers['image']} images, {numbers['instruction']} instructions and {numbers['seed']} seeds: give one "
            "of each for every edit, or one for all"
        )
    for name, number in numbers.items():
        if number != count:
            raise ValueError(f"{number} values of {name} for {count} edits; give one for each, or one for all")
