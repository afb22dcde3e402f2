"""Requests to servers that speak OpenAI's HTTP protocol: vLLM, llama.cpp, text-generation-inference, OpenAI itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

_MAX_BYTES = 2**20
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)  # what another try may mend
_PERSONAL = (400, 413, 422)  # what is wrong with this request, unless it is wrong with all


class EndpointError(RuntimeError):
    """A server that cannot be used, or not now; the message says which and what to do."""


@dataclass(frozen=True)
class Refused:
    """What a server says that will not take one request (400, 413, 422)."""

    problem: str


class ModelServer:
    """A server at a URL. What passes (time-outs, 429, 5xx) is tried again after growing pauses.

    Args:
        url: up to and including the version, such as "http://localhost:8000/v1".
        concurrency: requests at once.
        timeout: seconds that a request may take.
        attempts: requests for one answer while the server is unwell.
        pause: seconds before the second attempt; doubled before each further one, or as long as the server asks (at
            most a minute).
        key_variable: variable of the environment that holds the key; none is sent where it is not set. Keys are
            neither stored nor shown.

    Raises:
        ValueError: a number out of its range, or a key that would cross a network unencrypted.
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
        if min(concurrency, attempts) < 1 or timeout <= 0:
            raise ValueError(
                f"concurrency={concurrency} and attempts={attempts} must be at least 1, timeout={timeout} above 0"
            )
        self.url = httpx.URL(url.rstrip("/"))
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
        if not bodies:
            return []
        headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else {}
        with (
            httpx.Client(headers=headers, timeout=self.timeout) as client,
            ThreadPoolExecutor(min(self.concurrency, len(bodies))) as pool,
        ):
            waiting = [pool.submit(self._ask, client, path, body) for body in bodies]
            try:
                return [answer.result() for answer in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()

    def _ask(self, client: httpx.Client, path: str, body: Mapping[str, Any]) -> bytes | Refused:
        """One answer, after as many attempts as it takes."""
        chance, problem = Random(body.get("seed", 0)), ""
        for attempt in range(self.attempts):
            wait = None
            try:
                response, content = _post(client, f"{self.url}{path}", body, self.timeout)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code == 200:
                    return content
                problem = f"{response.status_code} {content[:300].decode(errors='replace')}"
                if response.status_code in _PERSONAL:
                    return Refused(problem)
                if response.status_code not in _PASSING:
                    remedy = self._remedy(response.status_code, path, body.get("model"))
                    raise EndpointError(f"{self.url}{path} answers {problem}: {remedy}")
                wait = _asked_to_wait(response)
            if attempt + 1 < self.attempts:
                pause = self.pause * 2**attempt * (0.75 + 0.5 * chance.random())
                time.sleep(min(60.0, pause if wait is None else max(wait, pause)))
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
        text = httpx.Response(200, content=content).json()["choices"][0]["message"]["content"]
        if isinstance(text, str):
            return text
        raise TypeError(f"the text is {text!r}")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"not an answer ({type(error).__name__}: {error})") from error


def _post(client: httpx.Client, url: str, body: Mapping[str, Any], timeout: float) -> tuple[httpx.Response, bytes]:
    """A whole response; no server can fill the memory or keep us for ever by sending a byte at a time."""
    deadline = time.monotonic() + timeout
    with client.stream("POST", url, json=dict(body)) as response:
        content = b""
        for part in response.iter_bytes():
            content += part
            if len(content) > _MAX_BYTES:
                raise httpx.ReadError(f"an answer of more than {_MAX_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"not whole after {timeout:g} s")
    return response, content


def _asked_to_wait(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, where it gives any."""
    try:
        return float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
