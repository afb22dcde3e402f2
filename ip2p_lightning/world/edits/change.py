"""One edit of a scene, its pictures, and the registry of kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops

from ip2p_lightning.world.drawing import coverage, draw
from ip2p_lightning.world.levels import Level
from ip2p_lightning.world.phrases import caption
from ip2p_lightning.world.scene import Scene


@dataclass(frozen=True)
class Change:
    """What one instruction changes in a scene.

    Args:
        before: the scene as given.
        after: the scene as asked for.
        instruction: the brief human command.
        expressive_instruction: what will be visible; determines the result together with the picture.
    """

    before: Scene
    after: Scene
    instruction: str
    expressive_instruction: str

    @property
    def original_caption(self) -> str:
        """What the picture shows before."""
        return caption(self.before)

    @property
    def edited_caption(self) -> str:
        """What the picture shows after."""
        return caption(self.after)


@dataclass(frozen=True)
class Rendering:
    """The pictures of a change: RGB before and after, and "L" mask of what may change (255 = may)."""

    original_image: Image.Image
    edited_image: Image.Image
    mask: Image.Image


Maker = Callable[[Scene, Level, Random], Change | None]
EDITS: dict[str, Maker] = {}


def edit(kind: str) -> Callable[[Maker], Maker]:
    """Register the maker of one kind of edit; it returns None for scenes that it cannot change visibly."""

    def register(maker: Maker) -> Maker:
        EDITS[kind] = maker
        return maker

    return register


def render(change: Change, size: int = 64) -> Rendering:
    """Draw a change; pixels outside the mask are equal in both pictures.

    Args:
        change: the edit.
        size: side of the pictures in pixels.
    """
    return Rendering(draw(change.before, size), draw(change.after, size), _mask(change.before, change.after, size))


def _mask(before: Scene, after: Scene, size: int) -> Image.Image:
    """Silhouettes of the things that differ; all but the unchanged things for a new background; else everything."""
    changed = [set(before.things) - set(after.things), set(after.things) - set(before.things)]
    if before.backdrop == after.backdrop:
        old, new = (coverage(scene, things, size) for scene, things in zip((before, after), changed, strict=True))
        return ImageChops.lighter(old, new).point(lambda value: 255 if value else 0)
    if before.backdrop[:3] == after.backdrop[:3] and not any(changed):
        return coverage(before, before.things, size).point(lambda value: 0 if value == 255 else 255)
    return Image.new("L", (size, size), 255)
