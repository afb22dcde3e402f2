"""What every editor promises: pictures and instructions in, edited pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from PIL import Image
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.request import check_request as check_request

Pictures = TypeVar("Pictures", Tensor, Sequence[Image.Image])
"""Float tensors [B, 3, H, W] in [-1, 1], or PIL pictures of any mode and size."""


@dataclass(frozen=True)
class Captions:
    """What a picture shows before and after its edit.

    Args:
        original: caption of the original; "" if unknown.
        edited: caption of the edited picture, which SDEdit, Prompt-to-Prompt and Text2LIVE read in place of the
            instruction; "" if unknown.
    """

    original: str
    edited: str


@dataclass(frozen=True)
class EditResult(Generic[Pictures]):
    """Edited pictures.

    Args:
        images: of the type that was given. Tensors keep their size; PIL pictures come back at the size that the
            editor works at.
        expressive_instructions: what the model wrote for each picture, if it writes at all.
    """

    images: Pictures
    expressive_instructions: list[str] = field(default_factory=list)


class Editor(Protocol):
    """Edits pictures by instruction.

    An editor takes what it needs of the keywords and ignores the rest; what it needs and was not given is an error
    that names it, so that no baseline runs on the wrong text without anybody knowing.
    """

    def edit(
        self,
        images: Pictures,
        instructions: Sequence[str],
        *,
        seeds: Sequence[int] | int = 0,
        text_scale: float | None = None,
        image_scale: float | None = None,
        steps: int | None = None,
        captions: Sequence[Captions] | None = None,
        truth: Pictures | None = None,
        ids: Sequence[str] | None = None,
    ) -> EditResult[Pictures]:
        """Edit B pictures; a result depends on its own picture, texts and seed, not on the others.

        Args:
            images: B pictures.
            instructions: B commands.
            seeds: one for each picture, or one for all.
            text_scale: s_T; None for the editor's own.
            image_scale: s_I; None for the editor's own.
            steps: sampling steps; None for the editor's own.
            captions: B, for editors that read what the pictures show.
            truth: B true edited pictures, for the editor that returns them; no other may look at them.
            ids: B names of the pairs, for editors that look results up.

        Raises:
            ValueError: numbers that do not agree, an empty instruction, or something missing that the editor needs.
        """
        ...


def need_captions(
    editor: object, captions: Sequence[Captions] | None, count: int, *, original: bool = False
) -> list[Captions]:
    """The captions, for editors that cannot work without them.

    Args:
        editor: who asks; its class is named in errors.
        captions: as given to `edit`.
        count: number of pictures.
        original: the original's caption is needed too.

    Raises:
        ValueError: no captions, too few or too many, or an empty one where it is needed.
    """
    who = type(editor).__name__
    wanted = "captions of the original and the edited picture" if original else "the edited picture's caption"
    if captions is None:
        raise ValueError(
            f"{who} needs {wanted}, and none were given: pass captions=[Captions(original, edited), ...], or choose "
            "pairs that have them (instructions alone do not say what a picture shows)"
        )
    if len(captions) != count:
        raise ValueError(f"{who} was given {len(captions)} captions for {count} pictures; give one for each")
    for index, caption in enumerate(captions):
        if not caption.edited.strip() or (original and not caption.original.strip()):
            missing = "edited" if not caption.edited.strip() else "original"
            raise ValueError(
                f"{who} needs {wanted}, but the {missing} caption of picture {index + 1} of {count} is empty; leave "
                "such pairs out, or caption them first"
            )
    return list(captions)


def captions_of(pairs: PairBatch) -> list[Captions]:
    """What a batch says of its pictures, with "" where it says nothing."""
    return [Captions(*texts) for texts in zip(pairs.original_caption, pairs.edited_caption, strict=True)]
