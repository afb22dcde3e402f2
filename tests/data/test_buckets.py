"""Pairs of any shape: the nearest shape of a list, one shape a step, and the promises of every order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ip2p_lightning.data.buckets import BucketTransform, picture_sizes
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.sources.joined import JoinedSource
from ip2p_lightning.data.transforms import PairTransform

SHAPES = [[16, 16], [24, 12], [12, 24]]
SIZES = [(32, 32), (40, 22), (20, 44), (30, 34)]


def pair(number: int) -> EditPair:
    width, height = SIZES[number % 4]
    y, x = np.mgrid[0:height, 0:width]
    ramp = Image.fromarray(np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 0 * x], -1).astype(np.uint8))
    return EditPair(
        id=str(number), original_image=ramp, edited_image=ramp, instruction="turn it", mask=ramp.convert("L")
    )


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    path = tmp_path / "shapes"
    with ShardWriter(path, name="shapes", licence="CC0-1.0") as writer:
        for number in range(40):
            writer.add(pair(number), "train" if number < 34 else "validation")
    return path


@pytest.mark.parametrize("fit", ["squash", "centre_crop"])
def test_pairs_get_the_nearest_shape(fit: str) -> None:
    transform = BucketTransform(16, flip=0.0, fit=fit, shapes=SHAPES)
    assert transform.buckets(np.array([*SIZES, (1000, 10)])).tolist() == [0, 1, 2, 0, 1]
    for number, (width, height) in enumerate([(16, 16), (24, 12), (12, 24), (16, 16)]):
        out = transform(pair(number))
        assert out.original_image.shape == out.edited_image.shape == (3, height, width)
        assert out.mask.shape == (1, height, width)
        red, green = out.original_image[:2]
        assert (red.diff(dim=1) > 0).all()
        assert (green.diff(dim=0) > 0).all()
        torch.testing.assert_close(red.mean(), torch.tensor(0.0), atol=0.02, rtol=0)  # the middle of the picture


def test_crops_are_drawn_by_address_and_the_same_for_both_pictures() -> None:
    transform = BucketTransform(16, 18, 22, shapes=SHAPES)
    outs = [transform(pair(1), epoch) for epoch in range(12)]
    assert all(torch.equal(out.original_image, out.edited_image) for out in outs)
    assert len({out.original_image.numpy().tobytes() for out in outs}) > 10
    assert torch.equal(outs[3].original_image, transform(pair(1), 3).original_image)


def test_one_square_shape_is_the_plain_transform() -> None:
    ours, plain = BucketTransform(16, flip=0.0, shapes=[[16, 16]]), PairTransform(16, flip=0.0)
    for number in range(4):
        assert torch.equal(ours(pair(number)).original_image, plain(pair(number)).original_image)
    square = pair(0).original_image.resize((16, 16), Image.Resampling.LANCZOS)
    assert torch.equal(ours(pair(0)).original_image, to_tensor(square))


@pytest.mark.parametrize("tail", ["drop", "strict"])
def test_every_batch_has_one_shape(shapes: Path, tail: str) -> None:
    data = EditDataModule.from_shards(
        shapes, transform=BucketTransform(16, shapes=SHAPES), batch_size=4, eval_batch_size=6, tail=tail
    )
    loader, seen = data.train_dataloader(), []
    for epoch in range(4):
        loader.steps.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == (4 + 2 + 2 if tail == "drop" else 8)
        assert {tuple(batch.original_image.shape[2:]) for batch in batches} == {(16, 16), (12, 24), (24, 12)}
        seen += [id for batch in batches for id in batch.id]
    counts = np.unique(np.unique(seen, return_counts=True)[1])
    assert counts.max() == 4
    assert tail == "drop" or counts.min() == 3, "no pair falls behind by more than one pass"
    [batch] = data.val_dataloader()
    assert batch.original_image.shape == (6, 3, 16, 16)


def test_sizes_are_known_without_opening_pictures(shapes: Path) -> None:
    source = ShardDataset(shapes)
    sizes = picture_sizes(source)
    assert sizes[:4].tolist() == [list(size) for size in SIZES]
    assert picture_sizes(JoinedSource([source, source])).shape == (80, 2)


def test_what_shapes_need(pairs) -> None:
    with pytest.raises(ValueError, match=r"data\.transform\.shapes=\[\] needs at least one"):
        BucketTransform(16)
    data = EditDataModule(pairs(8), transform=BucketTransform(16, shapes=SHAPES), batch_size=2)
    with pytest.raises(ValueError, match="knows the sizes of its images, NoisePairs does not; render it to shards"):
        data.train_dataloader()
