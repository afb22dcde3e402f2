"""Tars that end early, name a member twice or lie about sizes are said to; sound ones are read to the last member."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.tars import TarListing, list_tar, tar_files

NAMES = [f"{number}.{ending}" for number in range(5) for ending in ("jpg", "txt")]


def tar(path: Path, names: list[str] = NAMES, format: int = tarfile.USTAR_FORMAT, size: int = 700) -> bytes:
    with tarfile.open(path, "w", format=format) as opened:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size
            opened.addfile(info, io.BytesIO(name.encode().ljust(size, b".")))
    return path.read_bytes()


def read(path: Path) -> TarListing:
    """The listing, whose members must be the bytes that were packed."""
    listing = list_tar(path)
    data = path.read_bytes()
    for member in listing.members:
        assert data[member.offset : member.offset + member.size].startswith(member.name.encode()[:50])
    return listing


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_sound_tars_of_all_formats(format: int, tmp_path: Path):
    names = [*NAMES, "folder/" + "y" * 90 + ".txt", "ünï/ç.txt"]
    names += [] if format == tarfile.USTAR_FORMAT else ["deep/" * 60 + "z" * 150 + ".txt"]
    tar(tmp_path / "a.tar", names, format)
    listing = read(tmp_path / "a.tar")
    assert [member.name for member in listing.members] == names
    assert (listing.damage, listing.repeated, len(listing.left_out)) == ("", set(), 0)


def over(start: int, data: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:start] + data + whole[start + len(data) :]


HEADER = 6 * (512 + 1024)  # of the seventh member
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "cut between two members": (lambda data: data[:HEADER], 6, "without the end mark"),
    "cut after a header": (lambda data: data[: HEADER + 512], 6, "ends inside the member '3.jpg'"),
    "cut inside a member": (lambda data: data[: HEADER + 700], 6, "ends inside the member '3.jpg'"),
    "cut in the padding": (lambda data: data[: HEADER + 512 + 700], 7, "without the end mark"),
    "a damaged header": (over(HEADER, b"X" * 20), 6, "no header at byte 9,216"),
    "a header of zeros": (over(HEADER, bytes(512)), 6, "something behind its end mark"),
    "the end mark cut": (lambda data: data[: 10 * (512 + 1024)], 10, "without the end mark"),
    "half the end mark": (lambda data: data[: 10 * (512 + 1024) + 512], 10, "without the end mark"),
    "two tars in one": (lambda data: data + data, 10, "something behind its end mark"),
    "packed": (lambda data: b"\x1f\x8b" + data, 0, "packed with gzip"),
    "no tar": (lambda data: b"x" * 2000, 0, "it is no tar"),
    "nothing": (lambda data: b"", 0, "without the end mark"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_said_and_what_is_before_it_is_read(kind: str, tmp_path: Path):
    change, members, message = DAMAGE[kind]
    (tmp_path / "a.tar").write_bytes(change(tar(tmp_path / "a.tar")))
    listing = read(tmp_path / "a.tar")
    assert len(listing.members) == members
    assert message in listing.damage


def test_every_cut_of_a_tar_is_noticed(tmp_path: Path):
    data = tar(tmp_path / "whole.tar", NAMES[:3])
    ends = 3 * (512 + 1024) + 1024  # where two blocks of zeros have been read
    for length in range(0, len(data) + 1, 64):
        (tmp_path / "a.tar").write_bytes(data[:length])
        assert bool(list_tar(tmp_path / "a.tar").damage) == (length < ends), length


def test_repeated_members_are_named(tmp_path: Path):
    tar(tmp_path / "a.tar", ["a.jpg", "b.jpg", "a.jpg"])
    assert list_tar(tmp_path / "a.tar").repeated == {"a.jpg"}


def header(name: str, size: int, type: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, type
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE])
def test_extended_headers_are_bounded(type: bytes, tmp_path: Path):
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(header("x", 6 * 2**30, type))
        file.truncate(7 * 2**30)  # sparse
    assert "an extended header of 6,442,450,944 bytes, more than 1,048,576" in list_tar(tmp_path / "a.tar").damage


@pytest.mark.parametrize(
    "record", [b"999 path=x\n", b"5 pat", b"0 =\n", b"11 size=1e9\n", b"11 path=x\0\0", b"-1 path=x\n"]
)
def test_extended_headers_that_lie(record: bytes, tmp_path: Path):
    data = header("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + header("a.txt", 0, b"0") + bytes(1024)
    (tmp_path / "a.tar").write_bytes(data)
    assert "damaged extended header" in list_tar(tmp_path / "a.tar").damage


def test_what_is_no_file_is_counted(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar", "w") as opened:
        for name, type in (("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("d", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type, "/etc/passwd"
            opened.addfile(info)
        for name in ("._a.jpg", "__MACOSX/b.jpg", "x/.DS_Store", ".hidden", "a.jpg"):
            opened.addfile(tarfile.TarInfo(name))
    listing = list_tar(tmp_path / "a.tar")
    assert [member.name for member in listing.members] == ["a.jpg"]
    assert listing.left_out.counts == {
        "symbolic link in a tar": 1,
        "hard link in a tar": 1,
        "companion file of macOS": 2,
        "file of a desktop": 1,
        "hidden file": 1,
    }


def test_tars_of_a_folder(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    tar(tmp_path / "inner/b.tar")
    tar(tmp_path / "secret.tar")
    (tmp_path / "inner/._b.tar").write_bytes(b"x")
    (tmp_path / "inner/c.tar.gz").write_bytes(b"x")
    (tmp_path / "inner/link.tar").symlink_to(tmp_path / "secret.tar")
    left_out = LeftOut()
    assert tar_files(tmp_path / "inner", left_out) == [tmp_path / "inner/b.tar"]
    assert left_out.counts == {"companion file of macOS": 1, ".gz file": 1, "link that leads out of the folder": 1}
    for name in ("b.tar", "link.tar", "._b.tar"):
        (tmp_path / "inner" / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"no folder of tar files .there is 1 x \.gz file"):
        tar_files(tmp_path / "inner", LeftOut())
