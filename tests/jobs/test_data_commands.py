"""What `ip2p data ...` prints and leaves."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.jobs import data_commands
from tests.data.conftest import dataset, pairs

__all__ = ["dataset", "pairs"]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(console: Console) -> str:
    return console.file.getvalue()


def test_render_says_what_it_wrote(tmp_path: Path, console: Console) -> None:
    sources = {"train": WorldSource(6, size=32), "test": WorldSource(2, size=32, split="test")}
    report = data_commands.render(sources, tmp_path / "data", console=console)
    assert report.info.pairs == 8
    assert f"8 pairs (test 2, train 6) in {tmp_path / 'data'}: 1 shard(s)" in printed(console)


def test_render_lists_what_it_left_out(tmp_path: Path, console: Console, pairs) -> None:
    twice = {"train": pairs(30), "test": pairs(30)}
    report = data_commands.render(twice, tmp_path / "data", skip_failures=True, console=console)
    assert len(report.skipped) == 30
    assert "pair 'pair/0' was added twice" in printed(console)
    assert "and 10 more left out" in printed(console)


def test_a_split_that_is_missing_is_said(tmp_path: Path, console: Console) -> None:
    data_commands.render(WorldSource(6, size=32), tmp_path / "data", console=console)
    assert f"no validation pairs in {tmp_path / 'data'}: training has no validation loss" in printed(console)


def test_verify_says_whole_or_what_is_wrong(dataset: Path, console: Console) -> None:
    assert data_commands.verify(dataset, console=console).ok
    assert f"{dataset} is whole: 100 pairs" in printed(console)
    (dataset / "shard-000001.tar").unlink()
    assert not data_commands.verify(dataset, console=console).ok
    assert "is damaged" in printed(console)
    assert "shard-000001.tar: is missing" in printed(console)


def test_stats_prints_kinds_texts_and_scores(dataset: Path, console: Console) -> None:
    statistics = data_commands.stats(dataset, sample=10, console=console)
    text = printed(console)
    assert statistics.pairs == 100
    for word in (
        "noise: 100 pairs in 50 groups, 16 x 16",
        "recolour",
        "validation",
        "expressive_instruction",
        "clip_image",
    ):
        assert word in text


def test_show_saves_a_sheet_that_depends_on_the_seed(dataset: Path, tmp_path: Path) -> None:
    sheets = [
        data_commands.show(dataset, tmp_path / "new" / f"{n}.png", count=4, seed=seed, side=32).read_bytes()
        for n, seed in enumerate((0, 0, 1))
    ]
    assert sheets[0] == sheets[1] != sheets[2]
    assert Image.open(tmp_path / "new" / "0.png").width > 200
    data_commands.show(dataset, tmp_path / "few.jpg", count=50, selection=Selection(split="test"), side=32)
    data_commands.show(WorldSource(3, size=32), tmp_path / "source.png", side=32)
    with pytest.raises(ValueError, match="count=0"):
        data_commands.show(dataset, tmp_path / "none.png", count=0)
