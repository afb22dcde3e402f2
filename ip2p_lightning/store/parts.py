"""A folder of parts: each is a file that appears whole and durably under its key, and is never written to again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any

from ip2p_lightning.files import remove_unfinished, whole, write_whole
from ip2p_lightning.store.claims import EXPIRY, Claims

_ABANDONED = 24 * 3600.0  # seconds after which an unfinished file is taken for a dead writer's


def digest(made_of: Any) -> str:
    """20 hex digits of plain values: what a part was made of, for its key."""
    text = json.dumps(made_of, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class PartStore:
    """The parts of a piece of work, and who is doing which.

    A key says what a part is and what it was made of (`f"rows-{digest(...)}"`): the same key is the same content,
    whichever process makes it, so that a part made twice is in the result once, and the first one stays. Any number of
    processes on any number of machines may read, write, join late, or be killed at any moment.

    Args:
        folder: of the parts; made when something is written.
        ending: of the parts' names, such as ".json".
        expiry: see `Claims`.
    """

    def __init__(self, folder: str | Path, ending: str, expiry: float = EXPIRY) -> None:
        self.folder, self.ending = Path(folder), ending
        self.claims = Claims(self.folder, expiry)

    def file(self, key: str) -> Path:
        """Path of a part, whether or not it exists."""
        return self.folder / f"{key}{self.ending}"

    def __contains__(self, key: str) -> bool:
        return self.file(key).is_file()

    def keys(self) -> set[str]:
        """Of all parts that are there."""
        with suppress(FileNotFoundError):
            names = (entry.name for entry in os.scandir(self.folder) if not entry.name.startswith("."))
            return {name.removesuffix(self.ending) for name in names if name.endswith(self.ending)}
        return set()

    def write(self, key: str, content: bytes | str | Callable[[IO[bytes]], object]) -> Path:
        """Write a part; when this returns it is on the disk. One that is there stays.

        Raises:
            OSError: it could not be written; nothing of it remains.
        """
        write_whole(self.file(key), content, shared=True, first=True)
        return self.file(key)

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """The same for writers that want a path: the part counts at the end of the `with` block."""
        return whole(self.file(key), shared=True, first=True)

    def read(self, key: str) -> bytes:
        """The content of a part.

        Raises:
            FileNotFoundError: it is not there.
        """
        return self.file(key).read_bytes()

    def remove(self, key: str) -> None:
        """Have a part made again."""
        self.file(key).unlink(missing_ok=True)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys whose parts are not there, in their order."""
        wanted = list(keys)
        there = self.keys() if len(wanted) > 1 else ()
        return [key for key in wanted if key not in there and key not in self]

    def work(self, keys: Iterable[str], stop: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """The parts to be made by this process, each claimed while it is the current one; see `Claims.work`."""
        return self.claims.work(keys, self.missing, stop)

    def sweep(self, age: float = _ABANDONED) -> None:
        """Remove what dead writers left.

        Args:
            age: seconds after which an unfinished file is a dead writer's.
        """
        remove_unfinished(self.folder, age)
