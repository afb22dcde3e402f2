"""The contract of every editor: requests in, results out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self, runtime_checkable

import torch
from PIL import Image
from torch import Tensor, nn

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.editors.batches import size_and_settings
from ip2p_lightning.editors.inputs import requests_of
from ip2p_lightning.editors.notes import with_seed_notes
from ip2p_lightning.editors.request import EditRequest, EditResult, Edits, OnStep, stoppable
from ip2p_lightning.editors.whole import Photo, finished, prepared


class Editor(ABC):
    """Edits images by instruction. A new editor is a subclass with `edit_prepared`.

    Examples:
        >>> from PIL import Image, ImageOps
        >>> from ip2p_lightning import Editor, EditResult
        >>> class Negative(Editor):
        ...     def edit_prepared(self, requests, on_step=None):
        ...         return [EditResult(ImageOps.invert(request.image), request) for request in requests]
        >>> edits = Negative().edit(Image.new("RGB", (4, 4), "white"), "swap dark and light")
        >>> edits[0].image.getpixel((0, 0))
        (0, 0, 0)
    """

    reads_truth = False
    """True if evaluation gives it the true edited image; of all editors, `Truth` alone."""
    writes = False
    """True if it writes expressive instructions, and takes one of the user's in their place."""

    @abstractmethod
    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """Edit images that are ready; a result depends on its own request, not on the others.

        Args:
            requests: their images are tensors [3, H, W] in [-1, 1], or PIL RGB as `fit` made them.
            on_step: called after each sampling step of each batch.

        Raises:
            ValueError: something missing that the editor needs.
        """

    def fit(self, image: Image.Image) -> Image.Image:
        """A PIL RGB image at the size at which it is edited; here its own."""
        return image

    def kind(self, request: EditRequest) -> Hashable:
        """Equal for requests, of images that are ready, that this editor changes in one batch."""
        return size_and_settings(request)

    def notes(self, request: EditRequest) -> list[str]:
        """Sentences that the user should read with the result."""
        return []

    def finish(self, result: EditResult, request: EditRequest, photo: Photo | None) -> EditResult:
        """The result of `request` itself, at its size and with notes.

        Args:
            result: what `edit_prepared` returned.
            request: what was asked for.
            photo: see `prepared`.
        """
        edit = finished(result, request, photo)
        shown = not isinstance(edit.image, Tensor)  # programs edit tensors, by the thousand
        return replace(edit, notes=(*edit.notes, *self.notes(request))) if shown else edit

    def networks(self) -> list[nn.Module]:
        """Networks that edit; empty for editors without weights."""
        return []

    def to(self, device: str | torch.device) -> Self:
        """Move the networks to a device."""
        for network in self.networks():
            network.to(device)
        return self

    def answer(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> Edits:
        """Edit images of any mode and size, each at the size that its request asks for.

        Args:
            requests: edits.
            on_step: see `edit_prepared`.
        """
        ready = [prepared(request, self.fit) for request in requests]
        results = self.edit_prepared([request for request, _ in ready], on_step)
        edits = (
            self.finish(result, request, photo)
            for result, request, (_, photo) in zip(results, requests, ready, strict=True)
        )
        return Edits(with_seed_notes(list(edits)))

    def edit(
        self,
        images: Any,
        instructions: str | Sequence[str],
        *,
        on_step: OnStep | None = None,
        cancel: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Edits:
        """Edit one image or many.

        Args:
            images: one image, or several: PIL images, paths, uint8 arrays [H, W, 3], tensors [3, H, W] in [-1, 1].
            instructions: one for all images, or one for each. One image takes any number of instructions.
            on_step: called after each sampling step of each batch.
            cancel: asked after each step, such as `threading.Event().is_set`; once true, `EditCancelled` is raised.
            options: `seed`, `alternatives`, `mask`, `size`, `steps`, `text_scale` and more, see `requests_of`.

        Returns:
            A list of results in the order of the edits, with all images as its `images`.

        Raises:
            TypeError: an image or a value of another type.
            ValueError: numbers that do not agree, an empty instruction, or something missing that the editor needs.
            FileNotFoundError: no such image file.
            EditCancelled: `cancel` said so.
        """
        requests = requests_of(images, instructions, **options)
        return self.answer(requests, stoppable(on_step, cancel))


@runtime_checkable
class Described(Protocol):
    """An editor with more to record with its figures than its settings."""

    def describe(self) -> dict[str, Any]:
        """JSON values."""
        ...


@runtime_checkable
class Remarks(Protocol):
    """An editor that counts what it did with some images."""

    def remarks(self, ids: Sequence[str]) -> list[dict[str, bool]]:
        """Counts for the pairs that were edited last."""
        ...


@runtime_checkable
class AnswersSome(Protocol):
    """An editor that has results for some pairs alone."""

    def answered(self, pairs: PairSource) -> PairSource:
        """The pairs for which there are results."""
        ...


class Around(Editor):
    """An editor that drives another one, whose networks and sizes are its own.

    Args:
        editor: the other one.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    @property
    def reads_truth(self) -> bool:  # type: ignore[override]
        """As the other one."""
        return self.editor.reads_truth

    @property
    def writes(self) -> bool:  # type: ignore[override]
        """As the other one."""
        return self.editor.writes

    def fit(self, image: Image.Image) -> Image.Image:
        """As the other one."""
        return self.editor.fit(image)

    def networks(self) -> list[nn.Module]:
        """As the other one."""
        return self.editor.networks()

    def kind(self, request: EditRequest) -> Hashable:
        """As the other one."""
        return self.editor.kind(request)

    def notes(self, request: EditRequest) -> list[str]:
        """As the other one."""
        return self.editor.notes(request)

    def to(self, device: str | torch.device) -> Self:
        """Move the other one's networks."""
        self.editor.to(device)
        return self
