"""Bounds on every request of a study, and headers of every reply: pure ASGI, before anything is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST_BODY = 4096
"""Bytes of a request's body; an answer has some hundred."""
SLOWEST_BODY = 10.0
"""Seconds until the body must be there."""
HEADERS = [
    (b"content-security-policy", b"default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
     b"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]  # fmt: skip


class Bounds:
    """Refuses bodies that are too long (413) or too slow (408), and adds `HEADERS` to every reply.

    Args:
        app: what answers.
    """

    def __init__(self, app: Callable[[Any, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        try:
            body = await asyncio.wait_for(_body(receive), SLOWEST_BODY)
        except TimeoutError:
            await _refuse(send_with_headers, 408)
            return
        if body is None:
            await _refuse(send_with_headers, 413)
            return
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def whole_body() -> Message:
            message = next(messages, None)
            return message if message is not None else await receive()

        await self.app(scope, whole_body, send_with_headers)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too long."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _refuse(send: Send, status: int) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"detail":"refused"}'})
