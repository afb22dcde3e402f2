"""Writing through HTTP, against a real server in this process: answers, trouble that passes, trouble that does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.triple_checks import tally
from ip2p_lightning.generation.writers.endpoint import EndpointError, EndpointWriter
from ip2p_lightning.models.triple_format import completion

CAPTIONS = [Caption(str(number), f"dog {number}") for number in range(6)]
Answer = tuple[int, dict[str, Any] | bytes, dict[str, str]]
CUT = completion("make it a cat", "a cat").removesuffix("\nEND")  # servers cut the stop text off


def text(content: str, reason: str = "stop") -> Answer:
    return 200, {"choices": [{"text": content, "finish_reason": reason}]}, {}


class Server:
    """Answers each request as its `reply` says; keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.busy, self.busiest = 0, 0
        self.reply: Callable[[dict[str, Any], int], Answer] = lambda body, number: text(CUT)
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    server.busy += 1
                    server.busiest = max(server.busiest, server.busy)
                    server.requests.append(body)
                    server.paths.append(self.path)
                    server.keys.append(self.headers["authorization"])
                    number = len(server.requests)
                status, content, headers = server.reply(body, number)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                with server._lock:
                    server.busy -= 1
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client has gone
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def writer(self, **options: Any) -> EndpointWriter:
        return EndpointWriter("tiny", self.url, **{"pause": 0.01, "retries": 0, "timeout": 20.0, **options})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_captions_become_triples_in_their_order(server: Server):
    def reply(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.02 * (number % 3))
        dog = body["prompt"].rstrip().rsplit("\n", 2)[-2]
        return text(f"make {dog} a cat\n%%\na cat, once {dog}")

    server.reply = reply
    outcomes = server.writer(concurrency=3).write(CAPTIONS)
    assert [(o.id, o.edited_caption) for o in outcomes if isinstance(o, EditTriple)] == [
        (str(number), f"a cat, once dog {number}") for number in range(6)
    ]
    assert 1 < server.busiest <= 3


def test_requests_carry_the_paper_s_settings_and_a_seed_of_the_caption(server: Server):
    server.writer().write(CAPTIONS[:2])
    server.writer().write(CAPTIONS[:1])
    first, second, again = sorted(server.requests, key=lambda body: body["prompt"][-20:])[0], *server.requests[1:]
    assert set(server.paths) == {"/v1/completions"}
    settings = {"model": "tiny", "temperature": 0.7, "top_p": 1.0, "frequency_penalty": 0.1, "max_tokens": 256}
    assert settings.items() <= first.items()
    assert first["stop"] == ["\nEND"]
    seeds = {body["prompt"].split("\n")[-3]: body["seed"] for body in server.requests}
    assert len(seeds) == 2
    assert again["seed"] == seeds["dog 0"] != seeds["dog 1"]
    assert second["seed"] < 2**31


def test_chat_models_are_told_the_format(server: Server):
    server.reply = lambda body, number: (
        200,
        {"choices": [{"message": {"content": CUT}, "finish_reason": "stop"}]},
        {},
    )
    (outcome,) = server.writer(api="chat", shots=2).write(CAPTIONS[:1])
    assert isinstance(outcome, EditTriple)
    assert server.paths == ["/v1/chat/completions"]
    roles = [message["role"] for message in server.requests[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert server.requests[0]["messages"][-1]["content"] == "dog 0\n##"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_waited_for(server: Server, status: int):
    server.reply = lambda body, number: (status, b"not now", {"retry-after": "0"}) if number < 4 else text(CUT)
    (outcome,) = server.writer(concurrency=1).write(CAPTIONS[:1])
    assert isinstance(outcome, EditTriple)
    assert len(server.requests) == 4
    assert len({body["seed"] for body in server.requests}) == 1


def test_what_does_not_pass_ends_the_run_with_its_words(server: Server):
    server.reply = lambda body, number: (503, b"out of memory", {})
    with pytest.raises(EndpointError, match=r"3 attempts, the last: 503 out of memory.*same command again"):
        server.writer(attempts=3, concurrency=1).write(CAPTIONS[:1])
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "set OPENAI_API_KEY"), (403, "may not use"), (404, "'tiny'"), (405, "check url")]
)
def test_wrong_settings_are_told_at_once(server: Server, status: int, remedy: str):
    server.reply = lambda body, number: (status, b"no", {})
    with pytest.raises(EndpointError, match=remedy):
        server.writer(concurrency=1).write(CAPTIONS[:1])
    assert len(server.requests) == 1


def test_a_caption_that_the_server_refuses_is_counted(server: Server):
    def reply(body: dict[str, Any], number: int) -> Answer:
        return (400, b"context length exceeded", {}) if "dog 2\n##" in body["prompt"][-9:] else text(CUT)

    server.reply = reply
    outcomes = server.writer(retries=2).write(CAPTIONS)
    assert tally(outcomes) == {"kept": 5, "refused": 1}
    assert isinstance(outcomes[2], Rejected)
    assert "context length" in outcomes[2].detail
    assert len(server.requests) == 6


def test_a_server_that_refuses_everything_is_an_error(server: Server):
    server.reply = lambda body, number: (400, b"unknown parameter: seed", {})
    with pytest.raises(EndpointError, match=r"refuses all of 6 captions: 400 unknown parameter: seed"):
        server.writer().write(CAPTIONS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "unparsable"),
        (b'{"choices": []}', "unparsable"),
        (b'{"choices": [{"text": null}]}', "unparsable"),
        (b"[" * 5000, "unparsable"),
        (b'{"choices": [{"text": "make it a cat\\n%%\\na ca", "finish_reason": "length"}]}', "too_long"),
        (b'{"choices": [{"text": "\xff\xfe", "finish_reason": "stop"}]}', "unparsable"),
    ],
)
def test_rubbish_is_asked_for_again_and_counted(server: Server, content: bytes, reason: str):
    server.reply = lambda body, number: (200, content, {})
    (outcome,) = server.writer(retries=1).write(CAPTIONS[:1])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason
    assert len(server.requests) == 2
    assert len({body["seed"] for body in server.requests}) == 2


def test_an_answer_without_end_does_not_fill_the_memory(server: Server):
    server.reply = lambda body, number: (200, b" " * (2**20 + 10), {})
    with pytest.raises(EndpointError, match="bytes"):
        server.writer(attempts=1).write(CAPTIONS[:1])


def test_a_silent_server_times_out(server: Server):
    def reply(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.4)
        return text(CUT)

    server.reply = reply
    with pytest.raises(EndpointError, match=r"not whole after 0\.1 s"):
        server.writer(attempts=2, timeout=0.1).write(CAPTIONS[:1])


def test_a_server_that_is_not_there(server: Server):
    writer = server.writer(attempts=2)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(EndpointError, match="ConnectError"):
        writer.write(CAPTIONS[:1])


def test_the_key_comes_from_the_environment_alone(server: Server, monkeypatch: pytest.MonkeyPatch):
    server.writer().write(CAPTIONS[:1])
    monkeypatch.setenv("MY_KEY", "secret")
    writer = server.writer(key_variable="MY_KEY")
    writer.write(CAPTIONS[:1])
    assert server.keys == [None, "Bearer secret"]
    assert "secret" not in repr(vars(writer))
    with pytest.raises(ValueError, match=r"not encrypted.*MY_KEY"):
        EndpointWriter("tiny", "http://example.org/v1", key_variable="MY_KEY")
    assert EndpointWriter("tiny", "https://example.org/v1", key_variable="MY_KEY").name == "tiny at example.org"


@pytest.mark.parametrize("option", [{"api": "soap"}, {"shots": 9}, {"concurrency": 0}, {"timeout": 0}])
def test_settings_are_checked(option: dict):
    with pytest.raises(ValueError, match=next(iter(option))):
        EndpointWriter("tiny", **option)
