"""Images of any mode and size on their way to an editor, and results as people expect them back.

The network sees sRGB over white at its own size. Its change is carried over to the image at full size, in the image's
own colours, so that nothing of it passes through a smaller gamut; opacity, colour profile, EXIF data and 16 bits a
channel stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.colour import from_srgb, own_profile, to_srgb
from ip2p_lightning.data.deep import deep_of, with_deep
from ip2p_lightning.data.images import ORIENTATION, as_rgb, exif_of, exif_without, straight, to_pil, to_tensor, upright
from ip2p_lightning.editors.full_size import carried_over, carried_over_deep
from ip2p_lightning.editors.request import EditRequest, EditResult
from ip2p_lightning.editors.strength import at_strength, tensor_at_strength

_OF_THE_FILE = {
    ORIENTATION, 254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339,
    347, 513, 514, 529, 530, 531, 532, 700, 34675,
}  # fmt: skip
"""EXIF and TIFF tags that describe how the pixels lay in the file they came from."""


@dataclass(frozen=True)
class Photo:
    """An image that is being edited.

    Args:
        colours: RGB at its own size, in the colours of `profile`.
        alpha: opacity of the same size; None if it has none.
        profile: of an RGB space that is not sRGB; None for sRGB.
        exif: data to keep.
        before: RGB over white at the size at which it is edited, in the colours of `profile`.
        seen: the same in sRGB, which an editor is given.
        deep: uint16 [H, W, 3 or 4] whose upper bytes are `colours`; None for an image of 8 bits a channel.
    """

    colours: Image.Image
    alpha: Image.Image | None
    profile: bytes | None
    exif: bytes
    before: Image.Image
    seen: Image.Image
    deep: np.ndarray | None = None

    @classmethod
    def of(cls, image: Image.Image, fit: Callable[[Image.Image], Image.Image]) -> Photo:
        """An image of any mode, turned as its EXIF orientation says."""
        deep = deep_of(image) if exif_of(image).get(ORIENTATION, 1) == 1 else None
        image = upright(image)
        profile = own_profile(image) if image.mode in ("RGB", "RGBA", "P", "PA") else None
        colours, alpha = straight(image)
        if deep is not None:
            colours = _upper(deep)
        shown = colours
        if alpha is not None:
            shown = Image.new("RGB", colours.size, "white")
            shown.paste(colours, mask=alpha)
        before = fit(shown)
        seen = to_srgb(before, profile) if profile else before
        return cls(colours, alpha, profile, exif_without(image, _OF_THE_FILE), before, seen, deep)

    def with_edit(self, edited: Image.Image, size: str, mask: Image.Image | None, strength: float = 1.0) -> Image.Image:
        """The image after its edit.

        Args:
            edited: sRGB, as an editor returned it.
            size: see `EditRequest`.
            mask: as `region` makes it; None for everywhere.
            strength: see `EditRequest`.
        """
        after, before = as_rgb(edited), self.before
        if self.profile:  # what is outside sRGB is in neither: it takes part in the change alone
            after, before = (from_srgb(image, self.profile) for image in (after, self.seen))
        whole, alpha, deep = self.colours, self.alpha, self.deep
        if size == "model" and after.size != whole.size:
            whole, alpha = whole.resize(after.size), alpha and alpha.resize(after.size)
            mask = mask and mask.resize(after.size)
            result, deep = after, None
        elif after.size == whole.size == before.size:
            result = _moved(self.before, before, after) if self.profile else after
            result = result if alpha is None else _without_white(result, whole, alpha)
        else:
            if deep is not None:
                changed = carried_over_deep(deep[:, :, :3], before, after, strength, mask)
                return self._deepened(changed, deep, alpha)
            result = carried_over(whole, before, after)
        result = at_strength(whole, result, strength)
        if mask is not None:
            result = Image.composite(result, whole, mask)
        if deep is not None:
            return self._deepened(_moved_deep(deep[:, :, :3], whole, result), deep, alpha)
        result = result.copy() if result is self.colours else result
        if alpha is not None:
            result.putalpha(alpha)
        return self._described(result)

    def _deepened(self, changed: np.ndarray, deep: np.ndarray, alpha: Image.Image | None) -> Image.Image:
        """The image of edited colours uint16 [H, W, 3], with the opacity that it had."""
        result = _upper(changed)
        if alpha is not None:
            opacity = deep[:, :, 3:] if deep.shape[2] == 4 else np.asarray(alpha, np.uint16)[:, :, None] * 257
            changed = np.concatenate([changed, opacity], axis=2)
            result.putalpha(Image.fromarray((opacity[:, :, 0] >> 8).astype(np.uint8)))
        return self._described(with_deep(result, changed))

    def _described(self, result: Image.Image) -> Image.Image:
        result.info |= {key: value for key, value in (("icc_profile", self.profile), ("exif", self.exif)) if value}
        return result


def prepared(
    request: EditRequest, fit: Callable[[Image.Image], Image.Image]
) -> tuple[EditRequest, Photo | None]:  # fmt: skip
    """A request whose image is ready for an editor, and the image to bring the result back to; None of a tensor."""
    if isinstance(request.image, Tensor):
        return request, None
    photo = Photo.of(request.image, fit)
    return replace(request, image=photo.seen, mask=None), photo


def finished(result: EditResult, request: EditRequest, photo: Photo | None) -> EditResult:
    """The result of a prepared request as that of the request itself."""
    mask = None if request.mask is None else region(request.mask)
    if photo is not None:
        edited = to_pil(result.image) if isinstance(result.image, Tensor) else result.image
        whole = photo.with_edit(edited, request.size, mask, request.strength)
        return replace(result, image=whole, request=request, edited_at=photo.before.size)
    image = result.image
    if isinstance(image, Tensor) and isinstance(request.image, Tensor):
        image = tensor_at_strength(request.image, image, request.strength)
    if mask is not None and isinstance(image, Tensor) and isinstance(request.image, Tensor):
        share = ((to_tensor(mask) + 1) / 2).to(image)
        image = torch.where(share > 0, request.image + share * (image - request.image), request.image)
    return replace(result, image=image, request=request)


def region(mask: Image.Image) -> Image.Image:
    """Mask of where an edit may change an image, mode L: 255 wholly, 0 not at all, between in part.

    A mask with transparency allows it where it is transparent (as OpenAI's images API has it), any other where it is
    white.
    """
    mask = upright(mask)
    if mask.has_transparency_data:
        alpha = mask.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] < 255:  # type: ignore[operator]
            return alpha.point(range(255, -1, -1))
    return as_rgb(mask).convert("L")


def _moved(image: Image.Image, before: Image.Image, after: Image.Image) -> Image.Image:
    """An image that changes by as much as another one did."""
    change = np.asarray(after, np.int16) - np.asarray(before, np.int16)
    return Image.fromarray((np.asarray(image, np.int16) + change).clip(0, 255).astype(np.uint8))


def _upper(deep: np.ndarray) -> Image.Image:
    """The colours of 16 bits a channel as RGB of 8."""
    return Image.fromarray(np.ascontiguousarray((deep[:, :, :3] >> 8).astype(np.uint8)))


def _moved_deep(deep: np.ndarray, before: Image.Image, after: Image.Image) -> np.ndarray:
    """Colours uint16 [H, W, 3] that change by as much as their upper bytes did; where those stay, all bits stay."""
    change = np.asarray(after, np.int32) - np.asarray(before, np.int32)
    return (deep + 257 * change).clip(0, 65535).astype(np.uint16)


def _without_white(over_white: Image.Image, original: Image.Image, alpha: Image.Image) -> Image.Image:
    """The colours that give an image over white; the original's where it is wholly transparent."""
    share = np.asarray(alpha, np.float32)[:, :, None] / 255
    colours = 255 + (np.asarray(over_white, np.float32) - 255) / np.maximum(share, 1 / 255)
    kept = np.where(share > 0, colours.clip(0, 255).round(), np.asarray(original, np.float32))
    return Image.fromarray(kept.astype(np.uint8))
