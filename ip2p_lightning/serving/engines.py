"""Engines of a queue's worker: an editor, or a text-to-image pipeline, in batches of requests of one kind."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from PIL import Image

from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, image_size
from ip2p_lightning.editors.whole import Photo, finished, prepared

Request = TypeVar("Request")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ready(Generic[Request]):
    """A request that is ready for the networks.

    Args:
        request: what was asked for.
        kind: equal for requests that one batch may hold.
        work: what the engine makes of it, for itself.
    """

    request: Request
    kind: Hashable
    work: Any


@runtime_checkable
class Engine(Protocol[Request, Result]):
    """Does the work of one model. `run` is called on the worker's thread alone, the others on any."""

    batch_size: int
    """Requests at once."""

    def pixels(self, request: Request) -> int:
        """Queue memory that a request will hold, before anything is decoded or made."""
        ...

    def prepare(self, requests: Sequence[Request]) -> list[Ready[Request]]:
        """Make requests ready; what is wrong with one is raised here, to the client's face."""
        ...

    def run(self, ready: Sequence[Ready[Request]], on_step: OnStep) -> Sequence[Any]:
        """Raw results of requests of one kind; a result depends on its own request alone."""
        ...

    def finish(self, raw: Any, ready: Ready[Request]) -> Result:
        """The result as its client wants it."""
        ...

    def partial(self, image: Image.Image, ready: Ready[Request]) -> Image.Image:
        """An unfinished image, as `Step.image` gives it, as its client wants it."""
        ...


class EditEngine:
    """Edits with any editor: `EditRequest` in, `EditResult` out.

    Images are brought to the editor's size, and results back to the images' own, on the threads of the clients and
    not on the worker's.

    Args:
        editor: what edits.
        batch_size: requests at once; None for the editor's own.
    """

    def __init__(self, editor: Editor, batch_size: int | None = None) -> None:
        self.editor = editor
        self.batch_size = batch_size or getattr(editor, "batch_size", 1)

    def pixels(self, request: EditRequest) -> int:
        """Those of its image."""
        width, height = image_size(request.image)
        return width * height

    def prepare(self, requests: Sequence[EditRequest]) -> list[Ready[EditRequest]]:
        """See `Engine.prepare`; an image that several requests share is made ready once."""
        photos: dict[int, Photo] = {}
        ready = []
        for request in requests:
            photo = photos.get(id(request.image))
            if photo is None:
                asked, photo = prepared(request, self.editor.fit)
            else:
                asked = replace(request, image=photo.seen, mask=None)
            if photo is not None:
                photos[id(request.image)] = photo
            ready.append(Ready(request, self.editor.kind(asked), (asked, photo)))
        return ready

    def run(self, ready: Sequence[Ready[EditRequest]], on_step: OnStep) -> list[EditResult]:
        """See `Engine.run`."""
        return self.editor.edit_prepared([one.work[0] for one in ready], on_step)

    def finish(self, raw: EditResult, ready: Ready[EditRequest]) -> EditResult:
        """See `Engine.finish`."""
        return self.editor.finish(raw, ready.request, ready.work[1])

    def partial(self, image: Image.Image, ready: Ready[EditRequest]) -> Image.Image:
        """At the size that was asked for, within the mask."""
        asked, photo = ready.work
        shown = finished(EditResult(image, asked), ready.request, photo).image
        return shown if isinstance(shown, Image.Image) else image
