"""Small differences leave a pair a duplicate; edits do not."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.generation.base import Candidate, Draw
from ip2p_lightning.generation.duplicates import HashedDuplicates, difference_hash


@pytest.fixture(scope="module")
def pairs() -> list[Candidate]:
    world = WorldSource(24, level="simple")
    rows = (world[index] for index in range(24))
    return [Candidate(Draw(0, 0.5, 2.0), to_tensor(p.original_image), to_tensor(p.edited_image)) for p in rows]


def grainy(pair: Candidate) -> Candidate:
    images = (image + 0.01 * torch.randn_like(image) for image in (pair.original_image, pair.edited_image))
    return Candidate(pair.draw, *images)


def test_pairs_of_different_scenes_are_none(pairs):
    assert HashedDuplicates().duplicates(pairs) == [False] * len(pairs)


def test_grain_does_not_hide_a_duplicate(pairs):
    again = [grainy(pair) for pair in pairs]
    assert HashedDuplicates().duplicates([*pairs, *again]) == [False] * len(pairs) + [True] * len(pairs)


def test_both_pictures_must_be_alike(pairs):
    """Edits differ from their originals, so a pair that swaps them is another pair."""
    swapped = [Candidate(pair.draw, pair.edited_image, pair.original_image) for pair in pairs]
    for pair, other in zip(pairs, swapped, strict=True):
        assert HashedDuplicates(0.0).duplicates([pair, other]) == [False, False]


def test_hashes():
    images = torch.rand(2, 3, 20, 30)
    assert difference_hash(images).shape == (2, 256)
    assert torch.equal(difference_hash(images)[1], difference_hash(images[1:])[0])
    assert HashedDuplicates().duplicates([]) == []
    with pytest.raises(ValueError, match=r"distance=0\.5"):
        HashedDuplicates(0.5)
