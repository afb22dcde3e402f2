"""Images of any size and mode come back at their own size."""

from __future__ import annotations

from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditResult
from ip2p_lightning.photo_edits.photo import brightness


class Brighter(Editor):
    """Brightens squares of 48 pixels, and notes the sizes it was given."""

    def fit(self, image):
        return image.resize((48, 48))

    def edit_prepared(self, requests, on_step=None):
        self.sizes = [request.image.size for request in requests]
        return [EditResult(brightness(request.image, 0.5), request, "brighter") for request in requests]


def test_images_of_any_size_keep_their_size():
    inner = Brighter()
    images = [Image.new("RGB", (200, 120), (90, 60, 30)), Image.new("RGB", (63, 301), (10, 90, 30))]
    result = inner.edit(images, "brighter")
    assert inner.sizes == [(48, 48)] * 2
    assert [image.size for image in result.images] == [(200, 120), (63, 301)]
    assert result.expressive_instructions == ["brighter"] * 2
    for image, original in zip(result.images, images, strict=True):
        assert (to_tensor(image) - to_tensor(brightness(original, 0.5))).abs().max() * 127.5 < 3
