"""Files appear under their name as a whole, durably, or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path
from typing import IO

import pytest
from processes import in_process

from ip2p_lightning import files
from ip2p_lightning.files import FolderHeld, alone, take_name, whole, write_whole


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("shared", [False, True])
def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path: Path, shared: bool) -> None:
    def half(file: IO[bytes]) -> None:
        file.write(b"half")
        raise RuntimeError("in the middle")

    write_whole(tmp_path / "new/file", "first", shared=shared)
    with pytest.raises(RuntimeError, match="in the middle"):
        write_whole(tmp_path / "new/file", half, shared=shared)
    assert (tmp_path / "new/file").read_text() == "first"
    assert listing(tmp_path / "new") == ["file"]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    sync = os.fsync

    def note(handle: int) -> None:
        sync(handle)
        synced.append((os.readlink(f"/proc/self/fd/{handle}"), (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_whole(tmp_path / "file", b"content")
    assert synced == [(str(tmp_path / ".file.part"), False), (str(tmp_path), True)]


def test_a_writer_that_is_killed_leaves_the_older_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")

    def die(file: IO[bytes]) -> None:
        file.write(b"half of the new")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_process(lambda: write_whole(tmp_path / "file", die)) == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == "old"
    assert listing(tmp_path) == [".file.part", "file"]
    write_whole(tmp_path / "file", "new")
    assert listing(tmp_path) == ["file"], "the next writer overwrites what the killed one left"


def test_a_disk_that_is_full_leaves_the_older_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")

    def run() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_whole(tmp_path / "file", bytes(5000))
        except OSError as error:
            raise SystemExit(3 if error.errno == errno.EFBIG else 4) from None

    assert in_process(run) == 3
    assert (tmp_path / "file").read_text() == "old"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False])
def test_the_first_of_several_stays_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    if not links:
        monkeypatch.setattr(files.os, "link", refuse)
    for text in ("first", "second"):
        write_whole(tmp_path / "file", text, first=True, shared=True)
    assert (tmp_path / "file").read_text() == "first"
    assert listing(tmp_path) == ["file"]


def test_writers_that_share_a_name_do_not_share_a_file(tmp_path: Path) -> None:
    with whole(tmp_path / "file", shared=True) as one, whole(tmp_path / "file", shared=True) as other:
        one.write_text("one")
        other.write_text("other")
        assert one != other
    assert (tmp_path / "file").read_text() == "one", "the last to finish"


def test_two_files_can_be_made_ready_before_either_takes_its_name(tmp_path: Path) -> None:
    hidden = [tmp_path / ".a.part", tmp_path / ".b.part"]
    for file in hidden:
        file.write_text(file.name)
    for file, name in zip(hidden, "ab", strict=True):
        take_name(file, tmp_path / name)
    assert listing(tmp_path) == ["a", "b"]


def test_a_file_in_place_of_the_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder/file", b"")


def test_a_folder_is_one_commands_at_a_time_and_free_when_it_dies(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def die() -> None:
        with alone(out):
            (out / ".a.png.part").write_bytes(b"half")
            (out / ".keep").write_text("another program's")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_process(die) == -signal.SIGKILL
    with alone(out):
        assert listing(out) == [".keep"]
        with pytest.raises(FolderHeld, match="another command is writing there"), alone(out):
            pass
    with alone(out):
        pass
    assert listing(out) == [".keep"]
