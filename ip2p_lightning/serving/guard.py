"""Checks of every request before anything reads it: host, key and size; and what every answer gets: an id."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ip2p_lightning.limits import SERVED_BYTES
from ip2p_lightning.serving.keys import Keys
from ip2p_lightning.serving.meters import Meters
from ip2p_lightning.serving.problems import Problem, problem_of
from ip2p_lightning.untrusted import printable

log = logging.getLogger(__name__)
PROTECTED = "/v1/"
_LINGER = 10.0
"""Seconds in which what a refused client is still sending is read and thrown away, so that it gets to the answer."""


class Guard:
    """ASGI middleware around the service.

    Args:
        app: the service.
        keys: of which one must come with requests below `/v1/`.
        hosts: names that the `Host` header may have; empty for any. Without keys it keeps pages that a browser shows
            from reading answers by a name of theirs that leads here (DNS rebinding).
        meters: count answers.
    """

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Collection[str], meters: Meters) -> None:
        self.app, self.keys, self.hosts, self.meters = app, keys, frozenset(hosts), meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, request_id = time.monotonic(), f"req_{secrets.token_hex(8)}"
        body = _Body(receive, Headers(scope=scope))
        status = 499  # as nginx counts clients that went away

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, body, answer)
        except Exception as error:
            if not isinstance(error, Problem):
                log.exception("%s failed", request_id)
            if status == 499:
                await body.drain()
                await _refuse(problem_of(error), answer)
        finally:
            seconds = time.monotonic() - start
            self.meters.request(scope["path"], status, seconds)
            path = printable(scope["path"])[:100]
            log.info("%s %s %d %.3f s %s", scope["method"], path, status, seconds, request_id)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self.hosts and _name(headers.get("host", "")) not in self.hosts:
            raise Problem(403, "This host name is not served; use the address that the service printed.", code="host")
        if not scope["path"].startswith(PROTECTED):
            return
        if not self.keys.allow(headers.get("authorization", "")):
            missing = "authorization" not in headers
            text = "No API key was given; send it as a Bearer token." if missing else "Incorrect API key."
            raise Problem(401, text, code="invalid_api_key")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > SERVED_BYTES.value:
            raise _too_large()


def _name(host: str) -> str:
    """A `Host` header without the port."""
    return host if host.endswith("]") else host.rsplit(":", 1)[0]


def _too_large() -> Problem:
    return Problem(413, f"The request is larger than {SERVED_BYTES.value:,} bytes.", code="request_too_large")


class _Body:
    """Byte count of a client's body: not all clients state its length.

    Args:
        receive: see ASGI.
        headers: of the request.
    """

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive, self._count = receive, 0
        self._whole = "content-length" not in headers and "transfer-encoding" not in headers

    async def __call__(self) -> Message:
        """The next part.

        Raises:
            Problem: too much.
        """
        message = await self._part()
        self._count += len(message.get("body", b""))
        if self._count > SERVED_BYTES.value:
            raise _too_large()
        return message

    async def drain(self) -> None:
        """Read what the client is still sending: it looks for an answer after that alone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while not self._whole:
                    await self._part()

    async def _part(self) -> Message:
        message = await self._receive()
        self._whole = not message.get("more_body", False)
        return message


async def _refuse(problem: Problem, send: Send) -> None:
    body = json.dumps(problem.body).encode()
    headers: dict[str, Any] = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
