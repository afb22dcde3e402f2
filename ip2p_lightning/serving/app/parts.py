"""Gradio's image components with the project's own opening of images: bounded, and never from an address."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageChops

from ip2p_lightning.data.images import open_as_is

MASK_SIDE = 512
"""Longer side in pixels of the canvas on which a mask is painted."""
_BLOBS, _BLOB_BYTES = 200, 8 * 2**20


def _changed(base: type, **methods: Any) -> Any:
    """A component of Gradio's with other methods; it fetches nothing from addresses, as Gradio would for a client.

    A class, since Gradio makes components again from theirs; not by a class statement, for which Gradio writes a file
    of types next to the source.
    """

    async def local(self: Any, url_or_file_path: Any) -> str | None:
        if str(url_or_file_path).partition("://")[1]:
            raise gr.Error("give the file itself, not its address")
        if not Path(url_or_file_path).is_file():  # gone with an earlier server
            return str(url_or_file_path)
        return await base.async_move_resource_to_block_cache(self, url_or_file_path)  # type: ignore[attr-defined]

    names = {"__module__": __name__, "async_move_resource_to_block_cache": local, **methods}
    return ABCMeta.__new__(type(base), base.__name__, (base,), names)


def _path(self: Any, payload: Any) -> str | None:
    return None if payload is None else payload.path


def _accept(self: Any, data: Any) -> None:
    if len(self.blob_storage) >= _BLOBS:  # what clients sent and never used
        self.blob_storage.pop(next(iter(self.blob_storage)))
    if len(data.files[0][1]) > _BLOB_BYTES:
        raise gr.Error("the mask is too large")
    gr.ImageEditor.accept_blobs(self, data)


def _mask(self: Any, payload: Any) -> Image.Image | None:
    held = payload if payload is None or payload.id is None else self.blob_storage.pop(payload.id, None)
    return _painted(held.layers or [] if held is not None else [])


def _painted(layers: Sequence[Any]) -> Image.Image | None:
    """Mask of the paint in layers, which are files or bytes."""
    mask: Image.Image | None = None
    for layer in filter(None, layers):
        source = bytes(layer) if isinstance(layer, bytes | bytearray | memoryview) else layer.path
        opened = open_as_is(source, name="the mask", max_pixels=4 * MASK_SIDE**2).convert("RGBA").getchannel("A")
        paint = opened.point([0] * 128 + [255] * 128)
        mask = paint if mask is None or mask.size != paint.size else ImageChops.lighter(mask, paint)
    return mask if mask is not None and mask.getbbox() else None


def canvas(image: Image.Image) -> dict[str, Any]:
    """Value of a `MaskEditor` that shows an image to be painted over."""
    side = max(image.size)
    scale = MASK_SIDE / side
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return {"background": image.convert("RGB").resize(size), "layers": [], "composite": None}


ImageUpload = _changed(gr.Image, preprocess=_path)
"""An image to upload or paste, handed on as the path of its file, unopened."""
MaskEditor = _changed(gr.ImageEditor, accept_blobs=_accept, preprocess=_mask)
"""A canvas on which a mask is painted, handed on as the mask: L, white where there is paint; None without any."""
FileUpload = _changed(gr.File)
"""A file to upload, handed on as its path."""
