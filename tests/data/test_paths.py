"""Paths in listings are taken however they are spelt, as long as they stay inside their folder."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from ip2p_lightning import limits
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed, stray
from ip2p_lightning.data.paths import file_inside, read_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "inner"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(b"a")
    (folder / unicodedata.normalize("NFD", "grün.jpg")).write_bytes(b"g")
    (folder / "link.jpg").symlink_to(folder / "images" / "a.jpg")
    (tmp_path / "secret.jpg").write_bytes(b"s")
    (folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "images/a.jpg",
        "images\\a.jpg",
        ".\\images\\a.jpg",
        "./images/../images/a.jpg",
        "link.jpg",
        "{root}/images/a.jpg",
    ],
)
def test_inside(name: str, root: Path):
    assert read_image(root, name.format(root=root), "row") == b"a"


def test_either_form_of_unicode(root: Path):
    for form in ("NFC", "NFD"):
        assert read_image(root, unicodedata.normalize(form, "grün.jpg"), "row") == b"g"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.jpg", "a path leads out of the folder"),
        ("..\\secret.jpg", "a path leads out of the folder"),
        ("images/../../secret.jpg", "a path leads out of the folder"),
        ("out.jpg", "a path leads out of the folder"),
        ("up/secret.jpg", "a path leads out of the folder"),
        ("/etc/passwd", "a path leads out of the folder"),
        ("C:\\Users\\me\\a.jpg", "a path leads out of the folder"),
        ("\\\\server\\share\\a.jpg", "a path leads out of the folder"),
        ("a\0.jpg", "a path leads out of the folder"),
        ("https://example.org/a.jpg", "a URL in place of a file"),
        ("file:///etc/passwd", "a URL in place of a file"),
        ("b.jpg", "an image is missing"),
        ("images", "an image is missing"),
        ("loop.jpg", "an image is missing"),
        ("x" * 5000, "an image is missing"),
        ("", "an image is missing"),
    ],
)
def test_outside_or_missing(name: str, reason: str, root: Path):
    with pytest.raises(UnusablePair, match="row 1: ") as error:
        file_inside(root, name, "row 1")
    assert error.value.reason == reason


def test_images_are_bounded(root: Path):
    with (root / "big.jpg").open("wb") as file:
        file.truncate(limits.IMAGE_BYTES.default + 1)  # sparse
    with pytest.raises(UnusablePair, match="IP2P_LIMIT_IMAGE_BYTES"):
        read_image(root, "big.jpg", "row")


def test_files_of_a_folder(root: Path):
    for name in ("._a.tar", ".DS_Store", "a.tar", "b.TAR", "readme", "c.zip", "images/d.tar", ".git/e.tar"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    left_out = LeftOut()
    assert listed(root, (".tar",), left_out) == [root / "a.tar", root / "b.TAR"]
    assert left_out.counts["companion file of macOS"] == left_out.counts["link that leads out of the folder"] == 1
    assert {".zip file", "file without an ending"} <= set(left_out.counts)
    quiet = LeftOut()
    assert listed(root, (".tar",), quiet, deep=True, likely=()) == [
        root / "a.tar",
        root / "b.TAR",
        root / "images/d.tar",
    ]
    assert "hidden file" in quiet.counts
    assert ".zip file" not in quiet.counts


def test_snapshots_of_the_hub_are_folders_of_links_to_blobs(tmp_path: Path):
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "1234" / "data"
    snapshot.mkdir(parents=True)
    (tmp_path / "datasets--a--b" / "blobs").mkdir()
    (tmp_path / "datasets--a--b" / "blobs" / "abc").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"s")
    (snapshot / "train.parquet").symlink_to("../../../blobs/abc")
    (snapshot / "evil.parquet").symlink_to(tmp_path / "secret")
    assert listed(snapshot.parent, (".parquet",), LeftOut(), deep=True) == [snapshot / "train.parquet"]


@pytest.mark.parametrize("name", ["._a.jpg", "x/._a.jpg", "__MACOSX/a.jpg", ".DS_Store", "a\\Thumbs.db", ".x"])
def test_stray(name: str):
    assert stray(name)
    assert not stray("a.jpg")
    assert not stray("")
