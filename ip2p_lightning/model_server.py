"""Requests to servers that speak OpenAI's HTTP protocol: vLLM, llama.cpp, text-generation-inference, OpenAI itself."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, TypeVar

import httpx

from ip2p_lightning.limits import SERVER_ANSWER, LimitError
from ip2p_lightning.untrusted import printable

_LONGEST_PAUSE = 60.0
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)  # may succeed on another try
_PERSONAL = (400, 413, 422)  # what is wrong with this request, unless it is wrong with all
_T = TypeVar("_T")


class EndpointError(OSError):
    """A server that cannot be used, or not now; the message says which and what to do."""


@dataclass(frozen=True)
class Refused:
    """The words with which a server refuses one request (400, 413, 422)."""

    problem: str


class ModelServer:
    """A server at a URL. What passes (time-outs, 429, 5xx) is tried again after growing pauses.

    Nothing that a server sends is believed: an answer is read as it comes over the wire, uncompressed, up to the limit
    SERVER_ANSWER, and the deadline holds over the whole request, whether headers or body arrive a byte at a time.

    Args:
        url: up to and including the version, such as "http://localhost:8000/v1".
        concurrency: requests at once.
        timeout: seconds that a request may take.
        attempts: requests for one answer while the server is unwell.
        pause: seconds before the second attempt; doubled before each further one, or as long as the server asks (at
            most a minute).
        key_variable: variable of the environment that holds the key; none is sent where it is not set. Keys are
            neither stored nor shown, even where a server repeats them.

    Raises:
        ValueError: a number out of its range, a URL that is not http(s) or holds a password, or a key that would cross
            a network unencrypted.
    """

    def __init__(
        self,
        url: str,
        concurrency: int = 8,
        timeout: float = 60.0,
        attempts: int = 5,
        pause: float = 1.0,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        if min(concurrency, attempts) < 1 or not 0 < timeout < math.inf:
            raise ValueError(
                f"concurrency={concurrency} and attempts={attempts} must be at least 1, timeout={timeout} above 0"
            )
        self.url = httpx.URL(url.rstrip("/"))
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise ValueError(f"url={url} must begin with http:// or https:// and name a host")
        if self.url.userinfo:
            raise ValueError(
                f"the url of {self.url.host} holds a user or password, which runs would store; remove it, and put a "
                f"key into the environment variable {key_variable}"
            )
        self.concurrency, self.timeout, self.attempts, self.pause = concurrency, timeout, attempts, pause
        self.key_variable = key_variable
        if self._key() and self.url.scheme != "https" and self.url.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError(
                f"url={url} is not encrypted, and the key in {key_variable} would be sent over it; use https, or unset "
                f"{key_variable}"
            )

    def ask(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[bytes | Refused]:
        """The answers to some requests, several at once.

        Args:
            path: below the URL, such as "/chat/completions".
            bodies: JSON values.

        Raises:
            EndpointError: a server that gives no answer, or will have none of it.
        """
        return _wait_for(self._ask_all(path, bodies)) if bodies else []

    async def _ask_all(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[bytes | Refused]:
        headers = {"Accept-Encoding": "identity"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        limit = asyncio.Semaphore(self.concurrency)
        async with httpx.AsyncClient(headers=headers, timeout=None) as client:

            async def one(body: Mapping[str, Any]) -> bytes | Refused:
                async with limit:
                    return await self._ask(client, path, body)

            waiting = [asyncio.ensure_future(one(body)) for body in bodies]
            try:
                return list(await asyncio.gather(*waiting))
            finally:
                for task in waiting:
                    task.cancel()

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()

    def _shown(self, text: str) -> str:
        """A server's words without the key, which some servers repeat, and without control characters."""
        key = self._key()
        return printable(text.replace(key, "***") if key else text)

    async def _ask(self, client: httpx.AsyncClient, path: str, body: Mapping[str, Any]) -> bytes | Refused:
        """One answer, after as many attempts as it takes."""
        chance, problem = Random(body.get("seed", 0)), ""
        for attempt in range(self.attempts):
            wait = None
            try:
                async with asyncio.timeout(self.timeout):
                    response, content = await _post(client, f"{self.url}{path}", body)
            except TimeoutError:
                problem = f"not whole after {self.timeout:g} s"
            except (httpx.TransportError, LimitError) as error:
                problem = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code == 200:
                    return content
                problem = self._shown(f"{response.status_code} {content[:300].decode(errors='replace')}")
                if response.status_code in _PERSONAL:
                    return Refused(problem)
                if response.status_code not in _PASSING:
                    remedy = self._remedy(response.status_code, path, body.get("model"))
                    raise EndpointError(f"{self.url}{path} answers {problem}: {remedy}")
                wait = _requested_pause(response)
            if attempt + 1 < self.attempts:
                pause = self.pause * 2**attempt * (0.75 + 0.5 * chance.random())
                await asyncio.sleep(min(_LONGEST_PAUSE, max(wait or 0.0, pause)))
        raise EndpointError(
            f"{self.url}{path} gave no answer in {self.attempts} attempts, the last: {problem}. Look at it, then run "
            "the same command again: finished requests are not made twice"
        )

    def _remedy(self, status: int, path: str, model: object) -> str:
        return {
            401: f"set {self.key_variable} in the environment to the server's key",
            403: f"the key in {self.key_variable} may not use this model",
            404: f"check url and model, {model!r}, and that the server has {path}",
        }.get(status, "check url and model, and that the server speaks OpenAI's protocol")


def chat_text(content: bytes) -> str:
    """The text of an answer of `/chat/completions`.

    Raises:
        ValueError: anything unlike such an answer.
    """
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
        if isinstance(text, str):
            return text
        raise TypeError(f"the text is a {type(text).__name__}")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError(f"not an answer ({type(error).__name__}: {error})") from error


async def _post(client: httpx.AsyncClient, url: str, body: Mapping[str, Any]) -> tuple[httpx.Response, bytes]:
    """A whole response as it was sent; one that is compressed or too long is none."""
    async with client.stream("POST", url, json=dict(body)) as response:
        if (encoding := response.headers.get("content-encoding", "identity").strip().lower()) != "identity":
            raise httpx.ReadError(f"an answer compressed by {printable(encoding)[:50]!r}, though none was asked for")
        content = b""
        async for part in response.aiter_raw():
            content += part
            SERVER_ANSWER.check(len(content), url)
    return response, content


def _requested_pause(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date; None where it gives none."""
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _wait_for(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine; notebooks, whose thread runs an event loop already, wait for another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
