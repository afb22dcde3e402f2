"""Claims on parts of a piece of work, in a folder that machines share: who does what, without a lock.

A claim is a file that its owner beats: it writes a number into it again and again. Whoever wants the part watches that
number by its own clock, so that clocks may differ; a number that stands still for the expiry means that the owner is
dead or cut off. Its claim is not removed, which two could do at once, but outbid: the next generation's file is made,
and only one process can make it. Making a file under a name that is free is the one thing asked of the file system,
and NFS does it by hard links; `flock` is not needed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

EXPIRY = 180.0
"""Seconds without a beat after which an owner is given up: above the minute for which NFS may show an old file."""
_BEATS = 6  # in the time of the expiry
_WIDTH = 20  # digits of the beat, so that each is written over the one before


class Claim:
    """A part that this process has; gives it back at the end of the `with` block.

    Args:
        claims: that it is one of.
        key: of the part.
        generation: number of owners before.
    """

    def __init__(self, claims: Claims, key: str, generation: int) -> None:
        self.key, self.generation = key, generation
        self._claims, self._file = claims, claims.file(key, generation)
        self._owner = claims.owner_of(self._file)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"claim {key}")
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another process has taken the part over, because this one seemed to be dead."""
        outbid = self._claims.file(self.key, self.generation + 1).exists()
        return outbid or self._claims.owner_of(self._file) != self._owner

    def release(self) -> None:
        """Give the part back, done or not."""
        self._over.set()
        self._thread.join()
        if self.lost:
            return
        for generation in range(self.generation + 1):  # its own last, as the highest one counts
            with suppress(OSError):
                self._claims.file(self.key, generation).unlink(missing_ok=True)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _beat(self) -> None:
        """Count in the file; it is held open, so that a successor's file is never written to."""
        with suppress(OSError), self._file.open("r+b", buffering=0) as file:
            number = 0
            while not self._over.wait(self._claims.expiry / _BEATS):
                number += 1
                os.pwrite(file.fileno(), f"{number:{_WIDTH}d}".encode(), 0)
                os.fsync(file.fileno())  # to the server, where others look


class Claims:
    """The claims in a folder.

    Args:
        folder: shared by all that work; made when something is claimed.
        owner: name of this process in the claims, for people.
        expiry: seconds without a beat after which a claim is taken over.
    """

    def __init__(self, folder: Path, owner: str | None = None, expiry: float = EXPIRY) -> None:
        self.folder, self.expiry = Path(folder), expiry
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}"
        self._seen: dict[str, tuple[int, bytes, float]] = {}

    def file(self, key: str, generation: int) -> Path:
        """Of a claim."""
        return self.folder / f".{key}.claim-{generation}"

    def take(self, key: str) -> Claim | None:
        """Claim a part; None if another process has it, or had it until too short a time ago to be given up."""
        if self._make(key, 0):
            return Claim(self, key, 0)
        generation = 0
        while self.file(key, generation + 1).exists():
            generation += 1
        if not self._stands_still(key, generation) or not self._make(key, generation + 1):
            return None
        before = self.owner_of(self.file(key, generation)).split(" ")[0]
        log.warning("%s: nothing was heard of %s for %.3g s; its work is taken over", key, before, self.expiry)
        return Claim(self, key, generation + 1)

    def owner_of(self, file: Path) -> str:
        """What a claim's file says of its owner: a name, and a word that no other claim has; "?" without a file."""
        try:
            return file.read_bytes()[_WIDTH:].decode()
        except OSError:
            return "?"

    def _stands_still(self, key: str, generation: int) -> bool:
        """Whether this process has watched the claim for the expiry without seeing a beat."""
        try:
            content = self.file(key, generation).read_bytes()
        except OSError:  # given back meanwhile
            return False
        now, seen = time.monotonic(), self._seen.get(key)
        if seen is None or seen[:2] != (generation, content):
            self._seen[key] = (generation, content, now)
            return False
        return now - seen[2] >= self.expiry

    def _make(self, key: str, generation: int) -> bool:
        """Make the file of a claim; False if it is there."""
        file, word = self.file(key, generation), uuid4().hex
        self.folder.mkdir(parents=True, exist_ok=True)
        hidden = file.with_name(f"{file.name}.{word}")
        content = f"{0:{_WIDTH}d}{self.owner} {word}".encode()
        try:
            hidden.write_bytes(content)
            os.link(hidden, file)
        except FileExistsError:
            return False
        except OSError:  # no hard links: exclusive creation, which all but very old NFS do as well
            try:
                with file.open("xb") as made:
                    made.write(content)
            except FileExistsError:
                return False
        finally:
            hidden.unlink(missing_ok=True)
        return True
