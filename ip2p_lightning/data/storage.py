"""Location of a dataset: a local folder, or a folder on object storage through fsspec (s3://, gs://, https://, memory://)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem, sync

T = TypeVar("T")

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)
"""Answers that another attempt would not change."""


class StorageError(OSError):
    """A storage that does not answer; the message names the file and the last failure."""


@dataclass(frozen=True)
class RemoteAccess:
    """Settings for reading datasets on object storage.

    Args:
        read: "shards" downloads whole shards into a cache on the local disk, "ranges" asks for the bytes of one pair
            at a time, "auto" takes shards if all that are needed fit into the cache.
        cache_folder: where shards and indices are kept; None for ``$IP2P_CACHE``, or ~/.cache/ip2p_lightning.
        cache_bytes: most bytes of shards that the cache holds, over all datasets in it.
        attempts: how often a request is made before it counts as failed.
        timeout: seconds after which an attempt counts as failed.
        backoff: seconds between the first two attempts; doubled after each one, with a random part.
        options: for the file system of fsspec, such as {"anon": true} or {"endpoint_url": "https://..."} for S3.
            Leave keys and passwords to the environment or to the provider's own files.

    Raises:
        ValueError: an unknown way of reading, or numbers that make no sense.
    """

    read: Literal["auto", "shards", "ranges"] = "auto"
    cache_folder: str | Path | None = None
    cache_bytes: int = 50_000_000_000
    attempts: int = 5
    timeout: float = 60.0
    backoff: float = 0.5
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.read not in ("auto", "shards", "ranges"):
            raise ValueError(f"read={self.read!r} must be 'auto', 'shards' or 'ranges'")
        if self.attempts < 1 or self.timeout <= 0 or self.backoff < 0 or self.cache_bytes < 1:
            raise ValueError(
                "remote access needs attempts >= 1, timeout > 0, backoff >= 0 and cache_bytes >= 1, got "
                f"{self.attempts}, {self.timeout}, {self.backoff} and {self.cache_bytes}"
            )

    @property
    def folder(self) -> Path:
        """The cache's folder on the local disk."""
        return Path(self.cache_folder) if self.cache_folder is not None else cache_folder()


class Storage(Protocol):
    """The files of one folder."""

    def place(self, name: str) -> str:
        """Name of a file in error messages."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """A small file, at most its first ``limit`` bytes; OSError if it cannot be had."""
        ...

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Bytes of a file; fewer where the file ends before; OSError if they cannot be had."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file; OSError if it cannot be had."""
        ...

    def sizes(self) -> dict[str, int] | None:
        """Bytes of every file by its name, or None where the storage cannot list (web servers)."""
        ...


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def place(self, name: str) -> str:
        return str(self.folder / name)

    def read(self, name: str, limit: int) -> bytes:
        return self.read_range(name, 0, limit)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def sizes(self) -> dict[str, int]:
        with os.scandir(self.folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}


class RemoteFolder:
    """A folder on object storage. Picklable and safe to fork: each process makes its own connection.

    Failed requests are repeated, with growing pauses; a request ends after ``access.timeout`` whatever happens, on all
    file systems that fsspec runs asynchronously (S3, GCS, Azure, HTTP).

    Args:
        url: such as ``s3://bucket/name``.
        access: how to read it.
    """

    def __init__(self, url: str, access: RemoteAccess) -> None:
        self.url, self.access = url.rstrip("/"), access
        self._connected: tuple[int, Any, str] | None = None

    def __str__(self) -> str:
        return self.url

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_connected": None}

    def place(self, name: str) -> str:
        return f"{self.url}/{name}"

    def read(self, name: str, limit: int) -> bytes:
        return self._repeated(name, lambda: self._call("cat_file", name, start=0, end=limit))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        end = start + length

        def attempt() -> bytes:
            try:
                data = self._call("cat_file", name, start=start, end=end)
            except _FINAL:
                raise
            except Exception:
                if not self._ends_before(name, end):  # some storages refuse ranges beyond the end
                    raise
                size = self.size(name)
                return self._call("cat_file", name, start=start, end=size) if start < size else b""
            if len(data) > length:
                raise StorageError(
                    f"{self.place(name)}: the server answers a request for {length:,} bytes with {len(data):,}; "
                    "it must know range requests (object stores, nginx and Apache do)"
                )
            if len(data) < length and not self._ends_before(name, end):
                raise OSError(f"half an answer: {len(data):,} of {length:,} bytes")
            return data

        return self._repeated(name, attempt) if length else b""

    def size(self, name: str) -> int:
        return int(self._repeated(name, lambda: self._call("info", name))["size"])

    def sizes(self) -> dict[str, int] | None:
        if self.url.startswith(("http://", "https://")):
            return None
        entries = self._repeated("", lambda: self._call("ls", "", detail=True))
        return {entry["name"].rsplit("/", 1)[-1]: int(entry["size"] or 0) for entry in entries}

    def _ends_before(self, name: str, end: int) -> bool:
        try:
            return int(self._call("info", name)["size"]) < end
        except FileNotFoundError:
            raise
        except Exception:  # the question failed, as the one before it did: nothing is known
            return False

    def _call(self, method: str, name: str, **arguments: Any) -> Any:
        system, root = self._connection()
        path = f"{root}/{name}" if name else root
        if isinstance(system, AsyncFileSystem):
            return sync(system.loop, getattr(system, f"_{method}"), path, timeout=self.access.timeout, **arguments)
        return getattr(system, method)(path, **arguments)

    def _connection(self) -> tuple[Any, str]:
        if self._connected is None or self._connected[0] != os.getpid():
            try:
                system, root = fsspec.url_to_fs(
                    self.url, skip_instance_cache=True, use_listings_cache=False, **self.access.options
                )
            except ImportError as error:
                raise StorageError(f"{self.url}: {error}; or: pip install 'ip2p-lightning[remote]'") from error
            self._connected = os.getpid(), system, root.rstrip("/")
        return self._connected[1], self._connected[2]

    def _repeated(self, name: str, attempt: Callable[[], T]) -> T:
        """The result of the first attempt that succeeds."""
        pause, last = self.access.backoff, None
        for number in range(self.access.attempts):
            if number:
                time.sleep(pause * random.SystemRandom().uniform(0.5, 1.5))  # training's own random state stays
                pause *= 2
            try:
                return attempt()
            except (*_FINAL, StorageError):
                raise
            except Exception as error:  # every file system has types of its own
                last = error
        raise StorageError(
            f"{self.place(name)}: no answer in {self.access.attempts} attempt(s), the last failed with "
            f"{type(last).__name__}: {last}"
        ) from last


def open_storage(path: str | Path, access: RemoteAccess | None = None) -> LocalFolder | RemoteFolder:
    """The storage at a path or URL.

    Args:
        path: a folder, or a URL that fsspec knows (``s3://bucket/name``).
        access: how to read it where it is remote.
    """
    if isinstance(path, str) and path.startswith("file://"):
        path = Path(path.removeprefix("file://"))
    if isinstance(path, str) and "://" in path:
        return RemoteFolder(path, access or RemoteAccess())
    return LocalFolder(Path(path))


def cache_folder() -> Path:
    """Folder for data kept between runs: ``$IP2P_CACHE``, or ip2p_lightning in the user's cache folder."""
    if own := os.environ.get("IP2P_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ip2p_lightning"
