"""The record of pairs that were left out for their damage: written by all loader processes, read by the trainer's."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from dataclasses import dataclass


@dataclass(frozen=True)
class SkippedPair:
    """A pair that was replaced by another.

    Args:
        message: what is wrong with it, naming shard and id.
        replacement: id of the pair that was taken instead.
    """

    message: str
    replacement: str


class SkipLog:
    """Pairs that were left out, in a temporary file of the process that makes the log.

    Copies in forked and spawned processes add to the same file.
    """

    def __init__(self) -> None:
        handle, self._file = tempfile.mkstemp(prefix="ip2p-skipped-", suffix=".jsonl")
        os.close(handle)
        self._read = 0
        weakref.finalize(self, _remove, self._file, os.getpid())

    def add(self, message: str, replacement: str) -> None:
        """Note a pair; safe to call from many processes at once."""
        line = json.dumps([message[:1500], replacement[:500]]) + "\n"
        handle = os.open(self._file, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, line.encode())  # one write of a short line is never torn
        finally:
            os.close(handle)

    def take(self) -> list[SkippedPair]:
        """The pairs noted since the last call in this process, in order."""
        with open(self._file, encoding="utf-8") as file:
            file.seek(self._read)
            lines = file.readlines()
            self._read = file.tell()
        return [SkippedPair(*json.loads(line)) for line in lines]


def _remove(file: str, owner: int) -> None:
    if os.getpid() == owner and os.path.exists(file):
        os.unlink(file)
