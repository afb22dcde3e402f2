"""One visitor's conversation: images that came in, edits through the queue, files to take away. Nothing of a page."""

from __future__ import annotations

import json
import shlex
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from PIL import Image

from ip2p_lightning import __version__
from ip2p_lightning.data.images import ImageError, open_as_is
from ip2p_lightning.data.saving import save_image
from ip2p_lightning.editors.conversation import Conversation
from ip2p_lightning.editors.notes import with_seed_notes
from ip2p_lightning.editors.preferences import write_preferences
from ip2p_lightning.editors.request import EditCancelled, EditRequest, Edits, OnStep
from ip2p_lightning.editors.turns import Preference, Turn
from ip2p_lightning.serving.drawing import DrawRequest, DrawResult
from ip2p_lightning.serving.engines import EditEngine, Engine, Request, Result
from ip2p_lightning.serving.queue import Progress, WorkQueue

_POLL = 0.05  # seconds until a cancelled edit is given up


@dataclass(eq=False)
class Studio:
    """State that all visitors share.

    Args:
        engine: edits.
        queue: in front of it; a service may share it.
        name: of the editor, as `ip2p edit checkpoint=...` opens it.
        draws: makes images of words, on a tab of its own; None for no such tab.
        folder: where choices go; None keeps none.
        max_pixels: of an image.
        held_pixels: of the images of all visitors together.
        timeout: seconds for an edit.
    """

    engine: EditEngine
    queue: WorkQueue
    name: str
    draws: Engine[DrawRequest, DrawResult] | None = None
    folder: Path | None = None
    max_pixels: int = 40_000_000
    held_pixels: int = 1_000_000_000
    timeout: float | None = 300.0
    sessions: weakref.WeakSet[Session] = field(default_factory=weakref.WeakSet)

    @property
    def writes(self) -> bool:
        """True if the editor writes expressive instructions."""
        return self.engine.editor.writes


class Session:
    """State of one visitor.

    Args:
        studio: what all share.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.talk: Conversation | None = None
        self.source = ""
        """Path of the file that the conversation is about."""
        self.refused = False
        """True from when a file could not be used until its field is empty again."""
        self.progress = ""
        self._cancel = threading.Event()
        self._busy = threading.Lock()
        studio.sessions.add(self)

    def __deepcopy__(self, memo: object) -> Self:
        """A visitor's own: Gradio copies a state's first value for each."""
        return type(self)(self.studio)

    @property
    def pixels(self) -> int:
        """Number of pixels of all its images together."""
        if self.talk is None:
            return 0
        width, height = self.talk.original.size
        return width * height * (1 + len(self.talk.turns))

    def begin(self, path: str | None) -> None:
        """Begin a conversation about an image file, unless it is the one that is talked about.

        Raises:
            ValueError: no image, or one that cannot be used.
        """
        if self.talk is not None and (path or "") == self.source:
            return
        if not path:
            raise ValueError("choose an image first: upload one, paste one, or take an example")
        if not Path(path).is_file():
            raise ValueError("the server was restarted and does not have this image any more; choose it again")
        try:
            image = open_as_is(path, name="the image", max_pixels=self.studio.max_pixels)
        except ImageError as error:  # in which Pillow may name the file by its path; the limit is not the visitor's
            raise ValueError(str(error).replace(path, "the file").removesuffix(" or raise max_pixels")) from error
        self._room(image.width * image.height)
        self.talk, self.source = Conversation(self, image, self.studio.name), path

    def reopen(self, path: str, source: str = "") -> None:
        """Go on with a conversation that was saved.

        Raises:
            ValueError: no conversation, or too large a one.
        """
        talk = Conversation.open(path, self, max_pixels=5 * self.studio.max_pixels)
        self._room(talk.original.width * talk.original.height * (1 + len(talk.turns)))
        self.talk, self.source = talk, source

    def need(self) -> Conversation:
        """The conversation.

        Raises:
            ValueError: there is none.
        """
        if self.talk is None:
            raise ValueError("there is no edit yet; choose an image and say what to change")
        return self.talk

    def answer(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> Edits:
        """Edit through the queue, as `Conversation` needs it; see `WorkQueue.submit` for what is raised."""
        return Edits(with_seed_notes(self._results(self.studio.engine, requests)))

    def draw(self, prompt: str, seed: int) -> Image.Image:
        """An image of words, through the queue.

        Raises:
            ValueError: an empty prompt, or something else of this visitor is under way.
        """
        assert self.studio.draws is not None
        with self._alone():
            (result,) = self._results(self.studio.draws, [DrawRequest(prompt or "", seed)])
        return result.image

    def _results(self, engine: Engine[Request, Result], requests: Sequence[Request]) -> list[Result]:
        studio, done = self.studio, [0] * len(requests)

        def step(place: int) -> Callable[[Progress], None]:
            def note(progress: Progress) -> None:
                done[place] = progress.number
                self.progress = f"step {min(done)} of {progress.of}"

            return note

        self.progress = "waiting in the queue"
        watch = [step(place) for place in range(len(requests))]
        pending = studio.queue.submit(engine, requests, watch, studio.timeout)
        try:
            while wait(pending, _POLL).not_done:
                if self._cancel.is_set():
                    raise EditCancelled("cancelled; nothing was changed")
            return [one.result() for one in pending]
        finally:
            for one in pending:
                one.cancel()

    def work(self, act: Callable[[Conversation], Any]) -> None:
        """Let a conversation do something, one thing at a time.

        Raises:
            ValueError: something else of this visitor is under way, or memory is full.
        """
        talk = self.need()
        with self._alone():
            self._room(talk.original.width * talk.original.height)
            act(talk)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise ValueError("something of this page is under way; wait for it, or cancel it")
        try:
            self._cancel.clear()
            yield
        finally:
            self.progress = ""
            self._busy.release()

    def cancel(self) -> None:
        """End the edit that is under way."""
        self._cancel.set()

    def say(self, preference: Preference) -> None:
        """Keep a choice where the studio keeps them."""
        if self.studio.folder is not None and self.talk is not None:
            write_preferences(self.talk.content(), self.studio.folder, only=preference)

    def files(self, folder: Path) -> list[Path]:
        """The current image, how it was made, and the conversation, written to a folder."""
        talk = self.need()
        image = save_image(talk.image, folder / "edit.png")
        recipe = folder / "recipe.json"
        recipe.write_text(json.dumps(self.recipe(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return [image, recipe, talk.save(folder / "conversation.zip")]

    def recipe(self) -> dict[str, Any]:
        """Recipe of the current image: the options of each edit, and the commands."""
        path = self.need().path
        names = ["original.png", *(f"{place}.png" for place in range(1, len(path))), "edit.png"]
        return {
            "ip2p_lightning": __version__,
            "checkpoint": self.studio.name,
            "edits": [turn.settings | ({"mask": "in conversation.zip"} if turn.mask else {}) for turn in path],
            "commands": [
                _command(self.studio.name, *one) for one in zip(path, names[:-1], names[1:], strict=bool(path))
            ],
        }

    def _room(self, pixels: int) -> None:
        held = sum(session.pixels for session in self.studio.sessions)
        if held + pixels > self.studio.held_pixels:
            raise ValueError("the server's memory for images is full; save the conversation, and try again later")


def _command(checkpoint: str, turn: Turn, source: str, target: str) -> str:
    """`ip2p edit ...` of one turn; what is written by hand has no key there."""
    words = {
        "checkpoint": checkpoint,
        "image": source,
        "instruction": turn.instruction,
        "seeds": f"[{turn.seed}]",
        **({"strength": f"{turn.strength:.4g}"} if turn.strength != 1 else {}),
        **({"mask": "mask.png"} if turn.mask else {}),
        **{key: str(value) for key, value in turn.sampling.given().items()},
        "output": target,
    }
    return " ".join(["ip2p", "edit", *(shlex.quote(f"{key}={value}") for key, value in words.items())])


def shown(image: Image.Image, least: int = 512, most: int = 1024) -> Image.Image:
    """An image at a size that a page shows well: small ones enlarged smoothly, large ones reduced."""
    side = max(image.size)
    scale = least / side if side < least else min(1.0, most / side)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
