"""Rendering gives the same bytes for any number of workers, the right splits, and clean errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import RenderError, render_dataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources.world import WorldSource


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_no_byte(workers: int, tmp_path: Path) -> None:
    source = WorldSource(45, size=32)
    render_dataset(source, tmp_path / "alone", max_shard_bytes=50_000)
    render_dataset(source, tmp_path / "together", workers=workers, max_shard_bytes=50_000)
    assert len(contents(tmp_path / "alone")) > 3
    assert contents(tmp_path / "alone") == contents(tmp_path / "together")


def test_pairs_arrive_as_the_source_gives_them(tmp_path: Path) -> None:
    source = WorldSource(5, size=32)
    render_dataset(source, tmp_path / "data")
    read = ShardDataset(tmp_path / "data")
    for number in range(5):
        assert read[number].edited_image.tobytes() == source[number].edited_image.tobytes()
        assert read[number].mask.tobytes() == source[number].mask.tobytes()
        assert read[number].instruction == source[number].instruction
    provenance = read.info.provenance["sources"]["all"]
    assert provenance == {"source": "WorldSource", "name": "world", "fingerprint": source.fingerprint()}


def test_splits_come_from_the_mapping_the_source_or_fractions(tmp_path: Path, pairs) -> None:
    def splits(name: str, *arguments: object, **options: object) -> dict[str, int]:
        return render_dataset(*arguments, tmp_path / name, **options).info.splits

    assert splits("plain", pairs(4)) == {"train": 4}
    assert splits("own", WorldSource(4, size=32, split="test")) == {"test": 4}
    mapping = {"train": pairs(4), "validation": pairs(3, start=10)}
    assert splits("mapping", mapping) == {"train": 4, "validation": 3}
    cut = splits("fractions", pairs(60), splits={"train": 0.5, "test": 0.5})
    assert sum(cut.values()) == 60
    read = ShardDataset(tmp_path / "fractions")
    assert len(set(zip(read.groups, read.column("split"), strict=True))) == len(set(read.groups)) == 30
    with pytest.raises(ValueError, match="exclude each other"):
        splits("both", mapping, splits={"train": 1.0})
    with pytest.raises(ValueError, match="sum to 1"):
        splits("wrong", pairs(4), splits={"train": 0.5})


def test_a_selection_can_be_written_as_a_dataset_of_its_own(dataset: Path, tmp_path: Path) -> None:
    part = ShardDataset(dataset, Selection(split="test", kinds=["season"]))
    report = render_dataset(part, tmp_path / "part")
    assert report.info.splits == {"test": len(part)}
    read = ShardDataset(tmp_path / "part")
    assert read.encoded(0) == part.encoded(0)


class BrokenSource:
    """A folder of pairs of which one picture is damaged."""

    name, licence = "broken", "CC0-1.0"

    def __init__(self, whole: object, path: Path) -> None:
        self.whole, self.path = whole, path
        path.write_bytes(b"\x89PNG\r\n\x1a\n broken")

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int) -> EditPair:
        if index == 3:
            open_image(self.path)
        return self.whole[index]

    def fingerprint(self) -> str:
        return "broken"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_pair_stops_with_its_name_or_is_left_out(workers: int, tmp_path: Path, pairs) -> None:
    source = BrokenSource(pairs(6), tmp_path / "bad.png")
    with pytest.raises(RenderError, match=r"^pair 3 of source 'broken': .*bad\.png: not a readable image"):
        render_dataset(source, tmp_path / "data", workers=workers)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"], "nothing half-finished is left"
    advanced: list[int] = []
    report = render_dataset(source, tmp_path / "data", workers=workers, skip_failures=True, advance=advanced.append)
    assert report.info.pairs == 5
    assert sum(advanced) == 6
    assert [message.startswith("pair 3 of source") for message in report.skipped] == [True]


def test_nothing_is_overwritten_unasked(dataset: Path, pairs) -> None:
    with pytest.raises(FileExistsError, match="overwrite=true"):
        render_dataset(pairs(2), dataset)
    render_dataset(pairs(2), dataset, overwrite=True)
    assert DatasetInfo.load(dataset).pairs == 2
