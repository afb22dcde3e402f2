"""Configurations without secrets, as they are stored in run folders and sent to loggers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

HIDDEN = "***"

_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_SECRET_KEY = re.compile(
    r"(?i)(^|_)(password|passwd|secret|secret_key|credentials?|api_?key|access_key|private_key)$"
    r"|^((hf|api|auth|access|session|security|bearer)_)?token$"
)
_SHORTEST = 4  # characters of an environment's value that is looked for elsewhere; a rank's number is none
_FROM_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")


def without_password(text: str) -> str:
    """`text` with "***" for user and password of each URL in it.

    >>> without_password("http://me:word@host/v1")
    'http://***@host/v1'
    """
    return _PASSWORD.sub(HIDDEN, text)


def without_secrets(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A composed configuration as it may be stored or logged: resolved, but for what must not leave the machine.

    Passwords in URLs and values under keys such as `token`, `secret` or `password` become "***"; values taken from the
    environment (`${oc.env:NAME}`) stay as they are written, so that a run that is opened again takes them from there,
    and become "***" where another key repeats them.

    Args:
        config: composed, or plain containers.
    """
    written = OmegaConf.to_container(config, resolve=False) if isinstance(config, DictConfig) else config
    resolved = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    return _masked(resolved, written, frozenset(_from_environment(resolved, written)))


def _from_environment(value: Any, written: Any) -> Iterator[str]:
    """The values that `${oc.env:...}` gave."""
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        for name, part in value.items():
            yield from _from_environment(part, written.get(name))
    elif isinstance(value, list) and isinstance(written, list):
        for part, own in zip(value, written, strict=True):
            yield from _from_environment(part, own)
    elif isinstance(written, str) and _FROM_ENVIRONMENT.search(written) and len(str(value)) >= _SHORTEST:
        yield str(value)


def _masked(value: Any, written: Any, secrets: frozenset[str], key: str = "") -> Any:
    if isinstance(value, Mapping):
        known = written if isinstance(written, Mapping) else {}  # else an interpolation of the whole mapping
        return {name: _masked(part, known.get(name), secrets, str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        known = written if isinstance(written, list | tuple) else [None] * len(value)
        return [_masked(part, own, secrets, key) for part, own in zip(value, known, strict=True)]
    if isinstance(written, str) and _FROM_ENVIRONMENT.search(written):
        return written
    if not isinstance(value, str):
        return value
    hidden = value and (_SECRET_KEY.search(key) or any(secret in value for secret in secrets))
    return HIDDEN if hidden else without_password(value)
