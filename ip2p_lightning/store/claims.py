"""Claims on parts of a piece of work, in a folder that machines share: who does what, without a lock.

A claim is a file that its owner beats: it writes a number into it again and again. A process that wants the part
watches that number by its own clock, so that clocks may differ; a number that stands still for the expiry means that
the owner is dead or cut off (a dead process of the same machine is known at once). Its claim is not removed, which two
could do at once, but outbid: the next generation's file is made, and only one process can make it. Making a file under
a name that is free is the one thing asked of the file system, and NFS does it by hard links; `flock` is not needed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

EXPIRY = 180.0
"""Seconds without a beat after which an owner is given up: above the minute for which NFS may show an old file."""
_BEATS = 6  # in the time of the expiry
_WIDTH = 20  # digits of the beat, so that each is written over the one before
_LOOK = 0.05  # share of the expiry between two looks at parts that others have


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
        """True if another process has taken the part over, because this one seemed to be dead."""
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
        expiry: seconds without a beat after which a claim is taken over.
    """

    def __init__(self, folder: Path, expiry: float = EXPIRY) -> None:
        self.folder, self.expiry = Path(folder), expiry
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

    def work(
        self,
        keys: Iterable[str],
        missing: Callable[[Iterable[str]], list[str]],
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """The parts to be made by this process, one after the other, each claimed while it is the current one.

        A part that another process has is passed over, and taken up if that process dies. A part that is still missing
        after its turn could not be made, and is left to the next run.

        Args:
            keys: of all parts.
            missing: those of some keys whose parts are not there, in their order.
            stop: asked before each part, and while others have what is left; true leaves the rest.
        """
        left = list(keys)
        while left := missing(left):
            taken = False
            for key in list(left):
                if stop():
                    return
                claim = self.take(key)
                if claim is None:
                    continue
                taken = True
                with claim:
                    if missing([key]):  # else it was finished between the look and the claim
                        yield key
                        if missing([key]):
                            left.remove(key)
            if not taken:
                time.sleep(min(1.0, self.expiry * _LOOK))

    def hold(self, key: str) -> Claim:
        """Claim a part, after waiting for its present owner."""
        while (claim := self.take(key)) is None:
            time.sleep(min(1.0, self.expiry * _LOOK))
        return claim

    def idle(self) -> bool:
        """True if no process works in the folder; claims of processes that are known to be dead are removed."""
        for file in self.folder.glob(".*.claim-*"):
            if claim := self.take(file.name[1:].rsplit(".claim-", 1)[0]):
                claim.release()
        return not any(self.folder.glob(".*.claim-*"))

    def owner_of(self, file: Path) -> str:
        """Content of a claim: host:process, their kernel, and a word that no other claim has; "?" without one."""
        try:
            return file.read_bytes()[_WIDTH:].decode()
        except OSError:
            return "?"

    def _stands_still(self, key: str, generation: int) -> bool:
        """True if the owner of a claim is dead, or this process has watched it for the expiry without seeing a beat."""
        try:
            content = self.file(key, generation).read_bytes()
        except OSError:  # given back meanwhile
            return False
        if _gone(content[_WIDTH:].decode(errors="replace")):
            return True
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
        content = f"{0:{_WIDTH}d}{socket.gethostname()}:{os.getpid()} {_kernel()} {word}".encode()
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


@lru_cache
def _kernel() -> str:
    """Identity of the kernel that numbers processes: boot id and process namespace; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return sha256((boot + os.readlink("/proc/self/ns/pid")).encode()).hexdigest()[:16]
    except OSError:
        return ""


def _gone(owner: str) -> bool:
    """True if the owner was a process of this kernel that is no more."""
    name, kernel, *_ = [*owner.split(" "), "", ""]
    if not kernel or kernel != _kernel():
        return False
    try:
        os.kill(int(name.rsplit(":", 1)[-1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False
