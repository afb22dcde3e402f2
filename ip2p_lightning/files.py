"""Files that appear under their name as a whole, durably, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

UNFINISHED = ".part"
"""Ending of hidden files that are being written, or that a killed writer left."""

_HIDDEN = re.compile(r"\..+\.\w+(\.[0-9a-f]+)?\.part")  # of a name with an ending, as `whole` makes it
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # file systems without hard links


@contextmanager
def whole(path: Path, *, shared: bool = False, first: bool = False) -> Iterator[Path]:
    """A hidden path next to `path` to write to, which takes its name once everything is on the disk.

    After an error nothing remains, and an older file of that name is untouched. A killed writer leaves the hidden file.

    Args:
        path: of the file; its folder is made.
        shared: several processes may write this name at the same time, so that each writes a hidden file of its own.
            False for a single writer, whose next attempt overwrites what a killed one left.
        first: leave a file of that name as it is, if there is one by then.

    Raises:
        OSError: it could not be written.
    """
    path = Path(path)
    unique = f".{uuid4().hex[:12]}" if shared else ""
    hidden = path.with_name(f".{path.name}{unique}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield hidden
        take_name(hidden, path, first=first)
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)


def write_whole(
    path: Path, content: bytes | str | Callable[[IO[bytes]], object], *, shared: bool = False, first: bool = False
) -> None:
    """Write a file, see `whole`.

    Args:
        path: of the file.
        content: bytes, a text, or a function that writes into an open file.
        shared: see `whole`.
        first: see `whole`.

    Raises:
        OSError: it could not be written; an older file of that name is untouched.
    """
    with whole(path, shared=shared, first=first) as hidden, hidden.open("wb") as file:
        if callable(content):
            content(file)
        else:
            file.write(content.encode() if isinstance(content, str) else content)


def take_name(hidden: Path, path: Path, *, first: bool = False) -> None:
    """Force a written file to the disk and give it its name, with which it replaces another file unless `first`."""
    with hidden.open("rb") as file:
        os.fsync(file.fileno())
    if not first or not _linked(hidden, path):
        hidden.replace(path)
    sync_folder(path.parent)


class FolderHeld(ValueError):
    """A folder in which another process is at work; the message names it and the remedy."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder that one command at a time writes files into; what a killed one left unfinished is removed.

    The folder itself is locked: nothing is written for that, and the system lets go of it however the process ends.
    Where a file system has no such locks, nothing is held.

    Raises:
        FolderHeld: another process holds it.
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderHeld(
                f"{folder}: another command is writing there; wait for it, end it, or choose another folder"
            ) from error
        except OSError:
            yield
            return
        remove_unfinished(folder)
        yield
    finally:
        os.close(handle)


def remove_unfinished(folder: Path, age: float = 0.0) -> None:
    """Remove what killed writers left in a folder.

    Args:
        folder: of the files that they wrote.
        age: seconds after which an unfinished file is a dead writer's; 0 where no other process writes there.
    """
    for file in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):
            if _HIDDEN.fullmatch(file.name) and file.is_file() and time.time() - file.stat().st_mtime >= age:
                file.unlink()


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk; without it a power cut may bring back an older file."""
    with suppress(OSError):  # some network file systems have no such thing
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _linked(hidden: Path, path: Path) -> bool:
    """Give a file a second name unless that is taken; False where it is free, but the file system has no such links."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        return True
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return path.exists()
    return True
