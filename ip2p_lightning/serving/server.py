"""The process of a service: one event loop, one address, and an end that finishes what is in work."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from ip2p_lightning.serving.keys import VARIABLE, Keys


def check_exposure(host: str, keys: Keys, open_to_all: bool) -> None:
    """Refuse to serve other machines without keys, unless that is meant.

    Raises:
        ValueError: it is not.
    """
    if not (is_local(host) or keys or open_to_all):
        raise ValueError(
            f"host={host} lets other machines in, and there are no API keys: set {VARIABLE}, or key_file=FILE with one "
            "a line; open=true serves everybody"
        )


def is_local(host: str) -> bool:
    """True if an address leads to this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str, keys: Keys) -> set[str]:
    """The names that the `Host` header may have: any, unless the service is this machine's own and without keys."""
    return set() if keys or not is_local(host) else {"localhost", "127.0.0.1", "[::1]", host}


def bind(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        ValueError: somebody else has it, or it is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ValueError(f"cannot serve at host={host} port={port}: {error.strerror}; choose another port") from error


def address(taken: socket.socket) -> str:
    """The URL of a socket."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, taken: socket.socket, grace: float, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM; then take no more, and wait for what is in work.

    Args:
        app: the service.
        taken: from `bind`.
        grace: seconds to wait.
        options: others of uvicorn.
    """
    own: dict[str, Any] = {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": round(grace) + 5,
        "timeout_keep_alive": 30,
    }
    config = uvicorn.Config(app, **(own | options))
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    _Server(config).run([taken])


CLOSING = "closing"
"""Name in `app.state` of a list of functions that end what would otherwise keep the server waiting for its clients."""


class _Server(uvicorn.Server):
    """uvicorn's, which ends after a signal as a command that has done its work, not as one that was killed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Close streams that pages hold open, see `CLOSING`; a second signal ends at once."""
        for close in getattr(getattr(self.config.app, "state", None), CLOSING, ()):
            close()
        self.force_exit, self.should_exit = self.should_exit, True
