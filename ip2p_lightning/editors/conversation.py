"""Edit an image in turns: stronger, a bit less, another one, back, on from an earlier image, and what was liked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from ip2p_lightning.data.colour import own_profile
from ip2p_lightning.data.images import ORIENTATION, exif_without, straight, to_pil, upright
from ip2p_lightning.editors.conversation_file import read, write
from ip2p_lightning.editors.inputs import pictures_of, requests_of
from ip2p_lightning.editors.preferences import write_preferences
from ip2p_lightning.editors.request import LARGEST_SEED, EditRequest, Edits, OnStep, stoppable
from ip2p_lightning.editors.strength import STEP, STRONGEST, WEAKEST, checked_strength
from ip2p_lightning.editors.turns import Content, Preference, Turn

Cancel = Callable[[], bool]


class Answers(Protocol):
    """Editor interface that a conversation needs; a queue in front of an editor has it, too."""

    def answer(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> Edits:
        """Edit; see `Editor.answer`."""
        ...


class Conversation:
    """Edits of one image in turns. Every turn is kept: `undo` and `redo` move along the way one came, `go_to` to any.

    A turn that is made again (`stronger`, `less`, `another`, `rewritten`) edits the same image as the turn it varies
    and becomes its alternative; `edit` goes on from the current image. So turns are a tree, and editing after `go_to`
    or `undo` begins a branch.

    Args:
        editor: edits.
        image: the original: PIL image, path, array or tensor.
        name: of the editor, for files and records.

    Example:
        >>> import ip2p_lightning as ip2p
        >>> from PIL import Image
        >>> talk = ip2p.Conversation(ip2p.load_editor("instruct_pix2pix"), Image.new("RGB", (96, 64), "teal"))
        >>> talk.edit("make it sepia").instruction
        'make it sepia'
        >>> round(talk.stronger().strength, 2), round(talk.less().strength, 2)
        (1.33, 1.0)
        >>> talk.undo(), talk.undo(), talk.image.size
        (True, True, (96, 64))
        >>> [turn.number for turn in talk.edit("make it night", alternatives=2)]
        [4, 5]
    """

    def __init__(self, editor: Answers, image: Any, name: str = "") -> None:
        images, _ = pictures_of(image)
        if len(images) != 1:
            raise ValueError(f"a conversation is about one image, got {len(images)}")
        self.editor, self.name = editor, name
        self.original = _plain(images[0])
        """RGB or RGBA, upright."""
        self._turns: list[Turn] = []
        self._visited, self._place = [0], 0
        self.preferences: list[Preference] = []
        """Feedback on turns, in order."""

    # Where we are

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns, in the order in which they were made."""
        return tuple(self._turns)

    @property
    def current(self) -> Turn | None:
        """The turn that is looked at; None at the original."""
        return self._at(self._visited[self._place])

    @property
    def image(self) -> Image.Image:
        """The current image."""
        return self.original if self.current is None else self.current.image

    @property
    def alternatives(self) -> tuple[Turn, ...]:
        """Turns of the same instruction for the same image as the current one, itself included."""
        turn = self.current
        return () if turn is None else tuple(one for one in self._turns if one.ask == turn.ask)

    @property
    def path(self) -> tuple[Turn, ...]:
        """The turns that lead from the original to the current image."""
        return self.path_to(self.current.number) if self.current else ()

    def path_to(self, number: int) -> tuple[Turn, ...]:
        """The turns that lead from the original to a turn, itself included."""
        found: list[Turn] = []
        while (turn := self._at(number)) is not None:
            found.append(turn)
            number = turn.parent
        return tuple(reversed(found))

    @property
    def branches(self) -> tuple[Turn, ...]:
        """Turns whose images no other turn edits: the ends of all ways."""
        parents = {turn.parent for turn in self._turns}
        return tuple(turn for turn in self._turns if turn.number not in parents)

    # Turns

    def edit(
        self,
        instruction: str,
        *,
        alternatives: int = 1,
        on_step: OnStep | None = None,
        cancel: Cancel | None = None,
        **options: Any,
    ) -> Any:
        """Edit the current image.

        Args:
            instruction: what to change.
            alternatives: edits with seeds that count up; the first becomes the current one.
            on_step: see `Editor.edit`.
            cancel: see `Editor.edit`.
            options: `seed`, `mask`, `expressive_instruction`, `steps`, `text_scale` and more, see `requests_of`.

        Returns:
            The turn; a list of turns with several alternatives.

        Raises:
            As `Editor.edit`; the conversation is then as it was.
        """
        options = {"size": "input"} | options
        requests = requests_of(self.image, instruction, alternatives=alternatives, **options)
        if any(request.size != "input" or request.strength != 1 for request in requests):
            raise ValueError("a conversation keeps the size of its image, and strength is changed by at(...)")
        made = self._made(requests, self._visited[self._place], None, on_step, cancel)
        return made if alternatives > 1 else made[0]

    def another(self, *, on_step: OnStep | None = None, cancel: Cancel | None = None, **options: Any) -> Turn:
        """The current turn with a seed that none of its alternatives has, and perhaps other settings.

        Args:
            on_step: see `Editor.edit`.
            cancel: see `Editor.edit`.
            options: `seed`, `text_scale`, `image_scale` and other settings of sampling to change.
        """
        turn = self._needed("another one")
        if "seed" not in options:
            options["seed"] = (max(one.seed for one in self.alternatives) + 1) % (LARGEST_SEED + 1)
        text = turn.expressive_instruction if turn.by_hand else None
        return self._varied(turn, {"expressive_instruction": text, **options}, on_step, cancel)

    def rewritten(
        self, expressive_instruction: str, *, on_step: OnStep | None = None, cancel: Cancel | None = None
    ) -> Turn:
        """The current turn with an expressive instruction edited by hand, for models that write one."""
        turn = self._needed("an expressive instruction by hand")
        return self._varied(
            turn, {"expressive_instruction": expressive_instruction, "seed": turn.seed}, on_step, cancel
        )

    def stronger(self) -> Turn:
        """The current turn by a step stronger; `less` takes it back. Needs no evaluation of the model.

        Raises:
            ValueError: no turn, or as strong as it gets.
        """
        return self._scaled(STEP, "stronger")

    def less(self) -> Turn:
        """The current turn by a step weaker."""
        return self._scaled(1 / STEP, "weaker")

    def at(self, strength: float) -> Turn:
        """The current turn at a strength, 1 for as the editor made it; see `editors.strength`."""
        turn, strength = self._needed("a strength"), checked_strength(strength)
        if turn.strength == strength:
            return turn
        varied = replace(turn, number=len(self._turns) + 1, strength=strength)
        self._turns.append(varied)
        return self._visit(varied)

    # Ways

    @property
    def can_undo(self) -> bool:
        """True if there is a turn to undo."""
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        """True if there is a turn to redo."""
        return self._place + 1 < len(self._visited)

    def undo(self) -> bool:
        """Go back to what was looked at before; False at the beginning."""
        if not self.can_undo:
            return False
        self._place -= 1
        return True

    def redo(self) -> bool:
        """Take an `undo` back; False if there is none."""
        if not self.can_redo:
            return False
        self._place += 1
        return True

    def go_to(self, number: int) -> Turn | None:
        """Look at a turn, 0 for the original; what is edited then begins a branch there.

        Raises:
            ValueError: no such turn.
        """
        if number < 0 or number > len(self._turns):
            raise ValueError(f"there is no turn {number}; this conversation has {len(self._turns)}")
        if number != self._visited[self._place]:
            self._visit(self._at(number))
        return self.current

    # What is liked

    def choose(self, number: int, over: Sequence[int] | None = None) -> Preference:
        """Prefer a turn to its alternatives, and go to it.

        Args:
            number: of the turn.
            over: those it is preferred to; None for all of its alternatives.

        Raises:
            ValueError: no such turn, or nothing to prefer it to.
        """
        chosen = self._at(number) if 0 < number <= len(self._turns) else None
        others = {one.number for one in self._turns if chosen and one.ask == chosen.ask} - {number}
        rejected = others if over is None else set(over) - {number}
        if chosen is None or not rejected or not rejected <= others:
            raise ValueError(f"turn {number} is chosen over alternatives of its own; it has {sorted(others) or 'none'}")
        self.go_to(number)
        return self._said(Preference(number, tuple(sorted(rejected)), _now()))

    def rate(self, good: bool) -> Preference:
        """Call the current turn good or bad."""
        number = self._needed("a rating").number
        return self._said(Preference(number, (), _now()) if good else Preference(None, (number,), _now()))

    def write_preferences(self, folder: str | Path) -> Path:
        """Append what was said to `preferences.jsonl` of a folder, with the images; see `write_preferences` there."""
        return write_preferences(self.content(), Path(folder))

    # Files

    def save(self, path: str | Path) -> Path:
        """Write everything to one file, which `Conversation.open` reads: a zip of JSON and PNG images."""
        return write(self.content(), Path(path))

    @classmethod
    def open(cls, path: str | Path, editor: Answers, max_pixels: int | None = None) -> Conversation:
        """Go on with a conversation that was saved, with any editor.

        Args:
            path: of the file. It is untrusted data: sizes are checked first, nothing in it is run or loaded.
            editor: edits from now on.
            max_pixels: of all its images together; None for `limits.CONVERSATION_PIXELS`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no conversation, a damaged one, or one beyond a limit.
        """
        content = read(Path(path), max_pixels)
        talk = cls(editor, content.original, content.name)
        talk._turns, talk.preferences = list(content.turns), list(content.preferences)
        talk._visited, talk._place = list(content.visited), content.place
        return talk

    def content(self) -> Content:
        """All that it holds."""
        return Content(
            self.name, self.original, self._turns, list(self._visited), self._place, list(self.preferences)
        )  # fmt: skip

    # Inside

    def _at(self, number: int) -> Turn | None:
        return self._turns[number - 1] if number else None

    def _needed(self, what: str) -> Turn:
        if self.current is None:
            raise ValueError(f"{what} needs an edit first; the original is looked at")
        return self.current

    def _visit(self, turn: Turn | None) -> Any:
        self._visited[self._place + 1 :] = [turn.number if turn else 0]
        self._place += 1
        return turn

    def _said(self, preference: Preference) -> Preference:
        self.preferences.append(preference)
        return preference

    def _scaled(self, factor: float, word: str) -> Turn:
        turn = self._needed(word)
        strength = turn.strength * factor
        strength = 1.0 if abs(strength - 1) < 1e-6 else strength
        if not WEAKEST <= strength <= STRONGEST:
            raise ValueError(f"the edit does not get {word} than {turn.strength:.2f} times what the editor made")
        return self.at(strength)

    def _varied(self, turn: Turn, options: dict[str, Any], on_step: OnStep | None, cancel: Cancel | None) -> Turn:
        """The edit of a turn's image again, as an alternative of the turn."""
        settings = {"mask": turn.mask, **turn.sampling.given(), **options}
        requests = requests_of(turn.before, turn.instruction, **settings)
        return self._made(requests, turn.parent, turn.ask, on_step, cancel)[0]

    def _made(
        self,
        requests: Sequence[EditRequest],
        parent: int,
        ask: int | None,
        on_step: OnStep | None,
        cancel: Cancel | None,
    ) -> list[Turn]:
        results = self.editor.answer(requests, stoppable(on_step, cancel))
        first = len(self._turns) + 1
        made = [
            Turn(
                number=first + place,
                parent=parent,
                ask=ask or first,
                instruction=request.instruction,
                before=request.image,  # type: ignore[arg-type]
                edited=result.image,  # type: ignore[arg-type]
                seed=request.seed,
                sampling=request.sampling,
                mask=request.mask,
                expressive_instruction=result.expressive_instruction,
                by_hand=request.expressive_instruction is not None,
                notes=result.notes,
            )
            for place, (request, result) in enumerate(zip(requests, results, strict=True))
        ]
        self._turns += made
        self._visit(made[0])
        return made


def _plain(image: Image.Image | Tensor) -> Image.Image:
    """An image as editors return it: upright RGB or RGBA, with its own profile and EXIF data."""
    if isinstance(image, Tensor):
        return to_pil(image)
    image = upright(image)
    profile = own_profile(image) if image.mode in ("RGB", "RGBA", "P", "PA") else None
    colours, alpha = straight(image)
    result = colours.copy()
    if alpha is not None:
        result.putalpha(alpha)
    kept = {"icc_profile": profile, "exif": exif_without(image, {ORIENTATION})}
    result.info = {key: value for key, value in kept.items() if value}
    return result


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
