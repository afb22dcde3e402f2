"""A folder that appears when it is complete: it grows under a hidden name, which one writer at a time holds.

A writer that was killed leaves the hidden folder; the next one to the same place removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"
_HELD: set[Path] = set()
"""Hidden folders of writers of this process, to whom its own locks say nothing."""


class FolderInTheMaking:
    """The hidden folder next to ``path``, `.<name>.part`, until `finish` gives it its name or `discard` removes it.

    A dataset that is replaced waits as `.<name>.old`, and comes back if a writer was killed in between.

    Args:
        path: the folder to make.

    Raises:
        FileExistsError: another process is making a folder there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.folder = self.path.with_name(f".{self.path.name}.part")
        self._old = self.path.with_name(f".{self.path.name}.old")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = self._hold()
        for left in self.folder.iterdir():
            if left.name != _LOCK:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        if self._old.exists() and not self.path.exists():
            self._old.rename(self.path)
        shutil.rmtree(self._old, ignore_errors=True)

    def finish(self) -> None:
        """Give the folder its name; what is at the place is replaced.

        Raises:
            OSError: the place cannot be written to.
        """
        if self.path.exists():
            self.path.rename(self._old)
        try:
            self.folder.rename(self.path)  # with the lock in it: no other process can take it in between
        except OSError:
            if self._old.exists():
                self._old.rename(self.path)
            raise
        (self.path / _LOCK).unlink()
        shutil.rmtree(self._old, ignore_errors=True)
        self._release()

    def discard(self) -> None:
        """Remove the folder, unless it has been finished."""
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._release()

    def __del__(self) -> None:
        if self.__dict__.get("_lock") is not None:
            self._release()

    def _hold(self) -> int:
        """The lock of the hidden folder; the system lets go of it when the process ends, however it ends."""
        while self.folder not in _HELD:
            self.folder.mkdir(exist_ok=True)
            try:
                lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # another writer has just finished
                continue
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # loader processes do not inherit it
                if os.fstat(lock).st_ino == (self.folder / _LOCK).stat().st_ino:
                    _HELD.add(self.folder)
                    return lock
            except (BlockingIOError, PermissionError):
                os.close(lock)
                break
            except FileNotFoundError:
                pass
            os.close(lock)
        raise FileExistsError(f"another process is writing {self.path}; wait for it, stop it, or choose another output")

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            _HELD.discard(self.folder)


@contextmanager
def folder_in_the_making(path: Path) -> Iterator[Path]:
    """A hidden folder that becomes ``path`` at the end, and is removed after an error.

    Raises:
        FileExistsError: there is something at ``path``, or another process is making it.
    """
    _check_free(path)
    making = FolderInTheMaking(path)
    try:
        yield making.folder
        _check_free(path)  # again: somebody else may have finished meanwhile
        making.finish()
    finally:
        making.discard()


def _check_free(path: Path) -> None:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path} exists already; choose another output or move it away")
