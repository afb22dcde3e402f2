"""Errors of disks and permissions, as a sentence with the file and the remedy."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

_REMEDIES = {
    errno.ENOSPC: "no space left on its disk{free}; make room, or choose another {key}, then run the command again",
    errno.EDQUOT: "your quota on its disk is used up; make room, or choose another {key}, then run the command again",
    errno.EROFS: "its disk is mounted read-only; choose another {key}",
    errno.EACCES: "you may not read or write there; fix its permissions, or choose another {key}",
    errno.EPERM: "you may not read or write there; fix its permissions, or choose another {key}",
    errno.EFBIG: "files of this size are not allowed there (ulimit -f, or the file system); choose another {key}",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n 65536)",
    errno.ENFILE: "too many open files on this machine; end other programs, or wait",
    errno.ENOLCK: "its file system has no locks left (NFS without a lock service?); choose another {key}",
    errno.ELOOP: "links lead in a circle; choose another {key}",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another {key}",
    errno.EEXIST: "a file is where a folder is to be made; remove or rename it, or choose another {key}",
    errno.EISDIR: "that is a folder; name a file, or choose another {key}",
    errno.ETXTBSY: "a program that is running lies there; choose another {key}",
    errno.ENAMETOOLONG: "the name is too long for its file system; choose a shorter {key}",
    errno.EIO: "its disk reports an error; look at the disk, or choose another {key}",
    errno.ESTALE: "the network file system has lost it; wait until it is back and give the same command again",
}
_TEXTS = {text: code for code in _REMEDIES for text in (os.strerror(code), f"os error {code})")}
_PLACES = ("output", "output_dir", "folder", "hydra.run.dir")


def disk_error(error: BaseException, settings: Callable[[], Mapping[str, object]]) -> str | None:
    """The message for an error of a disk, whichever library met it; None for any other error.

    Args:
        error: what ended the job. Libraries written in C++ or Rust give the system's words alone.
        settings: gives dotted key -> value of the job's configuration, which has the place that it writes to.
    """
    if type(error).__module__.startswith("ip2p_lightning."):
        return None  # says more already
    code = error.errno if isinstance(error, OSError) else None
    if code not in _REMEDIES:
        code = next((known for text, known in _TEXTS.items() if text in str(error)), None)
    if code is None:
        return None
    known = settings()
    key, place = next(((key, str(known[key])) for key in _PLACES if known.get(key)), ("output", ""))
    named = getattr(error, "filename", None) or _path_in(str(error)) or place or "a file"
    named = os.fsdecode(named) if isinstance(named, str | bytes) else f"file {named}"
    return f"{named}: {_REMEDIES[code].format(key=f'{key}=...', free=_free(named))}"


def _path_in(text: str) -> str | None:
    """A file that the words of a message name."""
    found = re.search(r"['\" ](/[^'\"\n:]+)", text)
    return found.group(1) if found else None


def _free(path: str) -> str:
    """Room on the disk of a file that may not be there yet."""
    folder = Path(path).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f" ({shutil.disk_usage(folder).free / 1e6:,.1f} MB are free)"
    except OSError:
        return ""
