"""Bytes of shards: from a local folder, from local copies of remote shards, or by requests for ranges."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

from ip2p_lightning.data.dataset_info import DatasetInfo, FileInfo
from ip2p_lightning.data.shard_cache import FileCache
from ip2p_lightning.data.storage import LocalFolder, RemoteAccess, RemoteFolder, Storage


class Shards(Protocol):
    """Reads bytes of shards; picklable, and safe to fork."""

    def read(self, shard: FileInfo, start: int, length: int) -> bytes:
        """Bytes of a shard; fewer where it ends before; OSError if they cannot be had."""
        ...

    def forget(self, shard: FileInfo) -> bool:
        """Drop what was kept of a shard whose bytes are wrong; whether reading again may give others."""
        ...


class LocalShards:
    """Shards in a local folder, opened on demand.

    Args:
        folder: of the dataset.
        limit: how many stay open at once.
    """

    def __init__(self, folder: Path, limit: int = 32) -> None:
        self.folder, self._files = folder, _OpenFiles(limit)

    def read(self, shard: FileInfo, start: int, length: int) -> bytes:
        return self._files.read(self.folder / shard.name, start, length)

    def forget(self, shard: FileInfo) -> bool:
        return False


class RangedShards:
    """Remote shards by one request for each pair.

    Args:
        storage: the dataset's folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self, shard: FileInfo, start: int, length: int) -> bytes:
        return self._storage.read_range(shard.name, start, length)

    def forget(self, shard: FileInfo) -> bool:
        return True


class CachedShards:
    """Remote shards through local copies of whole shards.

    A shard of which the storage has other bytes than were written is never kept: its pairs are asked for one by one,
    as some may be sound.

    Args:
        storage: the dataset's folder.
        cache: where the copies are.
    """

    def __init__(self, storage: Storage, cache: FileCache) -> None:
        self._storage, self._cache, self._files = storage, cache, _OpenFiles(limit=8)
        self._damaged: set[str] = set()

    def read(self, shard: FileInfo, start: int, length: int) -> bytes:
        while shard.name not in self._damaged:
            if self._files.is_open(copy := self._cache.path(shard)):
                return self._files.read(copy, start, length)
            if self._cache.get(self._storage, shard) is None:
                self._damaged.add(shard.name)
            else:
                self._files.open(copy)  # False if another process has just removed it to make room
        return self._storage.read_range(shard.name, start, length)

    def forget(self, shard: FileInfo) -> bool:
        if shard.name not in self._damaged:
            self._cache.path(shard).unlink(missing_ok=True)
            self._files.close_removed()
        return True


def open_shards(
    storage: LocalFolder | RemoteFolder, info: DatasetInfo, access: RemoteAccess, needed: int
) -> LocalShards | RangedShards | CachedShards:
    """The way to read a dataset's shards.

    Args:
        storage: the dataset's folder.
        info: its description.
        access: how to read it if it is remote.
        needed: bytes of the shards that will be read.
    """
    if isinstance(storage, LocalFolder):
        return LocalShards(storage.folder)
    if access.read == "ranges" or (access.read == "auto" and needed > access.cache_bytes):
        return RangedShards(storage)
    return CachedShards(storage, FileCache(access.folder / "shards", access.cache_bytes))


class _OpenFiles:
    """Files of this process by their paths; reads have no position, so that forked processes may share them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: OrderedDict[Path, int] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit, "_open": OrderedDict()}

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_open", {}).values():
            os.close(descriptor)

    def is_open(self, path: Path) -> bool:
        return path in self._open

    def open(self, path: Path) -> bool:
        """Open a file; False if it does not exist."""
        self.close_removed()
        while len(self._open) >= self.limit:
            os.close(self._open.popitem(last=False)[1])
        try:
            self._open[path] = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        return True

    def read(self, path: Path, start: int, length: int) -> bytes:
        if path not in self._open and not self.open(path):
            raise FileNotFoundError(f"{path} is missing")
        self._open.move_to_end(path)
        descriptor, parts = self._open[path], []
        length = min(length, max(0, os.fstat(descriptor).st_size - start))
        while length > 0 and (part := os.pread(descriptor, length, start)):
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close_removed(self) -> None:
        """Let go of files that were deleted, so that the disk gets their room back."""
        for path in [path for path, descriptor in self._open.items() if not os.fstat(descriptor).st_nlink]:
            os.close(self._open.pop(path))
