"""A folder of parts: each is a file that appears whole and durably under its key, and is never written to again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ip2p_lightning.files import UNFINISHED, write_whole
from ip2p_lightning.store.claims import EXPIRY, Claims

_ABANDONED = 24 * 3600.0  # seconds after which an unfinished file is taken for a dead writer's
_LOOK = 0.05  # share of the expiry between two looks at parts that others have


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
        owner: see `Claims`.
    """

    def __init__(self, folder: str | Path, ending: str, expiry: float = EXPIRY, owner: str | None = None) -> None:
        self.folder, self.ending = Path(folder), ending
        self.claims = Claims(self.folder, owner, expiry)

    def file(self, key: str) -> Path:
        """Where a part lies, or would lie."""
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

    def read(self, key: str) -> bytes:
        """The content of a part.

        Raises:
            FileNotFoundError: it is not there.
        """
        return self.file(key).read_bytes()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys whose parts are not there, in their order."""
        there = self.keys()
        return [key for key in keys if key not in there]

    def work(self, keys: Iterable[str], wait: bool = True) -> Iterator[str]:
        """The parts to be made by this process, one after the other, each claimed while it is the current one.

        A part that another process has is passed over, and taken up if that process dies. A part that was not written
        after its turn is left to the next run.

        Args:
            keys: of all parts, in the same order in each process.
            wait: until every part is there or was tried; False ends with what nobody else has.
        """
        left = dict.fromkeys(keys)
        while left := dict.fromkeys(self.missing(left)):
            taken = False
            for key in list(left):
                claim = self.claims.take(key)
                if claim is None:
                    continue
                taken = True
                with claim:
                    if key not in self:  # else it was finished between the look and the claim
                        yield key
                        if key not in self:
                            del left[key]
            if not taken:
                if not wait:
                    return
                time.sleep(min(1.0, self.claims.expiry * _LOOK))

    def sweep(self, age: float = _ABANDONED) -> None:
        """Remove what dead writers left.

        Args:
            age: seconds after which an unfinished file is a dead writer's.
        """
        if not self.folder.is_dir():
            return
        for file in self.folder.glob(f".*{UNFINISHED}"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime >= age:
                    file.unlink(missing_ok=True)
