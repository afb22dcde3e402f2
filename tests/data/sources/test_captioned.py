"""Captioned photographs become pairs: the tar is left alone, each photograph gets different visible edits."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.images import ImageError
from ip2p_lightning.data.sources.captioned import CaptionedSource
from ip2p_lightning.data.statistics import edit_size


def photograph(seed: int, size: tuple[int, int] = (60, 40)) -> bytes:
    """Smooth colours, as JPEG."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    members = {f"{n:03d}.jpg": photograph(n) for n in range(4)}
    members |= {f"{n:03d}.txt": f"photo  {n}\n with {{braces}}".encode() for n in range(3)}
    members |= {"003.json": json.dumps({"caption": "photo 3"}).encode(), "004.jpg": photograph(4)}
    return pack(tmp_path / "shard.tar", dict(sorted(members.items(), reverse=True)))


def test_photographs_with_captions_become_pairs(tar: Path) -> None:
    source = CaptionedSource(tar, per_photograph=3, size=32)
    assert len(source) == 12
    pairs = [source[number] for number in range(12)]
    assert [pair.group for pair in pairs] == source.groups
    assert len({pair.id for pair in pairs}) == 12
    for pair in pairs:
        assert pair.original_image.size == pair.edited_image.size == pair.mask.size == (32, 32)
        assert "photo" in pair.expressive_instruction
    assert "photo 0 with {braces}" in pairs[0].expressive_instruction
    assert "photo 3" in pairs[-1].original_caption
    for first in range(0, 12, 3):
        assert len({pair.kind for pair in pairs[first : first + 3]}) == 3


def test_every_edit_shows(tar: Path) -> None:
    source = CaptionedSource(tar, per_photograph=10, size=48)
    assert min(edit_size(source[number])[1] for number in range(len(source))) > 0.02


def test_pairs_repeat_and_depend_on_the_seed(tar: Path) -> None:
    source = CaptionedSource(tar, per_photograph=4, size=32)
    copy = pickle.loads(pickle.dumps(source))
    assert [source[n].instruction for n in range(16)] == [copy[n].instruction for n in range(16)]
    assert source[5].edited_image.tobytes() == copy[5].edited_image.tobytes()
    other = CaptionedSource(tar, per_photograph=4, size=32, seed=1)
    assert [source[n].instruction for n in range(16)] != [other[n].instruction for n in range(16)]
    assert source.fingerprint() == copy.fingerprint() != other.fingerprint()


def test_kinds_and_whole_photographs(tar: Path) -> None:
    source = CaptionedSource(tar, size=None, kinds=["sepia", "blur"])
    assert source[0].original_image.size == (60, 40)
    assert {source[number].kind for number in range(4)} <= {"sepia", "blur"}


def test_folders_of_tars_are_joined(tar: Path) -> None:
    pack(tar.parent / "other.tar", {"a.png": photograph(9), "a.txt": b"another"})
    source = CaptionedSource(tar.parent)
    assert len(source) == 5
    assert source[0].group == "other/a"


def test_errors_name_the_file_and_what_there_is(tar: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone is no tar file"):
        CaptionedSource(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"kinds \['melt'\] are not known; choose from"):
        CaptionedSource(tar, kinds=["melt"])
    with pytest.raises(ValueError, match="per_photograph=0"):
        CaptionedSource(tar, per_photograph=0)
    with pytest.raises(ValueError, match=r"empty\.tar holds no photograph with a caption"):
        CaptionedSource(pack(tmp_path / "empty.tar", {"a.jpg": photograph(0)}))
    (tmp_path / "text.tar").write_bytes(b"hello" * 1000)
    with pytest.raises(ValueError, match=r"text\.tar: no readable, uncompressed tar"):
        CaptionedSource(tmp_path / "text.tar")
    broken = CaptionedSource(pack(tmp_path / "broken.tar", {"a.jpg": b"\xff\xd8\xff", "a.txt": b"broken"}))
    with pytest.raises(ImageError, match=r"broken\.tar: a"):
        broken[0]


@pytest.mark.real
def test_real_captioned_photographs_become_pairs(shared_data) -> None:
    source = CaptionedSource(shared_data("cc12m_test"), per_photograph=2, size=64)
    assert len(source) == 64
    assert {source[number].original_image.size for number in (0, 31, 63)} == {(64, 64)}
