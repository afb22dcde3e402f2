"""The batch type accepts what fits together and names what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair, PairBatch


def tensors(pair: EditPair) -> EditPair:
    mask = None if pair.mask is None else to_tensor(pair.mask).gt(0).float()
    return replace(
        pair, original_image=to_tensor(pair.original_image), edited_image=to_tensor(pair.edited_image), mask=mask
    )


def test_group_defaults_to_the_id(pairs) -> None:
    assert replace(pairs(1)[0], group="").group == "pair/0"


def test_a_pair_of_different_sizes_is_refused(pairs) -> None:
    pair = pairs(1)[0]
    with pytest.raises(ValueError, match=r"pair 'pair/0': original is 16x16 .* edited is 8x16"):
        replace(pair, edited_image=pair.edited_image.resize((8, 16)))
    with pytest.raises(ValueError, match="mask"):
        replace(pair, mask=pairs(2, (8, 8))[1].mask)
    with pytest.raises(ValueError, match="one image is a tensor"):
        replace(pair, edited_image=to_tensor(pair.edited_image))


def test_collate_stacks_and_keeps_texts(pairs) -> None:
    source = pairs(4)
    batch = PairBatch.collate([tensors(source[1]), tensors(source[3])])
    assert len(batch) == 2
    assert batch.id == ["pair/1", "pair/3"]
    assert batch.instruction == ["do number 1", "do number 3"]
    assert batch.original_image.shape == (2, 3, 16, 16)
    assert batch.mask is not None
    assert batch.mask.mean() == 0.5
    torch.testing.assert_close(batch.edited_image[1], to_tensor(source[3].edited_image))


def test_one_pair_without_a_mask_leaves_the_batch_without(pairs) -> None:
    source = pairs(2)
    assert PairBatch.collate([tensors(source[0]), tensors(source[1])]).mask is None


def test_collate_names_pairs_of_different_sizes_and_untransformed_ones(pairs) -> None:
    with pytest.raises(ValueError, match=r"pair/0.*pair/1.*different sizes"):
        PairBatch.collate([tensors(pairs(1)[0]), tensors(pairs(2, (8, 8))[1])])
    with pytest.raises(ValueError, match="apply PairTransform"):
        PairBatch.collate([pairs(1)[0]])


def test_batch_checks_its_shapes_and_moves_its_tensors(pairs) -> None:
    batch = PairBatch.collate([tensors(pairs(2)[1])])
    half = batch.to(torch.float16)
    assert half.original_image.dtype == half.mask.dtype == torch.float16
    assert half.id == batch.id
    with pytest.raises(ValueError, match="instruction has 0 entries for 1 images"):
        replace(batch, instruction=[])
    with pytest.raises(ValueError, match="images must both be"):
        replace(batch, edited_image=batch.edited_image[:, :2])
    with pytest.raises(ValueError, match="mask must be"):
        replace(batch, mask=batch.mask[:, :, :4])
