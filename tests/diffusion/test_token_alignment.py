"""Captions are aligned as the reference of Prompt-to-Prompt aligns them."""

from __future__ import annotations

import pytest
import torch

from ip2p_lightning.diffusion.token_alignment import cross_edit, refined, replaced, word_positions
from ip2p_lightning.world.tokenizer import world_tokenizer

pytestmark = pytest.mark.numeric

LENGTH = 16


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = world_tokenizer()
    tokenizer.model_max_length = LENGTH
    return tokenizer


def test_words_of_one_token_are_replaced_in_place():
    assert torch.equal(replaced([[1], [2], [3]], [[1], [2], [3]], 6), torch.eye(6))


def test_a_longer_word_shares_out_the_attention_of_its_predecessor():
    mapper = replaced([[1], [2], [3]], [[1], [2, 3], [4]], 7)
    assert mapper[2].tolist() == [0, 0, 0.5, 0.5, 0, 0, 0]
    assert mapper[[0, 1, 3, 4, 5], [0, 1, 4, 5, 6]].tolist() == [1] * 5  # start, a, c, end, padding
    assert mapper.sum() == 6
    assert (mapper.sum(0) > 0).all()


def test_a_shorter_word_takes_the_attention_of_all_tokens():
    mapper = replaced([[1], [2, 3], [4]], [[1], [2], [3]], 7)
    assert mapper[:, 2].tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert mapper[[4, 5, 6, 6], [3, 4, 5, 6]].tolist() == [1] * 4


def test_captions_of_different_lengths_are_refined_not_replaced(tokenizer):
    with pytest.raises(ValueError, match="equally many words, got 2 and 3"):
        cross_edit(tokenizer, "red castle", "red castle burning", "replace")
    assert torch.equal(cross_edit(tokenizer, "a red castle", "a red castle", "replace").mapper, torch.eye(LENGTH))


def test_added_tokens_keep_their_own_attention():
    mapper, own = refined([1, 5, 6, 2], [1, 5, 9, 6, 2], 7)
    assert own.tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert mapper[:, :5].nonzero().tolist() == [[0, 0], [1, 1], [2, 3], [3, 4]]
    assert mapper[5:, 5:].tolist() == torch.eye(2).tolist()  # padding follows padding


def test_tokens_are_aligned_as_often_as_possible():
    """Changed tokens stay unaligned, since a mismatch costs more than two gaps."""
    mapper, own = refined([1, 7, 5, 6, 2], [1, 5, 8, 6, 2], 5)
    assert own.tolist() == [0, 0, 1, 0, 0]
    assert mapper.nonzero().tolist() == [[0, 0], [2, 1], [3, 3], [4, 4]]


def test_equal_captions_are_aligned_to_themselves():
    mapper, own = refined([1, 5, 5, 5, 2], [1, 5, 5, 5, 2], 8)
    assert torch.equal(mapper, torch.eye(8))
    assert not own.any()


def test_the_kind_follows_from_the_number_of_words(tokenizer):
    swapped = cross_edit(tokenizer, "a red castle", "a blue castle")
    assert not swapped.own.any()
    added = cross_edit(tokenizer, "a red castle", "a red castle in the snow")
    new = len(tokenizer.encode("a red castle in the snow")) - len(tokenizer.encode("a red castle"))
    assert added.own.sum() == new
    assert cross_edit(tokenizer, "a red castle", "a blue castle", "refine").own.sum() == 1


def test_shares_and_weights_by_word(tokenizer):
    text = "a blue castle"
    blue = word_positions(tokenizer(text, return_offsets_mapping=True)["offset_mapping"], text)[1]
    edit = cross_edit(tokenizer, "a red castle", text, share={"": 0.4, "blue": 1.0}, weights={"blue": 3.0})
    assert edit.share[blue].unique().tolist() == [1.0]
    assert edit.share.tolist().count(0.4) == LENGTH - len(blue)
    assert edit.weights[blue].unique().tolist() == [3.0]
    assert edit.weights.sum() == LENGTH + 2 * len(blue)
    with pytest.raises(ValueError, match="has no word 'green'"):
        cross_edit(tokenizer, "a red castle", text, weights={"green": 2.0})


def test_words_that_occur_twice_and_punctuation(tokenizer):
    text = "a castle, a castle"
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    words = word_positions(spans, text)
    assert [text[spans[w[0]][0] : spans[w[-1]][1]].strip() for w in words] == text.split()
    assert len({position for word in words for position in word}) == len(spans) - 2


def test_captions_that_are_cut(tokenizer):
    with pytest.raises(ValueError, match="lies beyond the text encoder's length"):
        cross_edit(tokenizer, "a red castle", "a castle " * 20)


def test_tokenizers_without_offsets():
    with pytest.raises(ValueError, match="does not tell where tokens lie"):
        cross_edit(object(), "a", "b")
