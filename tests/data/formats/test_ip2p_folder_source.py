"""The original folder layout is read as it is, byte for byte, and damage is named by file."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.formats.ip2p_folder_source import IP2PFolderSource
from ip2p_lightning.data.images import ImageError
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.sources import EncodedSource


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty prompts with two candidates each."""
    root = tmp_path / "pairs"
    for number in range(20):
        inner = root / f"{number:07d}"
        inner.mkdir(parents=True)
        source = {"caption": "a hill"} if number % 2 else {"input": "a hill", "url": "x"}
        (inner / "prompt.json").write_text(json.dumps({"edit": f"edit {number}", "output": "a green hill", **source}))
        rows = []
        for seed in (7 + number, 1_000_000 + number):
            for side in (0, 1):
                (inner / f"{seed}_{side}.jpg").write_bytes(jpeg(seed * 2 + side))
            rows.append(
                {"seed": seed, "p2p_threshold": 0.3, "cfg_scale": 9.5, "clip_sim_0": 0.2, "clip_sim_1": 0.25}
                | {"clip_sim_dir": 0.3, "clip_sim_image": 0.8}
            )
        (inner / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return root


def test_every_candidate_is_a_pair_of_its_prompts_group(folder: Path) -> None:
    source = IP2PFolderSource(folder)
    assert isinstance(source, EncodedSource)
    assert len(source) == 40
    pair = source[3]
    assert (pair.id, pair.group, pair.instruction) == ("0000001/1000001", "0000001", "edit 1")
    assert (pair.original_caption, pair.edited_caption) == ("a hill", "a green hill")
    assert source[0].original_caption == "a hill", "both keys of the caption are read"
    assert pair.metadata == {
        "seed": 1_000_001,
        "threshold": 0.3,
        "text_scale": 9.5,
        "scores": {"clip_image": 0.8, "clip_direction": 0.3, "text_image_original": 0.2, "text_image_edited": 0.25},
    }
    assert len(set(source.groups)) == 20


def test_splits_go_by_position_as_in_the_original(folder: Path) -> None:
    source = IP2PFolderSource(folder)
    assert [source.encoded(2 * n).split for n in range(20)] == ["train"] * 18 + ["validation", "test"]
    assert {IP2PFolderSource(folder, split_by_position=False).encoded(n).split for n in range(40)} == {""}


def test_seeds_json_says_what_to_use_and_in_which_order(folder: Path) -> None:
    (folder / "seeds.json").write_text(json.dumps([["0000004", [11]], ["0000002", [9, 1000002]]]))
    source = IP2PFolderSource(folder)
    assert [source.encoded(n).id for n in range(3)] == ["0000004/11", "0000002/9", "0000002/1000002"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "damaged"), ('[["a"]]', "damaged"), ('[["../../etc", [1]]]', "outside"), ('[["/etc", [1]]]', "outside")],
)
def test_bad_seeds_json_is_refused(folder: Path, content: str, message: str) -> None:
    (folder / "seeds.json").write_text(content)
    with pytest.raises(ValueError, match=rf"seeds\.json.*{message}"):
        IP2PFolderSource(folder)


def test_import_keeps_every_byte_and_can_be_filtered(folder: Path, tmp_path: Path) -> None:
    report = render_dataset(IP2PFolderSource(folder, licence="MIT"), tmp_path / "data", workers=2)
    assert report.info.splits == {"test": 2, "train": 36, "validation": 2}
    assert report.info.licence == "MIT"
    read = ShardDataset(tmp_path / "data")
    assert read.score_names == ["clip_direction", "clip_image", "text_image_edited", "text_image_original"]
    for number, id in enumerate(read.column("id")):
        for side, member in enumerate(("original_image", "edited_image")):
            assert getattr(read.encoded(number), member) == (folder / f"{id}_{side}.jpg").read_bytes()
    with tarfile.open(tmp_path / "data" / "shard-000000.tar") as tar:
        assert tar.getnames()[0].endswith(".original.jpg")


def test_damage_names_the_file(folder: Path) -> None:
    first = folder / "0000000"
    (first / "7_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"0000000/7_1\.jpg is missing"):
        IP2PFolderSource(folder)[0]
    shutil.copy(first / "7_0.jpg", first / "7_1.jpg")
    (first / "7_0.jpg").write_bytes((first / "7_0.jpg").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"pair '0000000/7' original"):
        IP2PFolderSource(folder)[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prompt.json", "{", r"prompt\.json is damaged"),
        ("prompt.json", '{"edit": " "}', r"prompt\.json: no instruction"),
        ("prompt.json", "[]", r"prompt\.json: no instruction"),
        ("metadata.jsonl", "{}\n", r"metadata\.jsonl is damaged"),
    ],
)
def test_damaged_texts_name_the_file(folder: Path, name: str, content: str, message: str) -> None:
    (folder / "0000000" / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        IP2PFolderSource(folder)[0]


def test_missing_texts_are_an_error_or_optional(folder: Path) -> None:
    (folder / "0000000" / "metadata.jsonl").unlink()
    assert IP2PFolderSource(folder)[0].metadata == {"seed": 7}
    (folder / "0000000" / "prompt.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"prompt\.json is missing"):
        IP2PFolderSource(folder)[0]


def test_folders_without_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        IP2PFolderSource(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="holds no pairs"):
        IP2PFolderSource(tmp_path)


def test_fingerprint_follows_the_files(folder: Path) -> None:
    before = IP2PFolderSource(folder).fingerprint()
    assert before == IP2PFolderSource(folder).fingerprint()
    (folder / "0000003" / "prompt.json").write_text('{"edit": "another"}')
    assert IP2PFolderSource(folder).fingerprint() != before


@pytest.mark.real
def test_published_pairs_are_read(shared_data, tmp_path: Path) -> None:
    source = IP2PFolderSource(shared_data("ml-mgie") / "_data", split_by_position=False)
    assert len(source) == 4
    assert {pair.instruction for pair in (source[n] for n in range(4))} == {
        "Make it look like a painting",
        "make the painting into a mosaic",
    }
    assert source[0].original_image.size == (512, 512)
    report = render_dataset(source, tmp_path / "data")
    assert report.info.splits == {"train": 4}
    assert ShardDataset(tmp_path / "data").encoded(2).original_image == source.encoded(2).original_image
