"""One edit of a scene, its images, and the registry of kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops

from ip2p_lightning.photo_edits.picture_edits import PictureEdit
from ip2p_lightning.photo_edits.visibility import clearly_differ
from ip2p_lightning.world.drawing import coverage, draw
from ip2p_lightning.world.levels import Level
from ip2p_lightning.world.phrases import caption, lit_things, summary
from ip2p_lightning.world.scene import Scene, Thing


@dataclass(frozen=True)
class Change:
    """The change that one instruction makes to a scene.

    Args:
        before: the scene as given.
        after: the scene as asked for; the same one where the image is edited and not what it shows.
        instruction: the brief human command.
        expressive_instruction: what will be visible; determines the result together with the image.
        picture_edit: edit of the drawn image, or None.
        spared: the thing that ``picture_edit`` leaves as it is, or None.
    """

    before: Scene
    after: Scene
    instruction: str
    expressive_instruction: str
    picture_edit: PictureEdit | None = None
    spared: Thing | None = None

    @property
    def original_caption(self) -> str:
        """Caption before the change."""
        if self.picture_edit is None or self.picture_edit.preparation is None:
            return caption(self.before)
        return self.picture_edit.prepared_look.format(what=summary(self.before))

    @property
    def edited_caption(self) -> str:
        """Caption after the change."""
        return caption(self.after) if self.picture_edit is None else self.expressive_instruction


@dataclass(frozen=True)
class Rendering:
    """The images of a change: RGB before and after, and "L" mask of what may change (255 = may)."""

    original_image: Image.Image
    edited_image: Image.Image
    mask: Image.Image


Maker = Callable[[Scene, Level, Random], Change | None]
EDITS: dict[str, Maker] = {}


def edit(kind: str) -> Callable[[Maker], Maker]:
    """Register the maker of one kind of edit; it returns None for scenes that it cannot change."""

    def register(maker: Maker) -> Maker:
        EDITS[kind] = maker
        return maker

    return register


def render(change: Change, size: int = 64) -> Rendering:
    """Draw a change; pixels outside the mask are equal in both images.

    Args:
        change: the edit.
        size: side of the images in pixels, at least 8.
    """
    original = draw(change.before, size)
    if change.picture_edit is None:
        return Rendering(original, draw(change.after, size), _mask(change.before, change.after, size))
    original, edited = change.picture_edit.apply(original)
    if change.spared is None:
        return Rendering(original, edited, Image.new("L", original.size, 255))
    kept = coverage(change.before, [change.spared], size)
    return Rendering(original, Image.composite(original, edited, kept), _all_but(kept))


def is_visible(change: Change, size: int = 48) -> bool:
    """True if a person sees the change, judged on a small rendering so that it does not depend on the asked size."""
    pictures = render(change, size)
    return clearly_differ(pictures.original_image, pictures.edited_image, pictures.mask)


def _mask(before: Scene, after: Scene, size: int) -> Image.Image:
    """Silhouettes of the things that differ; all but the unchanged things for a new background; else everything."""
    if before.backdrop == after.backdrop:
        old, new = (
            coverage(scene, [*lit_things(scene)] if before.lights != after.lights else set(scene.things) - other, size)
            for scene, other in ((before, set(after.things)), (after, set(before.things)))
        )
        return ImageChops.lighter(old, new).point(lambda value: 255 if value else 0)
    if before.backdrop[:3] == after.backdrop[:3] and before.things == after.things:
        return _all_but(coverage(before, before.things, size))
    return Image.new("L", (size, size), 255)


def _all_but(covered: Image.Image) -> Image.Image:
    return covered.point(lambda value: 0 if value == 255 else 255)
