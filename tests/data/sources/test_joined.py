"""Joined and remembered sources give the pairs of their parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.sources import EncodedSource, PairSource
from ip2p_lightning.data.sources.joined import JoinedSource, told_apart
from ip2p_lightning.data.sources.memory import MemorySource


def test_parts_follow_one_another(pairs) -> None:
    joined = JoinedSource([pairs(3), pairs(2, start=10)])
    assert isinstance(joined, EncodedSource)
    assert [joined[number].id for number in range(5)] == ["pair/0", "pair/1", "pair/2", "pair/10", "pair/11"]
    assert (joined.name, joined.licence) == ("noise", "CC0-1.0")
    for index in (-1, 5):
        with pytest.raises(IndexError):
            joined[index]


def test_prefixes_keep_equal_ids_apart(pairs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="added twice"):
        render_dataset(JoinedSource([pairs(2), pairs(2)]), tmp_path / "data")
    joined = JoinedSource([pairs(2), pairs(2)], ["a/", "b/"])
    assert [joined[number].id for number in range(4)] == ["a/pair/0", "a/pair/1", "b/pair/0", "b/pair/1"]
    assert joined[3].group == "b/group 0"
    assert render_dataset(joined, tmp_path / "data").info.pairs == 4
    assert joined.fingerprint() != JoinedSource([pairs(2), pairs(2)]).fingerprint()


def test_bytes_splits_and_groups_of_the_parts_are_kept(dataset: Path, pairs, tmp_path: Path) -> None:
    joined = JoinedSource([ShardDataset(dataset), MemorySource(pairs(2, start=200))])
    assert joined.encoded(95) == ShardDataset(dataset).encoded(95)
    assert joined.encoded(101).id == "pair/201"
    assert joined.groups[-1] == "group 100"
    assert render_dataset(joined, tmp_path / "data").info.splits == {"test": 10, "train": 82, "validation": 10}


def test_shards_of_the_parts_keep_apart(dataset: Path, pairs) -> None:
    part = ShardDataset(dataset).shards
    assert part.tolist() == sorted(part)
    assert len(set(part)) > 1
    joined = JoinedSource([ShardDataset(dataset), ShardDataset(dataset)]).shards
    assert joined.tolist() == [*part, *(part + part.max() + 1)]
    assert not hasattr(JoinedSource([pairs(1)]), "shards")


def test_impossible_joins_are_refused(pairs) -> None:
    with pytest.raises(ValueError, match="at least one part"):
        JoinedSource([])
    with pytest.raises(ValueError, match="2 sources need as many prefixes, got 1"):
        JoinedSource([pairs(1), pairs(1)], ["a/"])


def test_memory_renders_once(pairs) -> None:
    source = pairs(4)
    memory = MemorySource(source)
    assert isinstance(memory, PairSource)
    assert memory[2] is memory[2]
    assert memory[2].original_image.tobytes() == source[2].original_image.tobytes()
    assert memory.groups == ["group 0", "group 0", "group 1", "group 1"]
    assert memory.fingerprint() == source.fingerprint()


def test_datasets_that_share_ids_are_told_apart_by_their_folders(pairs, tmp_path: Path) -> None:
    for folder, count in (("a/data", 3), ("b/data", 2), ("other", 2)):
        render_dataset(pairs(count, start=50 if folder == "other" else 0), tmp_path / folder)
    one, two, other = (ShardDataset(tmp_path / folder) for folder in ("a/data", "b/data", "other"))
    apart = told_apart(JoinedSource([one, two]))
    assert [apart[number].id for number in (0, 3)] == ["a/data/pair/0", "b/data/pair/0"]
    assert [told_apart(JoinedSource([one, other]))[number].id for number in (0, 3)] == ["pair/0", "pair/50"]
    same = told_apart(JoinedSource([one, one]))
    assert len({same[number].id for number in range(6)}) == 6
    assert told_apart(one) is one
