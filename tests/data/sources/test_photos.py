"""Photo pairs: any folder, disjoint splits, visible edits, clear errors."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import SAMPLES, PhotoSource, folder_photographs, sample_photographs
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.world.levels import SPLITS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "more").mkdir()
    for index in range(9):
        small = Image.fromarray(rng.integers(0, 255, (6, 9, 3), dtype=np.uint8))
        name = tmp_path / ("more" if index % 2 else "") / f"photo{index}.png"
        small.resize((90, 60), Image.Resampling.BICUBIC).save(name)
        name.with_suffix(".txt").write_text(f"coloured cloth number {index}\n", encoding="utf-8")
    return tmp_path


def test_is_a_deterministic_pair_source() -> None:
    source = PhotoSource(12, seed=2)
    assert isinstance(source, PairSource)
    copy = pickle.loads(pickle.dumps(source))
    for index in range(12):
        one, other = source[index], copy[index]
        assert np.array_equal(np.asarray(one.edited_image), np.asarray(other.edited_image))
        assert (one.instruction, one.kind, one.group) == (other.instruction, other.kind, other.group)


@pytest.mark.parametrize("kind", PICTURE_EDITS)
def test_every_kind_changes_photographs_visibly(kind: str) -> None:
    source = PhotoSource(6, kinds=[kind])
    for index in range(6):
        pair = source[index]
        before, after = (np.asarray(image, np.int16) for image in (pair.original_image, pair.edited_image))
        assert np.abs(before - after).mean() > 4
        assert pair.kind == kind
        assert pair.expressive_instruction
        assert not set("{}") & set(pair.instruction + pair.expressive_instruction + pair.edited_caption)


def test_splits_have_photographs_of_their_own(folder: Path) -> None:
    for photographs in (sample_photographs, lambda split: folder_photographs(folder, split)):
        parts = [{path for path, _ in photographs(split)} for split in SPLITS]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
    assert len(SAMPLES) == 8


def test_captions_come_from_files_beside_the_photographs(folder: Path) -> None:
    pair = PhotoSource(1, folder, kinds=["sepia"])[0]
    assert pair.original_caption.startswith("coloured cloth number")
    assert pair.original_caption in pair.edited_caption


@pytest.mark.parametrize("size", [16, 100])
def test_any_size(folder: Path, size: int) -> None:
    pair = PhotoSource(2, folder, size=size)[1]
    assert pair.original_image.size == pair.edited_image.size == (size, size)


def test_grey_photographs_get_edits_that_show(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(4):
        small = Image.fromarray(rng.integers(0, 255, (6, 6), dtype=np.uint8))
        small.resize((60, 60), Image.Resampling.BICUBIC).save(tmp_path / f"grey{index}.png")
    source = PhotoSource(10, tmp_path, kinds=["saturation", "flip"])
    assert {source[index].kind for index in range(10)} == {"flip"}


def test_unusable_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        PhotoSource(1, tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="holds no photographs"):
        PhotoSource(1, tmp_path)
    Image.new("RGB", (20, 20)).save(tmp_path / "only.png")
    with pytest.raises(ValueError, match="holds 1 photographs"):
        PhotoSource(1, tmp_path)
    with pytest.raises(ValueError, match="not image edits"):
        PhotoSource(1, kinds=["season"])


def test_an_unreadable_photograph_is_named(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"broken{index}.jpg").write_bytes(b"no picture")
    with pytest.raises(FileNotFoundError, match=r"3 x file that is no readable photograph .broken0"):
        PhotoSource(1, tmp_path)[0]


def test_fingerprint_follows_files_and_settings(folder: Path) -> None:
    before = PhotoSource(3, folder).fingerprint()
    assert PhotoSource(3, folder, seed=1).fingerprint() != before
    for path in folder.rglob("*.txt"):
        path.write_text("something else", encoding="utf-8")
    assert PhotoSource(3, folder).fingerprint() != before


@pytest.mark.real
def test_real_photographs(shared_data: Callable[[str], Path]) -> None:
    source = PhotoSource(5, shared_data("ml-mgie") / "_input", size=96)
    assert all(source[index].original_image.size == (96, 96) for index in range(5))


def test_varied_crops_have_colours_and_sides_of_their_own_and_the_same_edits() -> None:
    plain, varied = PhotoSource(8, kinds=["mosaic"]), PhotoSource(8, kinds=["mosaic"], vary=True)
    assert plain.fingerprint() != varied.fingerprint()
    for index in range(8):
        one, other = plain[index], varied[index]
        assert (one.kind, one.group) == (other.kind, other.group)
        before, tinted = (np.asarray(pair.original_image, np.int16) for pair in (one, other))
        assert np.abs(before - tinted).mean() > 2
        again = np.asarray(varied[index].original_image, np.int16)
        assert np.array_equal(again, tinted)
