"""A full disk, one that may not be written, and a limit: file and remedy, whichever library met it."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ip2p_lightning.jobs.disk_errors import disk_error
from ip2p_lightning.training.durable import CheckpointWriteError


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own with 12 KiB left."""
    folder = tmp_path / "full"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=False).returncode:
        pytest.skip("a tmpfs can be mounted by root alone")
    (folder / "other").write_bytes(bytes(52 * 1024))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # what failed may hold files open


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "o.png: no space left on its disk ("),
        (OSError(errno.ENOSPC, "No space left on device", "/nowhere/x"), "/nowhere/x: no space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), "x: your quota"),
        (
            OSError(errno.EROFS, "Read-only file system", "x"),
            "x: its disk is mounted read-only; choose",
        ),
        (PermissionError(errno.EACCES, "Permission denied", b"x"), "x: you may not"),
        (OSError(errno.EMFILE, "Too many open files", "x"), "ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system", "x"), "on this machine"),
        (OSError(errno.ENOLCK, "No locks available", "x"), "x: its file system has no locks"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "x"), "x: links lead in a circle"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b.png"), "a/b.png: a part of the path is a file"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), "x: that is a folder; name a file"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "x: the name is too long"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "o.png: no space left"),
        (RuntimeError("[enforce fail] open file failed: /d/f, error: Read-only file system"), "/d/f, error"),
    ],
)
def test_each_error_names_file_and_remedy(error: Exception, words: str):
    message = disk_error(error, lambda: {"output": "o.png"})
    assert message is not None
    assert words in message


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "none", "x"), OSError("words")])
def test_other_errors_are_somebody_elses(error: Exception):
    assert disk_error(error, dict) is None


def test_errors_that_say_more_are_left_alone():
    assert disk_error(CheckpointWriteError(os.strerror(errno.ENOSPC)), dict) is None


@pytest.mark.slow
def test_jobs_on_a_full_disk_end_in_one_sentence(ip2p, checkpoint, full_disk: Path, tmp_path: Path):
    Image.effect_noise((256, 256), 80).convert("RGB").save(tmp_path / "a.png")
    for words in (
        ["data", "render", "source=world", "source.count=40", f"output={full_disk}/data"],
        [
            "edit",
            "checkpoint=instruct_pix2pix",
            "image=a.png",
            "instruction=make it sepia",
            f"output={full_disk}/o.png",
        ],
        ["export", f"checkpoint={checkpoint('ip2p/tiny')}", f"output={full_disk}/folder"],
    ):
        message = ip2p(*words, fails=True)
        sentence, hint = message.splitlines()[-2:]
        assert "no space left on its disk" in sentence
        assert str(full_disk) in sentence
        assert hint.startswith("(--debug")
