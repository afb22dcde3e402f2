"""One edit of an open scene: what it settles, what it leaves open, its right answers and its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from ip2p_lightning.photo_edits.picture_edits import PictureEdit
from ip2p_lightning.world.edits.change import Rendering
from ip2p_lightning.world.open.distribution import fulfil, plausible, reopened
from ip2p_lightning.world.open.drawing import coverage, draw, uncommon
from ip2p_lightning.world.open.scene import OpenScene, Thing
from ip2p_lightning.world.open.texts import caption, everything

_LEAST_CHANGE, _CLEAR, _LEAST_AREA = 7.0, 20, 0.01
_TRIES = 6


@dataclass(frozen=True)
class Wish:
    """A thing that an instruction asks for.

    Args:
        kinds: what it may be; which of them stays open, evenly.
        said: fields of `Thing` and their values that are settled; all else stays open (`distribution.fulfil`).
    """

    kinds: tuple[str, ...]
    said: tuple[tuple[str, Any], ...] = ()


def wish(kinds: str | tuple[str, ...], **said: Any) -> Wish:
    """A `Wish` in short."""
    return Wish((kinds,) if isinstance(kinds, str) else kinds, tuple(said.items()))


@dataclass(frozen=True)
class OpenChange:
    """Requirements of one instruction, and one of its right answers.

    Args:
        before: the scene as given.
        kept: what the instruction settles: things that stay as they were, and the whole scene as asked for.
        wishes: things that are new.
        open_surroundings: fields of `Surroundings` that are drawn again.
        after: the answer that is shown.
        instruction: the brief human command.
        expressive_instruction: what will be visible; says of what was left open what ``after`` shows.
        caption_seed: words of both captions.
        picture_edit: edit of the image itself, or None.
    """

    before: OpenScene
    kept: OpenScene
    wishes: tuple[Wish, ...]
    open_surroundings: tuple[str, ...]
    after: OpenScene
    instruction: str
    expressive_instruction: str
    caption_seed: int = 0
    picture_edit: PictureEdit | None = None

    @property
    def original_caption(self) -> str:
        """Caption of the original."""
        if self.picture_edit is None or self.picture_edit.preparation is None:
            return caption(self.before, self.caption_seed)
        return self.picture_edit.prepared_look.format(what=everything(self.before))

    @property
    def edited_caption(self) -> str:
        """Caption of the edited image."""
        return caption(self.after, self.caption_seed) if self.picture_edit is None else self.expressive_instruction


Look = Callable[[tuple[Thing, ...], OpenScene], str]
"""The expressive instruction, of the new things and the scene after the edit."""
Maker = Callable[[OpenScene, Random], OpenChange | None]
EDITS: dict[str, Maker] = {}


def edit(kind: str) -> Callable[[Maker], Maker]:
    """Register the maker of one kind of edit; it returns None for scenes that it cannot change."""

    def register(maker: Maker) -> Maker:
        EDITS[kind] = maker
        return maker

    return register


def settle(
    before: OpenScene,
    kept: OpenScene,
    rng: Random,
    *,
    instruction: str,
    look: Look,
    wishes: tuple[Wish, ...] = (),
    open_surroundings: tuple[str, ...] = (),
) -> OpenChange | None:
    """Draw an answer to what an instruction asks for, and put it into words; None where there is no room for it."""
    after = _answer(kept, wishes, open_surroundings, rng)
    if after is None or not plausible(after):
        return None
    new = tuple(thing for thing in after.things if thing not in kept.things)
    texts = (instruction, look(new, after))
    return OpenChange(before, kept, wishes, open_surroundings, after, *texts, caption_seed=rng.randrange(1 << 30))


def answers(change: OpenChange, number: int, seed: int = 0) -> list[OpenScene]:
    """Right answers to an instruction, drawn from all that it leaves open; what it settles is equal in all of them.

    Args:
        change: the edit.
        number: how many; answers may be equal where little is open.
        seed: another seed draws others; a longer list starts with a shorter one.
    """
    rng = Random(f"{change.before.signature()}/{change.caption_seed}/{seed}")
    found = (_answer(change.kept, change.wishes, change.open_surroundings, rng) for _ in range(number))
    return [scene or change.after for scene in found]


def render(change: OpenChange, size: int = 64) -> Rendering:
    """Draw a change and the answer that is shown; pixels outside the mask are equal in both images."""
    original = draw(change.before, size)
    if change.picture_edit is None:
        mask = Image.fromarray(np.where(mask_of(change.before, change.after, size), np.uint8(255), np.uint8(0)))
        return Rendering(original, draw(change.after, size), mask)
    original, edited = change.picture_edit.apply(original)
    return Rendering(original, edited, Image.new("L", original.size, 255))


def mask_of(before: OpenScene, after: OpenScene, size: int) -> np.ndarray:
    """Mask [size, size] of where two scenes may differ: parts of things not in both, the distance, or everywhere."""
    if before.backdrop == after.backdrop:
        return uncommon(before, after, size)
    here, there = before.surroundings, after.surroundings
    distance = replace(there, relief=here.relief) == here and before.backdrop[:3] == after.backdrop[:3]
    if distance and before.things == after.things:
        return coverage(before, before.things, size, shadows=False) < 1
    return np.ones((size, size), bool)


def is_visible(change: OpenChange) -> bool:
    """True if a person sees the change at 64 px: colours move clearly on a hundredth of the image."""
    pictures = render(change, 64)
    before, after = (np.asarray(image, np.int16) for image in (pictures.original_image, pictures.edited_image))
    moved, inside = np.abs(before - after).mean(axis=2), np.asarray(pictures.mask) > 0
    return bool(inside.any() and moved[inside].mean() >= _LEAST_CHANGE and (moved > _CLEAR).mean() >= _LEAST_AREA)


def _answer(kept: OpenScene, wishes: tuple[Wish, ...], open_: tuple[str, ...], rng: Random) -> OpenScene | None:
    for _ in range(_TRIES):
        scene = replace(kept, surroundings=reopened(kept.surroundings, open_, rng))
        for one in wishes:
            thing = fulfil(rng.choice(one.kinds), dict(one.said), scene, rng)
            if thing is None:
                break
            scene = replace(scene, things=(*scene.things, thing))
        else:
            return scene
    return None
