"""One edit that is asked for, and what became of it: the two shapes in which edits travel."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import ORIENTATION, exif_of, to_pil
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.saving import QUALITY, save_image
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.strength import checked_strength

LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True)
class Captions:
    """Captions of an image before and after its edit.

    Args:
        original: caption of the original; "" if unknown.
        edited: caption of the edited image, which SDEdit, Prompt-to-Prompt and Text2LIVE read in place of the
            instruction; "" if unknown.
    """

    original: str
    edited: str


@dataclass(frozen=True)
class EditRequest:
    """One edit. An editor takes what it needs; what it needs and was not given is an error that names it.

    Args:
        image: PIL image of any mode and size, or float32 [3, H, W] in [-1, 1].
        instruction: what to change.
        seed: of the noise, 0 to 2^64 - 1; equal seeds give equal results, whatever else is in the batch.
        sampling: overrides of the editor's own steps and scales.
        captions: for editors that read what images show.
        expressive_instruction: for models that write one (LGIE, MGIE), the text to take in its place.
        strength: 1 for the edit as it is, down to 0.05 for less of it, up to 2 for more; see `editors.strength`.
        mask: PIL image of the original's size; what is white (or, in a mask with transparency, transparent) may change,
            what is black stays exactly as it was, grey blends.
        size: of the result of a PIL image: "input" for its own, or "model" for that at which the editor works.
        id: of the pair, for editors that look results up.
        truth: true edited image, which evaluation gives to editors with `reads_truth` and to no others.

    Raises:
        TypeError: a value of another type.
        ValueError: an empty instruction, a seed out of range, or a mask of another size.

    Examples:
        >>> from PIL import Image
        >>> EditRequest(Image.new("RGB", (96, 64), "teal"), "make it night", seed=3).seed
        3
        >>> EditRequest(Image.new("RGB", (96, 64)), " ")
        Traceback (most recent call last):
        ValueError: the instruction is empty; say what to change, for example 'make it winter'
    """

    image: Image.Image | Tensor
    instruction: str
    seed: int = 0
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    captions: Captions | None = None
    expressive_instruction: str | None = None
    strength: float = 1.0
    mask: Image.Image | None = None
    size: Literal["input", "model"] = "input"
    id: str = ""
    truth: Image.Image | Tensor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image, Image.Image | Tensor):
            raise TypeError(f"an image is a PIL image or a tensor [3, H, W], got {type(self.image).__name__}")
        if not isinstance(self.instruction, str):
            raise TypeError(f"an instruction is a text, got {type(self.instruction).__name__} {self.instruction!r}")
        if not self.instruction.strip():
            raise ValueError("the instruction is empty; say what to change, for example 'make it winter'")
        object.__setattr__(self, "seed", checked_seed(self.seed))
        object.__setattr__(self, "strength", checked_strength(self.strength))
        if self.size not in ("input", "model"):
            raise ValueError(f"size={self.size!r}: choose input (the original's) or model (that at which it is edited)")
        if self.mask is not None and image_size(self.mask) != image_size(self.image):
            width, height = image_size(self.image)
            raise ValueError(
                f"the mask is {self.mask.width} x {self.mask.height}, the image {width} x {height}; draw the mask at "
                "the image's size (upright, as the image is shown)"
            )


@dataclass(frozen=True)
class EditResult:
    """Result of a request.

    Args:
        image: of the type that was given, at the size that was asked for. PIL images keep their opacity, and in `info`
            their colour profile and EXIF data.
        request: what was asked for.
        expressive_instruction: what the model wrote, or was given in its place; "" if it writes none.
        notes: what the user should know of this edit, a sentence each.
        edited_at: width and height at which a PIL image was edited; None of tensors.

    Examples:
        >>> from PIL import Image
        >>> from ip2p_lightning.editors.copy_input import CopyInput
        >>> (result,) = CopyInput().edit(Image.new("RGB", (4, 4)), "make it night", seed=7)
        >>> result.request.seed, result.image.size
        (7, (4, 4))
    """

    image: Image.Image | Tensor
    request: EditRequest
    expressive_instruction: str = ""
    notes: tuple[str, ...] = ()
    edited_at: tuple[int, int] | None = None

    def save(self, path: str | Path, quality: int = QUALITY) -> Path:
        """Write the image in the format of the file's ending, see `save_image`."""
        image = to_pil(self.image) if isinstance(self.image, Tensor) else self.image
        return save_image(image, path, quality)


class Edits(list[EditResult]):
    """Results in the order of their requests: images outermost, then instructions, then alternatives."""

    @property
    def images(self) -> Any:
        """The edited images: a list, or [B, 3, H, W] of tensors of one size."""
        images = [result.image for result in self]
        if images and all(isinstance(image, Tensor) and image.shape == images[0].shape for image in images):  # type: ignore[union-attr]
            return torch.stack(images)  # type: ignore[arg-type]
        return images

    @property
    def expressive_instructions(self) -> list[str]:
        """Texts that the model wrote, one for each; empty if it writes none."""
        texts = [result.expressive_instruction for result in self]
        return texts if any(texts) else []


@dataclass(frozen=True)
class Step:
    """Progress of a batch of edits.

    Args:
        number: steps that are done.
        of: steps in all.
        places: of the batch's requests among all.
        peek: `row of the batch -> image [3, H, W] so far`; None for editors that have none.
    """

    number: int
    of: int
    places: tuple[int, ...]
    peek: Callable[[int], Tensor] | None = field(default=None, compare=False, repr=False)

    def image(self, place: int) -> Image.Image | None:
        """Preview of a request's unfinished edit, RGB at the size at which it is edited.

        It is decoded here, on the editor's networks: ask within `on_step`, and only for what is shown.

        Args:
            place: of the request, one of `places`.
        """
        return None if self.peek is None else to_pil(self.peek(self.places.index(place)))


OnStep = Callable[[Step], None]
"""Called after each sampling step; what it raises ends the work."""


class EditCancelled(Exception):
    """Raised where `cancel` asked to stop; no result is kept."""


def stoppable(on_step: OnStep | None, cancel: Callable[[], bool] | None) -> OnStep | None:
    """`on_step`, which after each step also asks `cancel` whether to raise `EditCancelled`; it is asked now, too."""
    if cancel is None:
        return on_step

    def step(state: Step) -> None:
        if on_step is not None:
            on_step(state)
        if cancel():
            raise EditCancelled(f"the edit was cancelled after step {state.number} of {state.of}")

    if cancel():
        raise EditCancelled("the edit was cancelled before it began")
    return step


def checked_seed(seed: Any) -> int:
    """A seed as a Python integer, NumPy's and torch's integers included.

    Raises:
        TypeError: no whole number.
        ValueError: below 0, or above 2^64 - 1.
    """
    try:
        number = operator.index(seed) if not isinstance(seed, bool) else None
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"seed={seed!r} must be a whole number")
    if not 0 <= number <= LARGEST_SEED:
        raise ValueError(f"seed={number} must be between 0 and {LARGEST_SEED}")
    return number


def image_size(image: Image.Image | Tensor) -> tuple[int, int]:
    """Width and height in pixels, as it is shown (after EXIF rotation)."""
    if isinstance(image, Tensor):
        return image.shape[-1], image.shape[-2]
    return (image.height, image.width) if exif_of(image).get(ORIENTATION, 1) >= 5 else image.size


def need_captions(editor: object, requests: Sequence[EditRequest], *, original: bool = False) -> list[Captions]:
    """The captions of requests, for editors that cannot work without them.

    Args:
        editor: who asks; its class is named in errors.
        requests: all that is to be edited.
        original: the original's caption is needed too.

    Raises:
        ValueError: no captions, or an empty one where it is needed.
    """
    who, found = type(editor).__name__, []
    wanted = "captions of the original and the edited image" if original else "the edited image's caption"
    for index, request in enumerate(requests):
        caption = request.captions
        if caption is None:
            raise ValueError(
                f"{who} needs {wanted}, and none were given: pass captions=Captions(original, edited), or choose "
                "pairs that have them (instructions alone do not say what an image shows)"
            )
        if not caption.edited.strip() or (original and not caption.original.strip()):
            missing = "edited" if not caption.edited.strip() else "original"
            raise ValueError(
                f"{who} needs {wanted}, but the {missing} caption of image {index + 1} of {len(requests)} is empty; "
                "leave such pairs out, or caption them first"
            )
        found.append(caption)
    return found


def captions_of(pairs: PairBatch) -> list[Captions]:
    """Captions of a batch's images, "" where there are none."""
    return [Captions(*texts) for texts in zip(pairs.original_caption, pairs.edited_caption, strict=True)]
