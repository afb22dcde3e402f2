"""Selections nest, cut by whole groups, and say which condition left too few pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from ip2p_lightning.data.selection import Selection, group_split

KINDS = ("recolour", "season", "remove")


@pytest.fixture
def index() -> pa.Table:
    return pa.table(
        {
            "id": [f"id-{number}" for number in range(600)],
            "kind": [KINDS[number % 3] for number in range(600)],
            "split": ["train" if number < 500 else "test" for number in range(600)],
            "group": [f"group-{number // 4}" for number in range(600)],
            "score_clip_image": [None if number % 10 == 0 else number / 600 for number in range(600)],
        }
    )


def test_without_conditions_all_rows_come_in_order(index: pa.Table) -> None:
    np.testing.assert_array_equal(Selection().rows(index), np.arange(600))


def test_conditions_are_joined(index: pa.Table) -> None:
    selection = Selection(
        split="train", kinds=["season", "remove"], min_scores={"clip_image": 0.5}, max_scores={"clip_image": 0.75}
    )
    expected = [n for n in range(500) if n % 3 and n % 10 and 0.5 <= n / 600 <= 0.75]
    np.testing.assert_array_equal(selection.rows(index), expected)


def test_pairs_without_a_score_do_not_pass_a_threshold(index: pa.Table) -> None:
    for selection in (Selection(min_scores={"clip_image": -1}), Selection(max_scores={"clip_image": 2})):
        assert len(selection.rows(index)) == 540


def test_sizes_are_nested_and_in_order(index: pa.Table) -> None:
    sizes = [set(Selection(split="train", size=size).rows(index)) for size in (1, 50, 100, 200, 500)]
    for smaller, larger in pairwise(sizes):
        assert smaller < larger
    rows = Selection(size=100).rows(index)
    assert (np.diff(rows) > 0).all()
    assert set(rows) != set(Selection(size=100, seed=1).rows(index))


def test_a_subset_depends_on_ids_alone(index: pa.Table) -> None:
    """Shuffling or filtering the index changes nothing for the pairs that stay."""
    order = np.random.default_rng(0).permutation(600)
    shuffled = index.take(pa.array(order))
    ids = np.array(index.column("id").to_pylist())
    chosen = set(ids[Selection(size=60).rows(index)])
    assert set(np.array(shuffled.column("id").to_pylist())[Selection(size=60).rows(shuffled)]) == chosen
    fewer = index.slice(0, 300)
    assert chosen & set(fewer.column("id").to_pylist()) <= set(ids[Selection(size=60).rows(fewer)])


def test_new_splits_keep_groups_together_and_have_their_sizes(index: pa.Table) -> None:
    fractions = {"train": 0.8, "validation": 0.1, "test": 0.1}
    rows = {split: Selection(split=split, splits=fractions).rows(index) for split in fractions}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(600))
    groups = {split: {number // 4 for number in chosen} for split, chosen in rows.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert len(rows["train"]) == pytest.approx(480, abs=50)


def test_a_group_keeps_its_split_whatever_else_there_is() -> None:
    fractions = {"train": 0.5, "test": 0.5}
    groups = [f"g{number}" for number in range(50)]
    cut = [group_split(group, fractions) for group in groups]
    assert cut == [group_split(group, fractions) for group in reversed(groups)][::-1]
    assert cut != [group_split(group, fractions, seed=1) for group in groups]


def test_too_large_a_size_says_what_left_how_many(index: pa.Table) -> None:
    selection = Selection(split="train", kinds=["season"], min_scores={"clip_image": 0.5}, size=200)
    funnel = r"600 pairs -> split=train: 500 -> kinds=\['season'\]: 167 -> clip_image >= 0\.5: 60"
    message = rf"data\.size=200 but only 60 pairs survive in things \({funnel}\); lower data\.size to 60"
    with pytest.raises(ValueError, match=message):
        selection.rows(index, "things")


def test_an_empty_selection_names_the_condition(index: pa.Table) -> None:
    with pytest.raises(ValueError, match=r"no pair of .* survives .*clip_image >= 2: 0\)"):
        Selection(min_scores={"clip_image": 2}).rows(index)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(split="dev"), r"data\.split: .* has no dev; it has test, train"),
        (Selection(kinds=["season", "melt"]), r"data\.kinds: .* has no melt; it has recolour, remove, season"),
        (Selection(min_scores={"clip": 1}), r"data\.min_scores: .* has no clip; it has clip_image"),
        (Selection(split="dev", splits={"train": 1.0}), r"data\.split: .* has no dev; it has train"),
    ],
)
def test_unknown_names_list_the_known_ones(selection: Selection, message: str, index: pa.Table) -> None:
    with pytest.raises(ValueError, match=message):
        selection.rows(index)


def test_impossible_selections_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"data\.size=0 must be a number of pairs from 1"):
        Selection(size=0)
    for splits in ({"train": 0.9}, {"train": 1.5, "test": -0.5}, {}):
        with pytest.raises(ValueError, match="sum to 1"):
            Selection(splits=splits)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan")])
def test_shares_lie_between_nothing_and_all(share: float) -> None:
    with pytest.raises(ValueError, match=r"data\.size=.* a share above 0\.0 and up to 1\.0"):
        Selection(size=share)


def test_sizes_of_groups_take_all_their_pairs(index: pa.Table) -> None:
    groups = np.array(index.column("group").to_pylist())
    few, more = (Selection(size=size, size_of="group").rows(index) for size in (3, 0.5))
    assert len(set(groups[few])) == 3
    assert len(set(groups[more])) == round(len(set(groups)) / 2)
    assert set(few) < set(more)
    assert set(np.flatnonzero(np.isin(groups, groups[few]))) == set(few)
    with pytest.raises(ValueError, match=r"size_of='prompt': choose one of pair, group"):
        Selection(size=1, size_of="prompt")  # type: ignore[arg-type]


def test_shares_are_nested_like_numbers(index: pa.Table) -> None:
    total = index.num_rows
    chosen = {share: set(Selection(size=share).rows(index)) for share in (0.01, 0.25, 0.5, 1.0)}
    assert [len(rows) for rows in chosen.values()] == [round(share * total) for share in chosen]
    assert len(Selection(size=1e-9).rows(index)) == 1
    assert chosen[0.01] < chosen[0.25] < chosen[0.5] < chosen[1.0]
    assert chosen[0.5] == set(Selection(size=round(total / 2)).rows(index))
