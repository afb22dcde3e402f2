"""Both pictures and the mask go through the same crop and flip, drawn from (seed, epoch, id)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.transforms import PairTransform


def ramp(size: tuple[int, int]) -> Image.Image:
    """Red grows to the right, green downwards."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([x * 255 // max(1, size[0] - 1), y * 255 // max(1, size[1] - 1), 0 * x], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def ramp_pair(size: tuple[int, int] = (32, 32), instruction: str = "make it red", id: str = "a") -> EditPair:
    mask = Image.fromarray((np.asarray(ramp(size))[..., 0] > 127).astype(np.uint8) * 255)
    return EditPair(id, ramp(size), ramp(size), instruction, mask=mask)


def test_the_right_size_passes_exactly(pairs) -> None:
    pair = pairs(2)[1]
    out = PairTransform(16, flip=0)(pair)
    torch.testing.assert_close(out.original_image, to_tensor(pair.original_image), rtol=0, atol=0)
    torch.testing.assert_close(out.edited_image, to_tensor(pair.edited_image), rtol=0, atol=0)
    assert out.mask.shape == (1, 16, 16)
    assert set(out.mask.unique().tolist()) == {0.0, 1.0}
    assert out.instruction == pair.instruction


def test_pictures_and_mask_stay_aligned() -> None:
    transform = PairTransform(24, min_size=26, max_size=48)
    for number in range(30):
        out = transform(ramp_pair(id=str(number)), epoch=number)
        assert torch.equal(out.original_image, out.edited_image)
        red = out.original_image[0]
        assert ((out.mask[0] == 1) | (red < 0.15)).all(), "what is on the right half may change"
        assert ((out.mask[0] == 0) | (red > -0.15)).all()


def test_crops_and_flips_vary_by_pair_and_epoch_and_repeat_by_address() -> None:
    transform = PairTransform(16, min_size=20, max_size=28)
    outs = {(id, epoch): transform(ramp_pair(id=id), epoch).original_image for id in "abc" for epoch in range(3)}
    for (id, epoch), image in outs.items():
        assert torch.equal(image, transform(ramp_pair(id=id), epoch).original_image)
    assert len({image.numpy().tobytes() for image in outs.values()}) >= 8
    other = PairTransform(16, min_size=20, max_size=28, seed=1)
    assert any(not torch.equal(other(ramp_pair(id=id), epoch).original_image, outs[id, epoch]) for id, epoch in outs)


def test_half_of_the_pairs_are_flipped() -> None:
    transform = PairTransform(8)
    flipped = [bool(transform(ramp_pair(id=str(n))).original_image[0, 0, 0] > 0) for n in range(400)]
    assert 160 < sum(flipped) < 240


@pytest.mark.parametrize("text", ["move it to the left", "Rotate clockwise", "turn it counter-clockwise"])
def test_texts_that_name_a_side_keep_it(text: str) -> None:
    pair = ramp_pair((8, 8), text)
    assert torch.equal(PairTransform(8, flip=1)(pair).original_image, to_tensor(pair.original_image))
    as_published = PairTransform(8, flip=1, flip_sided=True)(pair)
    assert torch.equal(as_published.original_image, to_tensor(pair.original_image).flip(-1))
    assert torch.equal(as_published.mask, (to_tensor(pair.mask) > 0).float().flip(-1))


def test_words_that_only_contain_a_side_are_flipped() -> None:
    pair = ramp_pair((8, 8), "make it brighter, with upright leftovers")
    assert torch.equal(PairTransform(8, flip=1)(pair).original_image, to_tensor(pair.original_image).flip(-1))


def test_squash_equals_resize_then_crop_as_in_instructpix2pix() -> None:
    """Lanczos to a square of the drawn side, then a crop: some crop of some side must match exactly."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    pair = EditPair("a", image, image, "do it")
    out = PairTransform(16, min_size=18, max_size=19, flip=0)(pair).original_image
    candidates = [
        to_tensor(image.resize((side, side), Image.Resampling.LANCZOS))[:, y : y + 16, x : x + 16]
        for side in (18, 19)
        for y in range(side - 15)
        for x in range(side - 15)
    ]
    assert any(torch.equal(out, candidate) for candidate in candidates)


def test_evaluation_neither_crops_nor_flips() -> None:
    transform = PairTransform(16, min_size=20, max_size=40, flip=1).evaluation()
    image = ramp((50, 30))
    expected = to_tensor(image.resize((16, 16), Image.Resampling.LANCZOS))
    for epoch in range(3):
        assert torch.equal(transform(EditPair("a", image, image, "do it"), epoch).original_image, expected)


@pytest.mark.parametrize("size", [(50, 30), (30, 50), (31, 50), (30, 30)])
def test_centre_crop_keeps_the_aspect_and_the_middle(size: tuple[int, int]) -> None:
    out = PairTransform(20, fit="centre_crop", flip=0)(ramp_pair(size))
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    square = ramp(size).crop((left, top, left + side, top + side))
    assert torch.equal(out.original_image, to_tensor(square.resize((20, 20), Image.Resampling.LANCZOS)))


def test_a_pair_is_transformed_once(pairs) -> None:
    transform = PairTransform(8)
    with pytest.raises(ValueError, match="pair 'pair/0' holds tensors already"):
        transform(transform(pairs(1)[0]))


def test_one_pixel_and_grey_masks_pass() -> None:
    image = Image.new("RGB", (1, 1), "white")
    out = PairTransform(8)(EditPair("a", image, image, "do it", mask=Image.new("1", (1, 1), 1)))
    assert out.original_image.shape == (3, 8, 8)
    assert out.mask.min() == 1


def test_a_shrunken_mask_covers_every_pixel_that_may_change() -> None:
    pair = ramp_pair((32, 32))
    mask = Image.new("L", (32, 32), 0)
    mask.putpixel((5, 9), 255)
    assert PairTransform(8, flip=0)(replace(pair, mask=mask)).mask.nonzero().tolist() == [[0, 2, 1]]


@pytest.mark.parametrize(
    "arguments",
    [{"resolution": 0}, {"resolution": 8, "min_size": 7}, {"resolution": 8, "min_size": 10, "max_size": 9}],
)
def test_impossible_sizes_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="1 <= resolution <= min_size <= max_size"):
        PairTransform(**arguments)


def test_other_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"flip=1\.5"):
        PairTransform(8, flip=1.5)
    with pytest.raises(ValueError, match="fit='stretch'"):
        PairTransform(8, fit="stretch")
