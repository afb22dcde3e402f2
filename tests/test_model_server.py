"""Servers that mean harm, or are broken: bounded memory and time, secrets kept, words made safe."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate

import httpx
import pytest

from ip2p_lightning.model_server import EndpointError, ModelServer, Refused, _requested_pause, chat_text

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that answers each connection with `serve`, once it has read a request."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        try:
            connection.settimeout(2)
            connection.recv(65536)
            serve(connection)
        except OSError:
            pass  # the client has gone
        finally:
            connection.close()

    def accept() -> None:
        while not stop.is_set():
            try:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
            except TimeoutError:
                continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        stop.set()
        thread.join()
        listener.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)


def ask(url: str, **options: float) -> list[bytes | Refused]:
    return ModelServer(url, **{"attempts": 1, "timeout": 0.5, "pause": 0.01, **options}).ask("/x", [{"a": 1}])  # type: ignore[arg-type]


def drip(parts: Iterator[bytes] | list[bytes], pause: float = 0.05) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return serve


def _bytes(text: bytes) -> list[bytes]:
    return [text[n : n + 1] for n in range(len(text))]


@pytest.mark.parametrize(
    "parts",
    [
        _bytes(HEAD + b"X-A: " + b"a" * 100),
        _bytes(b"HTTP/1.1 200 OK" * 10),
        [HEAD + b"Content-Length: 1000\r\n\r\n", *_bytes(b"x" * 100)],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 100],
        [b""] * 100,
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 100,
    ],
    ids=["headers", "status", "body", "chunks", "silence", "interim"],
)
def test_the_deadline_holds_against_drips(parts: list[bytes]):
    begun = time.monotonic()
    with raw_server(drip(parts)) as url, pytest.raises(EndpointError, match="gave no answer in 1 attempts"):
        ask(url)
    assert time.monotonic() - begun < 4  # of the 5 s and more that the server takes


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "br", "zstd"])
def test_compressed_answers_are_not_unpacked(encoding: str):
    body = gzip.compress(gzip.compress(bytes(50 * 2**20)))
    head = HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with raw_server(drip([head + body])) as url, pytest.raises(EndpointError, match="compressed by"):
        ask(url, timeout=5)


def test_an_endless_answer_is_cut():
    def serve(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with raw_server(serve) as url, pytest.raises(EndpointError, match="more than the limit of 1,048,576"):
        ask(url, timeout=5)


@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/other", "file:///etc/passwd", "ftp://127.0.0.1:{port}/x"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_gets_no_key(place: str, status: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
    asked: list[int] = []
    with raw_server(lambda _: asked.append(1)) as other:
        where = place.format(port=other.rsplit(":", 1)[1].partition("/")[0])
        head = f"HTTP/1.1 {status} X\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(drip([head])) as url, suppress(EndpointError):
            assert isinstance(ask(url, timeout=5)[0], Refused)
    assert asked == []


@pytest.mark.parametrize(
    "answer",
    [b"garbage\r\n\r\n", b"", b"\x16\x03\x01\x02\x00", b"HTTP/9.9 999\r\n\r\n",
     HEAD + b"A: " + b"a" * 2**20 + b"\r\n\r\n", HEAD + b"Content-Length: -1\r\n\r\n",
     HEAD + b"Content-Length: 5\r\n\r\nab"],
    ids=["garbage", "closed", "tls", "version", "header", "length", "short"],
)  # fmt: skip
def test_what_is_no_http_is_an_error_of_the_server(answer: bytes):
    with raw_server(drip([answer])) as url, pytest.raises(EndpointError, match=r"127\.0\.0\.1"):
        ask(url, timeout=5)


@pytest.mark.parametrize("status", [422, 401, 500])
def test_a_key_that_a_server_repeats_is_hidden(status: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
    body = b"Authorization: Bearer sk-secret-key \x1b]0;PWNED\x07"
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with raw_server(drip([head + body])) as url:
        try:
            words = repr(ask(url, timeout=5)[0])
        except EndpointError as error:
            words = str(error)
    assert "Authorization: Bearer *** " in words
    assert not {*words} & {*"\x1b\x07"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://me:word@host/v1", "holds a user or password"),
        ("https://token@host/v1", "holds a user or password"),
        ("ftp://host/v1", "must begin with http"),
        ("host:80/v1", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
    ],
)
def test_urls_that_are_refused(url: str, words: str):
    with pytest.raises(ValueError, match=words) as caught:
        ModelServer(url)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_finite_number(timeout: float):
    with pytest.raises(ValueError, match="timeout"):
        ModelServer("http://localhost", timeout=timeout)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("nan", None), ("inf", None), ("-5", 0.0), ("soon", None), ("1e400", None), (formatdate(0), 0.0)],
)
def test_pauses_that_servers_ask_for(header: str, seconds: float | None):
    assert _requested_pause(httpx.Response(429, headers={"retry-after": header})) == seconds


def test_a_date_to_come_is_waited_for():
    header = formatdate(time.time() + 30, usegmt=True)
    assert 25 < (_requested_pause(httpx.Response(429, headers={"retry-after": header})) or 0) < 31


def test_it_works_where_an_event_loop_runs():
    async def notebook() -> list[bytes | Refused]:
        return ask(url, timeout=5)

    with raw_server(drip([HEAD + b"Content-Length: 2\r\n\r\nok"])) as url:
        assert asyncio.run(notebook()) == [b"ok"]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 300_000,
        b'{"choices":' * 100_000,
        b"{}",
        b'{"choices":[]}',
        b"\xff",
        b'{"choices":[{"message":{"content":1}}]}',
    ],
)
def test_answers_that_are_none(content: bytes):
    with pytest.raises(ValueError, match="not an answer"):
        chat_text(content)


def test_an_answer_is_read():
    assert chat_text(json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()) == "yes"
