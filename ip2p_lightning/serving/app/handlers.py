"""Actions of the buttons: a session's act, and the page as it is then. Errors become a sentence on the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from random import SystemRandom
from typing import Any

import gradio as gr
from PIL import Image

from ip2p_lightning.editors.conversation import Conversation
from ip2p_lightning.editors.request import EditCancelled
from ip2p_lightning.editors.turns import Turn
from ip2p_lightning.limits import SERVED_STEPS
from ip2p_lightning.serving.app.parts import canvas
from ip2p_lightning.serving.app.session import Session, shown
from ip2p_lightning.serving.errors import QueueClosed, QueueFull, TooLate
from ip2p_lightning.untrusted import printable
from ip2p_lightning.world.drawing import draw as draw_scene
from ip2p_lightning.world.reading import scene_of_words

SAID = (ValueError, TypeError, OSError, EditCancelled, QueueFull, QueueClosed, TooLate)
"""Errors whose sentence is meant for the visitor."""
ALTERNATIVES, LONGEST = 8, 2000
"""The most edits at once, and the longest text in characters, that the page sends."""
_WORKERS = ThreadPoolExecutor(64, thread_name_prefix="visitor")
_TICK = 0.2  # seconds between two looks at the progress
_SCENE_SIDE = 64
_PARTS = 15
"""Components that `page._results` makes, and `view` renews together with the status."""


def view(session: Session, status: str = "") -> list[Any]:
    """The parts of the page in the order of `page._results`, and the status."""
    talk = session.talk
    if talk is None:
        return _same(_plain(status))
    turn = talk.current
    act = gr.Button(interactive=turn is not None)
    before = talk.original if turn is None else turn.before
    others = talk.alternatives
    several = len(others) > 1
    return [
        (shown(before), shown(talk.image)),
        act, act, act,
        gr.Button(interactive=talk.can_undo), gr.Button(interactive=talk.can_redo),
        act, act,
        turn.expressive_instruction if turn else "", act,
        gr.Gallery([(shown(one.image, 256, 256), _label(one)) for one in others] if several else [], visible=several,
                   selected_index=others.index(turn) if several and turn else None),
        gr.Radio([("original", 0), *((f"{one.number}  {_named(talk, one)}", one.number) for one in talk.turns)],
                 value=turn.number if turn else 0),
        gr.Button(interactive=True), gr.File(None, visible=False), gr.skip(),
        _plain(status or _sentence(talk)),
    ]  # fmt: skip


def edit(
    session: Session,
    path: str | None,
    instruction: str,
    text_scale: float,
    image_scale: float,
    steps: int,
    seed: int,
    count: int,
    mask: Image.Image | None,
) -> Iterator[list[Any]]:
    """Edit the current image."""

    def act() -> None:
        session.begin(path)
        if not (instruction or "").strip():
            raise ValueError("the instruction is empty; say what to change, for example: make it winter")
        _bounded(instruction, "instruction")
        if not 1 <= int(count) <= ALTERNATIVES:
            raise ValueError(f"alternatives must be between 1 and {ALTERNATIVES}")
        if (steps or 1) > SERVED_STEPS.value:
            raise ValueError(f"steps must be at most {SERVED_STEPS.value}")
        sampling = {"text_scale": text_scale, "image_scale": image_scale, "steps": steps}
        given = {key: value for key, value in sampling.items() if value is not None}
        talk = session.need()
        region = None if mask is None else mask.resize(talk.original.size, Image.Resampling.BILINEAR)
        options = {"seed": int(seed or 0), "alternatives": int(count), "mask": region, **given}
        session.work(lambda talk: talk.edit(instruction, **options))

    yield from _under_way(session, act)


def another(session: Session) -> Iterator[list[Any]]:
    """The same with another seed."""
    yield from _under_way(session, lambda: session.work(lambda talk: talk.another()))


def rewrite(session: Session, text: str) -> Iterator[list[Any]]:
    """The same with an expressive instruction by hand."""

    def act() -> None:
        if not (text or "").strip():
            raise ValueError("the expressive instruction is empty; describe what is to be visible")
        _bounded(text, "expressive instruction")
        session.work(lambda talk: talk.rewritten(text))

    yield from _under_way(session, act)


def cancel(session: Session) -> str:
    """End what is under way."""
    session.cancel()
    return "cancelling ..."


def stronger(session: Session) -> list[Any]:
    """A step stronger."""
    return _act(session, lambda: session.work(lambda talk: talk.stronger()))


def less(session: Session) -> list[Any]:
    """A step weaker."""
    return _act(session, lambda: session.work(lambda talk: talk.less()))


def undo(session: Session) -> list[Any]:
    """Back to what was looked at before."""
    return _act(session, lambda: session.need().undo())


def redo(session: Session) -> list[Any]:
    """Take an undo back."""
    return _act(session, lambda: session.need().redo())


def good(session: Session) -> list[Any]:
    """Call the current edit good."""
    return _act(session, lambda: session.say(session.need().rate(good=True)), "Noted as good.")


def bad(session: Session) -> list[Any]:
    """Call the current edit bad."""
    return _act(session, lambda: session.say(session.need().rate(good=False)), "Noted as bad.")


def choose(session: Session, chosen: gr.SelectData) -> list[Any]:
    """Prefer one of the alternatives."""

    def act() -> None:
        others = session.need().alternatives
        if not 0 <= int(chosen.index) < len(others):
            raise ValueError("there is no such alternative any more")
        session.say(session.need().choose(others[int(chosen.index)].number))

    return _act(session, act, "Noted: you prefer this one to the others. The next edit goes on from it.")


def go_to(session: Session, number: int) -> list[Any]:
    """Look at any image of the history."""
    return _act(session, lambda: session.need().go_to(int(number)))


def look(session: Session, path: str | None) -> list[Any]:
    """Show an image that was chosen, and lay it under the mask; one that cannot be used leaves its field again."""
    if path == session.source:
        return [gr.skip(), None if session.talk is None else canvas(session.talk.original), *view(session)]
    if path is None and session.refused:  # its field was emptied, as below
        session.refused = False
        return [gr.skip()] * (_PARTS + 3)
    session.talk, session.source, session.refused = None, "", False
    if path is None:
        return [gr.skip(), None, *_empty("Choose an image, and say what to change.")]
    try:
        session.begin(path)
    except SAID as error:
        session.refused = True
        return [None, None, *_empty(_explained(error))]
    return [gr.skip(), canvas(session.need().original), *view(session, "Say what to change.")]


def prepare(session: Session) -> tuple[Any, str]:
    """Write the files to take away."""
    try:
        written = session.files(Path(tempfile.mkdtemp(prefix="take-", dir=tempfile.gettempdir())))
    except SAID as error:
        return gr.skip(), _explained(error)
    return gr.File([str(file) for file in written], visible=True), "The files are below the history."


def reopen(session: Session, path: str | None) -> list[Any]:
    """Go on with a saved conversation."""
    return _act(session, lambda: session.reopen(path or "", session.source), "The conversation goes on.")


def draw(words: str) -> tuple[Any, Any, str]:
    """Draw a scene."""
    try:
        image = draw_scene(scene_of_words(words or ""), _SCENE_SIDE)
    except SAID as error:
        return None, gr.Button(interactive=False), _explained(error)
    return shown(image), gr.Button(interactive=True), ""


def imagine(session: Session, prompt: str, seed: int) -> Iterator[tuple[Any, Any, Any]]:
    """Make an image of words."""

    def act() -> Image.Image:
        _bounded(prompt or "", "prompt")
        return session.draw(prompt, int(seed or 0))

    doing = _WORKERS.submit(act)
    for status in _statuses(session, doing):
        yield gr.skip(), gr.skip(), status
    try:
        image = doing.result()
    except SAID as error:
        yield gr.skip(), gr.skip(), _plain(_explained(error))
    else:
        yield shown(image), gr.Button(interactive=True), "Done. It can be edited."


def use(path: str | None) -> tuple[Any, Any, Any]:
    """Take an image of another tab to the first one."""
    return path, "", gr.Tabs(selected="edit")


def dice() -> int:
    """A seed by chance."""
    return SystemRandom().randrange(10**6)


def _bounded(text: str, name: str) -> None:
    """Refuse a text that no field of the page would have let pass."""
    if len(text) > LONGEST:
        raise ValueError(f"the {name} has {len(text):,} characters; say it in {LONGEST:,}")


def _under_way(session: Session, act: Callable[[], None]) -> Iterator[list[Any]]:
    """The page while something is done, and when it is."""
    doing = _WORKERS.submit(act)
    for status in _statuses(session, doing):
        yield _same(status)
    yield _act(session, doing.result)


def _statuses(session: Session, doing: Future[Any]) -> Iterator[str]:
    """Descriptions of what is under way, whenever that changes, until it is done."""
    yield "working ..."
    last = ""
    while wait([doing], _TICK).not_done:
        if session.progress and session.progress != last:
            last = session.progress
            yield f"{last} ..."


def _same(status: str) -> list[Any]:
    """The page as it is but for the status."""
    return [*([gr.skip()] * _PARTS), status]


def _empty(status: str) -> list[Any]:
    """The page without an image."""
    off = gr.Button(interactive=False)
    gallery, history, files = gr.Gallery([], visible=False), gr.Radio([], value=None), gr.File(None, visible=False)
    return [None, *[off] * 7, "", off, gallery, history, off, files, gr.skip(), _plain(status)]


def _act(session: Session, act: Callable[[], Any], status: str = "") -> list[Any]:
    try:
        act()
    except SAID as error:
        return view(session, _explained(error))
    return view(session, status)


def _explained(error: BaseException) -> str:
    """An error as a sentence of the page, without the server's paths."""
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return "⚠ the server could not read or write a file; try again"
    if isinstance(error, TooLate):
        return "⚠ the edit was not done in the time that it is given; try again later"
    text = str(error)
    return ("" if isinstance(error, EditCancelled) else "⚠ ") + text[:1].upper() + text[1:]


def _sentence(talk: Conversation) -> str:
    """Describe the image in view: its turn, instruction, seed, strength and notes."""
    turn = talk.current
    if turn is None:
        return "The original."
    strength = "" if turn.strength == 1 else f", strength {turn.strength:.2f}"
    return f"{turn.number}: {turn.instruction}, seed {turn.seed}{strength}. {'; '.join(turn.notes)}"


def _named(talk: Conversation, turn: Turn) -> str:
    """A turn in the history; what it goes on from where that is not the turn before it."""
    extra = [] if turn.strength == 1 else [f"x {turn.strength:.2f}"]
    extra += [f"seed {turn.seed}"] if turn.seed else []
    extra += ["by hand"] if turn.by_hand else []
    extra += [] if turn.parent == turn.number - 1 else [f"from {turn.parent or 'the original'}"]
    words = turn.instruction if len(turn.instruction) <= 60 else f"{turn.instruction[:57]}..."
    return printable(f"{words} ({', '.join(extra)})" if extra else words)


def _label(turn: Turn) -> str:
    return f"{turn.number}, seed {turn.seed}" if turn.strength == 1 else f"{turn.number}, x {turn.strength:.2f}"


def _plain(text: str) -> str:
    """Words of others as Markdown that shows them as they are."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+-!|$~" else sign for sign in printable(text)[:600])
