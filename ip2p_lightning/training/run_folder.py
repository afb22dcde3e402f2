"""A run folder belongs to one run: held by one process at a time, and never taken over by another run in silence."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK, _HOLDER = ".run.lock", ".run.json"


class RunFolderError(ValueError):
    """A folder that another run has; the message names the folder, the run and the ways out."""


def check_free(folder: Path, ckpt: str | None, overwrite: bool = False) -> None:
    """Refuse a folder that holds checkpoints of a run which this one does not go on from.

    Args:
        folder: of the run that is about to begin.
        ckpt: what it goes on from: a path, "auto", or None.
        overwrite: remove those checkpoints instead.

    Raises:
        RunFolderError: the folder holds another run.
    """
    there = sorted((folder / "checkpoints").glob("[!.]*.ckpt"))
    own = ckpt is not None and (ckpt == "auto" or folder.resolve() in Path(ckpt).resolve().parents)
    if not there or own:
        return
    if not overwrite:
        raise RunFolderError(
            f"{folder} holds a run already ({there[-1].relative_to(folder)}), which this one would replace: go on with "
            "it by ckpt=auto, choose another folder (hydra.run.dir=...), or replace it by overwrite=true"
        )
    for path in there:
        path.unlink()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run folder; given back at the end, or by the system when the process dies.

    Raises:
        RunFolderError: another process holds it; says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / _LOCK), folder / _HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(
            f"{folder}: another `ip2p train` is at work there{_named(holder)}; wait for it, end it, or choose another "
            "folder (hydra.run.dir=...)"
        ) from error
    except (OSError, NotImplementedError):  # a file system without locks
        yield
        return
    try:
        since = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        holder.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since}))
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _named(holder: Path) -> str:
    try:
        told = json.loads(holder.read_text())
        return f" (process {int(told['process'])} on {told['host']}, since {told['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
