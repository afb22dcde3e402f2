"""Files of remote datasets on the local disk: bounded, shared by all processes of a machine, never half there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ip2p_lightning.data.dataset_info import DatasetError, FileInfo
from ip2p_lightning.data.storage import Storage
from ip2p_lightning.files import take_name

_CHUNK = 16 * 2**20  # bytes asked for at once
_ABANDONED = 3600.0  # seconds after which a download that nothing was added to is litter


class FileCache:
    """Verified copies of files, by their SHA-256; the least recently opened make room for new ones.

    A copy appears under its name when it is complete and its checksum right. One process downloads a file, the others
    wait for it; a lock of a process that was killed is gone with it. Picklable.

    Args:
        folder: on the local disk; may be shared by runs and datasets.
        limit: most bytes that the folder holds, or None.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder, self.limit = folder, limit

    def path(self, file: FileInfo) -> Path:
        """Path of a file's copy, whether or not it exists."""
        return self.folder / f"{file.sha256}{Path(file.name).suffix}"

    def get(self, storage: Storage, file: FileInfo) -> Path | None:
        """The copy of a file, downloaded if need be; None if what is in the storage has another size or checksum.

        Raises:
            DatasetError: the local disk is full or cannot be written to.
            OSError: the storage does not give the file.
        """
        copy = self.path(file)
        with _local(copy.parent):
            if self._touched(copy):
                return copy
        with self._lock(file.sha256[:2]):
            if self._touched(copy):
                return copy
            part = copy.with_suffix(".part")
            try:
                self._reserve(part, file)
                whole = _download(storage, file, part)
                if whole:
                    with _local(copy):
                        take_name(part, copy)
            finally:
                part.unlink(missing_ok=True)
        return copy if whole else None

    def _touched(self, copy: Path) -> bool:
        try:
            os.utime(copy)
        except FileNotFoundError:
            return False
        return True

    def _reserve(self, part: Path, file: FileInfo) -> None:
        """Make an empty file of full size, after removing enough others."""
        with self._lock("room"):
            if self.limit is not None:
                self._make_room(file)
            with _local(part), part.open("wb") as empty:
                empty.truncate(file.size)

    def _make_room(self, file: FileInfo) -> None:
        assert self.limit is not None
        if file.size > self.limit:
            raise DatasetError(
                f"{file.name} has {file.size:,} bytes but the cache {self.folder} holds {self.limit:,} at most: raise "
                "cache_bytes or set read=ranges"
            )
        entries, total = [], 0
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # removed or finished by another process meanwhile
                if entry.is_file():
                    entries.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
                    total += entry.stat().st_size
        for used, size, path in sorted(entries):
            if total + file.size <= self.limit:
                break
            if not path.endswith(".part") or time.time() - used > _ABANDONED:
                Path(path).unlink(missing_ok=True)
                total -= size

    def _lock(self, name: str) -> FileLock:
        with _local(self.folder):
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            return FileLock(self.folder / "locks" / f"{name}.lock")


def _download(storage: Storage, file: FileInfo, target: Path) -> bool:
    """Copy a file; False if it is not the one that is described."""
    digest = hashlib.sha256()
    with target.open("r+b") as output:
        for start in range(0, file.size, _CHUNK):
            wanted = min(_CHUNK, file.size - start)
            data = storage.read_range(file.name, start, wanted)
            if len(data) < wanted:
                return False
            digest.update(data)
            with _local(target):
                output.write(data)
    return digest.hexdigest() == file.sha256


@contextlib.contextmanager
def _local(path: Path) -> Iterator[None]:
    """Say what to do about a local disk that is full or read-only; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise DatasetError(
                f"{path}: {os.strerror(error.errno)}; make room, lower cache_bytes, or choose another cache folder "
                "(cache_folder, or the environment variable IP2P_CACHE)"
            ) from error
        raise
