"""Keys of clients: read once, kept as digests, compared in constant time, written nowhere."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from ip2p_lightning.bounded_text import read_text

VARIABLE = "IP2P_API_KEYS"
_SHORTEST = 16


class Keys:
    """The keys that a service takes; with none at all, everybody may ask.

    Args:
        keys: texts of 16 characters and more.

    Raises:
        ValueError: a key that is too short, or that no header can carry.
    """

    def __init__(self, keys: list[str]) -> None:
        for number, key in enumerate(keys, 1):
            if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
                raise ValueError(
                    f"key {number} of {len(keys)} is none: use at least {_SHORTEST} ASCII characters without spaces, "
                    'such as `python -c "import secrets; print(secrets.token_urlsafe(32))"` prints'
                )
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def read(cls, file: str | Path | None) -> Keys:
        """The keys of a file, one a line ("#" begins a comment), else those in `IP2P_API_KEYS`, between commas.

        Raises:
            ValueError: a file without any key, or what `Keys` refuses.
            OSError: no such file.
        """
        if file is None:
            return cls([key.strip() for key in os.environ.get(VARIABLE, "").split(",") if key.strip()])
        lines = (line.split("#")[0].strip() for line in read_text(Path(file)).splitlines())
        keys = [line for line in lines if line]
        if not keys:
            raise ValueError(f"key_file={file}: the file holds no key; write one a line")
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def allow(self, authorization: str) -> bool:
        """True if an `Authorization` header carries one of the keys; takes as long for one as for another."""
        scheme, _, key = authorization.partition(" ")
        return self._holds(_digest(key.strip()) if scheme.lower() == "bearer" else b"") or not self._digests

    def allow_password(self, user: str, password: str) -> bool:
        """True if a password is one of the keys, whatever the user's name; for pages with a login."""
        return self._holds(_digest(password.strip()))

    def _holds(self, given: bytes) -> bool:
        found = [hmac.compare_digest(given, digest) for digest in self._digests]  # all of them, whichever it is
        return any(found)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
