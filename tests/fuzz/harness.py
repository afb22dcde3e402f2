"""A fuzzed reader, and what must hold whatever it reads: nothing runs, nothing raw, nothing beyond the limits."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

MEGABYTE = 2**20
ACTIONS = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "pty.spawn",
    "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "socket.bind", "shutil.", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.kill", "ctypes.dlopen", "webbrowser.open",
)  # fmt: skip
"""Audit events (PEP 578) of which reading a file causes none."""


@dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    Args:
        inputs: strategy of what `read` takes.
        read: reads one input; files that it needs are written to the folder.
        answers: errors that are sentences for people; any other is a failure.
        megabytes: how much the process may grow by.
        seconds: longest time of one input.
    """

    inputs: SearchStrategy[Any]
    read: Callable[[Any, Path], object]
    answers: tuple[type[Exception], ...]
    megabytes: int = 512
    seconds: int = 30


@dataclass
class Record:
    """What happened.

    Args:
        inputs: how many were read.
        outcomes: "read", or the name of the error, with how often.
        peak_growth: of the process in megabytes.
        slowest: seconds of one input.
    """

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    peak_growth: int = 0
    slowest: float = 0.0


def check(reader: Reader, value: Any, folder: Path, record: Record | None = None) -> None:
    """Read one input, and assert what must hold."""
    forget_peak()
    before, started, outcome, text = peak(), time.monotonic(), "read", ""
    with quiet_process(folder), deadline(reader.seconds):
        try:
            reader.read(value, folder)
        except reader.answers as error:
            outcome, text = type(error).__name__, str(error)
    assert "Traceback" not in text, text
    growth = (peak() - before) // MEGABYTE
    assert growth <= reader.megabytes, f"grew by {growth} MB"
    if record is not None:
        record.inputs += 1
        record.outcomes[outcome] += 1
        record.peak_growth = max(record.peak_growth, growth)
        record.slowest = max(record.slowest, time.monotonic() - started)


def examples(reader: Reader, folder: Path, count: int, start: int = 0) -> Record:
    """Check `count` inputs, the same ones for the same `start`; a failing one is made as small as can be."""
    record = Record()

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(reader.inputs)
    def run(value: Any) -> None:
        check(reader, value, folder, record)

    run()
    return record


def forget_peak() -> None:
    """Let `peak` begin with the memory that the process has now, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most memory that the process has had, in bytes."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """An error where the block takes longer."""

    def late(*_: Any) -> None:
        raise AssertionError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


_watched: list[tuple[Path, list[str]]] = []
_hooked = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    folder, seen = _watched[-1]
    if event.startswith(ACTIONS) and not _below(arguments, folder):
        seen.append(f"{event}{arguments!r:.200}")
    elif event == "open" and _writes(arguments) and not _below(arguments, folder):
        seen.append(f"open{arguments!r:.200}")


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = str(arguments[1] or ""), arguments[2] if isinstance(arguments[2], int) else 0
    return any(letter in mode for letter in "wax+") or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _below(arguments: tuple[Any, ...], folder: Path) -> bool:
    first = arguments[0] if arguments else None
    if isinstance(first, bytes | str | os.PathLike):
        path = os.path.realpath(os.fsdecode(first))
        return path.startswith((str(folder.resolve()), "/dev/null"))
    return False


@contextmanager
def quiet_process(folder: Path) -> Iterator[None]:
    """Assert that the block starts no program, opens no connection and changes no file outside `folder`."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_audit)  # it stays for good, but looks at nothing outside this block
        _hooked = True
    seen: list[str] = []
    _watched.append((folder, seen))
    try:
        yield
    finally:
        _watched.pop()
    assert not seen, f"reading a file must not do this: {'; '.join(seen[:3])}"
