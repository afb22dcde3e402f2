"""Import -> export -> import keeps every byte of every picture and every text, in all formats."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.formats.base import Format, export_pairs
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.jobs.guide import options
from tests.data.formats.conftest import contents, full_pair


def preset(name: str) -> Format:
    """A format as the command line builds it."""
    return build(compose("data import", [f"format={name}"]).format)


@pytest.mark.parametrize("name", sorted(set(options("format")) - {"captioned"}))
def test_everything_comes_back(name: str, full_dataset: Path, tmp_path: Path):
    format = preset(name)
    export_pairs(ShardDataset(full_dataset), format, tmp_path / "exported")
    report = render_dataset(format.open(tmp_path / "exported", "MIT"), tmp_path / "again")
    assert report.skipped == []
    mapped = name not in ("instruct_pix2pix", "magicbrush", "ultraedit", "musubi")
    before, after = contents(full_dataset), contents(tmp_path / "again")
    assert [pair.pictures() for pair in after] == [pair.pictures() for pair in before]
    assert [pair.instruction for pair in after] == [pair.instruction for pair in before]
    assert after == before or not mapped
    assert [pair.id for pair in after] == [pair.id for pair in before]


@pytest.mark.parametrize("name", ["jsonl", "hugging_face", "webdataset"])
def test_the_original_s_caption_may_be_called_caption(name: str, file: Callable[..., bytes]):
    """InstructPix2Pix's code spells it so as well."""
    columns = preset(name).map  # type: ignore[attr-defined]
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do", "caption": "a hill"}
    for more, caption in (({}, "a hill"), ({columns.written("original_caption"): "first"}, "first")):
        pair = columns.pair(row | more, lambda value, _: value, place="row 1", id="1")
        assert pair.original_caption == caption


IDS = ("../../../evil", "/tmp/ip2p-evil", "a/../../evil", "con\\..\\..\\evil\0\x1b[31m")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A dataset for each id, of one pair."""
    folders = []
    for id in IDS:
        folders.append(tmp_path_factory.mktemp("named") / "data")
        with ShardWriter(folders[-1]) as writer:
            writer.add(replace(full_pair(1), id=id, group=id), "train")
    return folders


@pytest.mark.parametrize("name", sorted(set(options("format")) - {"captioned"}))
def test_no_id_leads_out_of_the_output(name: str, named: list[Path], tmp_path: Path):
    """Each id is written inside the folder, or the export is refused and leaves nothing."""
    format = preset(name)
    for number, data in enumerate(named):
        exported = tmp_path / str(number) / "inner" / "exported"
        with suppress(ValueError):
            export_pairs(ShardDataset(data), format, exported)
        made = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert all("exported" in path.parts and path.name.isprintable() for path in made)
    assert not Path("/tmp/ip2p-evil").exists()


def test_a_selection_is_exported(full_dataset: Path, tmp_path: Path):
    chosen = ShardDataset(full_dataset, Selection(split="test"))
    report = export_pairs(chosen, preset("jsonl"), tmp_path / "exported")
    assert report.pairs == len(chosen) < 20
    assert len((tmp_path / "exported/pairs.jsonl").read_text().splitlines()) == report.pairs


def test_nothing_is_left_after_an_error_and_nothing_is_overwritten(full_dataset: Path, tmp_path: Path):
    class Broken:
        name = "broken"

        def writer(self, folder: Path):
            (folder / "half").write_text("x")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        export_pairs(ShardDataset(full_dataset), Broken(), tmp_path / "exported")  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
    export_pairs(ShardDataset(full_dataset), preset("jsonl"), tmp_path / "exported")
    with pytest.raises(FileExistsError, match="exported exists already; choose another output"):
        export_pairs(ShardDataset(full_dataset), preset("jsonl"), tmp_path / "exported")


@pytest.mark.real
@pytest.mark.parametrize("name", ["ip2p_folder", "hugging_face", "jsonl", "webdataset"])
def test_mgies_own_folders(name: str, shared_data: Callable[[str], Path], tmp_path: Path):
    folder = shared_data("ml-mgie") / "_data"
    render_dataset(preset("ip2p_folder").open(folder), tmp_path / "first")
    export_pairs(ShardDataset(tmp_path / "first"), preset(name), tmp_path / "exported")
    render_dataset(preset(name).open(tmp_path / "exported"), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "first")
    files = {file.read_bytes() for file in folder.rglob("*.jpg")}
    assert {data for pair in contents(tmp_path / "again") for data in pair.pictures().values()} == files
    assert {pair.instruction for pair in contents(tmp_path / "again")} == {
        "Make it look like a painting",
        "make the painting into a mosaic",
    }


@pytest.mark.real
def test_captioned_photographs(shared_data: Callable[[str], Path], tmp_path: Path):
    folder = shared_data("cc12m_test")
    report = render_dataset(preset("captioned").open(folder), tmp_path / "first")
    assert (report.info.pairs, report.skipped) == (32, [])
    export_pairs(ShardDataset(tmp_path / "first"), preset("webdataset"), tmp_path / "exported")
    render_dataset(preset("webdataset").open(tmp_path / "exported"), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "first")
    with tarfile.open(folder / "cc12m-train-0000.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    for pair in contents(tmp_path / "again"):
        key = pair.id.rpartition("/")[2]
        assert pair.original_image == pair.edited_image == files[f"{key}.jpg"]
        assert pair.original_caption == files[f"{key}.txt"].decode().strip()
