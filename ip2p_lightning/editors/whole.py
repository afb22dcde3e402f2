"""Images of any mode and size on their way to an editor, and results back at the size they came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import as_rgb, to_pil, to_tensor
from ip2p_lightning.editors.full_size import carry_over
from ip2p_lightning.editors.request import EditRequest, EditResult


@dataclass(frozen=True)
class Photo:
    """An image that is being edited.

    Args:
        whole: at its own size.
        small: at the size at which it is edited.
    """

    whole: Image.Image
    small: Image.Image


def prepared(
    request: EditRequest, fit: Callable[[Image.Image], Image.Image]
) -> tuple[EditRequest, Photo | None]:  # fmt: skip
    """A request whose image is ready for an editor, and the image to bring the result back to; None of a tensor."""
    if isinstance(request.image, Tensor):
        return request, None
    whole = as_rgb(request.image)
    photo = Photo(whole, fit(whole))
    return replace(request, image=photo.small, mask=None), photo


def finished(result: EditResult, request: EditRequest, photo: Photo | None) -> EditResult:
    """The result of a prepared request as that of the request itself."""
    if photo is None or isinstance(result.image, Tensor):
        return replace(result, request=request)
    image = result.image
    if request.size == "input" and photo.small.size != photo.whole.size:
        before, after = to_tensor(photo.small), to_tensor(image)
        image = to_pil(carry_over(to_tensor(photo.whole), before, after))
    return replace(result, image=image, request=request)
